//! What is left to do on this server: one answer for whoever asks, be it a boot, `install`, `unlock`, `status` or the last
//! step.
//!
//! * [`Phase`], on the root disk, is what is pending. It is written before anything is begun that somebody may have to
//!   answer for, and [`Phase::Settled`] last.
//! * [`digest`] is all that this server shall be. The last step writes it on the volume.
//!
//! A server is done when nothing is pending and the digest on the volume is the one wanted. Neither alone says so: the root
//! disk may be newer than the volume, the volume or the wish newer than the root disk.

use crate::Cx;
use crate::cx::{receipt, sha256};
use crate::machine::Machine;
use crate::steps::disk::{self, luks, slots, vanished};
use crate::steps::stacks;
use crate::unattended;
use anyhow::{Context as _, Result};
use spec::{NodeSpec, Phase, paths};
use std::path::Path;

/// What is pending. A server of an earlier release, which left other marks, is run through its steps once more.
pub(crate) fn read(machine: &dyn Machine) -> Result<Phase> {
    match machine.read(Path::new(paths::PHASE))? {
        Some(json) => Phase::from_json(&json).with_context(|| format!("opening {}", paths::PHASE)),
        None if receipt(machine)?.is_none() => Ok(Phase::Fresh),
        None => Ok(Phase::Converging { why: "its steps were not all seen to hold".into() }),
    }
}

/// Why this server is not done, in a sentence's end; `None` when it is. Reads only, and looks at no more than that.
pub(crate) fn pending(cx: &Cx<'_>) -> Result<Option<String>> {
    let phase = read(cx.machine())?;
    if phase != Phase::Settled {
        return Ok(Some(phase.to_string()));
    }
    if vanished::vanished(cx.machine())? {
        return Ok(Some(vanished::SENTENCE.into()));
    }
    if !disk::mounted(cx)? {
        return Ok(Some("the volume is locked".into()));
    }
    let held = cx.text(paths::HELD)?.is_some_and(|held| held.trim_end() == digest(cx).unwrap_or_default());
    if !held {
        return Ok(Some("what it shall be is not what held last".into()));
    }
    Ok((!slots_hold(cx)?).then(|| "its keyslots were changed".into()))
}

/// Whether the keyslots are what they must be. Where they are not, as after a change by hand, firstboot makes them so, and
/// somebody has to take the escrow of their header. The volume is mounted.
pub(crate) fn slots_hold(cx: &Cx<'_>) -> Result<bool> {
    let device = disk::attached(cx)?;
    Ok(slots::in_place(cx, &luks::header(cx, &device)?)? && unattended::settled(cx, &device)?)
}

/// SHA-256 of all that this server shall be: the wish, who follows it, and each stack with its configuration and the
/// secrets that it reads. The volume is mounted.
pub(crate) fn digest(cx: &Cx<'_>) -> Result<String> {
    let mut all = vec![cx.machine().firstboot()?, String::from_utf8_lossy(&wish(&cx.spec).to_json()).into()];
    for stack in &cx.spec.stacks {
        all.push(stacks::labelled(cx, stack)?.yaml);
    }
    Ok(sha256(&serde_json::to_vec(&all)?))
}

/// What of a spec asks for work: the leave to format alone does not, once it was used, nor what is known of the volume,
/// nor what the audit accepts.
pub(crate) fn wish(spec: &NodeSpec) -> NodeSpec {
    let mut wish = spec.clone();
    (wish.disk.format, wish.disk.known) = (None, None);
    wish.exceptions.clear();
    wish
}

/// Writes what is pending from now on.
pub(crate) fn enter(machine: &dyn Machine, phase: &Phase) -> Result<()> {
    let path = Path::new(paths::PHASE);
    if machine.read(path)?.is_none_or(|json| json != phase.to_json()) {
        machine.write(path, &phase.to_json(), 0o644)?;
    }
    Ok(())
}

impl Cx<'_> {
    /// Writes what is pending from now on.
    pub(crate) fn enter(&self, phase: &Phase) -> Result<()> {
        enter(self.machine(), phase)
    }

    /// Says that a server that was done is not: something is to be brought to its end, and somebody may have to answer for it.
    pub(crate) fn unsettle(&self, why: impl Into<String>) -> Result<()> {
        match read(self.machine())? {
            Phase::Settled => self.enter(&Phase::Converging { why: why.into() }),
            _ => Ok(()),
        }
    }
}
