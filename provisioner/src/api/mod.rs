//! A thin, tolerant client of the Hetzner Cloud API: unknown fields and enum values pass, missing optional
//! fields pass, since the API changes several times a year.
//!
//! * [`Client`] sends requests, pages through lists, waits for actions.
//! * [`Error`] is the one error: status, code, message, details, correlation id.
//! * [`retry`] is the one policy: which answers are tried again, how often, how long.
//! * [`model`] holds the fields that are looked at, and no other.

mod client;
mod error;
pub mod model;
pub mod retry;

pub use client::{Client, DEFAULT_ENDPOINT, Notice};
pub use error::Error;
