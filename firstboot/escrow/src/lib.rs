//! The escrow: what a lost server's owner needs, sealed so that only the offline key opens it.
//!
//! 1. On the server a [`Bundle`] is filled with every secret and the LUKS header, and [`seal`]ed to the
//!    project's [`Recipient`]s: an ordinary age file around an ordinary tar, so that `age -d`, `tar` and
//!    `cryptsetup` open it on a day when none of this software can be had.
//! 2. [`manifest`] describes the sealed bytes; the server [`sign`](signature::sign)s it with its lasting host key.
//! 3. The operator's side [`verify`](signature::verify)s the signature against the pinned key and [`inspect`]s
//!    the bundle: all that can be proved without opening it, as a list of [`Problem`]s.
//! 4. [`inspect_header`] compares the LUKS [`Header`] of an opened bundle with what was signed.
//! 5. On the bad day [`open`] takes the bundle and the offline [`Identity`].
//!
//! That an offline key can really open is proved once, at the beginning, with a [`Canary`].

mod bundle;
mod canary;
mod header;
mod inspect;
mod key;
pub mod signature;

pub use bundle::{Bundle, Entry, LUKS_HEADER, LUKS_KEY, LUKS_RECOVERY, manifest, open, seal};
pub use canary::Canary;
pub use header::Header;
pub use inspect::{Expected, Problem, inspect, inspect_header};
pub use key::{Identity, Recipient};

/// Why a key, a bundle or a signature could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a public key of age.
    #[error(
        "reading the recipient {given:?}: {why}; an age recipient is the line `age1…` that `age-keygen -y` prints"
    )]
    Recipient {
        /// What was given; a public value.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// Not a secret key of age; the text itself is never repeated.
    #[error(
        "reading the identity: {0}; it is the file `age-keygen -o FILE` wrote, with a line AGE-SECRET-KEY-1…"
    )]
    Identity(String),
    /// Nobody to seal to.
    #[error("sealing the escrow: no recipient is named; name at least one offline key")]
    NoRecipient,
    /// The sealing itself failed.
    #[error("sealing the escrow: {0}")]
    Seal(std::io::Error),
    /// The sealed bytes cannot be opened.
    #[error("opening the escrow: {0}")]
    Open(String),
    /// The signature does not stand.
    #[error(
        "checking the escrow manifest's signature: it was not made by the server's pinned host key; \
         do not trust this bundle, and find out who answered on that address ({0})"
    )]
    Signature(String),
    /// A program could not be run.
    #[error(transparent)]
    Host(#[from] host::Error),
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// SHA-256 in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex(&sha2::Sha256::digest(bytes))
}
