//! `firstboot unlock`: opens the volume with the operator's key.

use super::store::BOOTSTRAP_KEY;
use crate::machine::Machine;
use crate::run::Cx;
use crate::volume::{self, Refusal, luks};
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
pub(crate) fn stop_waiting_run(machine: &dyn Machine, running: bool) -> Result<()> {
    if running
        && volume::is_locked(&Cx::read_only(machine)?)?
        && machine.stat(Path::new(BOOTSTRAP_KEY))?.is_none()
    {
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
    let device = volume::attached(cx)?;
    let facts = volume::look(cx, &device, volume::Depth::Header)?;
    let formatted = spec::VolumeRecord { formatted: true, ..record };
    let plan = volume::decide(&facts, &cx.spec.disk, Some(&formatted), true)?;
    if !plan.open {
        return Err(Refusal::OursButShut { device, uuid: plan.uuid }.into());
    }
    Ok(if luks::open_with(cx, &device, key)? { Opened::Now } else { Opened::WrongKey })
}
