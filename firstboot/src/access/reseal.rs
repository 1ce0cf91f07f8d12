//! Every later change of a secret or a keyslot: sealed, off the server, acknowledged; only then what is new is used and
//! what is old is dropped.
//!
//! What is new waits below `secrets/next` on the volume, one file a name; `-NAME` there is the wish to drop one. A bundle
//! is sealed that holds it, with a fresh copy of the LUKS header. Once that is acknowledged the file moves to where it is
//! read from. The note of the bundle says what moves with it, so a power cut in between is made good by the next run.

use super::gate;
use super::sealing::{self, KEPT, Note, kept_path, passed, purpose_of};
use super::store::{NEXT, STORE, next, possible, revoked, stored};
use crate::run::Cx;
use crate::system::managed;
use crate::volume::luks;
use anyhow::{Context as _, Result, ensure};
use host::{Host as _, Secret};
use spec::{EscrowRecord, Gate};
use std::path::{Path, PathBuf};

/// A secret that must be in the operator's hands before anything uses it.
pub(crate) struct NewSecret {
    /// Its name: `secrets/NAME` in the bundle. Small letters, digits and `-`.
    pub(crate) name: String,
    /// What it is for, in a sentence.
    pub(crate) purpose: String,
    /// Its bytes.
    pub(crate) value: Secret,
}

/// Escrows these secrets, and whatever has changed in the volume's keyslots, and waits until the operator's side has
/// filed and acknowledged the bundle. Does nothing where all of it was acknowledged before.
///
/// When it returns, the secrets may be used, and every later bundle holds them.
/// Called again after a power cut, with the same names, it goes on; the values of the last call count.
///
/// # Errors
/// A name that is none, a volume that is not open, programs that fail. Nothing of what was given is in use then.
pub(crate) fn escrow_new(cx: &Cx<'_>, fresh: &[NewSecret]) -> Result<()> {
    let device = open_device(cx)?;
    apply_acknowledged(cx)?;
    let mut changes = Vec::new();
    for NewSecret { name, purpose, value } in fresh {
        let shaped = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        ensure!(
            !name.is_empty() && name.bytes().all(shaped) && !name.starts_with('-'),
            "escrowing {name:?}: a secret's name has small letters, digits and `-` only"
        );
        if !managed::holds(cx, path_in_use(cx, name)?, value.expose())? {
            propose(cx, name, purpose, value)?;
            changes.push(name.clone());
        }
    }
    reseal(cx, &device, &changes)
}

/// The volume's device; the volume must be open.
fn open_device(cx: &Cx<'_>) -> Result<PathBuf> {
    let record = cx.receipt().volume.clone().context("escrowing again: there is no volume yet")?;
    let device = luks::opened_from(cx, &record.luks_uuid)?;
    device.context(
        "escrowing again: the volume is locked; run `cargo xtask unlock --project NAME --identity FILE`",
    )
}

/// Puts a value where it waits for its bundle.
pub(crate) fn propose(cx: &Cx<'_>, name: &str, purpose: &str, value: &Secret) -> Result<()> {
    cx.machine().make_dir(Path::new(NEXT), 0o700, 0, 0)?;
    cx.write(&purpose_of(&next(name)), purpose.as_bytes(), 0o400)?;
    Ok(cx.write(&next(name), value.expose(), 0o400)?)
}

/// The names that wait below `next`.
pub(crate) fn proposed(cx: &Cx<'_>) -> Result<Vec<String>> {
    let mut names = cx.machine().list(Path::new(NEXT))?;
    names.retain(|name| !name.contains('.'));
    Ok(names)
}

/// Takes a name that waits back. It is removed in one act: a value overwritten half-way could be taken for another.
pub(crate) fn withdraw(cx: &Cx<'_>, name: &str) -> Result<()> {
    cx.remove(&next(name))?;
    Ok(cx.remove(&purpose_of(&next(name)))?)
}

/// Has a bundle acknowledged that holds what is true now and with these changes, which then take effect.
pub(crate) fn reseal(cx: &Cx<'_>, device: &Path, changes: &[String]) -> Result<()> {
    apply_acknowledged(cx)?;
    let mut waiting = Vec::new();
    for name in changes {
        if cx.machine().exists(next(name))? {
            waiting.push(name.clone());
        }
    }
    let sealed = sealing::current(cx, device, &waiting)?;
    if waiting.is_empty() && sealed.is_some() && sealed == Note::acknowledged(cx)? {
        return Ok(());
    }
    let note = match sealed {
        Some(note) => note,
        None => sealing::seal(cx, device, &waiting)?,
    };
    if cx.receipt().escrow.as_ref().is_none_or(|record| !record.acknowledged) {
        record(cx, &note, false)?;
    }
    if !passed(cx, &note.sha256)? {
        cx.say("waiting until the escrow is off the server")?;
        gate::wait(cx, &Gate::Escrow { sha256: note.sha256.clone() }, || Ok(false))?;
    }
    take_effect(cx, &note)
}

/// Hears an acknowledgement that came when nobody listened any more: its changes take effect.
pub(crate) fn apply_acknowledged(cx: &Cx<'_>) -> Result<()> {
    match Note::sealed(cx)? {
        Some(note) if passed(cx, &note.sha256)? && Note::acknowledged(cx)?.as_ref() != Some(&note) => {
            take_effect(cx, &note)
        }
        _ => Ok(()),
    }
}

/// What was acknowledged is used from now on, and what it replaces is not.
fn take_effect(cx: &Cx<'_>, note: &Note) -> Result<()> {
    for name in &note.changes {
        match name.strip_prefix('-') {
            Some(dropped) => {
                cx.machine().make_dir(&stored("revoked"), 0o700, 0, 0)?;
                cx.write(&revoked(dropped), b"", 0o400)?;
                cx.remove(&stored(dropped))?;
            }
            None => move_into_place(cx, name)?,
        }
        withdraw(cx, name)?;
    }
    note.acknowledge(cx)?;
    record(cx, note, true)
}

/// Moves a secret to where it is read from.
fn move_into_place(cx: &Cx<'_>, name: &str) -> Result<()> {
    let Some(value) = cx.read(&next(name))?.map(Secret::new) else { return Ok(()) };
    let place = path_in_use(cx, name)?;
    if place == kept_path(name) {
        cx.machine().make_dir(&stored(KEPT), 0o700, 0, 0)?;
        let purpose = cx.read(&purpose_of(&next(name)))?.unwrap_or_default();
        cx.write(&purpose_of(&place), &purpose, 0o400)?;
    }
    cx.write(&place, value.expose(), 0o400)?;
    Ok(cx.remove(&revoked(name))?)
}

/// Where a secret is read from.
fn path_in_use(cx: &Cx<'_>, name: &str) -> Result<PathBuf> {
    let own = possible(cx)?.iter().any(|wanted| wanted.name == name);
    Ok(if own { Path::new(STORE).join(name) } else { kept_path(name) })
}

fn record(cx: &Cx<'_>, note: &Note, acknowledged: bool) -> Result<()> {
    let record = EscrowRecord { sha256: note.sha256.clone(), acknowledged };
    Ok(cx.record(|receipt| receipt.escrow = Some(record))?)
}
