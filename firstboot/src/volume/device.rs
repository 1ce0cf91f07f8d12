//! What the kernel says of a block device.

use crate::run::Cx;
use anyhow::{Context as _, Result};
use host::Host as _;
use std::path::{Path, PathBuf};

/// The serial the disk itself states: SCSI vital product data, page 0x80.
pub(crate) fn serial(cx: &Cx<'_>, device: &Path) -> Result<String> {
    let path = sysfs(device).join("device/vpd_pg80");
    let page = cx.read(&path)?.unwrap_or_default();
    Ok(parse_serial(&page).unwrap_or_default())
}

fn parse_serial(page: &[u8]) -> Option<String> {
    let (head, serial) = page.split_at_checked(4)?;
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let serial = (head[1] == 0x80).then(|| serial.get(..len))??;
    Some(String::from_utf8_lossy(serial).trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
}

/// How large the kernel sees a block device, in bytes.
pub(crate) fn size(cx: &Cx<'_>, device: &Path) -> Result<u64> {
    let path = sysfs(device).join("size");
    let sectors = cx.machine().text(&path)?.unwrap_or_default();
    let sectors: u64 =
        sectors.trim().parse().with_context(|| format!("reading {}: no number", path.display()))?;
    Ok(sectors * 512)
}

/// What the kernel says about a block device.
pub(crate) fn sysfs(device: &Path) -> PathBuf {
    Path::new("/sys/class/block").join(device.file_name().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_page_is_read_by_its_length() {
        assert_eq!(parse_serial(b"\0\x80\0\x06100123").as_deref(), Some("100123"));
        assert_eq!(parse_serial(b"\0\x80\0\x08100123  trailing").as_deref(), Some("100123"));
        for page in [&b""[..], b"\0\x80", b"\0\x83\0\x06100123", b"\0\x80\0\x20100123"] {
            assert_eq!(parse_serial(page), None);
        }
    }
}
