//! The steps, in their order.

pub mod disk;
pub mod docker;
mod docker_compose;
mod dpkg;
pub mod escrow;
pub mod finish;
pub mod firewall;
pub mod harden;
pub mod identity;
pub mod images;
pub mod packages;
pub(crate) mod pending;
pub mod preflight;
mod release;
pub mod secrets;
pub mod stacks;
pub mod verify;
pub mod vpn;
