//! Packages that firstboot installs itself, on a server where cloud-init did not.

use crate::Cx;
use anyhow::Result;
use host::{Cmd, Host as _};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);
/// Upgrades by themselves may be at work.
const WAIT: &str = "DPkg::Lock::Timeout=120";

/// Fetches the lists and installs a package with what it depends on.
pub(crate) fn install(cx: &Cx<'_>, package: &str) -> Result<()> {
    for words in [&["update"][..], &["install", "--yes", "--no-install-recommends", package]] {
        let apt = Cmd::new("apt-get").args(["-o", WAIT]).args(words.iter().copied());
        cx.run(&apt.env("DEBIAN_FRONTEND", "noninteractive").timeout(LIMIT))?;
    }
    Ok(())
}

/// The mirror that this server has a release's packages from, by the release's name.
pub(super) fn mirror(cx: &Cx<'_>, codename: &str) -> Result<Option<String>> {
    let targets =
        Cmd::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    let found = cx.run(&targets.arg(format!("Codename: {codename}")))?.text();
    Ok(found.lines().map(str::trim).find(|uri| !uri.is_empty()).map(str::to_owned))
}
