//! The secrets on the volume: each is written once, whole, and from then on is the one that counts.

use crate::access::slots;
use crate::access::store::{COMPLETE, DIGEST_KEY, STORE, WAITING, draw_one, stored, waiting, wanted};
use crate::machine::random::{HEX, draw};
use crate::run::Cx;
use crate::volume::luks;
use anyhow::Result;
use host::{Host as _, Secret};
use std::path::{Path, PathBuf};

/// Written when every secret is stored and the keys open their slots.
fn marker() -> PathBuf {
    stored(COMPLETE)
}

/// Whether every secret is on the volume, and every key in its slot.
pub(crate) fn complete(cx: &Cx<'_>, device: &Path) -> Result<bool> {
    if !cx.machine().exists(marker())?
        || !cx.machine().exists(DIGEST_KEY)?
        || !slots::all_filled(cx, &luks::header(cx, device)?)?
    {
        return Ok(false);
    }
    for wanted in wanted(cx)? {
        if !cx.machine().exists(stored(&wanted.name))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Stores what is missing: what was drawn into memory, or, where a reboot lost that, something newly drawn.
/// Nothing stored is ever replaced.
pub(crate) fn fill(cx: &Cx<'_>, device: &Path) -> Result<()> {
    cx.machine().make_dir(Path::new(STORE), 0o700, 0, 0)?;
    for wanted in wanted(cx)? {
        if cx.machine().exists(stored(&wanted.name))? {
            continue;
        }
        let secret = match cx.read(&waiting(&wanted.name))? {
            Some(bytes) => Secret::new(bytes),
            None => draw_one(cx, &wanted)?,
        };
        cx.write(&stored(&wanted.name), secret.expose(), 0o400)?;
    }
    if !cx.machine().exists(DIGEST_KEY)? {
        let key = draw(cx.machine(), HEX, 64)?;
        cx.write(Path::new(DIGEST_KEY), key.expose(), 0o400)?;
    }
    let fresh = !cx.machine().exists(marker())?;
    slots::fill(cx, device, fresh)?;
    if fresh {
        cx.write(&marker(), b"", 0o400)?;
    }
    Ok(())
}

/// Whether copies of them are still in memory.
pub(crate) fn still_waiting(cx: &Cx<'_>) -> Result<bool> {
    Ok(!cx.machine().list(Path::new(WAITING))?.is_empty())
}

/// Wipes the copies in memory.
pub(crate) fn forget_waiting(cx: &Cx<'_>) -> Result<()> {
    for name in cx.machine().list(Path::new(WAITING))? {
        cx.machine().shred(&Path::new(WAITING).join(name))?;
    }
    Ok(())
}
