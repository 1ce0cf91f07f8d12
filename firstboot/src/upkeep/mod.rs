//! What a server that is done needs from time to time: `outdated` finds what an upgrade left running as it was, `refresh`
//! restarts it.

pub(crate) mod outdated;
pub(crate) mod refresh;
