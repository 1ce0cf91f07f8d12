//! What the tiers share: a [`Rig`] is an operator's machine of its own, with projects, state and a rehearsal cloud; a
//! [`World`] is one that was provisioned once and is forked by every trial on machines; [`lanes`] run those side by side. An
//! [`Engine`](engine::Engine) runs stacks natively, in networks of its own, with a [`Browser`](browser::Browser) outside.

pub mod artifacts;
pub mod browser;
pub mod engine;
mod hurried;
pub mod isolation;
pub mod lanes;
pub mod leaks;
pub mod live;
pub mod network;
pub mod otp;
mod peer;
mod rig;
pub mod samples;
pub mod server;
pub mod tang;
pub mod tied;
pub mod wire;
mod world;

pub use hurried::Hurried;
pub use peer::{Peer, Talk};
pub use rig::{Ended, Rig, sha256_file};
pub use world::{AUDIT_RULES, World};

use anyhow::{Context as _, Result};
use host::{Cmd, Host as _, Local};
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long installing PyPI packages may take.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);

/// How long something is waited for that nothing but its own work keeps.
const PATIENCE: Duration = Duration::from_secs(60);

static TOOK: Mutex<Vec<(String, Duration)>> = Mutex::new(Vec::new());

/// A trial that fails with the whole chain of its error, and whose time is in the [table](run).
pub fn trial(name: &str, run: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    let its = name.to_owned();
    Trial::test(name, move || {
        let start = Instant::now();
        let outcome = run();
        TOOK.lock().unwrap_or_else(PoisonError::into_inner).push((its, start.elapsed()));
        outcome.map_err(|error| Failed::from(format!("{error:#}")))
    })
}

/// Runs trials and prints how long each took, the longest first.
pub fn run(arguments: &Arguments, trials: Vec<Trial>) -> Conclusion {
    let conclusion = libtest_mimic::run(arguments, trials);
    let mut took = TOOK.lock().unwrap_or_else(PoisonError::into_inner);
    took.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    println!("{:>7}  trial", "seconds");
    took.iter().for_each(|(name, time)| println!("{:>7.1}  {name}", time.as_secs_f64()));
    conclusion
}

/// Whether the programs a test needs are here; where not, it says loudly that it was skipped.
/// In CI a missing program is a failure, since CI installs them all.
pub fn can_run(test: &str, programs: &[&str]) -> Result<bool> {
    let missing: Vec<_> = programs.iter().filter(|p| host::find_program(p).is_err()).collect();
    if missing.is_empty() {
        return Ok(true);
    }
    anyhow::ensure!(
        std::env::var_os("CI").is_none(),
        "{test}: {missing:?} are not installed, and CI skips nothing"
    );
    eprintln!("SKIPPED {test}: {missing:?} are not installed");
    Ok(false)
}

/// Waits until this is so, for a minute.
pub fn until(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !so()? {
        anyhow::ensure!(start.elapsed() < PATIENCE, "waiting until {what}: it is not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A real line of `authorized_keys`; its private half was never kept.
pub const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9f0sP0mGk2v7x0w1l1yJ8o1f3Kk0w9c3J4mYq0b7uE fixture";

/// Debian 13 without a disk, as clouds without machines have it on offer.
pub fn offered_image(architecture: rehearsal::Architecture) -> rehearsal::ImageSource {
    rehearsal::ImageSource {
        name: "debian-13".into(),
        description: "Debian 13".into(),
        architecture,
        os_flavor: "debian".into(),
        os_version: None,
        disk: "".into(),
        kernel: None,
        initrd: None,
        cmdline: String::new(),
        labels: std::collections::BTreeMap::new(),
    }
}

/// Where what can be made again is kept between runs.
pub fn cache() -> Result<PathBuf> {
    let own = std::env::var_os("SOVEREIGN_CACHE").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/sovereign"));
    own.or_else(home).context("finding the cache: set HOME")
}

/// The `bin` directory of a Python environment with these PyPI packages, from the cache or made.
pub fn python_environment(packages: &[&str]) -> Result<PathBuf> {
    let venv = cache()?.join(format!("python-{}", packages.join("-")));
    let bin = venv.join("bin");
    if !venv.join("complete").exists() {
        let make = Cmd::new("python3").args(["-m", "venv", "--clear"]).path(&venv);
        Local.run(&make.timeout(INSTALL_LIMIT))?;
        let install = Cmd::new(bin.join("python"))
            .args(["-m", "pip", "install", "-q"])
            .args(packages.iter().copied())
            .timeout(INSTALL_LIMIT)
            .whole_env_from_parent();
        Local.run(&install)?;
        host::files::write(&venv.join("complete"), b"", 0o644)?;
    }
    Ok(bin)
}

/// Runs a Python script with these PyPI packages, from an environment kept in the cache, with `input` on stdin.
pub fn python(packages: &[&str], script: &Path, args: &[&str], input: &str) -> Result<String> {
    let python = python_environment(packages)?.join("python");
    let run = Cmd::new(python).path(script).args(args.iter().copied()).stdin(input);
    Ok(Local.run(&run)?.text())
}
