use crate::Error;
use host::files;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The longest state directory whose sockets still fit into a Unix socket address (108 bytes).
const LONGEST_STATE_DIR: usize = 85;

/// How a cloud is set up. The daemon finds it as `config.json` in the state directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Where everything is kept: state, volumes, machines, sockets, logs.
    pub state_dir: PathBuf,
    /// The loopback port of the API. With 0 the last one is taken again, or any that is free.
    pub port: u16,
    /// The system images on offer.
    pub images: Vec<ImageSource>,
    /// What servers are made of.
    pub machines: Machines,
    /// What emulates Arm machines in place of this machine's own `qemu-system-aarch64`: a path, for as long as it is there.
    #[serde(default)]
    pub emulator: Option<PathBuf>,
    /// No machine gets more memory than this, whatever its server type says.
    pub max_memory_mb: u32,
    /// No machine gets a larger root disk than this, whatever its server type says.
    pub max_disk_gb: u32,
    /// The TCP ports that can be reached on a server without a firewall. At Hetzner all can;
    /// here every port has to be named to be forwarded.
    pub open_ports: Vec<u16>,
    /// How long every action takes at least, for tests of what happens meanwhile.
    pub action_ms: u64,
    /// How long actions of these commands take instead, as `create_server`, in milliseconds.
    #[serde(default)]
    pub action_durations: BTreeMap<String, u64>,
    /// The clock on which actions take their time, the budget of requests refills and times are told.
    #[serde(default)]
    pub clock: Clock,
    /// How long every request is kept waiting before anything is done, in milliseconds of real time.
    #[serde(default)]
    pub latency_ms: u64,
    /// Requests per hour, as Hetzner's 3600.
    pub rate_limit: u32,
    /// The API token; one is made on first use where none is given.
    pub token: Option<String>,
    /// Any token of 64 characters is as good as the cloud's own, for clients that bring one.
    pub any_token: bool,
    /// A token that may only look.
    #[serde(default)]
    pub read_only_token: Option<String>,
    /// The API as it is or was.
    #[serde(default)]
    pub profile: Profile,
}

impl Config {
    /// A cloud with QEMU machines and no images.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            port: 0,
            images: Vec::new(),
            machines: Machines::Qemu,
            emulator: None,
            max_memory_mb: 3072,
            max_disk_gb: 40,
            open_ports: vec![22, 80, 443],
            action_ms: 0,
            action_durations: BTreeMap::new(),
            clock: Clock::Real,
            latency_ms: 0,
            rate_limit: 3600,
            token: None,
            any_token: false,
            read_only_token: None,
            profile: Profile::Current,
        }
    }

    /// What a state directory was last served with, if it ever was.
    pub fn find(state_dir: &Path) -> Result<Option<Self>, Error> {
        let path = state_dir.join("config.json");
        let config = files::read(&path)?.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        config.map_err(|e| {
            Error::Said(format!("reading {}: {e}; remove the file and start the cloud again", path.display()))
        })
    }

    /// The same of a state directory that must have been served.
    pub fn load(state_dir: &Path) -> Result<Self, Error> {
        Self::find(state_dir)?.ok_or_else(|| {
            Error::Said(format!(
                "looking into {}: there is no cloud there; start one with `cargo xtask cloud serve`",
                state_dir.display()
            ))
        })
    }

    /// The same; the default of a state directory that was never served.
    pub fn known(state_dir: &Path) -> Result<Self, Error> {
        Ok(Self::find(state_dir)?.unwrap_or_else(|| Self::new(state_dir)))
    }

    /// The cloud that projects are made in, whatever clients it was served to in between: of how it was served then
    /// only its token and its images stay, with these in place of those of the same name and architecture.
    #[must_use]
    pub fn for_projects(self, images: Vec<ImageSource>, emulator: Option<PathBuf>) -> Self {
        let mut config =
            Self { token: self.token, images: self.images, emulator, ..Self::new(self.state_dir) };
        config.images.retain(|old| {
            !images.iter().any(|new| (&new.name, new.architecture) == (&old.name, old.architecture))
        });
        config.images.extend(images);
        config
    }

    pub(crate) fn save(&self) -> Result<(), Error> {
        let text =
            serde_json::to_vec_pretty(self).map_err(|e| Error::Said(format!("writing config.json: {e}")))?;
        Ok(files::write(&self.path("config.json"), &text, 0o600)?)
    }

    /// A path in the state directory.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.state_dir.join(name)
    }

    /// Makes the state directory, readable by its owner alone, and gives back the configuration with its real path.
    pub(crate) fn prepared(mut self) -> Result<Self, Error> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        let dir = &self.state_dir;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|e| host::Error::io("making", dir, e))?;
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(dir, private).map_err(|e| host::Error::io("closing", dir, e))?;
        self.state_dir = dir.canonicalize().map_err(|e| host::Error::io("resolving", dir, e))?;
        if self.state_dir.to_str().is_none() {
            return Err(Error::Said(format!(
                "using {} for the rehearsal cloud: the path must be UTF-8, since it is written into its files; choose another",
                self.state_dir.display()
            )));
        }
        let length = self.state_dir.as_os_str().len();
        if length > LONGEST_STATE_DIR {
            return Err(Error::Said(format!(
                "using {} for the rehearsal cloud: the path has {length} bytes and its sockets allow for \
                 {LONGEST_STATE_DIR}; choose a shorter one",
                self.state_dir.display()
            )));
        }
        Ok(self)
    }
}

/// The form of the API at a point in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// November 2026: no data centers, and primary IPs may be `unassigned`.
    #[default]
    #[serde(rename = "2026-11")]
    Current,
    /// June 2026, for clients that know nothing later: data centers, and every primary IP is a server's.
    #[serde(rename = "legacy-2026-06")]
    Legacy,
}

impl Profile {
    /// Its name on the command line and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "2026-11",
            Self::Legacy => "legacy-2026-06",
        }
    }
}

impl std::str::FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Current, Self::Legacy];
        all.into_iter().find(|profile| profile.name() == text).ok_or_else(|| {
            format!("there is no profile '{text}', only {}", all.map(Self::name).join(" and "))
        })
    }
}

/// A cloud's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// This machine's.
    #[default]
    Real,
    /// One that stands still until it is moved, so that nothing waits.
    Virtual {
        /// Requests move it: each GET to the next moment at which an action ends where it asks for actions,
        /// else by half a second.
        auto: bool,
    },
}

/// What servers are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Machines {
    /// QEMU machines.
    Qemu,
    /// Nothing: a server is a record that always does what it is told. For tests of the API.
    None,
}

/// A processor architecture, named as the API names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// aarch64
    Arm,
    /// x86_64
    X86,
}

impl Architecture {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Arm => "arm",
            Self::X86 => "x86",
        }
    }

    pub(crate) fn is_this_machine(self) -> bool {
        match self {
            Self::Arm => cfg!(target_arch = "aarch64"),
            Self::X86 => cfg!(target_arch = "x86_64"),
        }
    }
}

/// A system image on offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageSource {
    /// Its name, as `debian-13`; images of different architectures may share one.
    pub name: String,
    /// What a person reads.
    pub description: String,
    /// What it runs on.
    pub architecture: Architecture,
    /// The distribution: `debian`, `ubuntu`, ...
    pub os_flavor: String,
    /// The distribution's version.
    pub os_version: Option<String>,
    /// The raw disk. It is linked or copied into the state directory: a newer build may take its path by a rename,
    /// but must not be written into the same file.
    pub disk: PathBuf,
    /// The kernel to boot, where the disk has no boot loader.
    pub kernel: Option<PathBuf>,
    /// The initial RAM disk that goes with the kernel.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub cmdline: String,
    /// Labels, to find it by.
    pub labels: BTreeMap<String, String>,
}
