//! LUKS2 on the volume, opened and mounted, the secrets stored on it.
//!
//! Where the root disk is new and the volume is not, the volume is taken up: it is only ever opened, with the key that
//! `unlock` brings, and what is stored on it counts.
//!
//! 1. [`look`] gathers what can be known about the device without writing to it.
//! 2. [`decide`] is pure: from these facts and what is on record it says format, open, or a [`Refusal`].
//! 3. `luks` formats (with a UUID recorded beforehand, so that a power cut in between is recognised) and opens.
//! 4. `grow` makes them use all of a volume that was made bigger.
//! 5. `store` puts the secrets on the volume, each exactly once; `slots` gives its keys their keyslots.

mod decide;
mod grow;
mod look;
pub(crate) mod luks;
mod refusal;
pub(crate) mod slots;
pub(crate) mod store;
pub(crate) mod vanished;

pub use decide::{Plan, decide};
pub(crate) use look::serial as look_serial;
pub use look::{Depth, Facts, Head, look};
pub use refusal::Refusal;

use super::secrets::{BOOTSTRAP_KEY, Keys};
use crate::step::Step;
use crate::{Cx, Locked, unattended, units};
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _};
use spec::{Slot, StepName, VolumeRecord, paths};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a volume may take to appear after it was attached.
const ATTACH: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(500);

/// The volume, open and mounted.
#[derive(Debug)]
pub struct Volume {
    /// The device below LUKS.
    pub(crate) device: PathBuf,
}

/// See the module.
pub struct Disk {
    /// The keys are drawn.
    pub keys: Keys,
}

impl Step for Disk {
    const NAME: StepName = StepName::Disk;
    type Output = Volume;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Volume>> {
        let Some(record) = cx.receipt().volume.clone().filter(|v| v.formatted) else { return Ok(None) };
        let Some(device) = luks::opened_from(cx, &record.luks_uuid)? else { return Ok(None) };
        if look::serial(cx, &device)? != cx.spec.disk.volume_id.to_string() {
            return Ok(None);
        }
        let holds = mounted(cx)?
            && units::current(cx)?
            && store::complete(cx, &device)?
            && !store::still_waiting(cx)?
            && grow::grown(cx, &device)?;
        Ok(holds.then_some(Volume { device }))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        let device = attached(cx)?;
        let uuid = open(cx, &device)?;
        mount(cx)?;
        store::fill(cx, &device)?;
        grow::grow(cx, &device)?;
        let record = VolumeRecord { id: cx.spec.disk.volume_id, luks_uuid: uuid, formatted: true };
        cx.record(|receipt| receipt.volume = Some(record))?;
        store::forget_waiting(cx)
    }
}

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
pub(crate) fn shut(cx: &Cx<'_>) -> Result<bool> {
    let formatted = cx.receipt().volume.as_ref().is_some_and(|volume| volume.formatted);
    Ok(formatted && !cx.exists(luks::mapping())?)
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

/// Opens the volume, formatting it first where that is allowed; gives the LUKS header's UUID.
fn open(cx: &Cx<'_>, device: &Path) -> Result<String> {
    let record = on_record(cx);
    if let Some(record) = &record
        && luks::opened_from(cx, &record.luks_uuid)?.is_some_and(|below| below == device)
    {
        if !record.formatted {
            make_file_system(cx)?;
        }
        return Ok(record.luks_uuid.clone());
    }
    let known = record.as_ref().is_some_and(|r| r.formatted);
    let facts = look(cx, device, if known { Depth::Header } else { Depth::Whole })?;
    let plan = decide(&facts, &cx.spec.disk, record.as_ref(), escrowed(cx))?;
    let key = Path::new(BOOTSTRAP_KEY);
    if known {
        if cx.receipt().volume != record {
            cx.say(format!("taking up volume {} with its data", cx.spec.disk.volume_id))?;
            cx.record(|receipt| receipt.volume = record)?;
        }
        let by_bootstrap = cx.exists(key)? && luks::open_with_file(cx, device, Slot::Bootstrap, key)?;
        if !by_bootstrap && !unattended::open(cx, device)? {
            return Err(Locked.into());
        }
        return Ok(plan.uuid);
    }
    let opened = plan.open && luks::open_with_file(cx, device, Slot::Bootstrap, key)?;
    let uuid = if opened { plan.uuid } else { format(cx, device, &facts, plan)? };
    make_file_system(cx)?;
    Ok(uuid)
}

/// Formats and opens. What allowed it is looked at once more right before the write.
fn format(cx: &Cx<'_>, device: &Path, facts: &Facts, plan: Plan) -> Result<String> {
    if !plan.format {
        return Err(Refusal::OursButShut { device: device.into(), uuid: plan.uuid }.into());
    }
    let uuid = if plan.uuid.is_empty() { random_uuid(cx)? } else { plan.uuid };
    let record = VolumeRecord { id: cx.spec.disk.volume_id, luks_uuid: uuid.clone(), formatted: false };
    cx.record(|receipt| receipt.volume = Some(record.clone()))?;
    cx.say(format!("formatting volume {} as LUKS2", record.id))?;
    let again = look(cx, device, Depth::Whole)?;
    if again != *facts || !decide(&again, &cx.spec.disk, Some(&record), escrowed(cx))?.format {
        return Err(Refusal::Changed { device: device.into() }.into());
    }
    luks::format(cx, device, &uuid)?;
    if !luks::open_with_file(cx, device, Slot::Bootstrap, Path::new(BOOTSTRAP_KEY))? {
        return Err(Refusal::OursButShut { device: device.into(), uuid }.into());
    }
    Ok(uuid)
}

fn escrowed(cx: &Cx<'_>) -> bool {
    cx.receipt().escrow.as_ref().is_some_and(|e| e.acknowledged)
}

/// Makes the file system on a mapping that never held one. mkfs writes the superblock last, so one that is
/// recognised is whole.
fn make_file_system(cx: &Cx<'_>) -> Result<()> {
    let mapping = luks::mapping();
    let probe = cx.probe(&Cmd::new("blkid").args(["-p", "-s", "TYPE", "-o", "value"]).path(&mapping))?;
    match (probe.code, probe.text().as_str()) {
        (Some(0), "ext4") => Ok(()),
        (Some(2), _) => {
            cx.say("making the file system")?;
            let options =
                ["-q", "-m", "1", "-L", "sovereign", "-E", "lazy_itable_init=1,lazy_journal_init=1"];
            cx.run(&Cmd::new("mkfs.ext4").args(options).path(&mapping))?;
            Ok(())
        }
        (_, found) => Err(Refusal::ForeignContent { found: found.into() }.into()),
    }
}

/// Mounts it through its unit.
pub(crate) fn mount(cx: &Cx<'_>) -> Result<()> {
    units::write(cx)?;
    if !mounted(cx)? {
        cx.systemctl(["start", units::MOUNT]).context("mounting the volume")?;
    }
    Ok(())
}

/// Whether the opened volume, and nothing else, is mounted where the data belongs.
pub(crate) fn mounted(cx: &Cx<'_>) -> Result<bool> {
    let table = cx.text("/proc/self/mountinfo")?.unwrap_or_default();
    Ok(mount_source(&table, paths::DATA).is_some_and(|source| Path::new(source) == luks::mapping()))
}

/// What is mounted on a mount point: the last line wins, as in the kernel.
fn mount_source<'t>(table: &'t str, point: &str) -> Option<&'t str> {
    let line = table.lines().rfind(|line| line.split(' ').nth(4) == Some(point))?;
    line.split_once(" - ")?.1.split(' ').nth(1)
}

fn random_uuid(cx: &Cx<'_>) -> Result<String> {
    let mut bytes = [0; 16];
    cx.machine().random(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = crate::cx::hex(&bytes);
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
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
