//! A change of the volume's keys comes to its end, the way the volume is opened after a restart is what the spec says, what
//! holds is written on the volume, the bootstrap key is revoked, its file overwritten, and nothing is pending any more.

use super::disk::Volume;
use super::pending;
use super::verify::Verified;
use crate::access::reseal::reseal;
use crate::access::store::BOOTSTRAP_KEY;
use crate::access::{keys, slots, unattended};
use crate::machine::clock::rfc3339;
use crate::run::{Cx, Step, phase};
use crate::volume::{self, luks};
use anyhow::Result;
use host::Host as _;
use spec::{Phase, Slot, StepName, paths};
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
        let holds = pending::reason(cx)?.is_none() && !cx.machine().exists(BOOTSTRAP_KEY)?;
        Ok(holds.then_some(Finished))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        let device = &self.volume.device;
        // Somebody may have to take an escrow of what follows.
        phase::unsettle(cx.machine(), "what it shall be, or its keyslots, changed")?;
        keys::finish_changes(cx, device)?;
        if !unattended::holds(cx, device)? {
            unattended::ensure(cx, device)?;
        }
        // Whatever changed a slot, its header is on file before anything is done.
        reseal(cx, device, &[])?;
        cx.write(Path::new(paths::HELD), format!("{}\n", pending::digest(cx)?).as_bytes(), 0o600)?;
        phase::enter(cx.machine(), &Phase::Ending)?;
        if luks::header(cx, device)?.has(Slot::Bootstrap) {
            slots::remove(cx, device, Slot::Bootstrap, &slots::authority(cx)?)?;
        }
        complete(cx)
    }
}

/// Completes what a power cut interrupted at the very end: everything held, the bootstrap key opens nothing any more, and
/// what is left needs no open volume.
pub(crate) fn complete_while_locked(cx: &Cx<'_>) -> Result<()> {
    if phase::read(cx.machine())? != Phase::Ending || !volume::is_locked(cx)? {
        return Ok(());
    }
    let over = !luks::header(cx, &volume::attached(cx)?)?.has(Slot::Bootstrap);
    if over { complete(cx) } else { Ok(()) }
}

/// What follows once the bootstrap key opens nothing.
fn complete(cx: &Cx<'_>) -> Result<()> {
    cx.machine().shred(Path::new(BOOTSTRAP_KEY))?;
    let now = rfc3339(cx.machine().now());
    let stacks = cx.spec.stacks.iter().map(|stack| stack.name.clone()).collect();
    cx.record(|receipt| (receipt.done, receipt.stacks) = (Some(now), stacks))?;
    phase::enter(cx.machine(), &Phase::Settled)
}
