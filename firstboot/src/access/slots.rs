//! The keyslots of the volume: filled, tried, dropped. What each is for is [`Slot`]'s one table.
//!
//! Whoever changes one runs [`reseal`](super::reseal::reseal) afterwards, before anything relies on it.

use super::store::{BOOTSTRAP_KEY, KEYS, revoked, stored};
use crate::run::{Cx, phase};
use crate::volume::Refusal;
use crate::volume::luks::{STRETCH, WRONG_KEY, header};
use ::escrow::Header;
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _, Secret};
use spec::Slot;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where a copy of the header is made: in memory.
const COPY: &str = "/run/sovereign/luks-header.img";

/// Whether the key in a file opens a slot.
pub(crate) fn opens(cx: &Cx<'_>, device: &Path, slot: Slot, key: &Path) -> Result<bool> {
    // Asked for a slot that is not there, cryptsetup fails with another code than for a wrong key.
    if !header(cx, device)?.has(slot) {
        return Ok(false);
    }
    let cmd = test(Some(slot));
    let cmd = match slot_of(key) {
        // Tried as it will be used: typed, and ended with the return key.
        Slot::Recovery => {
            let words = Zeroizing::new(cx.read(key)?.unwrap_or_default());
            cmd.path(device).stdin_secret(&Secret::new([&words[..], b"\n"].concat()))
        }
        _ => cmd.arg("--key-file").path(key).path(device),
    };
    let output = cx.probe(&cmd)?;
    if output.code == Some(WRONG_KEY) {
        return Ok(false);
    }
    output.into_success(&cmd).with_context(|| format!("trying {slot}"))?;
    Ok(true)
}

fn test(slot: Option<Slot>) -> Cmd {
    let cmd = Cmd::new("cryptsetup").args(["open", "--test-passphrase", "--type", "luks2", "--tries", "1"]);
    match slot {
        Some(slot) => cmd.args(["--key-slot", &slot.number().to_string()]),
        None => cmd,
    }
}

/// The slot a key's file is meant for, by its name.
fn slot_of(key: &Path) -> Slot {
    let name = key.file_name().unwrap_or_default().to_string_lossy();
    Slot::of_secret(&name).unwrap_or(Slot::Unlock)
}

/// Gives the key in a file a free slot, and tries it. `authority` is a key that opens the volume already.
pub(crate) fn add(cx: &Cx<'_>, device: &Path, slot: Slot, key: &Path, authority: &Path) -> Result<()> {
    let number = slot.number().to_string();
    let cmd = Cmd::new("cryptsetup").args(["luksAddKey", "--batch-mode", "--key-slot", &number]);
    let cmd = cmd.args(STRETCH).arg("--key-file").path(authority).path(device).path(key);
    cx.run(&cmd).with_context(|| format!("filling {slot}"))?;
    cx.machine().sync(device)?;
    if !opens(cx, device, slot, key)? {
        bail!(
            "trying {slot} of {}: the key that was just put there does not open it; \
             look at the volume with `cryptsetup luksDump`, then try again",
            device.display()
        );
    }
    Ok(())
}

/// Drops a slot from a header, on the device or in a copy. cryptsetup first opens another slot with `authority`, so
/// the last way in cannot be lost here.
pub(crate) fn remove(cx: &Cx<'_>, target: &Path, slot: Slot, authority: &Path) -> Result<()> {
    let cmd = Cmd::new("cryptsetup").args(["luksKillSlot", "--batch-mode", "--key-file"]).path(authority);
    cx.run(&cmd.path(target).arg(slot.number().to_string())).with_context(|| format!("dropping {slot}"))?;
    Ok(cx.machine().sync(target)?)
}

/// A stored key that opens the volume: the one `unlock` sends, or, where that was revoked, the recovery words.
pub(crate) fn authority(cx: &Cx<'_>) -> Result<PathBuf> {
    for name in KEYS.into_iter().filter_map(Slot::secret) {
        if cx.machine().exists(stored(name))? {
            return Ok(stored(name));
        }
    }
    bail!(
        "changing the volume's keys: no key is stored on the volume; see `cargo xtask status --project NAME`"
    )
}

/// Makes the key in a file the one that opens a slot.
pub(crate) fn ensure(cx: &Cx<'_>, device: &Path, slot: Slot, key: &Path, authority: &Path) -> Result<()> {
    if opens(cx, device, slot, key)? {
        return Ok(());
    }
    if header(cx, device)?.has(slot) {
        remove(cx, device, slot, authority)?;
    }
    add(cx, device, slot, key, authority)
}

/// Whether every stored key has its slot. While the spare slot is in use a change goes on, and is not judged.
pub(crate) fn all_filled(cx: &Cx<'_>, header: &Header) -> Result<bool> {
    for slot in KEYS {
        let revoked = slot.secret().map_or(Ok(true), |name| cx.machine().exists(revoked(name)))?;
        if !revoked && !header.has(slot) && !header.has(Slot::Spare) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes every stored key open its slot, on a volume whose bootstrap key is still there, or one of an earlier release
/// that has no recovery slot yet.
pub(crate) fn fill(cx: &Cx<'_>, device: &Path, fresh: bool) -> Result<()> {
    let found = header(cx, device)?;
    if found.has(Slot::Spare) {
        return Ok(());
    }
    let bootstrap = Path::new(BOOTSTRAP_KEY);
    if fresh && !found.has(Slot::Unlock) && !found.has(Slot::Bootstrap) {
        return Err(Refusal::OursButShut { device: device.into(), uuid: found.uuid }.into());
    }
    let authority = if fresh { bootstrap.into() } else { authority(cx)? };
    for slot in KEYS {
        let Some(name) = slot.secret() else { continue };
        if cx.machine().exists(revoked(name))? || !fresh && found.has(slot) {
            continue;
        }
        // The header is another one then: the last step has it escrowed, also after a power cut.
        phase::unsettle(cx.machine(), format!("{slot} is filled again"))?;
        ensure(cx, device, slot, &stored(name), &authority)?;
    }
    Ok(())
}

/// A copy of the header without the bootstrap slot, as it is on the device but for that, and proved to open with each
/// of these keys.
pub(crate) fn header_copy(cx: &Cx<'_>, device: &Path, keys: &[PathBuf]) -> Result<(Header, Secret)> {
    let copy = Path::new(COPY);
    cx.machine().make_dir(Path::new("/run/sovereign"), 0o700, 0, 0)?;
    cx.remove(copy)?;
    let backup = Cmd::new("cryptsetup").arg("luksHeaderBackup").path(device);
    cx.run(&backup.arg("--header-backup-file").path(copy)).context("copying the LUKS header")?;
    if header(cx, copy)?.has(Slot::Bootstrap) {
        remove(cx, copy, Slot::Bootstrap, &authority(cx)?)?;
    }
    for key in keys {
        let cmd = test(None).arg("--key-file").path(key).arg("--header").path(copy).path(device);
        cx.run(&cmd).context("trying the copy of the LUKS header")?;
    }
    let (copied, there) = (header(cx, copy)?, header(cx, device)?);
    if copied.has(Slot::Bootstrap) || copied.kept != there.kept {
        bail!(
            "copying the LUKS header: the copy is not what is on {}; something else changes its keys, try again",
            device.display()
        );
    }
    let bytes = cx.read(copy)?.context("cryptsetup wrote no copy")?;
    cx.machine().shred(copy)?;
    Ok((copied, Secret::new(bytes)))
}
