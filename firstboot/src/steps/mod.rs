//! The steps, in their order.

pub(crate) mod apt;
mod compose;
pub mod disk;
pub mod docker;
mod dpkg;
pub mod escrow;
pub mod finish;
pub mod firewall;
pub mod harden;
pub mod identity;
pub mod images;
pub mod packages;
pub mod preflight;
mod pulls;
pub mod secrets;
pub mod stacks;
pub(crate) mod taken_out;
pub mod verify;
pub mod vpn;
