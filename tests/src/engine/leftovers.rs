//! Where an engine keeps what does not lie in memory, and what a killed program left of others.
//!
//! The kernel ends processes, mounts and networks with the program itself. What it leaves are a folder and control groups, both
//! of one name; who starts an engine next removes those whose lock nobody holds.

use anyhow::{Context as _, Result, bail};
use host::files::{Lock, try_lock};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const FOLDERS: &str = "/var/tmp";
const PREFIX: &str = "sovereign-engine-";
const GROUPS: &str = "/sys/fs/cgroup";
/// How long a group's last process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Place {
    // Dropped in this order.
    groups: Groups,
    folder: TempDir,
    _lock: Lock,
}

impl Place {
    /// A new one; what nobody uses any more is removed first.
    pub(super) fn make() -> Result<Self> {
        // Only who holds this makes or removes one, so no folder is ever seen without its lock.
        let gate = crate::cache()?.join("engines.lock");
        let _gate = loop {
            match try_lock(&gate)? {
                Some(lock) => break lock,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        sweep()?;
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(FOLDERS);
        let folder = folder.context("making an engine's folder")?;
        let lock = try_lock(&folder.path().join("lock"))?.context("locking an engine's folder")?;
        let name = folder.path().file_name().context("a folder without a name")?;
        Ok(Self { groups: Groups(name.to_string_lossy().into_owned()), folder, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn name(&self) -> &str {
        &self.groups.0
    }
}

/// Removes what is left of engines whose programs are gone.
fn sweep() -> Result<()> {
    for entry in std::fs::read_dir(FOLDERS).context("looking for engines that are left")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(PREFIX)
            && let Some(_lock) = try_lock(&path.join("lock"))?
        {
            drop(Groups(name));
            std::fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// The control groups of an engine's containers, in each hierarchy there is. Dropped, they are removed.
struct Groups(String);

impl Drop for Groups {
    fn drop(&mut self) {
        let hierarchies = std::fs::read_dir(GROUPS).into_iter().flatten().flatten().map(|entry| entry.path());
        for hierarchy in hierarchies.chain([PathBuf::from(GROUPS)]) {
            if let Err(error) = remove(&hierarchy.join(&self.0)) {
                eprintln!("removing an engine's control groups: {error:#}");
            }
        }
    }
}

/// A group and all below it. Nothing is in them any more, but the kernel may not have noticed yet.
fn remove(group: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(group) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        remove(&entry.path())?;
    }
    let start = Instant::now();
    loop {
        match std::fs::remove_dir(group) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy && start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => bail!("{}: {error}", group.display()),
            Ok(()) => return Ok(()),
        }
    }
}
