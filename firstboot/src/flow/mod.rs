//! From a node spec to a server that is done: `install` takes the spec, [`boot`] runs every step, `status` says how far
//! that has come.

pub mod alone;
pub mod boot;
pub(crate) mod install;
pub(crate) mod status;
