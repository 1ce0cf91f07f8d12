//! What is left to do on this server: one answer for whoever asks, be it a boot, `install`, `unlock`, `status` or the last
//! step.
//!
//! A server is done when its [`Phase`] is [`Phase::Settled`] and the [`digest`] on the volume, of all that this server shall
//! be, is the one wanted; the last step writes both. Neither alone says so: the root disk may be newer than the volume, the
//! volume or the wish newer than the root disk.

use super::stacks;
use crate::access::{slots, unattended};
use crate::machine::digest::sha256;
use crate::run::{Cx, phase};
use crate::volume::{self, luks, vanished};
use anyhow::Result;
use spec::{NodeSpec, Phase, paths};

/// Why this server is not done, in a sentence's end; `None` when it is. Reads only, and looks at no more than that.
pub(crate) fn reason(cx: &Cx<'_>) -> Result<Option<String>> {
    let phase = phase::read(cx.machine())?;
    if phase != Phase::Settled {
        return Ok(Some(phase.to_string()));
    }
    if vanished::vanished(cx.machine())? {
        return Ok(Some(vanished::SENTENCE.into()));
    }
    if !volume::mounted(cx)? {
        return Ok(Some("the volume is locked".into()));
    }
    let held =
        cx.machine().text(paths::HELD)?.is_some_and(|held| held.trim_end() == digest(cx).unwrap_or_default());
    if !held {
        return Ok(Some("what it shall be is not what held last".into()));
    }
    Ok((!slots_hold(cx)?).then(|| "its keyslots were changed".into()))
}

/// Why what follows cannot be done with nobody there, if it cannot. Then it is no longer done, and the operator's command
/// goes on.
pub(crate) fn after_unlock(cx: &Cx<'_>) -> Result<Option<String>> {
    // What held last is written on the volume. Where that cannot be mounted, the run is the one to say so.
    if volume::mount(cx).is_err() {
        return Ok(None);
    }
    let why = reason(cx)?;
    if let Some(why) = &why {
        phase::unsettle(cx.machine(), why)?;
    }
    Ok(why)
}

/// Whether the keyslots are what they must be. Where they are not, as after a change by hand, firstboot makes them so, and
/// somebody has to take the escrow of their header. The volume is mounted.
pub(crate) fn slots_hold(cx: &Cx<'_>) -> Result<bool> {
    let device = volume::attached(cx)?;
    Ok(slots::all_filled(cx, &luks::header(cx, &device)?)? && unattended::holds(cx, &device)?)
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
