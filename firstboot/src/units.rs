//! The systemd units and drop-ins, written whole from the files in `systemd/`.

use crate::Cx;
use anyhow::Result;

/// The unit that mounts the volume.
pub(crate) const MOUNT: &str = "srv-sovereign.mount";
/// The target that holds the stacks together.
pub(crate) const STACKS: &str = "sovereign-stacks.target";

/// Each unit and its text.
pub(crate) const UNITS: [(&str, &str); 10] = [
    (
        "/etc/systemd/system/sovereign-firstboot.service",
        include_str!("../systemd/sovereign-firstboot.service"),
    ),
    ("/etc/systemd/system/sovereign-put-back.service", include_str!("../systemd/sovereign-put-back.service")),
    ("/etc/systemd/system/srv-sovereign.mount", include_str!("../systemd/srv-sovereign.mount")),
    ("/etc/systemd/system/sovereign-stacks.target", include_str!("../systemd/sovereign-stacks.target")),
    ("/etc/systemd/system/sovereign-stack@.service", include_str!("../systemd/sovereign-stack@.service")),
    ("/etc/systemd/system/sovereign-vpn.service", include_str!("../systemd/sovereign-vpn.service")),
    ("/etc/systemd/system/docker.service.d/10-sovereign.conf", include_str!("../systemd/needs-volume.conf")),
    (
        "/etc/systemd/system/docker.service.d/30-sovereign-firewall.conf",
        include_str!("../systemd/docker-user-first.conf"),
    ),
    ("/etc/systemd/system/docker.socket.d/10-sovereign.conf", include_str!("../systemd/needs-volume.conf")),
    (
        "/etc/systemd/system/containerd.service.d/10-sovereign.conf",
        include_str!("../systemd/needs-volume.conf"),
    ),
];

/// What is started at boot.
const WANTED: [&str; 2] = [spec::paths::UNIT, "sovereign-put-back.service"];

/// Whether every unit is as it must be.
pub(crate) fn current(cx: &Cx<'_>) -> Result<bool> {
    for (path, text) in UNITS {
        if !cx.holds(path, text.as_bytes())? {
            return Ok(false);
        }
    }
    for unit in WANTED {
        if !cx.exists(link(unit))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The link that starts a unit at boot.
fn link(unit: &str) -> String {
    format!("/etc/systemd/system/multi-user.target.wants/{unit}")
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
    for unit in WANTED {
        if !cx.exists(link(unit))? {
            cx.at_boot("enable", [unit])?;
        }
    }
    Ok(())
}
