//! The stacks: what runs on a server besides the system itself.
//!
//! 1. A stack is a [`Folder`] of data: a [`Manifest`], a compose file a human can read, and templates of its configuration.
//!    Ours lie under `catalogue/` and are in this library; a project's own come with its node spec and are treated alike.
//! 2. [`Plan::resolve`] works out all that follows from the enabled ones together, purely.
//! 3. [`Plan::render`] puts in the image references pinned by digest, confines its services (see [`confinement`]) and
//!    puts services into the plan's networks. The same inputs give the same bytes. [`label()`] adds what compose does not
//!    see of what a container reads, [`Plan::config`] fills in the templates.
//! 4. [`lint()`] reads the result as a stranger would and refuses what no stack may do, each rule a [`Rule`].
//!
//! [`SERVER_PACKAGES`] are the Debian packages a stock server needs before any of it.

pub mod confinement;
mod error;
mod finding;
mod folder;
mod inputs;
mod lint;
pub mod manifest;
pub mod plan;
pub mod release;
mod render;
pub mod resources;
mod template;
mod value;

pub use error::{Error, Mistake};
pub use finding::{Finding, Rule};
pub use folder::{Folder, catalogue};
pub use inputs::{DIGEST, Labelled, Left, label, left};
pub use lint::lint;
pub use manifest::Manifest;
pub use plan::{Plan, Planned, Wish};
pub use template::{Part, Text};

use serde_json::Value;

/// The Debian 13 packages a server needs beyond a stock cloud image, baked in or installed by cloud-init: LUKS, the firewall, the container engine and what unpacks its images, and what confines containers.
pub const SERVER_PACKAGES: &[&str] = &[
    "apparmor",
    "auditd",
    "ca-certificates",
    "chrony",
    "clevis",
    "containerd",
    "cryptsetup-bin",
    "curl",
    "docker-cli",
    "docker-compose",
    "docker.io",
    "e2fsprogs",
    "fail2ban",
    "iptables",
    "nftables",
    "openssh-server",
    "openssl",
    "pigz",
    "python3-systemd",
    "ufw",
    "unattended-upgrades",
];

/// Writes a compose file, as it lies on the server.
fn to_yaml(stack: &str, compose: &Value) -> Result<String, Error> {
    let plain = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let yaml = serde_saphyr::to_string_with_options(compose, plain)
        .map_err(|e| Error::Compose { stack: stack.into(), why: e.to_string() })?;
    Ok(format!("# Rendered by firstboot from the stack's folder; changes here are overwritten.\n{yaml}"))
}

/// Reads a compose file; keys keep their order.
pub(crate) fn parse(yaml: &str) -> Result<Value, String> {
    serde_saphyr::from_str(yaml).map_err(|e| e.to_string())
}
