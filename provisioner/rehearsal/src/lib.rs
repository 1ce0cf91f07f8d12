//! A Hetzner-compatible cloud on this machine: the HTTP API over loopback, the metadata service, and servers that
//! are QEMU machines. Whatever speaks to Hetzner's API speaks to it, with its URL and token.
//!
//! The flow:
//!
//! 1. [`ensure_running`] finds the daemon of a state directory, or starts it: a copy of the caller's executable
//!    in a session of its own, which calls [`serve`]. A newer executable or configuration replaces the daemon;
//!    machines go on running and are found again.
//! 2. A request passes `api::middleware` (log, budget, token), `api::strikes` (faults on order) and, where the old form
//!    of the API is played, `api::legacy`. It reaches `api::resource`, which does what resources have in common and asks the
//!    resource's module in `api` for the rest.
//! 3. It changes `cloud::state` through `cloud::Cloud::change`: all of it or nothing, on disk before the reply.
//!    What takes time is an action with a `cloud::job::Job` in it, which `cloud::work` does and `cloud::complete` puts into the
//!    records; after a crash it is done again from its start. Time is `cloud::clock`'s, which is the real one or a virtual one.
//! 4. Jobs act on machines through the trait `machine::Hypervisor`, and the watch marks a server `off` whose
//!    machine has ended.
//! 5. A guest's connection to 169.254.169.254 becomes a process that calls [`relay`], which leads to the server's
//!    socket in `cloud::metadata`.
//! 6. [`suspend`] puts a cloud to sleep with its machines' memory, and [`fork`] makes clouds that go on from there.
//!
//! How it differs from Hetzner, on purpose:
//!
//! * A public IPv4 address is a loopback address, 127.77.a.b, and reaches the machine at the TCP and UDP ports that its
//!   firewalls let in from this machine; a range of more than 64 ports only at the usual ports in it.
//!   Without a firewall the ports are [`Config::open_ports`]. A port that somebody else has makes the start an error
//!   that says who.
//! * IPv6 addresses are records of the documentation range; nothing is reached at them.
//! * Machines get no more cores than this machine has, and memory and disk as [`Config`] bounds them.
//! * A reboot's action ends when the machine starts anew; Hetzner's when the signal is sent.
//! * A volume's `format` is recorded and not done; `out` rules of firewalls stop nothing.
//! * Zones are records that no name server answers with. What their registrar says is unknown until the operator stages it.
//!   Any domain with a dot in it can be one. Storage boxes are records without a host behind them; their prices and limits
//!   are estimates.
//! * Some of Hetzner's images, and two of its deprecated server types, are listed although no server can be made from them.
//! * The root disk is `/dev/vda`; volumes are SCSI disks with Hetzner's vendor, product and serial.
//! * The rescue system is the first system image on offer, on a throw-away disk `/dev/vdb` beside the server's own, with
//!   the name `rescue` and the keys that were asked for. Its root is that disk, or the partition that the image's
//!   `root=/dev/vda…` says: an image with partitions whose root is named otherwise, or that brings its own boot loader
//!   and finds its root by a label, may come up with the server's own disk. A reboot from inside starts it again;
//!   the API's reset, reboot and power actions start the server's own system.
//! * A server made from a snapshot boots the kernel of the image that the first server was made from.
//! * Backups are made only when asked for. Nothing listens at a console's URL, no root password is taken, there are no
//!   ISOs, and metrics are zero.
//!
//! Under `/_rehearsal/` is the operator's side, with the same token: bad days on order (see `cloud::faults`; forgotten
//! when the daemon ends), stock, limits, the clock, and what was asked. `docs/rehearsal-cloud.md` shows how to use it.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these panic where nobody reads any more; take `host::say`"
)]

mod api;
mod cloud;
mod config;
mod daemon;
mod error;
mod fork;
mod labels;
mod machine;
mod relay;

pub use config::{Architecture, Clock, Config, ImageSource, Machines, Profile};
pub use daemon::{Copied, Endpoint, Running, Stopped, ensure_running, find, serve, start, start_copy, stop};
pub use fork::{Power, fork, suspend};
pub use machine::host_packages;
pub use relay::relay;

use std::path::{Path, PathBuf};

/// Why the cloud cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program or file on this machine.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// Anything else, with what to do.
    #[error("{0}")]
    Said(String),
}

/// The file behind a volume: raw, or in QEMU's own format (`.qcow2`) where the cloud was forked from another.
/// Nobody else may write to it while its server runs.
pub fn volume_file(state_dir: &Path, volume: u64) -> PathBuf {
    machine::Files::new(state_dir).volume(volume).path
}

/// The image behind a server's root disk, in QEMU's own format. Nobody else may open it while its server runs.
pub fn root_disk_file(state_dir: &Path, server: u64) -> PathBuf {
    machine::Files::new(state_dir).root(server)
}
