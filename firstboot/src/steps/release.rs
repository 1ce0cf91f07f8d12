//! What this server runs.

use crate::run::Cx;
use anyhow::{Context as _, Result, ensure};
use stacks::release::Release;

const OS_RELEASE: &str = "/etc/os-release";
const APPARMOR: &str = "/sys/module/apparmor/parameters/enabled";

/// What this server runs, refused where nobody has said how it is hardened.
pub(super) fn release(cx: &Cx<'_>) -> Result<&'static Release> {
    let text = cx.machine().text(OS_RELEASE)?.unwrap_or_default();
    Release::of(&text).with_context(|| {
        let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or("nothing").to_owned();
        let known: Vec<String> = stacks::release::RELEASES.iter().map(Release::name).collect();
        format!(
            "looking which release this is: {OS_RELEASE} says {}, which is none of {}; choose one of these images in \
             project.toml",
            line("PRETTY_NAME="),
            known.join(", ")
        )
    })
}

/// Without AppArmor nothing below could hold containers; it cannot be had without a reboot.
pub(super) fn require_apparmor(cx: &Cx<'_>) -> Result<()> {
    let on = cx.machine().text(APPARMOR)?.is_some_and(|text| text.trim() == "Y");
    ensure!(
        on,
        "looking whether AppArmor is on: the kernel runs without it, so nothing would confine containers; take \
         `apparmor=0` or `security=` off the kernel's command line, reboot, then try again"
    );
    Ok(())
}
