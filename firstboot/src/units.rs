//! The systemd units and drop-ins, written whole from the files in `systemd/`.

use crate::Cx;
use anyhow::Result;
use host::Host as _;

/// The unit that mounts the volume.
pub(crate) const MOUNT: &str = "srv-sovereign.mount";
/// The target that holds the stacks together.
pub(crate) const STACKS: &str = "sovereign-stacks.target";

/// Each unit and its text.
pub(crate) const UNITS: [(&str, &str); 8] = [
    (
        "/etc/systemd/system/sovereign-firstboot.service",
        include_str!("../systemd/sovereign-firstboot.service"),
    ),
    ("/etc/systemd/system/srv-sovereign.mount", include_str!("../systemd/srv-sovereign.mount")),
    ("/etc/systemd/system/sovereign-stacks.target", include_str!("../systemd/sovereign-stacks.target")),
    ("/etc/systemd/system/sovereign-stack@.service", include_str!("../systemd/sovereign-stack@.service")),
    ("/etc/systemd/system/sovereign-vpn.service", include_str!("../systemd/sovereign-vpn.service")),
    ("/etc/systemd/system/docker.service.d/10-sovereign.conf", include_str!("../systemd/needs-volume.conf")),
    ("/etc/systemd/system/docker.socket.d/10-sovereign.conf", include_str!("../systemd/needs-volume.conf")),
    (
        "/etc/systemd/system/containerd.service.d/10-sovereign.conf",
        include_str!("../systemd/needs-volume.conf"),
    ),
];

/// The link that starts firstboot at boot.
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/sovereign-firstboot.service";

/// Whether every unit is as it must be.
pub(crate) fn current(cx: &Cx<'_>) -> Result<bool> {
    for (path, text) in UNITS {
        if !cx.holds(path, text.as_bytes())? {
            return Ok(false);
        }
    }
    Ok(cx.exists(WANTED)?)
}

/// Writes the units that differ and tells systemd.
pub(crate) fn write(cx: &Cx<'_>) -> Result<()> {
    let mut changed = false;
    for (path, text) in UNITS {
        changed |= cx.ensure_file(path, text.as_bytes(), 0o644)?;
    }
    if changed {
        cx.systemctl(["daemon-reload"])?;
    }
    if !cx.exists(WANTED)? {
        cx.run(&host::Cmd::new("systemctl").args(["enable", spec::paths::UNIT]))?;
    }
    Ok(())
}
