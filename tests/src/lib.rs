//! What the tiers share: a [`Rig`] is an operator's machine of its own, with projects, state and a rehearsal cloud.

pub mod live;
mod rig;

pub use rig::{Ended, Rig, sha256_file};

use anyhow::{Context as _, Result};
use host::{Cmd, Host as _, Local};
use libtest_mimic::{Failed, Trial};
use std::path::{Path, PathBuf};

/// A trial that fails with the whole chain of its error.
pub fn trial(name: &str, run: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || run().map_err(|error| Failed::from(format!("{error:#}"))))
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

/// Runs a Python script with these PyPI packages, from an environment kept in the cache, with `input` on stdin.
pub fn python(packages: &[&str], script: &Path, args: &[&str], input: &str) -> Result<String> {
    let cache = std::env::var_os("SOVEREIGN_CACHE").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/sovereign"));
    let cache = cache.or_else(home).context("finding the cache: set HOME")?;
    let venv = cache.join(format!("python-{}", packages.join("-")));
    let python = venv.join("bin/python");
    if !venv.join("complete").exists() {
        Local.run(&Cmd::new("python3").args(["-m", "venv", "--clear"]).path(&venv))?;
        let mut install = Cmd::new(python.to_string_lossy())
            .args(["-m", "pip", "install", "-q"])
            .args(packages.iter().copied());
        for (name, value) in std::env::vars() {
            install = install.env(name, value);
        }
        Local.run(&install)?;
        host::files::write(&venv.join("complete"), b"", 0o644)?;
    }
    let run = Cmd::new(python.to_string_lossy()).path(script).args(args.iter().copied()).stdin(input);
    Ok(Local.run(&run)?.text())
}
