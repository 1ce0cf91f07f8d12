//! A change of the volume's keys comes to its end, the way the volume is opened after a restart is what the spec says, the
//! bootstrap key is revoked, its file overwritten, and the done marker written last.

use super::disk::{Volume, luks, slots};
use super::escrow::go;
use super::secrets::BOOTSTRAP_KEY;
use super::verify::Verified;
use crate::clock::rfc3339;
use crate::step::Step;
use crate::{Cx, keys, unattended};
use ::escrow::Header;
use anyhow::Result;
use host::Host as _;
use spec::{EscrowManifest, Slot, StepName, paths};
use std::path::Path;

/// Nothing is left to do.
#[derive(Debug)]
pub struct Finished;

/// See the module.
pub struct Finish<'a> {
    /// Whose temporary slot dies.
    pub volume: &'a Volume,
    /// Everything was looked at.
    pub verified: Verified,
}

impl Step for Finish<'_> {
    const NAME: StepName = StepName::Finish;
    type Output = Finished;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Finished>> {
        let device = &self.volume.device;
        let holds = !cx.exists(BOOTSTRAP_KEY)?
            && cx.exists(paths::DONE)?
            && cx.receipt().done.is_some()
            && keys::settled(cx, device)?
            && unattended::settled(cx, device)?;
        Ok(holds.then_some(Finished))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        let device = &self.volume.device;
        if cx.exists(paths::DONE)? {
            // Somebody may have to take an escrow of what follows.
            cx.reopen()?;
        }
        if !keys::settled(cx, device)? {
            keys::settle(cx, device)?;
        }
        if !unattended::settled(cx, device)? {
            unattended::settle(cx, device)?;
        }
        // A slot that was found empty and filled again is in no header on file.
        go(cx, device, &[])?;
        if luks::header(cx, device)?.has(Slot::Bootstrap) {
            slots::remove(cx, device, Slot::Bootstrap, &slots::authority(cx)?)?;
        }
        complete(cx)
    }
}

/// Whether an earlier run had come as far as revoking the bootstrap key when the power was cut: then everything held,
/// and what is left needs no open volume. The header tells, and that it is escrowed, not the key's file: a volume that was
/// taken up may have a slot whose key lay on the root disk before this one.
pub(crate) fn was_cut_off(cx: &Cx<'_>) -> Result<bool> {
    let receipt = cx.receipt();
    let Some(volume) = receipt.volume.as_ref().filter(|v| v.formatted) else { return Ok(false) };
    if receipt.step(StepName::Verify).is_none() || cx.exists(paths::DONE)? || keys::changing(cx)? {
        return Ok(false);
    }
    if cx.exists(luks::mapping())? {
        return Ok(false);
    }
    let Ok(device) = super::disk::attached(cx) else { return Ok(false) };
    let header = luks::header(cx, &device)?;
    let over = header.uuid == volume.luks_uuid && !header.slots.is_empty() && !header.has(Slot::Bootstrap);
    Ok(over && is_escrowed(cx, &header)? && unattended::settled(cx, &device)?)
}

/// Whether the bundle that was acknowledged last holds these very slots, by what lies on the root disk.
fn is_escrowed(cx: &Cx<'_>, header: &Header) -> Result<bool> {
    let Some(json) = cx.read(Path::new(paths::ESCROW_MANIFEST))? else { return Ok(false) };
    let Ok(manifest) = EscrowManifest::from_json(&json) else { return Ok(false) };
    let receipt = cx.receipt();
    let acknowledged = receipt.escrow.as_ref().filter(|escrow| escrow.acknowledged);
    Ok(acknowledged.is_some_and(|escrow| escrow.sha256 == manifest.sha256)
        && manifest.key_slots == header.slots)
}

/// What follows once the bootstrap key opens nothing.
pub(crate) fn complete(cx: &Cx<'_>) -> Result<()> {
    cx.machine().shred(Path::new(BOOTSTRAP_KEY))?;
    let now = rfc3339(cx.machine().now());
    cx.record(|receipt| receipt.done = Some(now.clone()))?;
    cx.write(Path::new(paths::DONE), format!("{now}\n").as_bytes(), 0o644)?;
    Ok(())
}
