//! The contract between the operator's side and the server's: what is asked for, what was done, what happens.
//!
//! * [`NodeSpec`] travels to the server: who it is, which volume is its own, who may open the escrow,
//!   which ports are open, which stacks run. It holds no secret.
//! * [`Receipt`] travels back: what was done, written after every step.
//! * [`Event`]s stream back while it happens; [`Gate`]s are the points where the server waits for the operator's side.
//! * [`Phase`] says what is pending on a server; [`Status`] says how far it is, at any moment, and what is [`Outdated`] there.
//! * [`Check`]s say what was looked at and what was found; [`audit`] is the catalogue most of them are of.
//! * [`Slot`] is the one table of the volume's keyslots; [`Keys`] lists those in use.
//! * [`EscrowManifest`] describes a sealed bundle without opening it.
//! * [`paths`] says where all of it lies on the server.
//!
//! What the server says, the operator's side reads by [`from_outside`]: no text in it can steer a terminal.
//!
//! Every document carries a `version` and refuses fields it does not know, so that two sides of different
//! age find out at once and not half-way. Old documents stay readable: see `tests/fixtures`.

pub mod audit;
mod check;
mod event;
mod manifest;
mod node;
mod outdated;
mod outside;
pub mod paths;
mod phase;
mod receipt;
mod server;
mod setting;
mod slot;
mod stack;
mod status;

pub use check::{Check, Tally, Verdict, for_people};
pub use event::{Event, EventKind, Gate, Outcome, StepName};
pub use manifest::{EscrowEntry, EscrowManifest};
pub use node::{
    DiskSpec, FormatToken, KnownVolume, NodeSpec, Port, Protocol, Registry, ServerSpec, SshSpec, StackSpec,
};
pub use outdated::{Cure, Outdated};
pub use outside::{cleaned, from_outside};
pub use phase::Phase;
pub use receipt::{EscrowRecord, Receipt, StepRecord, VolumeRecord};
pub use server::{Exception, RebootWindow, TangServer, UnlockSpec, VpnSpec};
pub use setting::Setting;
pub use slot::{KeySlot, Keys, Slot};
pub use stack::StackState;
pub use status::{State, Status};

/// The version of every document in this crate; raised when one changes its meaning.
pub const VERSION: u32 = 1;

/// Why a document was not understood.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not of this shape.
    #[error("reading the {document}: {why}")]
    Malformed {
        /// What it should have been.
        document: &'static str,
        /// Where and why.
        why: serde_json::Error,
    },
    /// Of another version than this program speaks.
    #[error(
        "reading the {document}: it is version {found}, this program speaks version {VERSION}; use the release that wrote it"
    )]
    Version {
        /// What it is.
        document: &'static str,
        /// Its version.
        found: u32,
    },
    /// Well-formed, but it cannot be meant.
    #[error("reading the {document}: {why}")]
    Meaning {
        /// What it is.
        document: &'static str,
        /// What is wrong and what is allowed.
        why: String,
    },
}

/// Reads a document of the server's.
fn parse<T: serde::de::DeserializeOwned>(
    document: &'static str,
    json: &[u8],
    version: fn(&T) -> u32,
) -> Result<T, Error> {
    of_this_version(document, from_outside(document, json)?, version)
}

fn of_this_version<T>(document: &'static str, value: T, version: fn(&T) -> u32) -> Result<T, Error> {
    match version(&value) {
        VERSION => Ok(value),
        found => Err(Error::Version { document, found }),
    }
}

fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    // Maps with string keys and no floats: serde_json has nothing to refuse.
    let mut json = serde_json::to_vec_pretty(value).unwrap_or_default();
    json.push(b'\n');
    json
}
