//! LUKS2 itself: formatting and opening. The keyslots are the next room's, `slots`.
//!
//! Every key is at least 128 random bits, so stretching them adds nothing: Argon2id runs with 8 MiB and the fewest
//! rounds it may have, since a first boot derives a dozen keys, one after the other. The header is 4 MiB in all, so that its copy is small.

use super::device::sysfs;
use crate::run::Cx;
use ::escrow::Header;
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _, Secret};
use spec::{Slot, paths};
use std::path::{Path, PathBuf};

/// Where the data begins: the header's whole size.
pub(crate) const HEADER_SIZE: u64 = 4 << 20;
/// cryptsetup's exit code for "no key available with this passphrase".
pub(crate) const WRONG_KEY: i32 = 2;

pub(crate) const STRETCH: [&str; 8] = [
    "--pbkdf",
    "argon2id",
    "--pbkdf-memory",
    "8192",
    "--pbkdf-force-iterations",
    "4",
    "--pbkdf-parallel",
    "1",
];

/// Reads the header on a device or in a backup.
pub(crate) fn header(cx: &Cx<'_>, device: &Path) -> Result<Header> {
    let found = read_header(cx, device)?;
    found.with_context(|| format!("reading {}: there is no LUKS2 header", device.display()))
}

fn read_header(cx: &Cx<'_>, device: &Path) -> Result<Option<Header>> {
    let bytes = cx.machine().read_at(device, 0, usize::try_from(Header::READ)?)?;
    Ok(Header::parse(&bytes))
}

/// The opened volume's device.
pub(crate) fn mapping() -> PathBuf {
    Path::new("/dev/mapper").join(paths::MAPPING)
}

/// The device below the mapping, when that is open and is the LUKS volume of this UUID.
pub(crate) fn opened_from(cx: &Cx<'_>, uuid: &str) -> Result<Option<PathBuf>> {
    let Some(mapped) = cx.machine().resolve(&mapping())? else { return Ok(None) };
    let found = cx.machine().text(sysfs(&mapped).join("dm/uuid"))?.unwrap_or_default();
    let wanted = format!("CRYPT-LUKS2-{}-{}", uuid.replace('-', ""), paths::MAPPING);
    if found.trim() != wanted {
        bail!(
            "looking at {}: something else than this server's volume is open there ({}); close it with \
             `cryptsetup close {}`, then try again",
            mapping().display(),
            found.trim(),
            paths::MAPPING
        );
    }
    let below = cx.machine().list(&sysfs(&mapped).join("slaves"))?;
    Ok(below.first().map(|name| Path::new("/dev").join(name)))
}

/// Writes the header, with the key in a file in its first slot.
pub(crate) fn format(cx: &Cx<'_>, device: &Path, uuid: &str, slot: Slot, key: &Path) -> Result<()> {
    let cmd = Cmd::new("cryptsetup")
        .args(["luksFormat", "--batch-mode", "--type", "luks2", "--uuid", uuid, "--label", "sovereign"])
        .args([
            "--cipher",
            "aes-xts-plain64",
            "--key-size",
            "512",
            "--hash",
            "sha256",
            "--sector-size",
            "4096",
        ])
        .args(["--luks2-metadata-size", "16k", "--luks2-keyslots-size", "4064k", "--offset", "8192"])
        .args(STRETCH)
        .args(["--key-slot", &slot.number().to_string(), "--key-file"])
        .path(key)
        .path(device);
    cx.run(&cmd).context("formatting the volume")?;
    Ok(())
}

/// Opens the volume with a key file; false when the key is not the right one.
pub(crate) fn open_with_file(cx: &Cx<'_>, device: &Path, slot: Slot, key: &Path) -> Result<bool> {
    // Asked for a slot that is not there, cryptsetup fails with another code than for a wrong key.
    if read_header(cx, device)?.is_none_or(|header| !header.has(slot)) {
        return Ok(false);
    }
    let number = slot.number().to_string();
    let cmd = Cmd::new("cryptsetup").args(["open", "--type", "luks2", "--key-slot", &number, "--key-file"]);
    opened(cx, &cmd.path(key).path(device).arg(paths::MAPPING))
}

/// Opens the volume with a key held in memory; false when it is not the right one.
pub(crate) fn open_with(cx: &Cx<'_>, device: &Path, key: &Secret) -> Result<bool> {
    let cmd = Cmd::new("cryptsetup").args(["open", "--type", "luks2", "--key-file", "-"]).path(device);
    opened(cx, &cmd.arg(paths::MAPPING).stdin_secret(key))
}

fn opened(cx: &Cx<'_>, cmd: &Cmd) -> Result<bool> {
    let output = cx.probe(cmd)?;
    if output.code == Some(WRONG_KEY) {
        return Ok(false);
    }
    output.into_success(cmd).context("opening the volume")?;
    Ok(true)
}
