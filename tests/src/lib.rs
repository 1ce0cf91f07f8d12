//! What the tiers share: a [`Rig`] is an operator's machine of its own, with projects, state and a rehearsal cloud.

mod hurried;
pub mod live;
mod peer;
mod rig;
pub mod tang;
pub mod wire;

pub use hurried::Hurried;
pub use peer::{Peer, Talk};
pub use rig::{Ended, Rig, sha256_file};

use anyhow::{Context as _, Result};
use host::{Cmd, Host as _, Local};
use libtest_mimic::{Failed, Trial};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// How long installing PyPI packages may take.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);

/// A trial that fails with the whole chain of its error.
pub fn trial(name: &str, run: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || run().map_err(|error| Failed::from(format!("{error:#}"))))
}

/// The same of a trial that takes up to so many minutes where a machine is emulated on a slow core: where those are no
/// longer there before `SOVEREIGN_TESTS_UNTIL` (seconds since 1970), it is not begun, and says loudly that it was skipped.
pub fn timed(name: &str, minutes: u64, run: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    let said = name.to_owned();
    trial(name, move || {
        if !claim(&said)? {
            eprintln!("{said}: the other lane has it");
            return Ok(());
        }
        let until = std::env::var("SOVEREIGN_TESTS_UNTIL").ok().and_then(|text| text.parse::<u64>().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        if until.is_some_and(|until| now + minutes * 60 > until) {
            eprintln!(
                "SKIPPED {said}: it takes up to {minutes} minutes, which are not left; `cargo xtask test vm --only {said}`"
            );
            return Ok(());
        }
        let start = std::time::Instant::now();
        let outcome = run();
        println!("{said}: {:.1} minutes", start.elapsed().as_secs_f64() / 60.0);
        outcome
    })
}

static CLAIMS: OnceLock<PathBuf> = OnceLock::new();

/// From now on each [`timed`] trial is run by the first process that comes to it, of all that share this directory.
pub fn share_trials(claims: &Path) -> Result<()> {
    CLAIMS.set(claims.to_owned()).map_err(|_| anyhow::anyhow!("the trials are shared already"))
}

fn claim(name: &str) -> Result<bool> {
    let Some(claims) = CLAIMS.get() else { return Ok(true) };
    let path = claims.join(name);
    match std::fs::File::create_new(&path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| format!("claiming {}", path.display())),
    }
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
