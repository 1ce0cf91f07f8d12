//! `firstboot unlock`: opens the volume with the operator's key.

use crate::machine::Machine;
use crate::steps::disk::{self, Refusal, luks, slots};
use crate::{Cx, keys, unattended};
use anyhow::{Result, bail};
use host::{Cmd, Secret};
use spec::paths;
use std::path::Path;

/// What became of the key.
pub(crate) enum Opened {
    /// The volume is open now.
    Now,
    /// It was open already.
    Before,
    /// The key is not this volume's.
    WrongKey,
}

/// Stops a firstboot that still waits for others to help it open the volume: the operator has come.
pub(crate) fn end_waiting(machine: &dyn Machine, running: bool) -> Result<()> {
    let there = |path: &Path| Ok::<_, host::Error>(machine.stat(path)?.is_some());
    if running && there(Path::new(paths::DONE))? && !there(&luks::mapping())? {
        machine.run(&Cmd::new("systemctl").args(["stop", paths::UNIT]))?;
    }
    Ok(())
}

/// Opens this server's volume. Only the volume in the receipt is tried.
pub(crate) fn open(cx: &Cx<'_>, key: &Secret) -> Result<Opened> {
    let Some(record) = cx.receipt().volume.clone() else {
        bail!(
            "opening the volume: first boot has not come as far as making one; see `cargo xtask status --project NAME`"
        );
    };
    if luks::opened_from(cx, &record.luks_uuid)?.is_some() {
        return Ok(Opened::Before);
    }
    let device = disk::attached(cx)?;
    let facts = disk::look(cx, &device, disk::Depth::Header)?;
    let formatted = spec::VolumeRecord { formatted: true, ..record };
    let plan = disk::decide(&facts, &cx.spec.disk, Some(&formatted), true)?;
    if !plan.open {
        return Err(Refusal::OursButShut { device, uuid: plan.uuid }.into());
    }
    Ok(if luks::open_with(cx, &device, key)? { Opened::Now } else { Opened::WrongKey })
}

/// Whether all that follows can be done with nobody there: the server is done, by this very firstboot and for this very
/// spec, and no change by hand of its keyslots waits to be escrowed. Otherwise it is no longer done, and the operator's
/// command goes on.
pub(crate) fn goes_on_alone(cx: &Cx<'_>) -> Result<bool> {
    if !cx.exists(paths::DONE)? {
        return Ok(false);
    }
    if cx.receipt().done.is_none() {
        cx.reopen()?;
        return Ok(false);
    }
    // Which keys were revoked is written on the volume. Where that cannot be mounted, the run is the one to say so.
    if disk::mount(cx).is_err() {
        return Ok(true);
    }
    let alone = as_escrowed(cx)?;
    if !alone {
        cx.reopen()?;
    }
    Ok(alone)
}

/// Whether the keyslots are what they must be. Where they are not, as after a change by hand, firstboot makes them so, and
/// somebody has to take the escrow of their header. The volume is mounted.
pub(crate) fn as_escrowed(cx: &Cx<'_>) -> Result<bool> {
    let device = disk::attached(cx)?;
    let in_place = slots::in_place(cx, &luks::header(cx, &device)?)?;
    Ok(in_place && keys::settled(cx, &device)? && unattended::settled(cx, &device)?)
}
