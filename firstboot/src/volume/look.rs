//! What can be known about the device without writing to it.

use super::Refusal;
use super::device::{serial, size};
use crate::run::Cx;
use ::escrow::Header;
use anyhow::Result;
use host::{Cmd, Host as _};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
/// How much of the beginning must be empty before a volume is formatted.
const HEAD: u64 = 16 * MIB;
/// How much of the end.
const TAIL: u64 = MIB;

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The LUKS header: enough to recognise our own volume.
    Header,
    /// All that must be empty before formatting, and every signature known to blkid and wipefs.
    Whole,
}

/// What lies at the beginning of the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// Nothing but zeros.
    Zero,
    /// A LUKS2 header, whole or torn.
    Luks(Header),
    /// Another signature.
    Foreign(String),
    /// Bytes without a name; the first one that is not zero.
    Nameless(u64),
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Zero => f.write_str("nothing but zeros"),
            Self::Luks(header) => write!(f, "the LUKS header {}", header.uuid),
            Self::Foreign(what) => f.write_str(what),
            Self::Nameless(at) => write!(f, "unknown bytes from byte {at} on"),
        }
    }
}

/// What is known about the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// It.
    pub device: PathBuf,
    /// What it says it is, SCSI page 0x80.
    pub serial: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its beginning.
    pub head: Head,
    /// The first byte that is not zero past where a LUKS header ends, in the head and tail read.
    pub beyond: Option<u64>,
}

/// Looks at a device.
pub fn look(cx: &Cx<'_>, device: &Path, depth: Depth) -> Result<Facts> {
    let serial = serial(cx, device)?;
    let size = size(cx, device)?;
    let read = |offset: u64, len: u64| {
        let len = usize::try_from(len.min(size.saturating_sub(offset))).unwrap_or(0);
        cx.machine().read_at(device, offset, len).map_err(|e| Refusal::Unreadable {
            device: device.into(),
            offset,
            why: e.to_string(),
        })
    };
    let (mut first, mut beyond) = (None, None);
    let mut header = None;
    if depth == Depth::Header {
        header = Header::parse(&read(0, Header::READ)?);
    } else {
        let spans = (0..HEAD / MIB).map(|n| (n * MIB, MIB)).chain([(size.saturating_sub(TAIL), TAIL)]);
        for (offset, len) in spans {
            let bytes = read(offset, len)?;
            if offset == 0 {
                header = Header::parse(&bytes);
            }
            let at = first_not_zero(&bytes).map(|at| offset + at);
            first = first.or(at);
            beyond = beyond.or(at.filter(|at| *at >= super::luks::HEADER_SIZE));
        }
    }
    let head = match (header, depth) {
        (Some(header), _) => Head::Luks(header),
        (None, Depth::Header) => Head::Foreign("something that is not a LUKS2 header".into()),
        (None, Depth::Whole) => match (signature(cx, device)?, first) {
            (Some(found), _) => found,
            (None, None) => Head::Zero,
            (None, Some(at)) => Head::Nameless(at),
        },
    };
    Ok(Facts { device: device.into(), serial, size, head, beyond })
}

fn first_not_zero(bytes: &[u8]) -> Option<u64> {
    // A block at a time: under emulation a byte at a time is what would take long.
    const EMPTY: [u8; 4096] = [0; 4096];
    let block = bytes.chunks(EMPTY.len()).position(|block| *block != EMPTY[..block.len()])? * EMPTY.len();
    bytes[block..].iter().position(|b| *b != 0).map(|at| (block + at) as u64)
}

/// What blkid and wipefs make of it; they know signatures at places we do not look at.
fn signature(cx: &Cx<'_>, device: &Path) -> Result<Option<Head>> {
    let probe = cx.probe(&Cmd::new("blkid").args(["-p", "-o", "export"]).path(device))?;
    if probe.code != Some(2) {
        let text = probe.text();
        let value = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().to_owned();
        let (kind, uuid) = (value("TYPE="), value("UUID="));
        if kind == "crypto_LUKS" {
            return Ok(Some(Head::Luks(Header { uuid, ..Header::default() })));
        }
        let table = value("PTTYPE=");
        return Ok(Some(Head::Foreign(match (kind.as_str(), table.as_str()) {
            ("", "") => "signatures blkid cannot tell apart".into(),
            ("", table) => format!("a partition table ({table})"),
            (kind, _) => format!("a {kind} signature"),
        })));
    }
    let wipefs = cx.run(
        &Cmd::new("wipefs").args(["--no-act", "--noheadings", "--output", "TYPE,OFFSET"]).path(device),
    )?;
    let found = wipefs.text();
    Ok(found.lines().next().map(|line| Head::Foreign(format!("a signature ({})", line.trim()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_is_not_zero_is_found_anywhere() {
        assert_eq!(first_not_zero(&[0; 100]), None);
        for at in [0, 7, 8, 63, 99] {
            let mut bytes = [0; 100];
            bytes[at] = 1;
            assert_eq!(first_not_zero(&bytes), Some(at as u64));
        }
    }
}
