//! This machine: the kernel and the file system as they are.

use super::{Kind, Machine, Stat, Work, digest};
use host::{Cmd, Error, Host, Local, Output};
use rustix::fs::{Gid, Mode, Uid};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long the container engine may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// The nice value of what gives way.
const SECOND_LANE: i32 = 5;

/// This machine.
#[derive(Debug, Clone, Copy)]
pub struct Here {
    start: Instant,
}

impl Here {
    /// This machine, its clock at zero.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for Here {
    fn default() -> Self {
        Self::new()
    }
}

impl Host for Here {
    fn probe(&self, cmd: &Cmd) -> Result<Output, Error> {
        Local.probe(cmd)
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        Local.read(path)
    }

    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        Local.write(path, content, mode)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        Local.remove(path)
    }
}

impl Machine for Here {
    fn firstboot(&self) -> Result<String, Error> {
        let binary = host::files::read(Path::new("/proc/self/exe"))?.unwrap_or_default();
        Ok(format!("{} {}", env!("CARGO_PKG_VERSION"), digest::sha256(&binary)))
    }

    fn has_program(&self, name: &str) -> bool {
        host::find_program(name).is_ok()
    }

    fn stat(&self, path: &Path) -> Result<Option<Stat>, Error> {
        let found = match std::fs::metadata(path) {
            Ok(found) => found,
            Err(e) if missing(&e) => return Ok(None),
            Err(e) => return Err(Error::io("looking at", path, e)),
        };
        let file = found.file_type();
        let kind = if file.is_file() {
            Kind::File
        } else if file.is_dir() {
            Kind::Directory
        } else if file.is_block_device() {
            Kind::Block
        } else {
            Kind::Other
        };
        let mode = found.mode() & 0o7777;
        Ok(Some(Stat { kind, mode, uid: found.uid(), gid: found.gid(), len: found.len() }))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, Error> {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if missing(&e) => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("listing", dir, e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("listing", dir, e))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn resolve(&self, path: &Path) -> Result<Option<PathBuf>, Error> {
        match std::fs::canonicalize(path) {
            Ok(path) => Ok(Some(path)),
            Err(e) if missing(&e) => Ok(None),
            Err(e) => Err(Error::io("following", path, e)),
        }
    }

    fn free(&self, path: &Path) -> Result<u64, Error> {
        let found = rustix::fs::statvfs(path)
            .map_err(|e| Error::io("asking for the free space of", path, e.into()))?;
        Ok(found.f_bfree.saturating_mul(found.f_frsize))
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; len];
        let read = || {
            let mut file = std::fs::File::open(path)?;
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(&mut bytes)
        };
        let mut read = read;
        read().map_err(|e| Error::io("reading", path, e))?;
        Ok(bytes)
    }

    fn make_dir(&self, dir: &Path, mode: u32, uid: u32, gid: u32) -> Result<(), Error> {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("making", dir, e))?;
        self.chown(dir, uid, gid)?;
        rustix::fs::chmod(dir, Mode::from(mode)).map_err(|e| Error::io("setting the mode of", dir, e.into()))
    }

    fn chown(&self, path: &Path, uid: u32, gid: u32) -> Result<(), Error> {
        rustix::fs::chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(|e| Error::io("setting the owner of", path, e.into()))
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|e| Error::io("making", dir, e))?;
        }
        let file = std::fs::File::options().append(true).create(true).open(path);
        file.and_then(|mut f| f.write_all(bytes)).map_err(|e| Error::io("writing", path, e))
    }

    fn sync(&self, path: &Path) -> Result<(), Error> {
        std::fs::File::open(path).and_then(|f| f.sync_data()).map_err(|e| Error::io("syncing", path, e))
    }

    fn sync_all(&self) {
        rustix::fs::sync();
    }

    fn shred(&self, path: &Path) -> Result<(), Error> {
        let Some(found) = self.stat(path)? else { return Ok(()) };
        let overwrite = || {
            rustix::fs::chmod(path, Mode::from(0o600))?;
            let mut file = std::fs::File::options().write(true).open(path)?;
            file.write_all(&vec![0; usize::try_from(found.len).unwrap_or(0)])?;
            file.sync_all()
        };
        overwrite().map_err(|e| Error::io("overwriting", path, e))?;
        self.remove(path)?;
        path.parent().map_or(Ok(()), host::files::sync_directory)
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            filled += rustix::rand::getrandom(&mut buffer[filled..], rustix::rand::GetRandomFlags::empty())
                .map_err(|e| Error::io("reading", "the kernel's random generator", e.into()))?;
        }
        Ok(())
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn ticks(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn ask(&self, socket: &Path, path: &str) -> Result<Option<(u16, Vec<u8>)>, Error> {
        let failed = |e| Error::io("asking", socket, e);
        let mut stream = match UnixStream::connect(socket) {
            Ok(stream) => stream,
            Err(e) if missing(&e) || e.kind() == ErrorKind::ConnectionRefused => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        stream.set_read_timeout(Some(ANSWER)).map_err(failed)?;
        // HTTP/1.0: the answer is not chunked and ends with the connection.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").map_err(failed)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(failed)?;
        let parsed = parse_answer(&answer);
        parsed.map(Some).ok_or_else(|| failed(std::io::Error::other("the answer is not HTTP, or cut short")))
    }

    fn side_by_side(&self, first: Work<'_>, second: Work<'_>) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Linux counts a thread as a process here, and what it starts inherits it. Without it nothing is lost but time.
                let _ = rustix::process::setpriority_process(None, SECOND_LANE);
                second();
            });
            first();
        });
    }
}

fn parse_answer(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let body = &answer[end + 4..];
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse())
    });
    let whole = length.is_none_or(|length| length == Ok(body.len()));
    whole.then(|| (status, body.to_vec()))
}

fn missing(e: &std::io::Error) -> bool {
    matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_split_into_status_and_body() {
        let answer = b"HTTP/1.0 404 Not Found\r\nContent-Type: x\r\n\r\n{\"a\":1}";
        assert_eq!(parse_answer(answer), Some((404, b"{\"a\":1}".to_vec())));
        assert_eq!(parse_answer(b"nonsense"), None);
    }

    #[test]
    fn an_answer_cut_short_anywhere_is_none() {
        let answer = b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
        assert_eq!(parse_answer(answer), Some((200, b"{\"a\":1}".to_vec())));
        for cut in 0..answer.len() {
            assert_eq!(parse_answer(&answer[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn nobody_listening_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Here::new().ask(&dir.path().join("none.sock"), "/").unwrap(), None);
    }

    #[test]
    fn a_file_system_says_how_much_is_free_and_one_that_is_not_there_is_an_error() {
        assert!(Here::new().free(Path::new("/")).unwrap() > 0);
        assert!(Here::new().free(Path::new("/no/such/place")).is_err());
    }

    #[test]
    fn a_shredded_file_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        Here::new().write(&path, b"secret", 0o400).unwrap();
        Here::new().shred(&path).unwrap();
        Here::new().shred(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn reading_past_the_end_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("short");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(Here::new().read_at(&path, 1, 3).unwrap(), b"234");
        assert!(Here::new().read_at(&path, 3, 3).is_err());
    }
}
