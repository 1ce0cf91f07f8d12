//! The disk: one ext4 file system without a partition table, sparse, of the size the server will see.

use crate::{Arch, Error, Result};
use host::{Cmd, Host, Local};
use sha2::{Digest, Sha256};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Its size. At first boot nothing needs to grow unless the server's disk is larger.
const SIZE: u64 = 8 << 30;

/// The file system's id: of its inputs, so that the same inputs give the same bytes.
pub(crate) fn uuid(inputs: &str, purpose: &str) -> String {
    let hash = crate::files::hex(&Sha256::digest(format!("{purpose} {inputs}")));
    // Version and variant bits of a name-based (8, "custom") id.
    format!("{}-{}-8{}-8{}-{}", &hash[..8], &hash[8..12], &hash[13..16], &hash[17..20], &hash[20..32])
}

/// Writes the tree `root` as a file system to `disk`.
///
/// With the target release's own mke2fs from `tools`: it has sorted directories and clamped times, which older ones lack.
pub(crate) fn make(
    root: &Path,
    disk: &Path,
    tools: &Path,
    host_arch: Arch,
    inputs: &str,
    epoch: i64,
) -> Result<()> {
    let file = std::fs::File::create_new(disk).map_err(Error::io("making", disk))?;
    file.set_len(SIZE).map_err(Error::io("making", disk))?;
    let options = format!(
        "hash_seed={},root_owner=0:0,lazy_itable_init=1,lazy_journal_init=0",
        uuid(inputs, "hash seed")
    );
    let cmd = tool(tools, host_arch, "usr/sbin/mke2fs")
        // Not this machine's configuration: it would decide on the file system's features.
        .env("MKE2FS_CONFIG", root.join("etc/mke2fs.conf"))
        .args([
            "-q",
            "-t",
            "ext4",
            "-L",
            "root",
            "-m",
            "1",
            "-U",
            &uuid(inputs, "file system"),
            "-E",
            &options,
            "-d",
        ])
        .path(root)
        .path(disk)
        .env("SOURCE_DATE_EPOCH", epoch.to_string());
    Local.run(&cmd)?;
    Ok(())
}

/// A hash that is the same for the same content and does not read eight gigabytes of nothing: over every block that is
/// not all zero, each after its number.
pub(crate) fn sha256_of_blocks(disk: &Path) -> Result<String> {
    const BLOCK: usize = 4096;
    let failed = |e| Error::io("reading", disk)(e);
    let file = std::fs::File::open(disk).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut block = [0; BLOCK];
    let mut at = 0;
    // Past the last data there is ENXIO.
    while let Ok(data) = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
        let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(data)).map_err(|e| failed(e.into()))?;
        let (first, last) = (data / BLOCK as u64, hole.div_ceil(BLOCK as u64));
        for number in first..last {
            let n = file.read_at(&mut block, number * BLOCK as u64).map_err(failed)?;
            if block[..n].iter().any(|&byte| byte != 0) {
                hash.update(number.to_le_bytes());
                hash.update(&block[..n]);
            }
        }
        at = last * BLOCK as u64;
    }
    Ok(crate::files::hex(&hash.finalize()))
}

/// A program of the unpacked tools, by their own loader and libraries: no need to enter their root.
fn tool(tools: &Path, arch: Arch, program: &str) -> Cmd {
    Cmd::new(tools.join(arch.loader()))
        .arg("--library-path")
        .path(tools.join("usr/lib").join(arch.library_directory()))
        .path(tools.join(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_and_zeros_hash_alike_and_places_count() {
        let dir = tempfile::tempdir().unwrap();
        let disk = |name: &str, writes: &[(u64, &[u8])]| {
            let path = dir.path().join(name);
            let file = std::fs::File::create(&path).unwrap();
            file.set_len(1 << 20).unwrap();
            writes.iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at).unwrap());
            sha256_of_blocks(&path).unwrap()
        };
        let a = disk("a", &[(8192, b"x")]);
        assert_eq!(a, disk("b", &[(8192, b"x"), (16384, &[0; 4096])]));
        assert_ne!(a, disk("c", &[(4096, b"x")]));
    }

    #[test]
    fn a_uuid_has_the_form_and_depends_on_the_inputs() {
        let a = uuid("x", "file system");
        assert_eq!(a.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(a, uuid("x", "file system"));
        assert_ne!(a, uuid("y", "file system"));
        assert_ne!(a, uuid("x", "hash seed"));
    }
}
