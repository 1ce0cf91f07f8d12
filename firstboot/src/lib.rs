//! What runs on the server: it turns a fresh machine into what the node spec says, in order, resumably.
//!
//! [`flow::boot::run`] is the table of contents. Each step looks first, acts if needed, and must hold afterwards
//! ([`run::step`]); a receipt is written after each, an event for everything worth knowing.
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
//! There is no undo: a run that fails or is cut off anywhere is run again, and converges. What is left to do,
//! `steps::pending` says to whoever asks.
//!
//! The folders stand on one another; each takes only from those below it:
//!
//! | folder | what it is |
//! | --- | --- |
//! | [`cli`] | the way in: one line a command |
//! | [`flow`], [`audit`], `upkeep` | what is asked for: set the server up, look at all of it, keep it current |
//! | [`steps`] | what must hold on the server, one after the other |
//! | [`access`] | who may open or close what: keys, keyslots, the escrow, gates |
//! | [`volume`] | the disk that all data lies on |
//! | `system` | the operating system: files we write and whose edits we see, units, packages |
//! | [`run`] | one run: its context, receipt and events, and how a step is run |
//! | [`machine`] | the machine itself |

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these panic where nobody reads any more; take `host::say`"
)]

pub mod access;
pub mod audit;
pub mod cli;
pub mod flow;
pub mod machine;
pub mod run;
pub mod steps;
mod system;
mod upkeep;
pub mod volume;

pub use flow::alone::stacks_alone;

#[cfg(test)]
mod testing;
