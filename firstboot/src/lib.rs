//! What runs on the server: it turns a fresh machine into what the node spec says, in order, resumably.
//!
//! [`boot::run`] is the table of contents. Each step looks first, acts if needed, and must hold afterwards
//! ([`step`]); a receipt is written after each, an event for everything worth knowing.
//!
//! * [`preflight`](steps::preflight): the right server, with the programs that the first steps run.
//! * [`identity`](steps::identity): the lasting ssh host key; *gate*: it is pinned.
//! * Side by side (`lanes`):
//!   * [`secrets`](steps::secrets): drawn in memory; [`disk`](steps::disk): LUKS2 on the volume, and the secrets on it;
//!   * [`packages`](steps::packages): the programs that the other steps run; [`firewall`](steps::firewall): closed; *gate*: a
//!     fresh connection came through.
//! * Side by side, once these are done:
//!   * [`escrow`](steps::escrow): sealed; *gate*: it is off the server;
//!   * [`docker`](steps::docker): hardened, its data on the volume, and [`images`](steps::images): pulled by digest;
//!   * [`harden`](steps::harden): the host itself, sshd last; *gate*: a fresh connection came through.
//! * [`stacks`](steps::stacks): started, now that all these are done, and healthy.
//! * [`vpn`](steps::vpn): in its own private network, the devices' keys escrowed; *gate*: they are off the server.
//! * [`verify`](steps::verify): everything looked at once more.
//! * [`finish`](steps::finish): the bootstrap key is revoked; from now on nothing is pending.
//!
//! There is no undo: a run that fails or is cut off anywhere is run again, and converges. What is left to do, `phase` says to
//! whoever asks. [`cli`] is the way in.

pub mod audit;
pub mod boot;
pub mod cli;
mod clock;
mod closing;
mod cx;
mod engine;
mod events;
mod follow;
mod gate;
mod help;
mod install;
mod keys;
mod lanes;
pub mod machine;
mod managed;
mod phase;
mod room;
mod status;
pub mod step;
pub mod steps;
mod unattended;
mod units;
mod unlock;
mod untold;
mod words;

#[cfg(test)]
mod testing;

pub use cx::Cx;
pub use gate::acknowledge;

/// The volume is locked and its key is not on this server.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("opening the volume: it is locked and its key is not here; run `cargo xtask unlock`")]
pub struct Locked;
