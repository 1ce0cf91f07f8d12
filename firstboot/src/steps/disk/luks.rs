//! LUKS2 itself: its header as read from the device, and what cryptsetup is asked to do.
//!
//! The keys are 256 random bits, so stretching them adds nothing: Argon2id runs with little memory and few rounds,
//! which keeps opening quick on a slow processor. The header is 4 MiB in all, so that its copy is small.

use super::Refusal;
use super::look::sysfs;
use crate::Cx;
use crate::steps::secrets::{BOOTSTRAP_KEY, LUKS_KEY, stored};
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _, Secret};
use serde_json::Value;
use spec::paths;
use std::path::{Path, PathBuf};

/// Where the data begins: the header's whole size.
pub(crate) const HEADER_SIZE: u64 = 4 << 20;
/// The slot of the key that stays.
pub(crate) const LASTING_SLOT: u32 = 0;
/// The slot of the key that dies when first boot is done.
pub(crate) const BOOTSTRAP_SLOT: u32 = 1;
/// cryptsetup's exit code for "no key available with this passphrase".
pub(crate) const WRONG_KEY: i32 = 2;

const MAGIC: &[u8] = b"LUKS\xba\xbe\0\x02";
const UUID: std::ops::Range<usize> = 168..208;
const JSON: usize = 4096;
const STRETCH: [&str; 8] = [
    "--pbkdf",
    "argon2id",
    "--pbkdf-memory",
    "65536",
    "--pbkdf-force-iterations",
    "4",
    "--pbkdf-parallel",
    "1",
];

/// A LUKS2 header as it lies on the device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Its UUID.
    pub uuid: String,
    /// The slots in use; none where the header is torn.
    pub(crate) slots: Vec<u32>,
    /// SHA-256 of what opens with the lasting slot: that slot, the segments and the digests.
    pub(crate) lasting: String,
}

impl Header {
    /// How many bytes it takes to read one.
    pub(crate) const READ: u64 = 64 << 10;

    /// Reads one from the first bytes of a device, as far as it goes; `None` where there is none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let uuid = String::from_utf8_lossy(bytes.get(UUID)?).trim_end_matches('\0').to_owned();
        let json = bytes.get(JSON..).unwrap_or_default();
        let end = json.iter().position(|b| *b == 0).unwrap_or(json.len());
        let json: Value = serde_json::from_slice(&json[..end]).unwrap_or_default();
        let slots = json["keyslots"].as_object().into_iter().flatten();
        let slots = slots.filter_map(|(name, _)| name.parse().ok()).collect();
        let lasting =
            [&json["keyslots"][LASTING_SLOT.to_string()], &json["segments"], &json["digests"]["0"]["digest"]];
        let lasting: String = lasting.iter().map(ToString::to_string).collect();
        Some(Self { uuid, slots, lasting: crate::cx::sha256(lasting.as_bytes()) })
    }

    /// Reads the one on a device.
    pub(crate) fn read(cx: &Cx<'_>, device: &Path) -> Result<Self> {
        let bytes = cx.machine().read_at(device, 0, usize::try_from(Self::READ)?)?;
        Self::parse(&bytes).with_context(|| format!("reading {}: there is no LUKS2 header", device.display()))
    }
}

/// The opened volume's device.
pub(crate) fn mapping() -> PathBuf {
    Path::new("/dev/mapper").join(paths::MAPPING)
}

/// The device below the mapping, when that is open and is the LUKS volume of this UUID.
pub(crate) fn opened_from(cx: &Cx<'_>, uuid: &str) -> Result<Option<PathBuf>> {
    let Some(mapped) = cx.machine().resolve(&mapping())? else { return Ok(None) };
    let found = cx.text(sysfs(&mapped).join("dm/uuid"))?.unwrap_or_default();
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

/// Writes the header, with the bootstrap key in its slot.
pub(crate) fn format(cx: &Cx<'_>, device: &Path, uuid: &str) -> Result<()> {
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
        .args(["--key-slot", &BOOTSTRAP_SLOT.to_string(), "--key-file", BOOTSTRAP_KEY])
        .path(device);
    cx.run(&cmd).context("formatting the volume")?;
    Ok(())
}

/// Opens the volume with a key file; false when the key is not the right one.
pub(crate) fn open_with_file(cx: &Cx<'_>, device: &Path, slot: u32, key: &Path) -> Result<bool> {
    // Asked for a slot that is not there, cryptsetup fails with another code than for a wrong key.
    let bytes = cx.machine().read_at(device, 0, usize::try_from(Header::READ)?)?;
    if Header::parse(&bytes).is_none_or(|header| !header.slots.contains(&slot)) {
        return Ok(false);
    }
    let cmd = Cmd::new("cryptsetup").args([
        "open",
        "--type",
        "luks2",
        "--key-slot",
        &slot.to_string(),
        "--key-file",
    ]);
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

/// Makes the stored key open the slot that stays.
pub(crate) fn ensure_lasting_slot(cx: &Cx<'_>, device: &Path) -> Result<()> {
    let key = stored(LUKS_KEY);
    let slot = LASTING_SLOT.to_string();
    let header = Header::read(cx, device)?;
    if header.slots.contains(&LASTING_SLOT) {
        let test =
            Cmd::new("cryptsetup").args(["open", "--test-passphrase", "--key-slot", &slot, "--key-file"]);
        if cx.probe(&test.path(&key).path(device))?.success() {
            return Ok(());
        }
        // A key drawn before a power cut, and never on the volume: nobody holds it.
        let kill = Cmd::new("cryptsetup").args(["luksKillSlot", "--batch-mode", "--key-file", BOOTSTRAP_KEY]);
        cx.run(&kill.path(device).arg(&slot)).context("dropping a key nobody holds")?;
    }
    if !header.slots.contains(&BOOTSTRAP_SLOT) {
        return Err(Refusal::OursButShut { device: device.into(), uuid: header.uuid }.into());
    }
    let add = Cmd::new("cryptsetup").args(["luksAddKey", "--batch-mode", "--key-slot", &slot]).args(STRETCH);
    let add = add.args(["--key-file", BOOTSTRAP_KEY]).path(device).path(&key);
    cx.run(&add).context("giving the lasting key its slot")?;
    Ok(())
}

/// Drops the bootstrap key's slot from a header, on the device or in a copy. cryptsetup first opens another slot
/// with the lasting key, so the last way in cannot be lost here.
pub(crate) fn drop_bootstrap_slot(cx: &Cx<'_>, header: &Path) -> Result<()> {
    let cmd =
        Cmd::new("cryptsetup").args(["luksKillSlot", "--batch-mode", "--key-file"]).path(stored(LUKS_KEY));
    cx.run(&cmd.path(header).arg(BOOTSTRAP_SLOT.to_string())).context("dropping the bootstrap key's slot")?;
    Ok(())
}

/// A copy of the header that holds only the slot that stays, proved to open with the lasting key.
pub(crate) fn header_copy(cx: &Cx<'_>, device: &Path) -> Result<Secret> {
    let copy = Path::new("/run/sovereign/luks-header.img");
    cx.machine().make_dir(Path::new("/run/sovereign"), 0o700, 0, 0)?;
    cx.remove(copy)?;
    let backup = Cmd::new("cryptsetup").arg("luksHeaderBackup").path(device);
    cx.run(&backup.arg("--header-backup-file").path(copy)).context("copying the LUKS header")?;
    if Header::read(cx, copy)?.slots.contains(&BOOTSTRAP_SLOT) {
        // Proves the copy too: cryptsetup opens its other slot with the lasting key first.
        drop_bootstrap_slot(cx, copy)?;
    } else {
        let test =
            Cmd::new("cryptsetup").args(["open", "--test-passphrase", "--key-file"]).path(stored(LUKS_KEY));
        cx.run(&test.arg("--header").path(copy).path(device))
            .context("trying the copy of the LUKS header")?;
    }
    let header = Header::read(cx, copy)?;
    if header.slots != [LASTING_SLOT] {
        bail!(
            "copying the LUKS header: the copy holds the slots {:?}, only {LASTING_SLOT} may be there",
            header.slots
        );
    }
    let bytes = cx.read(copy)?.context("cryptsetup wrote no copy")?;
    cx.machine().shred(copy)?;
    Ok(Secret::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> Vec<u8> {
        let mut bytes = vec![0; 16 << 10];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[168..204].copy_from_slice(b"11111111-2222-4333-8444-555555555555");
        bytes[JSON..JSON + json.len()].copy_from_slice(json.as_bytes());
        bytes
    }

    #[test]
    fn a_header_is_read() {
        let read = Header::parse(&header(r#"{"keyslots":{"0":{},"1":{}}}"#)).unwrap();
        assert_eq!(
            (read.uuid.as_str(), &read.slots[..]),
            ("11111111-2222-4333-8444-555555555555", &[0, 1][..])
        );
    }

    #[test]
    fn a_torn_header_still_says_whose_it_is() {
        let torn = Header::parse(&header(r#"{"keyslots":{"0":"#)).unwrap();
        assert_eq!((torn.uuid.len(), torn.slots.len()), (36, 0));
    }

    #[test]
    fn dropping_the_bootstrap_slot_does_not_change_what_lasts() {
        let both = header(
            r#"{"keyslots":{"0":{"salt":"x"},"1":{}},"digests":{"0":{"digest":"d","keyslots":["0","1"]}}}"#,
        );
        let one =
            header(r#"{"keyslots":{"0":{"salt":"x"}},"digests":{"0":{"digest":"d","keyslots":["0"]}}}"#);
        let other = header(r#"{"keyslots":{"0":{"salt":"y"}},"digests":{"0":{"digest":"d"}}}"#);
        let lasting = |bytes: &[u8]| Header::parse(bytes).unwrap().lasting;
        assert_eq!(lasting(&both), lasting(&one));
        assert_ne!(lasting(&both), lasting(&other));
    }

    #[test]
    fn what_is_no_luks2_header_is_none() {
        for bytes in [&b""[..], b"LUKS\xba\xbe\0\x01", &[0; 4096]] {
            assert_eq!(Header::parse(bytes), None);
        }
    }
}
