//! Machines: what a server runs as, behind one trait.
//!
//! [`Qemu`](qemu::Qemu) starts QEMU, [`Paper`](paper::Paper) keeps records only. All calls block; the cloud makes
//! them on threads of their own.

mod backup;
pub(crate) mod command;
mod memory;
pub(crate) mod paper;
pub(crate) mod ports;
pub(crate) mod qemu;
mod qmp;

use crate::cloud::state::{Boot, Failure, Image};
use crate::config::Architecture;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// A port that is forwarded from a server's address to its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Forward {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A volume as a machine sees it: a SCSI disk whose serial is the volume's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) volume: u64,
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
}

/// How a disk's content lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// As it is: a volume that was made here.
    Raw,
    /// As the difference from another file: a volume of a forked cloud.
    Qcow2,
}

impl Format {
    /// Its name in QEMU.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// What a disk is made from: it begins as the image's and is this large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) image: PathBuf,
    pub(crate) bytes: u64,
}

/// Everything a machine is started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) server: u64,
    pub(crate) architecture: Architecture,
    pub(crate) cores: u32,
    pub(crate) memory_mb: u32,
    /// The kernel of the system that is started.
    pub(crate) boot: Option<Boot>,
    /// The rescue system's disk, where that is started; it is made anew for every start.
    pub(crate) rescue: Option<Template>,
    pub(crate) volumes: Vec<Disk>,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) forwards: Vec<Forward>,
    /// The memory of the machine that was suspended, where it goes on from there.
    pub(crate) memory: Option<PathBuf>,
}

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

/// The MAC address of a server's network card, the same at every start.
pub(crate) fn mac_address(server: u64) -> String {
    let [.., a, b, c, d] = server.to_be_bytes();
    format!("92:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// What runs machines. Every call may be repeated; a failure's message says what to do.
pub(crate) trait Hypervisor: Send + Sync {
    /// Makes a server's root disk from an image, in place of the one it may have.
    fn make_root(&self, server: u64, template: &Template) -> Result<(), Failure>;
    /// Makes a root disk larger, of a machine that is off.
    fn grow_root(&self, server: u64, bytes: u64) -> Result<(), Failure>;
    /// Copies the root disk as it is at one moment, and the kernel it is booted with, into the image's files.
    fn copy_root(&self, server: u64, boot: Option<&Boot>, image: &Image) -> Result<(), Failure>;
    /// Whether the server has a root disk.
    fn has_root(&self, server: u64) -> bool;
    /// Starts a machine; the ports it is reached at must be free.
    fn start(&self, machine: &Machine) -> Result<(), Failure>;
    /// Stops a running machine for good and keeps its memory, so that it can go on from there.
    fn suspend(&self, server: u64) -> Result<(), Failure>;
    /// Whether the machine runs.
    fn runs(&self, server: u64) -> bool;
    /// Cuts the power and waits until the machine is gone.
    fn cut_power(&self, server: u64) -> Result<(), Failure>;
    /// Presses the reset button.
    fn reset(&self, server: u64) -> Result<(), Failure>;
    /// Presses the power button; what the system inside makes of it is its affair.
    fn press_power(&self, server: u64) -> Result<(), Failure>;
    /// Plugs a volume into a running machine.
    fn attach(&self, server: u64, disk: &Disk) -> Result<(), Failure>;
    /// Pulls a volume out of a running machine.
    fn detach(&self, server: u64, volume: u64) -> Result<(), Failure>;
    /// Makes one port of a running machine reachable.
    fn open_port(&self, server: u64, address: Ipv4Addr, forward: Forward) -> Result<(), Failure>;
    /// Makes one port of a running machine unreachable.
    fn close_port(&self, server: u64, address: Ipv4Addr, forward: Forward) -> Result<(), Failure>;
    /// Plugs a second network card into a running machine: a cable to this tap device.
    fn plug_tap(&self, server: u64, tap: &str) -> Result<(), Failure>;
    /// Pulls the second network card out of a running machine.
    fn unplug_tap(&self, server: u64) -> Result<(), Failure>;
    /// Removes what is left of a server's machine.
    fn remove(&self, server: u64) -> Result<(), Failure>;
    /// Makes or grows the file of a volume; `machine` runs with it, if one does.
    fn size_volume(&self, volume: u64, gigabytes: u64, machine: Option<u64>) -> Result<(), Failure>;
    /// Removes the file of a volume.
    fn remove_volume(&self, volume: u64) -> Result<(), Failure>;
}
