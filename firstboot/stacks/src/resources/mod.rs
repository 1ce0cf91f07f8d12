//! What an Admin API shall hold, compared with what it holds, and put right.
//!
//! * [`changes()`] is pure: a document, what is there, what differs.
//! * [`differing()`] and [`reconcile()`] go through all resources of an API; whoever calls them asks and sends. Run again,
//!   there is nothing left to do.

mod compare;
mod reconcile;

pub(crate) use compare::wanted;
pub use compare::{Change, Request, changes};
pub use reconcile::{Ask, differing, reconcile, token_form};

/// As a part of a URL or of a form.
fn encoded(bytes: &[u8]) -> String {
    let character = |byte: &u8| {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        if plain { char::from(*byte).to_string() } else { format!("%{byte:02X}") }
    };
    bytes.iter().map(character).collect()
}
