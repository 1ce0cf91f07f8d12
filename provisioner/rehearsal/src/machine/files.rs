//! Where the files of machines, volumes and images lie, and how they are copied.

use super::{Disk, Format};
use host::{Cmd, Host as _, Local};
use std::path::{Path, PathBuf};

/// Where the files of machines and volumes are.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    state_dir: PathBuf,
}

impl Files {
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self { state_dir: state_dir.to_owned() }
    }

    pub(crate) fn server(&self, id: u64) -> PathBuf {
        self.state_dir.join(format!("servers/{id}"))
    }

    pub(crate) fn root(&self, id: u64) -> PathBuf {
        self.server(id).join("root.qcow2")
    }

    pub(crate) fn rescue(&self, id: u64) -> PathBuf {
        self.server(id).join("rescue.qcow2")
    }

    /// What a suspended machine had in its memory, in QEMU's migration stream.
    pub(crate) fn memory(&self, id: u64) -> PathBuf {
        self.server(id).join("memory")
    }

    pub(crate) fn console(&self, id: u64) -> PathBuf {
        self.server(id).join("console.log")
    }

    pub(crate) fn pid(&self, id: u64) -> PathBuf {
        self.server(id).join("qemu.pid")
    }

    /// Sockets lie in a directory of their own with short names: a socket's address has 108 bytes.
    pub(crate) fn qmp(&self, id: u64) -> PathBuf {
        self.state_dir.join(format!("run/{id}.qmp"))
    }

    pub(crate) fn metadata(&self, id: u64) -> PathBuf {
        self.state_dir.join(format!("run/{id}.md"))
    }

    /// A volume, by the file that is there; one that is yet to be made is raw.
    pub(crate) fn volume(&self, id: u64) -> Disk {
        let forked = self.forked_volume(id);
        if forked.exists() {
            return Disk { volume: id, path: forked, format: Format::Qcow2 };
        }
        Disk { volume: id, path: self.state_dir.join(format!("volumes/{id}.raw")), format: Format::Raw }
    }

    /// Where a volume lies that began as another cloud's.
    pub(crate) fn forked_volume(&self, id: u64) -> PathBuf {
        self.state_dir.join(format!("volumes/{id}.qcow2"))
    }

    /// The servers that have files.
    pub(crate) fn servers(&self) -> Vec<u64> {
        let entries = std::fs::read_dir(self.state_dir.join("servers")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    pub(crate) fn daemon(&self) -> PathBuf {
        self.state_dir.join("daemon")
    }
}

/// Makes the directory that a file is to lie in.
pub(crate) fn make_dir_of(path: &Path) -> Result<(), host::Error> {
    let Some(dir) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(dir).map_err(|e| host::Error::io("making", dir, e))
}

/// A second name for the file where that can be, else a copy that keeps its holes.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), host::Error> {
    let _ = std::fs::remove_file(to);
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let cmd = Cmd::new("cp").args(["--reflink=auto", "--sparse=always", "--"]).path(from).path(to);
    Local.run(&cmd).map(drop)
}
