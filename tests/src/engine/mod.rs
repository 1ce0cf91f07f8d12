//! A server's engine on this machine, natively: Debian 13's Docker and containerd, told what firstboot tells them, in a root of
//! Debian 13's packages of its own, at the paths that a server has. Everything lies in memory and in namespaces of its own,
//! so that several run side by side, and nothing of one outlives this program.
//!
//! ```text
//! internet ── eth0 ── server ── tailscale0 ── vpn       three networks, joined by two cables, over IPv4 and IPv6
//!                     /srv/sovereign                    a volume in memory
//!                     dockerd, containerd, registry     the registry is the server's own, on its loopback
//! ```
//!
//! Unlike on a server there is neither systemd nor UFW (but [its rules](Engine::close)), no AppArmor where this machine's kernel has none, control groups are of
//! the version this machine has, and containers may open no more files than this program.

mod container;
mod firewall;
mod leftovers;
mod registry;

pub use container::Container;
pub use firewall::Open;

use crate::network::Space;
use crate::tied::Tied;
use anyhow::{Context as _, Result, bail, ensure};
use host::{Cmd, Host as _, Local, Output};
use images::OciLayout;
use leftovers::Place;
use registry::Registry;
use serde_json::Value;
use spec::paths;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::time::Duration;

/// The server's addresses on the internet.
pub const SERVER: [&str; 2] = ["192.0.2.10", "2001:db8:77::10"];
/// The server's addresses in the private network.
pub const SERVER_IN_VPN: [&str; 2] = ["100.64.0.1", "fd7a:115c:a1e0::1"];
/// Somebody far away on the internet, as containers see it.
pub const FAR_AWAY: [&str; 2] = ["198.51.100.1", "2001:db8:66::1"];
/// The cloud's metadata service.
pub const METADATA: &str = "169.254.169.254";

/// The programs it takes of this machine.
pub const PROGRAMS: [&str; 7] =
    ["unshare", "nsenter", "mount", "pivot_root", "chroot", "apt-get", "dpkg-deb"];

const SUITE: &str = "trixie";
/// What a server has of what is tried here.
const PACKAGES: [&str; 11] = [
    "?essential",
    "containerd",
    "docker-cli",
    "docker-compose",
    "docker-registry",
    "docker.io",
    "iproute2",
    "iptables",
    "mount",
    "openssl",
    "runc",
];
const BEGIN: &str = include_str!("begin.sh");
const POWER_CUT: &str = include_str!("power-cut.sh");
/// What firstboot tells this version of the engine, held to its word by firstboot's own tests.
const DAEMON: &str = include_str!("../../../firstboot/src/steps/docker/golden/23-26.json");
/// The unit that a server's stacks are started by.
const UNIT: &str = include_str!("../../../firstboot/systemd/sovereign-stack@.service");
/// How long anything may take that is no stack.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a stack may take, as its unit has it.
const STACK_LIMIT: Duration = Duration::from_secs(330);

/// Whether one can be started here, for this test, which runs `programs` besides; where not, it says loudly that it was
/// skipped, and in CI that is a failure.
pub fn can_run(test: &str, programs: &[&str]) -> Result<bool> {
    if !crate::can_run(test, &[&PROGRAMS[..], programs].concat())? {
        return Ok(false);
    }
    if crate::lanes::can_part()? {
        return Ok(true);
    }
    ensure!(std::env::var_os("CI").is_none(), "{test}: namespaces cannot be made, and CI skips nothing");
    eprintln!("SKIPPED {test}: this user may not make namespaces; run the tests as root");
    Ok(false)
}

/// Where this program was started as a server's firstboot: what that does, to its end. The first words of a program with
/// trials of engines.
pub fn be_firstboot() -> Option<ExitCode> {
    let called = std::env::args_os().next()?;
    (Path::new(&called) == Path::new(paths::BINARY)).then(firstboot::cli::main)
}

/// One of the networks outside the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Everybody.
    Internet,
    /// The private network's devices.
    Vpn,
}

/// A server with an engine that runs. Dropped, it is gone.
pub struct Engine {
    // Dropped in this order: first whatever runs, last where it lay.
    registry: Option<Registry>,
    machine: Tied,
    dockerd: Option<Child>,
    containerd: Child,
    server: Space,
    internet: Space,
    vpn: Space,
    place: Place,
}

impl Engine {
    /// Starts one whose volume may hold this many GiB of this machine's memory.
    pub fn start(gib: u32) -> Result<Self> {
        let root = images::unpacked_root(&crate::cache()?, SUITE, "engine", &PACKAGES, &images::Silent)
            .context("unpacking Debian's packages of the engine")?;
        let place = Place::make()?;
        let [mounts, images] = ["mounts", "registry"].map(|name| place.path().join(name));
        for dir in [&mounts, &images] {
            std::fs::create_dir(dir).with_context(|| format!("making {}", dir.display()))?;
        }
        let script = BEGIN.replace("LAST", Tied::LAST);
        let unshare = Cmd::new("unshare").args(["--net", "--mount", "--uts", "--ipc"]);
        let size = PathBuf::from(format!("{gib}g"));
        let own = std::env::current_exe().context("finding this program")?;
        let words = [root.as_path(), &mounts, &images, &size, &own];
        let machine = Tied::start(unshare, &script, &words, &place.path().join("begin.log"))?;
        let outside = |name: &str| Space::at(machine.path(Path::new("/run/netns").join(name)));
        let (internet, vpn) = (outside("internet")?, outside("vpn")?);
        let server = Space::at(format!("/proc/{}/ns/net", machine.first()))?;
        host::files::write(&machine.path("/etc/docker/daemon.json"), daemon()?.as_bytes(), 0o644)?;
        let containerd = containerd(&machine, place.path())?;
        let mut engine =
            Self { registry: None, machine, dockerd: None, containerd, server, internet, vpn, place };
        engine.start_daemon()?;
        Ok(engine)
    }

    /// The network that the server's own programs are in, the engine among them.
    pub fn server(&self) -> &Space {
        &self.server
    }

    /// A network outside.
    pub fn outside(&self, side: Side) -> &Space {
        match side {
            Side::Internet => &self.internet,
            Side::Vpn => &self.vpn,
        }
    }

    /// A file of the server's (`/srv/sovereign/…`), seen from here. No link on the way may be absolute.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.machine.path(path)
    }

    /// A file beside the server that goes with it: logs, and what a trial needs of this machine.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// The first process of the server, as this program's own namespace numbers it.
    pub fn first_process(&self) -> u32 {
        self.machine.first()
    }

    /// A program of the server's, run on it.
    pub fn program(&self, program: &str) -> Cmd {
        on_the_server(&self.machine, program).timeout(LIMIT).with_children()
    }

    /// firstboot, run on the server: this very program, which has it in it. See [`be_firstboot`].
    pub fn firstboot<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Cmd {
        self.program(paths::BINARY).args(words)
    }

    /// Runs `docker` with these words; gives what it said.
    pub fn docker<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<String> {
        Ok(Local.run(&self.program("docker").args(words))?.text())
    }

    /// Has the server's engine pull an image; gives the reference, pinned by digest, that it is known by there.
    pub fn pull(&mut self, image: &OciLayout) -> Result<String> {
        if self.registry.is_none() {
            let command = on_the_server(&self.machine, "docker-registry");
            self.registry = Some(Registry::start(command, self.place.path(), &self.server)?);
        }
        let registry = self.registry.as_ref().context("there is a registry")?;
        let reference = registry.publish(image)?;
        let pull = self.program("docker").args(["pull", "--quiet", &reference]);
        Local.run(&pull.timeout(STACK_LIMIT))?;
        Ok(reference)
    }

    /// Starts a stack of the node spec that lies on the volume, and waits until it is healthy, by the very line of its unit:
    /// firstboot starts it. Where it does not come up, the error has its containers' last words.
    pub fn up(&self, stack: &str) -> Result<()> {
        let started = Local.run(&self.unit_line("ExecStart", stack)?).map_err(Into::into);
        self.explained(stack, started.map(drop))
    }

    /// The same for a compose file of a trial's own, which no node spec knows.
    pub fn up_alone(&self, stack: &str) -> Result<()> {
        let words = ["up", "--detach", "--wait", "--wait-timeout", "300", "--pull", "never"];
        self.explained(stack, self.compose(stack, &words).map(drop))
    }

    fn explained(&self, stack: &str, started: Result<()>) -> Result<()> {
        let Err(error) = started else { return Ok(()) };
        let logs = self.logs(stack).unwrap_or_else(|none| format!("{none:#}"));
        bail!("starting stack {stack}: {error:#}\n{logs}")
    }

    /// Stops a stack as its unit does: its containers stay.
    pub fn stop(&self, stack: &str) -> Result<()> {
        Local.run(&self.unit_line("ExecStop", stack)?)?;
        Ok(())
    }

    /// Removes a stack's containers and networks; its data stay.
    pub fn down(&self, stack: &str) -> Result<()> {
        self.compose(stack, &["down", "--remove-orphans"])?;
        Ok(())
    }

    /// All that a stack's containers said.
    pub fn logs(&self, stack: &str) -> Result<String> {
        let logs = self.compose(stack, &["logs", "--no-color"])?;
        Ok(format!("{}{}", logs.text(), logs.stderr))
    }

    /// Compose, about one stack.
    pub fn compose(&self, stack: &str, words: &[&str]) -> Result<Output> {
        let file = format!("/srv/sovereign/stacks/{stack}/compose.yaml");
        let cmd = self.program("docker-compose").args(["--project-name", stack, "--file", &file]);
        Ok(Local.run(&cmd.args(words.iter().copied()).timeout(STACK_LIMIT))?)
    }

    /// Runs a program in a container; gives what it said.
    pub fn exec(&self, container: &str, words: &[&str]) -> Result<String> {
        self.docker(["exec", container].into_iter().chain(words.iter().copied()))
    }

    /// Every container of a compose project, or of all, that is there, inspected.
    pub fn containers(&self, project: Option<&str>) -> Result<Vec<Container>> {
        let label = project.map(|name| format!("label=com.docker.compose.project={name}"));
        let words = ["ps", "--all", "--quiet", "--no-trunc"];
        let filter = label.iter().flat_map(|label| ["--filter", label]);
        let ids = self.docker(words.into_iter().chain(filter))?;
        let ids: Vec<&str> = ids.lines().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let inspected = self.inspect("container", &ids)?;
        inspected.into_iter().map(|value| Container::new(value, self)).collect()
    }

    /// What the engine says of these containers, images, networks or volumes.
    pub fn inspect(&self, kind: &str, names: &[&str]) -> Result<Vec<Value>> {
        let said = self.docker(["inspect", "--type", kind].into_iter().chain(names.iter().copied()))?;
        serde_json::from_str(&said).with_context(|| format!("reading what Docker says of {names:?}"))
    }

    /// Stops the daemon and starts it again, as an upgrade does: containers go on meanwhile.
    pub fn restart_daemon(&mut self) -> Result<()> {
        let stop = self.program("sh").args(["-c", "kill $(cat /run/docker.pid)"]);
        Local.run(&stop)?;
        let mut dockerd = self.dockerd.take().context("stopping Docker: it does not run")?;
        crate::until("Docker has stopped", || Ok(dockerd.try_wait()?.is_some()))?;
        self.start_daemon()
    }

    /// Ends the daemons and every container at once, as when the power goes, and starts the daemons again on the same volume. No
    /// stack is started, and nothing is [closed](Self::close) any more. What was written is there, synced or not.
    pub fn power_cut(&mut self) -> Result<()> {
        Local.run(&self.program("sh").args(["-c", POWER_CUT]).shown_as("power-cut.sh"))?;
        let started = containerd(&self.machine, self.place.path())?;
        let ended = std::mem::replace(&mut self.containerd, started);
        for mut daemon in self.dockerd.take().into_iter().chain([ended]) {
            daemon.wait().context("waiting for a daemon's end")?;
        }
        self.start_daemon()
    }

    fn start_daemon(&mut self) -> Result<()> {
        let log = self.beside("dockerd.log");
        let cmd = on_the_server(&self.machine, "dockerd").arg("--containerd=/run/containerd/containerd.sock");
        // So that the groups which a kill leaves can be told from others'.
        let cmd = cmd.arg(format!("--cgroup-parent=/{}", self.place.name()));
        self.dockerd = Some(start(&cmd, &log)?);
        // It lets clients in when it is ready, and not before.
        let (socket, mut dockerd) = (self.path("/run/docker.sock"), self.dockerd.as_mut());
        crate::until("Docker listens", || {
            let ended = dockerd.as_mut().map(|dockerd| dockerd.try_wait()).transpose()?.flatten();
            ensure!(ended.is_none(), "starting Docker: {}", last_lines(&log)?);
            Ok(socket.exists())
        })?;
        self.docker(["version"]).map(drop).or_else(|error| bail!("{error:#}\n{}", last_lines(&log)?))
    }

    /// A line of the unit that a server runs this stack by.
    fn unit_line(&self, key: &str, stack: &str) -> Result<Cmd> {
        let line = UNIT.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let line = line.with_context(|| format!("the unit of stacks has no {key}"))?.replace("%i", stack);
        let mut words = line.split_whitespace();
        let cmd = self.program(words.next().unwrap_or_default());
        Ok(words.fold(cmd, Cmd::arg).timeout(STACK_LIMIT))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // They die with their namespace, and the programs that entered it for them see that.
        let _ = self.machine.stop();
        let daemons = self.dockerd.iter_mut().chain([&mut self.containerd]);
        daemons.for_each(|daemon| drop(daemon.wait()));
    }
}

/// A program run in all namespaces of the server.
fn on_the_server(machine: &Tied, program: &str) -> Cmd {
    let first = machine.first().to_string();
    let cmd = Cmd::new("nsenter").args(["--target", &first, "--net", "--mount", "--pid", "--uts", "--ipc"]);
    cmd.args(["--root", "--wd", "--", program]).env("HOME", "/root")
}

/// What firstboot tells the engine, but for a limit that this machine's own does not allow.
fn daemon() -> Result<String> {
    let mut told: Value = serde_json::from_str(DAEMON).context("reading what firstboot tells Docker")?;
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    for limit in ["Hard", "Soft"] {
        let files = &mut told["default-ulimits"]["nofile"][limit];
        let wanted = files.as_u64().context("firstboot tells Docker no limit of open files")?;
        *files = wanted.min(most).into();
    }
    Ok(told.to_string())
}

fn containerd(machine: &Tied, logs: &Path) -> Result<Child> {
    let cmd = on_the_server(machine, "containerd").args(["--root", "/srv/sovereign/containerd"]);
    start(&cmd, &logs.join("containerd.log"))
}

/// Starts a daemon, whose words go to a file.
fn start(cmd: &Cmd, log: &Path) -> Result<Child> {
    let file = File::options().append(true).create(true).open(log)?;
    let mut command = cmd.to_std()?;
    let started = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn();
    started.with_context(|| format!("starting {}", cmd.line()))
}

fn last_lines(log: &Path) -> Result<String> {
    let said = std::fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
    let lines: Vec<&str> = said.lines().collect();
    Ok(lines[lines.len().saturating_sub(10)..].join("\n"))
}
