//! The volume was made bigger at the cloud: LUKS and the file system grow after it, while everything runs.
//!
//! Each of the three sizes is looked at by itself, so a power cut between the mapping and the file system leaves only
//! the file system to be grown by the next run. Nothing is ever made smaller.

use crate::access::slots;
use crate::run::Cx;
use crate::volume::Refusal;
use crate::volume::device::{size, sysfs};
use crate::volume::luks::{self, HEADER_SIZE};
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _};
use std::path::Path;
use std::time::Duration;

const GB: u64 = 1_000_000_000;
const GIB: u64 = 1 << 30;
/// LUKS is formatted with sectors of this size; ext4's blocks are as large.
const SECTOR: u64 = 4096;
/// mkfs and resize2fs leave a last block group out that is too small to be of use: so much may be missing.
const BLOCK_GROUP: u64 = 128 << 20;
/// How long the kernel may take to see that the disk has grown.
const NOTICE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(200);

/// Where the superblock of ext4 lies, and how long it is.
const SUPERBLOCK: (u64, usize) = (1024, 1024);

/// How large everything is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    /// The volume at the cloud, at least.
    ordered: u64,
    /// The disk, as the kernel sees it.
    disk: u64,
    /// The opened LUKS mapping.
    mapping: u64,
    /// The file system in it.
    file_system: u64,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Todo {
    /// The kernel has not noticed the new size.
    Rescan,
    /// LUKS does not use all of the disk.
    Mapping,
    /// The file system does not use all of the mapping.
    FileSystem,
    Nothing,
}

impl Sizes {
    /// What the disk has room for behind the header.
    fn room(&self) -> u64 {
        self.disk.saturating_sub(HEADER_SIZE) / SECTOR * SECTOR
    }

    fn todo(&self) -> Todo {
        if self.disk < self.ordered {
            Todo::Rescan
        } else if self.mapping < self.room() {
            Todo::Mapping
        } else if self.file_system + BLOCK_GROUP <= self.mapping {
            Todo::FileSystem
        } else {
            Todo::Nothing
        }
    }
}

/// Whether everything uses all there is. The volume is open.
pub(super) fn grown(cx: &Cx<'_>, device: &Path) -> Result<bool> {
    Ok(sizes(cx, device)?.todo() == Todo::Nothing)
}

/// Makes everything use all there is. The volume is open and mounted.
pub(super) fn grow(cx: &Cx<'_>, device: &Path) -> Result<()> {
    let mut before = None;
    loop {
        let sizes = sizes(cx, device)?;
        if sizes.file_system > sizes.room() {
            let (found, needed) = (sizes.disk, sizes.file_system + HEADER_SIZE);
            return Err(Refusal::Shrunk { device: device.into(), found, needed }.into());
        }
        let todo = sizes.todo();
        if before == Some(todo) {
            bail!(
                "growing the volume: {todo:?} was done and the sizes are still {sizes:?}; look at `dmesg` on the server"
            );
        }
        match todo {
            Todo::Nothing => return Ok(()),
            Todo::Rescan => rescan(cx, device, sizes.ordered)?,
            Todo::Mapping => {
                cx.say(format!("growing LUKS to {} bytes", sizes.room()))?;
                // The kernel holds the volume's key where cryptsetup cannot read it back, so it wants one that opens it.
                let cmd = Cmd::new("cryptsetup").args(["resize", "--batch-mode", "--key-file"]);
                let cmd = cmd.path(slots::authority(cx)?).arg(spec::paths::MAPPING);
                cx.run(&cmd).context("growing LUKS on the volume")?;
            }
            Todo::FileSystem => {
                cx.say(format!("growing the file system to {} bytes", sizes.mapping))?;
                cx.run(&Cmd::new("resize2fs").path(luks::mapping())).context("growing the file system")?;
            }
        }
        before = Some(todo);
    }
}

/// Has the kernel look at the disk's size again, where it has not noticed by itself.
fn rescan(cx: &Cx<'_>, device: &Path, ordered: u64) -> Result<()> {
    cx.machine().append(&sysfs(device).join("device/rescan"), b"1\n")?;
    let start = cx.machine().ticks();
    while size(cx, device)? < ordered {
        if cx.machine().ticks().saturating_sub(start) > NOTICE {
            bail!(
                "growing the volume: at the cloud it has at least {ordered} bytes, but the kernel sees {} on {}, \
                 even after it was told to look again; nothing was changed. Reboot the server, then try again",
                size(cx, device)?,
                device.display()
            );
        }
        cx.machine().sleep(POLL);
    }
    Ok(())
}

fn sizes(cx: &Cx<'_>, device: &Path) -> Result<Sizes> {
    let mapped = cx.machine().resolve(&luks::mapping())?.context("looking at the volume: it is not open")?;
    let superblock = cx.machine().read_at(&luks::mapping(), SUPERBLOCK.0, SUPERBLOCK.1)?;
    let file_system = file_system_size(&superblock);
    let disk = size(cx, device)?;
    Ok(Sizes {
        ordered: cx.spec.disk.size_gb * gigabyte(disk),
        disk,
        mapping: size(cx, &mapped)?,
        file_system: file_system
            .context("looking at the opened volume: there is no ext4 file system on it")?,
    })
}

/// What the cloud means by a gigabyte, told by a disk of its own: whole gigabytes of one kind are never whole ones of the
/// other, below two petabytes.
fn gigabyte(disk: u64) -> u64 {
    if disk.is_multiple_of(GIB) { GIB } else { GB }
}

/// The size an ext4 superblock states, in bytes.
fn file_system_size(superblock: &[u8]) -> Option<u64> {
    let number = |at: usize| Some(u32::from_le_bytes(superblock.get(at..at + 4)?.try_into().ok()?));
    let is_ext4 = superblock.get(56..58)? == [0x53, 0xef];
    // The upper half of the block count counts only where the feature `64bit` is on.
    let high = if number(96)? & 0x80 != 0 { u64::from(number(336)?) } else { 0 };
    let block = 1024_u64.checked_shl(number(24)?)?;
    is_ext4.then_some((high << 32 | u64::from(number(4)?)).checked_mul(block)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        ordered: 20 * GB,
        disk: 20 << 30,
        mapping: (20 << 30) - HEADER_SIZE,
        file_system: (20 << 30) - HEADER_SIZE,
    };

    #[test]
    fn one_thing_is_done_after_the_other() {
        assert_eq!(SIZES.todo(), Todo::Nothing);
        let file_system = 10 << 30;
        assert_eq!(Sizes { file_system, ..SIZES }.todo(), Todo::FileSystem);
        let mapping = (10 << 30) - HEADER_SIZE;
        assert_eq!(Sizes { file_system, mapping, ..SIZES }.todo(), Todo::Mapping);
        assert_eq!(Sizes { file_system, mapping, disk: 10 << 30, ..SIZES }.todo(), Todo::Rescan);
    }

    #[test]
    fn a_gigabyte_is_what_the_disk_is_made_of() {
        for size_gb in [10, 100, 105, 10_240] {
            assert_eq!((gigabyte(size_gb * GIB), gigabyte(size_gb * GB)), (GIB, GB), "{size_gb}");
        }
    }

    #[test]
    fn a_last_block_group_that_mkfs_left_out_is_not_missed() {
        let file_system = SIZES.mapping - BLOCK_GROUP + 1;
        assert_eq!(Sizes { file_system, ..SIZES }.todo(), Todo::Nothing);
        let mapping = SIZES.mapping + BLOCK_GROUP;
        assert_eq!(Sizes { mapping, disk: SIZES.disk + BLOCK_GROUP, ..SIZES }.todo(), Todo::FileSystem);
    }

    #[test]
    fn a_disk_that_does_not_end_on_a_sector_is_used_up_to_the_last_whole_one() {
        let disk = SIZES.disk + 512;
        assert_eq!(Sizes { disk, ..SIZES }.todo(), Todo::Nothing);
    }

    #[test]
    fn the_superblock_says_how_large_the_file_system_is() {
        let mut superblock = vec![0; 1024];
        assert_eq!(file_system_size(&superblock), None, "no ext4");
        superblock[56..58].copy_from_slice(&[0x53, 0xef]);
        superblock[4..8].copy_from_slice(&1000_u32.to_le_bytes());
        superblock[24] = 2;
        assert_eq!(file_system_size(&superblock), Some(4_096_000));
        superblock[336] = 1;
        assert_eq!(file_system_size(&superblock), Some(4_096_000), "without 64bit");
        superblock[96] = 0x80;
        assert_eq!(file_system_size(&superblock), Some(((1 << 32) + 1000) * 4096));
        superblock[24] = 64;
        assert_eq!(file_system_size(&superblock), None, "nonsense");
        assert_eq!(file_system_size(&superblock[..300]), None);
    }
}
