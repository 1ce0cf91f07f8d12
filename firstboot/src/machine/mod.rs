//! The machine that is set up, and what may be asked of it beyond programs and whole files: devices, ownership, time,
//! randomness. It knows nothing of what it is set up for.
//!
//! Everything above is written against the trait [`Machine`]; [`Here`] is the one that a server is, and tests have another.

pub(crate) mod clock;
pub(crate) mod digest;
pub(crate) mod free_space;
mod here;
pub(crate) mod passphrase;
pub(crate) mod random;

pub use here::Here;

use host::{Error, Host};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What kind of file a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A block device.
    Block,
    /// Anything else.
    Other,
}

/// What a path names, following links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its length in bytes.
    pub len: u64,
}

/// A [`Host`] that is the server itself. Steps that run side by side share it.
pub trait Machine: Host + Send + Sync {
    /// Which firstboot this is: its version and the SHA-256 of its binary.
    fn firstboot(&self) -> Result<String, Error>;
    /// Whether a program is installed.
    fn has_program(&self, name: &str) -> bool;
    /// What a path names, or `None` when there is nothing.
    fn stat(&self, path: &Path) -> Result<Option<Stat>, Error>;
    /// The names in a directory, sorted; none when it is not there.
    fn list(&self, dir: &Path) -> Result<Vec<String>, Error>;
    /// Where a path leads once all links are followed, or `None` when it leads nowhere.
    fn resolve(&self, path: &Path) -> Result<Option<PathBuf>, Error>;
    /// The bytes that are free on the file system a path lies on, root's reserve among them.
    fn free(&self, path: &Path) -> Result<u64, Error>;
    /// Exactly these bytes of a file or device.
    fn read_at(&self, path: &Path, offset: u64, len: usize) -> Result<Vec<u8>, Error>;
    /// Makes a directory with this owner and mode, whatever it was before.
    fn make_dir(&self, dir: &Path, mode: u32, uid: u32, gid: u32) -> Result<(), Error>;
    /// Gives a file to someone.
    fn chown(&self, path: &Path, uid: u32, gid: u32) -> Result<(), Error>;
    /// Adds to the end of a file.
    fn append(&self, path: &Path, bytes: &[u8]) -> Result<(), Error>;
    /// Makes durable what was added to a file.
    fn sync(&self, path: &Path) -> Result<(), Error>;
    /// Makes durable all that any program wrote, on every file system.
    fn sync_all(&self);
    /// Overwrites a file with zeros, then removes it; one that is not there is fine.
    fn shred(&self, path: &Path) -> Result<(), Error>;
    /// Fills a buffer from the kernel's random generator.
    fn random(&self, buffer: &mut [u8]) -> Result<(), Error>;
    /// The wall clock.
    fn now(&self) -> SystemTime;
    /// A clock that only goes forward.
    fn ticks(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
    /// GET over HTTP on a Unix socket: status and body, or `None` when nobody listens there.
    fn ask(&self, socket: &Path, path: &str) -> Result<Option<(u16, Vec<u8>)>, Error>;
    /// Does two pieces of work at the same time and ends when both have. Where processors are few the second gives way.
    fn side_by_side(&self, first: Work<'_>, second: Work<'_>);
}

/// Something that can be done on a thread of its own.
pub type Work<'w> = Box<dyn FnOnce() + Send + 'w>;

impl dyn Machine + '_ {
    /// A small file as text, or `None` when there is none.
    pub fn text(&self, path: impl AsRef<Path>) -> Result<Option<String>, Error> {
        let bytes = self.read(path.as_ref())?;
        Ok(bytes.map(|b| String::from_utf8_lossy(&b).into_owned()))
    }

    /// Whether a path names something.
    pub fn exists(&self, path: impl AsRef<Path>) -> Result<bool, Error> {
        Ok(self.stat(path.as_ref())?.is_some())
    }
}
