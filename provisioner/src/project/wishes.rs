//! The parts of a project beyond its server and its disk.

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
