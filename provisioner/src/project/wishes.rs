//! The parts of a project beyond its server and its disk.

use crate::dns::Record;

/// The names the server is reached by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// The zone, e.g. `example.org`.
    pub zone: String,
    /// Whether the zone is in the same Hetzner project; one held elsewhere gets its records by hand.
    pub at_hetzner: bool,
    /// The server's own name in the zone, e.g. `srv`, or `@`.
    pub host: String,
    /// Seconds that resolvers may remember a record.
    pub ttl: u32,
    /// Records the operator wants besides the server's own and the stacks'.
    pub records: Vec<Record>,
}

/// The box that backups go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageBoxWish {
    /// Its type, e.g. `bx11`.
    pub kind: String,
    /// Where a new one is made.
    pub location: String,
    /// A box that is there already, to be taken over under this id.
    pub adopt: Option<u64>,
}

/// The lease of a throw-away server: made by `ephemeral`, never read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it, as a label's value.
    pub owner: String,
    /// When it ends, in seconds of Unix time.
    pub expires: u64,
}
