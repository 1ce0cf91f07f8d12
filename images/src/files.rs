//! Walking a root and touching its files, with the path in every error.

use crate::{Error, Result};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use sha2::{Digest, Sha256};
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Every file, link and directory below `root`, directories before what is in them, names in byte order.
pub(crate) fn walk(root: &Path, visit: &mut dyn FnMut(&Path, &Metadata) -> Result<()>) -> Result<()> {
    for path in sorted(root)? {
        let metadata = path.symlink_metadata().map_err(Error::io("reading", &path))?;
        visit(&path, &metadata)?;
        if metadata.is_dir() {
            walk(&path, visit)?;
        }
    }
    Ok(())
}

/// A directory's entries in byte order.
pub(crate) fn sorted(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect());
    let mut entries: Vec<PathBuf> = entries.map_err(Error::io("reading", dir))?;
    entries.sort();
    Ok(entries)
}

/// Removes a file, a link or a whole directory; nothing there is fine.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let done = match path.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    done.map_err(Error::io("removing", path))
}

/// Makes a directory and those above it.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::io("making", path))
}

/// Writes a file of a root that is being made: no durability needed, the whole root is thrown away on failure.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    if let Some(dir) = path.parent() {
        make_dir(dir)?;
    }
    fs::write(path, content).map_err(Error::io("writing", path))?;
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).map_err(Error::io("writing", path))
}

/// Makes a symbolic link, in place of whatever is there.
pub(crate) fn link(path: &Path, target: &str) -> Result<()> {
    remove(path)?;
    if let Some(dir) = path.parent() {
        make_dir(dir)?;
    }
    std::os::unix::fs::symlink(target, path).map_err(Error::io("linking", path))
}

/// The text of a file.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::io("reading", path))
}

/// Brings every time of change down to `epoch`, and every directory's to it: a directory's own time tells in which
/// order files came into it. The times of access follow; else they would tell when the build read a file.
pub(crate) fn clamp_times(root: &Path, epoch: i64) -> Result<()> {
    walk(root, &mut |path, metadata| {
        set_time(path, if metadata.is_dir() { epoch } else { metadata.mtime().min(epoch) })
    })?;
    set_time(root, epoch)
}

/// Sets a file's, a link's or a directory's times.
fn set_time(path: &Path, seconds: i64) -> Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| Error::io("setting the time of", path)(e.into()))
}

/// Gives `to` the owner, mode and time of `from`.
pub(crate) fn copy_metadata(from: &Metadata, to: &Path) -> Result<()> {
    let failed = Error::io("setting the owner of", to);
    std::os::unix::fs::lchown(to, Some(from.uid()), Some(from.gid())).map_err(failed)?;
    if !from.is_symlink() {
        fs::set_permissions(to, PermissionsExt::from_mode(from.mode() & 0o7777))
            .map_err(Error::io("setting the mode of", to))?;
    }
    set_time(to, from.mtime())
}

/// A file's SHA-256, in hex.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).map_err(Error::io("reading", path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(Error::io("reading", path))?;
        if n == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..n]);
    }
}

/// Bytes in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs `work` on every item, as many at a time as there are processors; results in the items' order.
pub(crate) fn parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut results: Vec<(usize, Result<R>)> = std::thread::scope(|scope| {
        let run = || {
            let mut mine = Vec::new();
            loop {
                let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(item) = items.get(i) else { return mine };
                mine.push((i, work(item)));
            }
        };
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(run)).collect();
        // A worker that panicked has found a bug: let it be seen.
        handles.into_iter().flat_map(|h| h.join().unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
    });
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}
