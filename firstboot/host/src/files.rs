//! Files are written whole or not at all.

use crate::Error;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Writes a whole file or nothing, durably: a temporary name beside it, fsync, rename, fsync of the directory.
/// The temporary file has the final mode from its first byte on, so a 0400 secret is never readable in between.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_directories(dir)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.{}.part", std::process::id()));
    let result = write_and_rename(&temporary, path, content, mode);
    if result.is_err() {
        // The error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
    }
    result?;
    sync_directory(dir)
}

fn write_and_rename(temporary: &Path, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let failed = |e: std::io::Error| Error::io("writing", path, e);
    let _ = std::fs::remove_file(temporary);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(temporary, flags, Mode::from(mode)).map_err(|e| failed(e.into()))?;
    // The umask must not decide who may read.
    rustix::fs::fchmod(&fd, Mode::from(mode)).map_err(|e| failed(e.into()))?;
    let mut file = File::from(fd);
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(temporary, path).map_err(failed)
}

/// Makes a directory and those above it that are missing, with mode 0755 whatever the umask says: another user's
/// daemon may have to read what is put there. One that is there is left as it is.
fn make_directories(dir: &Path) -> Result<(), Error> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    if let Some(above) = dir.parent() {
        make_directories(above)?;
    }
    match std::fs::create_dir(dir) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(()),
        made => made.map_err(|e| Error::io("making", dir, e))?,
    }
    rustix::fs::chmod(dir, Mode::from(0o755)).map_err(|e| Error::io("making", dir, e.into()))?;
    dir.parent().filter(|above| !above.as_os_str().is_empty()).map_or(Ok(()), sync_directory)
}

/// Makes a directory's entries durable.
pub fn sync_directory(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| Error::io("syncing", dir, e))
}

/// The bytes of a file, or `None` when there is none.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("reading", path, e)),
    }
}

/// Removes a file; one that is not there is fine.
pub fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("removing", path, e)),
        _ => Ok(()),
    }
}

/// A lock on a file, held until dropped; the kernel drops it when the process dies, so it is never stale.
pub struct Lock(OwnedFd);

impl Drop for Lock {
    /// Unlocked by word: a child that is just being started may still have the descriptor, and would keep the lock.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, rustix::fs::FlockOperation::Unlock);
    }
}

/// Takes the lock at `path`, or gives `None` when another process holds it. The holder's process id is in the file.
pub fn try_lock(path: &Path) -> Result<Option<Lock>, Error> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("making", dir, e))?;
    }
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|e| Error::io("opening", path, e))?;
    match rustix::fs::flock(file.as_fd(), rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(e) => return Err(Error::io("locking", path, e.into())),
    }
    file.set_len(0).map_err(|e| Error::io("writing", path, e))?;
    writeln!(&file, "{}", std::process::id()).map_err(|e| Error::io("writing", path, e))?;
    Ok(Some(Lock(file.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_write_replaces_whole_and_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.txt");
        write(&path, b"one", 0o644).unwrap();
        write(&path, b"two", 0o400).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o400);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn directories_made_on_the_way_can_be_read_whatever_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let before = rustix::process::umask(Mode::from(0o077));
        let written = write(&dir.path().join("a/b/c"), b"", 0o644);
        rustix::process::umask(before);
        written.unwrap();
        for made in ["a", "a/b"] {
            assert_eq!(dir.path().join(made).metadata().unwrap().permissions().mode() & 0o777, 0o755);
        }
    }

    #[test]
    fn a_write_that_cannot_be_done_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("target");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("inside"), b"kept").unwrap();
        assert!(write(&path, b"new", 0o644).is_err());
        assert_eq!(std::fs::read(path.join("inside")).unwrap(), b"kept");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_lock_is_exclusive_and_free_again_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = try_lock(&path).unwrap();
        assert!(held.is_some());
        assert!(try_lock(&path).unwrap().is_none());
        drop(held);
        let held = try_lock(&path).unwrap().unwrap();
        let inherited = held.0.try_clone().unwrap();
        drop(held);
        assert!(try_lock(&path).unwrap().is_some(), "a descriptor that was inherited keeps the lock");
        drop(inherited);
    }
}
