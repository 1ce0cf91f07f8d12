//! Machines: what a server runs as, behind one trait.
//!
//! [`Qemu`](qemu::Qemu) starts QEMU, [`Paper`](paper::Paper) keeps records only. All calls block; the cloud makes
//! them on threads of their own.

mod backup;
pub(crate) mod command;
pub(crate) mod files;
mod memory;
pub(crate) mod paper;
pub(crate) mod ports;
pub(crate) mod qemu;
mod qmp;

use crate::config::Architecture;
pub(crate) use files::Files;
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

/// A kernel that is booted directly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Boot {
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: Option<PathBuf>,
    pub(crate) cmdline: String,
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
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

/// The MAC address of a server's network card, the same at every start.
pub(crate) fn mac_address(server: u64) -> String {
    let [.., a, b, c, d] = server.to_be_bytes();
    format!("92:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// What machines of an architecture need on this machine: a program's name or a file's path, and the Debian package
/// that carries it.
pub fn host_packages(architecture: Architecture) -> &'static [(&'static str, &'static str)] {
    match architecture {
        Architecture::Arm => &[
            ("qemu-system-aarch64", "qemu-system-arm"),
            ("qemu-img", "qemu-utils"),
            ("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", "qemu-efi-aarch64"),
        ],
        Architecture::X86 => &[("qemu-system-x86_64", "qemu-system-x86"), ("qemu-img", "qemu-utils")],
    }
}

/// What runs machines. Every call may be repeated; a failure's message says what to do.
pub(crate) trait Hypervisor: Send + Sync {
    /// Makes a server's root disk from an image, in place of the one it may have.
    fn make_root(&self, server: u64, template: &Template) -> Result<(), Failure>;
    /// Makes a root disk larger, of a machine that is off.
    fn grow_root(&self, server: u64, bytes: u64) -> Result<(), Failure>;
    /// Copies the root disk as it is at one moment into a raw file, and the kernel from where it is to where it shall be.
    fn copy_root(&self, server: u64, disk: &Path, kernel: Option<(&Boot, &Boot)>) -> Result<(), Failure>;
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
