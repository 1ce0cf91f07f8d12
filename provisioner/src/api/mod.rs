//! A thin, tolerant client of the Hetzner Cloud API: unknown fields and enum values pass, missing optional
//! fields pass, since the API changes several times a year.
//!
//! * [`Client`] sends requests, pages through lists, creates or adopts, acts, waits for actions.
//! * [`policy`] is the one table: what is done about which answer, how often, how long.
//! * [`Error`] is the one error: status, code, message, details, correlation id.
//! * [`model`] holds the fields that are looked at, and no other.
//! * `budget` paces requests to what the project has left of its hourly limit.

mod actions;
mod budget;
mod client;
mod clock;
mod create;
mod error;
pub mod model;
pub mod policy;
mod transport;

pub use budget::Level;
pub use client::Client;
pub use clock::Clock;
pub use create::{Made, Repeat};
pub use error::Error;
pub use policy::Step;
pub(crate) use transport::is_loopback;
pub use transport::{Access, DEFAULT_ENDPOINT, Limits, Notice, STORAGE_ENDPOINT};
