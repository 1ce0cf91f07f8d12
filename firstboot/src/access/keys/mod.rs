//! The volume's keys are changed while the server runs.
//!
//! [`request`] writes down what is wanted and starts firstboot; the last step finds it and has [`finish_changes`] bring it to its
//! end. A power cut anywhere is followed by a run that goes on. At every moment the newest escrow on file opens the volume:
//!
//! 1. the new key gets the spare slot, and is tried;
//! 2. a bundle with the new key, and the header with both slots, is escrowed and acknowledged;
//! 3. the stored key is replaced in one act;
//! 4. the old slot is dropped, the new key gets it, and the spare slot is free again;
//! 5. a bundle with that header is escrowed and acknowledged.
//!
//! A key that is revoked leaves the escrow first (acknowledged), then the header, then that header is escrowed.

pub(crate) mod request;

use super::reseal::{apply_acknowledged, proposed, reseal, withdraw};
use super::store::{KEYS, NEXT, next, revoked, stored};
use super::{slots, unattended};
use crate::run::{Cx, phase};
use crate::volume::luks;
use anyhow::{Result, bail};
use host::Host as _;
use spec::{Phase, Slot};
use std::path::Path;

/// Whether a change was asked for and has not come to its end.
pub(crate) fn changing(cx: &Cx<'_>) -> Result<bool> {
    Ok(matches!(phase::read(cx.machine())?, Phase::KeysChanging { .. }))
}

/// Brings every change that was begun to its end, but for the last bundle, with the header as it is then: the last step has
/// that escrowed. What was begun, the volume says: after a rebuild nothing else remembers.
pub(crate) fn finish_changes(cx: &Cx<'_>, device: &Path) -> Result<()> {
    apply_acknowledged(cx)?;
    for slot in KEYS {
        let Some(name) = slot.secret() else { continue };
        if cx.machine().exists(next(name))? {
            cx.say(format!("changing the key of {slot}"))?;
            try_in_spare(cx, device, &next(name))?;
            reseal(cx, device, &[name.into()])?;
            assign_slots(cx, device)?;
        }
        let dropped = format!("-{name}");
        if cx.machine().exists(next(&dropped))? {
            cx.say(format!("revoking the key of {slot}"))?;
            if let Err(refused) = another_opens(cx, device, slot) {
                withdraw(cx, &dropped)?;
                return Err(refused);
            }
            reseal(cx, device, &[dropped])?;
        }
    }
    assign_slots(cx, device)?;
    for name in proposed(cx)? {
        if let Some(other) = name.strip_prefix("-slot-").and_then(|number| number.parse().ok()) {
            revoke_other(cx, device, other)?;
        }
    }
    // Wishes that are fulfilled, and what a request or a step that was cut off left half-said.
    for left in cx.machine().list(Path::new(NEXT))? {
        cx.remove(&next(&left))?;
    }
    Ok(())
}

/// Gives a new key the spare slot. What an interrupted change left there is nobody's.
fn try_in_spare(cx: &Cx<'_>, device: &Path, key: &Path) -> Result<()> {
    slots::ensure(cx, device, Slot::Spare, key, &slots::authority(cx)?)
}

/// Makes each stored key open its own slot and no other: the spare slot is free again, a revoked key opens nothing.
fn assign_slots(cx: &Cx<'_>, device: &Path) -> Result<()> {
    let authority = slots::authority(cx)?;
    let moved = luks::header(cx, device)?.has(Slot::Spare);
    for slot in KEYS {
        let Some(name) = slot.secret() else { continue };
        if !cx.machine().exists(revoked(name))? {
            if moved {
                slots::ensure(cx, device, slot, &stored(name), &authority)?;
            }
        } else if luks::header(cx, device)?.has(slot) {
            slots::remove(cx, device, slot, &authority)?;
        }
    }
    if moved {
        slots::remove(cx, device, Slot::Spare, &authority)?;
    }
    Ok(())
}

/// Refuses to revoke the last key that the escrow holds.
fn another_opens(cx: &Cx<'_>, device: &Path, revoked: Slot) -> Result<()> {
    for slot in KEYS.into_iter().filter(|slot| *slot != revoked) {
        let Some(name) = slot.secret() else { continue };
        if cx.machine().exists(stored(name))? && slots::opens(cx, device, slot, &stored(name))? {
            return Ok(());
        }
    }
    bail!(
        "revoking {revoked}: it is the last slot that the escrow can open, so it stays; \
         change its key instead, with `cargo xtask keys rotate --project NAME --slot unlock`"
    )
}

fn revoke_other(cx: &Cx<'_>, device: &Path, number: u32) -> Result<()> {
    let slot = Slot::from_number(number);
    cx.say(format!("dropping {slot}"))?;
    unattended::remove_slot(cx, device, slot, &slots::authority(cx)?)
}
