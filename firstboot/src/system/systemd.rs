//! systemd, and what it is told.

use crate::run::Cx;
use host::{Cmd, Error, Host as _, Output};

/// `systemctl` with these words.
pub(crate) fn systemctl<const N: usize>(cx: &Cx<'_>, words: [&str; N]) -> Result<Output, Error> {
    cx.run(&Cmd::new("systemctl").args(words))
}

/// `enable`, `disable` or `mask`: what systemd does with these units at the next boot. It is not told now, which has it
/// read every unit of the server anew, seconds each time: whoever wants the units otherwise now starts or stops them, and
/// the last step tells it once (`units::reload_unread`).
pub(crate) fn at_boot<'u>(
    cx: &Cx<'_>,
    verb: &str,
    units: impl IntoIterator<Item = &'u str>,
) -> Result<(), Error> {
    let told_nobody = Cmd::new("systemctl").args([verb, "--quiet", "--no-reload"]).args(units);
    // For a unit whose package has a script in /etc/init.d too, `update-rc.d` would be run, which reloads systemd twice.
    cx.run(&told_nobody.env("SYSTEMCTL_SKIP_SYSV", "1")).map(drop)
}

/// Has systemd read its units anew.
pub(crate) fn reload(cx: &Cx<'_>) -> Result<(), Error> {
    systemctl(cx, ["daemon-reload"]).map(drop)
}
