//! cloud-init user-data, typed: values in, bytes out, no I/O.
//!
//! 1. A [`CloudConfig`] holds the part of cloud-init's cloud-config that a server of ours needs before
//!    the provisioner's first connection: who may log in, which host key answers, what sshd listens on,
//!    and, on a stock image, which packages are installed. Nothing else: the rest is firstboot's.
//! 2. [`CloudConfig::render`] turns it into [`UserData`]: `#cloud-config` YAML, compressed when it is large,
//!    never above Hetzner's limit of [`LIMIT`] bytes; past it, an error names the largest parts.
//!
//! user-data is stored by the cloud and readable by every process on the server, so no field here takes a secret
//! but [`HostKey`], which answers the first connection only and is replaced by firstboot.

mod config;
mod error;
mod file;
mod render;

pub use config::{CloudConfig, HostKey};
pub use error::Invalid;
pub use file::WriteFile;
pub use render::{COMPRESS_ABOVE, Encoding, LIMIT, TooLarge, UserData};
