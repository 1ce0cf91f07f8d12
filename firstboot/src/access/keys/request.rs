//! `firstboot keys`: what the operator asks of the volume's keys.

use super::another_opens;
use crate::access::reseal::{propose, proposed};
use crate::access::store::{KEYS, draw_one, key, next, revoked};
use crate::machine::Machine;
use crate::run::{Cx, phase};
use crate::volume::{self, luks};
use anyhow::{Context as _, Result, bail, ensure};
use host::Secret;
use spec::{Keys, Phase, Slot};
use std::path::PathBuf;

/// What is wanted of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A new key in it.
    Rotate(Slot),
    /// No key in it.
    Revoke(Slot),
}

impl std::fmt::Display for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rotate(slot) => write!(f, "{slot} gets a new key"),
            Self::Revoke(slot) => write!(f, "{slot} loses its key"),
        }
    }
}

impl Wish {
    /// Reads `rotate|revoke SLOT`; a slot is named as in the table, or by its number.
    pub(crate) fn parse(verb: &str, slot: &str) -> Result<Self> {
        let named = Slot::NAMED.into_iter().find(|known| known.name() == slot);
        let numbered = || slot.parse().ok().filter(|n| *n < Slot::COUNT).map(Slot::from_number);
        let found = named.or_else(numbered);
        let found = found.with_context(|| format!("looking for slot {slot:?}: {}", allowed()))?;
        match (verb, found) {
            ("rotate", slot) if KEYS.contains(&slot) => Ok(Self::Rotate(slot)),
            ("revoke", slot) if KEYS.contains(&slot) || matches!(slot, Slot::Other(_)) => {
                Ok(Self::Revoke(slot))
            }
            (verb, slot) => bail!("asked to {verb} {slot}: that is not for a person to do; {}", allowed()),
        }
    }
}

fn allowed() -> String {
    format!(
        "`unlock` and `recovery` can be rotated and revoked, slots {} to {} revoked by their number",
        Slot::FIRST_OTHER,
        Slot::COUNT - 1
    )
}

/// The keyslots in use, from the header alone: the volume may be locked.
pub(crate) fn list(cx: &Cx<'_>) -> Result<Keys> {
    ensure!(
        volume::on_record(cx).is_some_and(|volume| volume.formatted),
        "listing the keys: first boot has not come as far as making the volume; see `cargo xtask status --project NAME`"
    );
    let header = luks::header(cx, &volume::attached(cx)?)?;
    Ok(Keys::new(&header.uuid, &header.slots, super::changing(cx)?))
}

/// Writes down what is wanted. The unit is to be started then; gives the number of the first event to follow.
pub(crate) fn request(machine: &dyn Machine, wish: Wish) -> Result<u64> {
    let cx = Cx::read_only(machine)?;
    let device = ready(&cx)?;
    if let Wish::Revoke(slot) = wish {
        another_opens(&cx, &device, slot)?;
        for other in KEYS.into_iter().filter(|other| *other != slot).filter_map(Slot::secret) {
            let going = cx.machine().exists(next(&format!("-{other}")))?;
            ensure!(!going, "revoking {slot}: {other} is just being revoked; let that come to its end first");
        }
    }
    // First of all: a wish on a server that is taken for done would have `unlock` wait for an operator's gates.
    phase::enter(cx.machine(), &Phase::KeysChanging { wish: wish.to_string() })?;
    match wish {
        Wish::Rotate(slot) => {
            let key = key(slot).context("drawing a key: the slot has none")?;
            // One that waits already was drawn by a request that was cut off.
            if !proposed(&cx)?.contains(&key.name) {
                propose(&cx, &key.name, &key.purpose, &draw_one(&cx, &key)?)?;
            }
        }
        Wish::Revoke(slot) => {
            let name = slot.secret().map_or_else(|| format!("slot-{}", slot.number()), str::to_owned);
            if !cx.machine().exists(revoked(&name))? {
                propose(&cx, &format!("-{name}"), slot.purpose(), &Secret::new(Vec::new()))?;
            }
        }
    }
    cx.next_event()
}

/// The volume's device, on a server whose keys can be changed now.
fn ready(cx: &Cx<'_>) -> Result<PathBuf> {
    let record = cx.receipt().volume.clone().filter(|volume| volume.formatted);
    let record = record
        .context("changing the keys: there is no volume yet; run `cargo xtask provision --project NAME`")?;
    let device = luks::opened_from(cx, &record.luks_uuid)?;
    let device = device.context(
        "changing the keys: the volume is locked; run `cargo xtask unlock --project NAME --identity FILE`",
    )?;
    if !matches!(phase::read(cx.machine())?, Phase::Settled | Phase::KeysChanging { .. }) {
        bail!("changing the keys: first boot is not done; `cargo xtask provision --project NAME` goes on");
    }
    Ok(device)
}
