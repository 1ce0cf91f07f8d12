//! LUKS2 on the volume, opened and mounted, the secrets stored on it.
//!
//! Where the root disk is new and the volume is not, the volume is taken up: it is only ever opened, with the key that
//! `unlock` brings, and what is stored on it counts.
//!
//! 1. [`look`] and [`decide`] say from facts whether it may be formatted or opened.
//! 2. A format's UUID is recorded beforehand, so that a power cut in between is recognised.
//! 3. `grow` makes LUKS and the file system use all of a volume that was made bigger.
//! 4. `store` puts the secrets on the volume, each exactly once.

mod grow;
pub(crate) mod store;

use super::secrets::Keys;
use crate::access::store::BOOTSTRAP_KEY;
use crate::access::unattended;
use crate::machine::digest;
use crate::run::{Cx, Step};
use crate::system::units;
use crate::volume::{
    Depth, Facts, Locked, Plan, Refusal, attached, decide, device, look, luks, mount, mounted, on_record,
};
use anyhow::Result;
use host::{Cmd, Host as _};
use spec::{Slot, StepName, VolumeRecord};
use std::path::{Path, PathBuf};

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
        if device::serial(cx, &device)? != cx.spec.disk.volume_id.to_string() {
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
        let by_bootstrap =
            cx.machine().exists(key)? && luks::open_with_file(cx, device, Slot::Bootstrap, key)?;
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
    let key = Path::new(BOOTSTRAP_KEY);
    luks::format(cx, device, &uuid, Slot::Bootstrap, key)?;
    if !luks::open_with_file(cx, device, Slot::Bootstrap, key)? {
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

fn random_uuid(cx: &Cx<'_>) -> Result<String> {
    let mut bytes = [0; 16];
    cx.machine().random(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = digest::hex(&bytes);
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}
