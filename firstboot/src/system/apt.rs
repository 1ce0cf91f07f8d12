//! Packages that firstboot installs itself, on a server where cloud-init did not.

use crate::run::Cx;
use anyhow::Result;
use host::{Cmd, Host as _};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);
/// How long others, such as upgrades by themselves, may be at work: dpkg's lock apt can wait for, that of its lists not.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_secs(5);
const LOCKED: &str = "Could not get lock";

/// Fetches the lists and installs a package with what it depends on.
pub(crate) fn install(cx: &Cx<'_>, package: &str) -> Result<()> {
    let start = cx.machine().ticks();
    while let Err(error) = cx.run(&apt(&["update"])) {
        let patient = cx.machine().ticks().saturating_sub(start) < PATIENCE;
        if !patient || !error.to_string().contains(LOCKED) {
            return Err(error.into());
        }
        cx.machine().sleep(PAUSE);
    }
    cx.run(&apt(&["install", "--yes", "--no-install-recommends", package]))?;
    Ok(())
}

fn apt(words: &[&str]) -> Cmd {
    let cmd = Cmd::new("apt-get").args(["-o", &format!("DPkg::Lock::Timeout={}", PATIENCE.as_secs())]);
    cmd.args(words.iter().copied()).env("DEBIAN_FRONTEND", "noninteractive").timeout(LIMIT)
}

/// The mirror that this server has a release's packages from, by the release's name.
pub(crate) fn mirror(cx: &Cx<'_>, codename: &str) -> Result<Option<String>> {
    let targets =
        Cmd::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    let found = cx.run(&targets.arg(format!("Codename: {codename}")))?.text();
    Ok(found.lines().map(str::trim).find(|uri| !uri.is_empty()).map(str::to_owned))
}
