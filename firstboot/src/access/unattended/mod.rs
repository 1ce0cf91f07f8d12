//! A server that opens its volume by itself after a restart, where its node spec says so.
//!
//! Each way has a keyslot of its own, so that what opens it can be taken away without touching any other key:
//!
//! | mode | slot | what opens it |
//! | --- | --- | --- |
//! | `tang` | 4 | a key that `clevis` gets back with the help of enough Tang servers |
//! | `keyfile` | 5 | a key on the root disk, in the clear |
//!
//! [`open`] is asked at boot and gives up after a while: a server that cannot open its volume waits for the operator like
//! any other. [`ensure`] makes the slots what the spec says, taking the other mode's key away; the last step has their header escrowed.

mod tang;

use super::slots;
use crate::machine::random::draw;
use crate::run::Cx;
use crate::volume::luks;
use anyhow::Result;
use host::Host as _;
use spec::{Slot, UnlockSpec};
use std::path::Path;

/// The slot that is bound to Tang servers.
pub(crate) const TANG_SLOT: Slot = Slot::Other(Slot::FIRST_OTHER);
/// The slot whose key lies on the root disk.
pub(crate) const KEYFILE_SLOT: Slot = Slot::Other(Slot::FIRST_OTHER + 1);
/// That key.
pub(crate) const KEYFILE: &str = "/var/lib/sovereign/unlock.key";

const HEX: &[u8] = b"0123456789abcdef";

/// Opens the volume the way the spec says; false where that takes an operator, or did not come about.
pub(crate) fn open(cx: &Cx<'_>, device: &Path) -> Result<bool> {
    match &cx.spec.unlock {
        UnlockSpec::Operator => Ok(false),
        UnlockSpec::Keyfile => Ok(cx.machine().exists(KEYFILE)?
            && luks::open_with_file(cx, device, KEYFILE_SLOT, Path::new(KEYFILE))?),
        UnlockSpec::Tang { .. } => tang::open(cx, device),
    }
}

/// Whether the slots and the key on the root disk are what the spec says.
pub(crate) fn holds(cx: &Cx<'_>, device: &Path) -> Result<bool> {
    let header = luks::header(cx, device)?;
    let (tang, keyfile) = wanted(&cx.spec.unlock);
    Ok(header.has(TANG_SLOT) == tang
        && tang::is_bound(cx, device)? == tang
        && header.has(KEYFILE_SLOT) == keyfile
        && cx.machine().exists(KEYFILE)? == keyfile)
}

/// Makes it so. Cut off anywhere, it is called again. The new way is made before the old one is taken away.
pub(crate) fn ensure(cx: &Cx<'_>, device: &Path) -> Result<()> {
    let (tang, keyfile) = wanted(&cx.spec.unlock);
    let authority = slots::authority(cx)?;
    if let UnlockSpec::Tang { threshold, servers } = &cx.spec.unlock
        && !(tang::is_bound(cx, device)? && luks::header(cx, device)?.has(TANG_SLOT))
    {
        tang::bind(cx, device, *threshold, servers, &authority)?;
    }
    if keyfile {
        if !cx.machine().exists(KEYFILE)? {
            cx.write(Path::new(KEYFILE), draw(cx.machine(), HEX, 64)?.expose(), 0o400)?;
        }
        slots::ensure(cx, device, KEYFILE_SLOT, Path::new(KEYFILE), &authority)?;
    }
    if !tang {
        remove_slot(cx, device, TANG_SLOT, &authority)?;
    }
    if !keyfile {
        remove_slot(cx, device, KEYFILE_SLOT, &authority)?;
    }
    Ok(())
}

/// The slot of a mode's own.
pub(crate) fn slot(unlock: &UnlockSpec) -> Option<Slot> {
    match unlock {
        UnlockSpec::Operator => None,
        UnlockSpec::Tang { .. } => Some(TANG_SLOT),
        UnlockSpec::Keyfile => Some(KEYFILE_SLOT),
    }
}

/// Takes away a slot and whatever else belongs to its mode; where the mode is still wanted, [`ensure`] makes a new key.
pub(crate) fn remove_slot(cx: &Cx<'_>, device: &Path, slot: Slot, authority: &Path) -> Result<()> {
    if slot == TANG_SLOT {
        return tang::unbind(cx, device, authority);
    }
    drop_slot(cx, device, slot, authority)?;
    if slot == KEYFILE_SLOT {
        // After the slot: a key that opens nothing may be forgotten half-way.
        cx.machine().shred(Path::new(KEYFILE))?;
    }
    Ok(())
}

fn wanted(unlock: &UnlockSpec) -> (bool, bool) {
    (matches!(unlock, UnlockSpec::Tang { .. }), *unlock == UnlockSpec::Keyfile)
}

fn drop_slot(cx: &Cx<'_>, device: &Path, slot: Slot, authority: &Path) -> Result<()> {
    if luks::header(cx, device)?.has(slot) {
        slots::remove(cx, device, slot, authority)?;
    }
    Ok(())
}
