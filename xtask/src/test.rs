//! `test`: the tiers, by name.

use crate::screen::screen;
use anyhow::{Context as _, Result, bail, ensure};
use host::Cmd;
use provisioner::packages::{self, Answer};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// For `test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// fast: units, golden files, the API, clients; clients: only those; parts: stacks under a real engine;
    /// vm: a real machine; cloud: the real Hetzner, with a token; all: everything but that.
    /// None: all that this machine can run.
    #[arg(value_enum)]
    tier: Option<Tier>,
    /// Only tests whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

/// A tier of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tier {
    /// Units, golden files, the API against the rehearsal cloud, faults; clients.
    Fast,
    /// Programs that others wrote for Hetzner, against the rehearsal cloud.
    Clients,
    /// Stacks with real programs under a real engine of this machine's architecture, and a real browser.
    Parts,
    /// firstboot on a real aarch64 machine: LUKS, UFW, Docker, reboots, power cuts.
    Vm,
    /// The real Hetzner: only with HCLOUD_TOKEN, spends money, is in no other tier.
    Cloud,
    /// Everything but the real Hetzner.
    All,
}

/// What the tests run besides what `provision` needs: programs, or files of packages that have none, and their packages.
const TOOLS: [(&str, &str); 15] = [
    ("age", "age"),
    ("certutil", "libnss3-tools"),
    ("chromedriver", "chromium-driver"),
    ("chromium", "chromium"),
    ("cloud-init", "cloud-init"),
    ("cryptsetup", "cryptsetup-bin"),
    ("file", "file"),
    ("haproxy", "haproxy"),
    ("ip", "iproute2"),
    ("nmap", "nmap"),
    ("nsenter", "util-linux"),
    ("python3", "python3"),
    ("/usr/share/doc/python3-venv/copyright", "python3-venv"),
    ("ssh", "openssh-client"),
    // Not `tang`, which would serve on port 80.
    ("/usr/libexec/tangd", "tang-common"),
];

/// Runs them; everything runs even when something failed.
pub(crate) fn run(options: &Options) -> Result<u8> {
    let needed: Vec<_> = TOOLS
        .into_iter()
        .chain(rehearsal::host_packages(rehearsal::Architecture::Arm).iter().copied())
        .chain(images::HOST_PACKAGES.iter().copied())
        .collect();
    if let Err(error) = packages::ensure(&needed, Answer::Yes, &*screen()) {
        host::say::err(format_args!("{error:#}\ntests that need what is missing will say SKIPPED"));
    }
    let tier = options.tier.unwrap_or(Tier::All);
    let (selected, tiers): (&[&str], &[&str]) = match tier {
        Tier::All => (&["--workspace"], &["fast", "clients", "parts", "vm"]),
        Tier::Fast => (&["--workspace"], &["fast", "clients"]),
        Tier::Clients => (&["--package", TRIALS, "--test", "clients"], &["clients"]),
        Tier::Parts => (&["--package", TRIALS, "--test", "parts"], &["parts"]),
        Tier::Vm => (&["--package", TRIALS, "--test", "vm"], &["vm"]),
        Tier::Cloud => (&["--package", TRIALS, "--test", "cloud"], &["cloud"]),
    };
    let programs = compile(selected)?;
    let filter = options.only.as_deref();
    let mut failed = Vec::new();
    for unit in programs.iter().filter(|program| program.package() != TRIALS) {
        if !unit.run(filter)? {
            failed.push(unit.target.name.as_str());
        }
    }
    if selected.contains(&"--workspace") && !documentation(filter)? {
        failed.push("documentation");
    }
    for tier in tiers {
        let trials =
            programs.iter().find(|program| program.package() == TRIALS && program.target.name == *tier);
        if !trials.with_context(|| format!("running {tier}: cargo built no such program"))?.run(filter)? {
            failed.push(tier);
        }
    }
    if failed.is_empty() {
        return Ok(0);
    }
    bail!("testing: failed in {}", failed.join(", "))
}

/// The package of the trials, of which each tier is a program; every other package's tests are units.
const TRIALS: &str = "tests";

/// A program with tests, as cargo reports that it was built.
#[derive(serde::Deserialize)]
struct TestProgram {
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(serde::Deserialize)]
struct Target {
    name: String,
}

#[derive(serde::Deserialize)]
struct Profile {
    test: bool,
}

/// Compiles all tests of these packages in one run of cargo: each further one would choose other features of the crates they
/// share, and compile those again.
fn compile(selected: &[&str]) -> Result<Vec<TestProgram>> {
    let compile = cargo().args(["test", "--no-run", "--message-format=json-render-diagnostics"]);
    let mut compile = compile.args(selected.iter().copied()).to_std()?;
    let built = compile.stderr(Stdio::inherit()).output().context("compiling the tests")?;
    ensure!(built.status.success(), "compiling the tests: {}", built.status);
    // Messages of other kinds have other fields.
    let programs =
        built.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    Ok(programs
        .filter(|program: &TestProgram| program.profile.test && program.executable.is_some())
        .collect())
}

impl TestProgram {
    /// Its package, by the name of the folder.
    fn package(&self) -> &str {
        let folder = self.manifest_path.parent().and_then(Path::file_name);
        folder.and_then(OsStr::to_str).unwrap_or_default()
    }

    /// Runs the tests whose names contain this, where cargo would.
    fn run(&self, filter: Option<&str>) -> Result<bool> {
        let (Some(executable), Some(folder)) = (&self.executable, self.manifest_path.parent()) else {
            bail!("running {}: cargo names no program", self.target.name)
        };
        host::say::err(format_args!("     Running {} of {}", self.target.name, self.package()));
        let cmd = Cmd::new(executable).args(filter).current_dir(folder).whole_env_from_parent();
        let cmd = cmd.env("CARGO_MANIFEST_DIR", folder);
        Ok(cmd.run_inherited()? == 0)
    }
}

/// Runs the examples in the documentation.
fn documentation(filter: Option<&str>) -> Result<bool> {
    Ok(cargo().args(["test", "--workspace", "--doc"]).args(filter).run_inherited()? == 0)
}

/// cargo with the caller's own environment, since the toolchain is found through it, but for what cargo says of the package
/// whose program this is: `ring`, whose build looks at that, would be compiled anew each time, and all that stands on it.
fn cargo() -> Cmd {
    let of_this_package = |name: &OsStr| {
        name.to_str()
            .is_some_and(|name| ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|of| name.starts_with(of)))
    };
    let cargo = Cmd::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let passed_on = std::env::vars_os().filter(|(name, _)| !of_this_package(name));
    passed_on.fold(cargo, |cargo, (name, value)| cargo.env(name, value))
}
