//! The volume: the device, what lies on it, and where it is mounted. Which keys open it is `access`' matter.
//!
//! 1. `device` is what the kernel says of it; [`look`](look()) gathers all that can be known without writing to it.
//! 2. [`decide`](decide()) is pure: from these facts and what is on record it says format, open, or a [`Refusal`].
//! 3. `luks` formats and opens; `vanished` tells a volume that was taken away while it was open.

mod decide;
pub(crate) mod device;
mod look;
pub(crate) mod luks;
mod refusal;
pub(crate) mod vanished;

pub use decide::{Plan, decide};
pub use look::{Depth, Facts, Head, look};
pub use refusal::Refusal;

use crate::run::Cx;
use crate::system::{systemd, units};
use anyhow::{Context as _, Result};
use spec::{VolumeRecord, paths};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a volume may take to appear after it was attached.
const ATTACH: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(500);

/// The volume is locked and its key is not on this server.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error(
    "opening the volume: it is locked and its key is not here; run `cargo xtask unlock --project NAME --identity FILE`"
)]
pub struct Locked;

/// The volume's device, once it is attached.
pub(crate) fn attached(cx: &Cx<'_>) -> Result<PathBuf> {
    let link = PathBuf::from(format!("/dev/disk/by-id/scsi-0HC_Volume_{}", cx.spec.disk.volume_id));
    let start = cx.machine().ticks();
    loop {
        if let Some(device) = cx.machine().resolve(&link)? {
            return Ok(device);
        }
        if cx.machine().ticks().saturating_sub(start) > ATTACH {
            return Err(Refusal::NotAttached { link }.into());
        }
        cx.machine().sleep(POLL);
    }
}

/// Whether this server's volume holds data and is not open.
pub(crate) fn is_locked(cx: &Cx<'_>) -> Result<bool> {
    let formatted = cx.receipt().volume.as_ref().is_some_and(|volume| volume.formatted);
    Ok(formatted && !cx.machine().exists(luks::mapping())?)
}

/// What is on record of the volume: by this server's receipt, or, where its root disk is new and the receipt is gone, by
/// the operator's side.
pub(crate) fn on_record(cx: &Cx<'_>) -> Option<VolumeRecord> {
    let recorded = cx.receipt().volume.clone();
    let known = cx.spec.disk.known.as_ref().map(|known| VolumeRecord {
        id: known.volume_id,
        luks_uuid: known.luks_uuid.clone(),
        formatted: true,
    });
    recorded.clone().filter(|volume| volume.formatted).or(known).or(recorded)
}

/// Mounts it through its unit.
pub(crate) fn mount(cx: &Cx<'_>) -> Result<()> {
    units::write(cx)?;
    if !mounted(cx)? {
        systemd::systemctl(cx, ["start", units::MOUNT]).context("mounting the volume")?;
    }
    Ok(())
}

/// Whether the opened volume, and nothing else, is mounted where the data belongs.
pub(crate) fn mounted(cx: &Cx<'_>) -> Result<bool> {
    let table = cx.machine().text("/proc/self/mountinfo")?.unwrap_or_default();
    Ok(mount_source(&table, paths::DATA).is_some_and(|source| Path::new(source) == luks::mapping()))
}

/// What is mounted on a mount point: the last line wins, as in the kernel.
fn mount_source<'t>(table: &'t str, point: &str) -> Option<&'t str> {
    let line = table.lines().rfind(|line| line.split(' ').nth(4) == Some(point))?;
    line.split_once(" - ")?.1.split(' ').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_on_a_point_counts() {
        let table = "21 1 8:1 / / rw - ext4 /dev/vda rw\n\
                     30 21 254:0 / /srv/sovereign rw shared:1 - ext4 /dev/vdb rw\n\
                     31 21 254:0 / /srv/sovereign rw,noatime shared:1 - ext4 /dev/mapper/sovereign rw\n";
        assert_eq!(mount_source(table, "/srv/sovereign"), Some("/dev/mapper/sovereign"));
        assert_eq!(mount_source(table, "/srv"), None);
    }
}
