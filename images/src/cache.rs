//! The cache: every result in a directory named by the hash of its inputs, there in whole or not at all.

use crate::{Error, Report, Result, files};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Raised when a change in this crate's code changes what the same inputs give.
const BUILDER: &str = "1";
/// Where in the cache the results are.
const IMAGES: &str = "images";
/// A directory with this ending is being filled, or was when its build was killed.
const UNFINISHED: &str = ".building";

/// Makes the cache directory, and its path absolute: programs are given it that run in directories of their own.
pub(crate) fn open(directory: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(directory).map_err(Error::io("looking at", directory))?;
    files::make_dir(&absolute)?;
    Ok(absolute)
}

/// The directories of all results, in order.
pub(crate) fn entries(cache: &Path) -> Result<Vec<PathBuf>> {
    let images = cache.join(IMAGES);
    let mut all = if images.is_dir() { files::sorted(&images)? } else { Vec::new() };
    all.retain(|entry| entry.is_dir() && !is_unfinished(entry));
    Ok(all)
}

fn is_unfinished(entry: &Path) -> bool {
    entry.to_string_lossy().ends_with(UNFINISHED)
}

/// The hash of a result's inputs.
pub(crate) fn key(inputs: &[String]) -> String {
    let mut hash = Sha256::new();
    // With its length before each, so that no two lists of inputs run into the same bytes.
    for input in std::iter::once(BUILDER).chain(inputs.iter().map(String::as_str)) {
        hash.update(input.len().to_le_bytes());
        hash.update(input);
    }
    files::hex(&hash.finalize())
}

/// A result that may be there already.
pub(crate) struct Entry<'a> {
    pub(crate) cache: &'a Path,
    /// What it is, for its name and for messages.
    pub(crate) name: &'a str,
    pub(crate) key: &'a str,
    /// What building it takes, in MiB.
    pub(crate) needs: u64,
}

impl Entry<'_> {
    fn directory(&self) -> PathBuf {
        self.cache.join(IMAGES).join(format!("{}-{}", self.name, &self.key[..16]))
    }

    /// Whether the result is there.
    pub(crate) fn is_built(&self) -> bool {
        self.directory().is_dir()
    }

    /// The result's directory, and whether it was there. Otherwise `build` fills an empty one, which then takes its name.
    pub(crate) fn get(
        &self,
        report: &dyn Report,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<(PathBuf, bool)> {
        let done = self.directory();
        if done.is_dir() {
            return Ok((done, true));
        }
        let _lock = self.lock(report)?;
        if done.is_dir() {
            return Ok((done, true));
        }
        self.sweep();
        self.check_space()?;
        let building = done.with_extension(format!("{}{UNFINISHED}", std::process::id()));
        files::make_dir(&building)?;
        let built = build(&building).and_then(|()| {
            // Renamed only when its content is on the disk: after a power cut the name is a promise.
            let directory = std::fs::File::open(&building).map_err(Error::io("opening", &building))?;
            rustix::fs::syncfs(&directory).map_err(|e| Error::io("syncing", &building)(e.into()))?;
            std::fs::rename(&building, &done).map_err(Error::io("renaming", &building))
        });
        if let Err(error) = built {
            // The first error is the one that matters; the next build sweeps again.
            let _ = files::remove(&building);
            return Err(error);
        }
        Ok((done, false))
    }

    /// One build at a time: two would take twice the memory and processor, and most likely build the same.
    fn lock(&self, report: &dyn Report) -> Result<host::files::Lock> {
        let path = self.cache.join(IMAGES).join("lock");
        let mut told = false;
        loop {
            if let Some(lock) = host::files::try_lock(&path)? {
                return Ok(lock);
            }
            if !told {
                report.stage("waiting for another image build to end");
                told = true;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Removes what a killed build left. The lock is ours, so none of it is in use.
    fn sweep(&self) {
        for path in files::sorted(&self.cache.join(IMAGES)).unwrap_or_default() {
            if is_unfinished(&path) {
                // What cannot be removed now (a last process still writes there) is in nobody's way.
                let _ = files::remove(&path);
            }
        }
    }

    fn check_space(&self) -> Result<()> {
        let stat =
            rustix::fs::statvfs(self.cache).map_err(|e| Error::io("looking at", self.cache)(e.into()))?;
        let have = (stat.f_bavail * stat.f_frsize) >> 20;
        if have >= self.needs {
            return Ok(());
        }
        Err(Error::NoSpace {
            what: self.name.to_owned(),
            directory: self.cache.to_owned(),
            have,
            need: self.needs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;

    fn entry(cache: &Path) -> Entry<'_> {
        Entry { cache, name: "thing", key: "0123456789abcdef0123", needs: 1 }
    }

    #[test]
    fn the_key_depends_on_every_input_and_on_where_one_ends() {
        let key = |inputs: &[&str]| super::key(&inputs.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
        assert_ne!(key(&["a", "b"]), key(&["ab"]));
        assert_ne!(key(&["a", "b"]), key(&["b", "a"]));
    }

    #[test]
    fn a_result_is_built_once_and_in_whole() {
        let dir = tempfile::tempdir().unwrap();
        let build = |path: &Path| files::write(&path.join("file"), "x", 0o644);
        let (path, cached) = entry(dir.path()).get(&Silent, build).unwrap();
        assert!(!cached && path.join("file").exists());
        let (_, cached) = entry(dir.path()).get(&Silent, |_| panic!("built again")).unwrap();
        assert!(cached);
    }

    #[test]
    fn a_failed_or_killed_build_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let killed = dir.path().join("images/thing-0123456789abcdef.1.building");
        files::write(&killed.join("half"), "", 0o600).unwrap();
        let failing = |path: &Path| {
            files::write(&path.join("half"), "", 0o600)?;
            Err(Error::Refused { doing: "testing".into(), why: "so".into(), help: "none".into() })
        };
        assert!(entry(dir.path()).get(&Silent, failing).is_err());
        let left: Vec<_> = files::sorted(&dir.path().join("images")).unwrap();
        assert_eq!(left, [dir.path().join("images/lock")]);
    }

    #[test]
    fn too_little_space_is_said_before_anything_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let entry = Entry { needs: u64::MAX >> 20, ..entry(dir.path()) };
        let error = entry.get(&Silent, |_| panic!("built")).unwrap_err().to_string();
        assert!(error.contains("MiB free") && error.contains("SOVEREIGN_CACHE"), "{error}");
    }
}
