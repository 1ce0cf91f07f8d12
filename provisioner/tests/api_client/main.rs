//! The client against a server that answers as it is told: what it asks again, what it waits for, what it says.
#![allow(clippy::unwrap_used, reason = "a test that cannot set up its server should stop")]

mod actions;
mod creation;
mod sending;
mod server;
