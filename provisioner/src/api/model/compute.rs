//! Servers and what they are made of.

use super::tolerant::{or_default, whole, whole_or_zero};
use super::{Deprecation, Labels, Location, LocationPrice, Protection, PublicNet};
use serde::Deserialize;

/// A server.
#[derive(Debug, Clone, Deserialize)]
pub struct Server {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// `running`, `initializing`, `starting`, `stopping`, `off`, …
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// Its type.
    #[serde(default, deserialize_with = "or_default")]
    pub server_type: ServerType,
    /// Where it is.
    pub location: Option<Location>,
    /// What it was made from; none where that image is gone.
    pub image: Option<Image>,
    /// Its addresses.
    #[serde(default, deserialize_with = "or_default")]
    pub public_net: PublicNet,
    /// The ids of the volumes attached.
    #[serde(default, deserialize_with = "or_default")]
    pub volumes: Vec<u64>,
    /// What may not be done to it.
    #[serde(default, deserialize_with = "or_default")]
    pub protection: Protection,
    /// Whether it boots the rescue system next time.
    #[serde(default, deserialize_with = "or_default")]
    pub rescue_enabled: bool,
    /// When it was made.
    #[serde(default, deserialize_with = "or_default")]
    pub created: String,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Labels,
}

/// A server type.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ServerType {
    /// Its id.
    pub id: u64,
    /// Its name, e.g. `cax31`.
    pub name: String,
    /// `arm` or `x86`.
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    /// Its cores.
    #[serde(default, deserialize_with = "whole_or_zero")]
    pub cores: u32,
    /// Its memory in GB.
    #[serde(default, deserialize_with = "or_default")]
    pub memory: f64,
    /// Its disk in GB.
    #[serde(default, deserialize_with = "whole_or_zero")]
    pub disk: u64,
    /// When it stops being sold everywhere.
    pub deprecation: Option<Deprecation>,
    /// What it costs where.
    #[serde(default, deserialize_with = "or_default")]
    pub prices: Vec<LocationPrice>,
    /// Where it is sold.
    #[serde(default, deserialize_with = "or_default")]
    pub locations: Vec<TypeLocation>,
}

/// A server type's standing in one location.
#[derive(Debug, Clone, Deserialize)]
pub struct TypeLocation {
    /// The location's name.
    pub name: String,
    /// Whether it is in stock; the field has been there since 2026-04-01.
    pub available: Option<bool>,
    /// Whether Hetzner advises it there.
    pub recommended: Option<bool>,
    /// When it stops being sold there.
    pub deprecation: Option<Deprecation>,
}

/// An image.
#[derive(Debug, Clone, Deserialize)]
pub struct Image {
    /// Its id.
    pub id: u64,
    /// Its name; snapshots have none.
    pub name: Option<String>,
    /// What a person reads.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// `system`, `app`, `snapshot` or `backup`.
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// `available`, `creating` or `unavailable`.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// `arm` or `x86`.
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    /// When it was made.
    #[serde(default, deserialize_with = "or_default")]
    pub created: String,
    /// The server it was made from.
    pub created_from: Option<CreatedFrom>,
    /// The server a backup belongs to.
    pub bound_to: Option<u64>,
    /// The disk it needs, in GB.
    #[serde(default, deserialize_with = "or_default")]
    pub disk_size: f64,
    /// What it takes in the store, in GB; none while it is made.
    pub image_size: Option<f64>,
    /// What may not be done to it.
    #[serde(default, deserialize_with = "or_default")]
    pub protection: Protection,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Labels,
}

/// The server an image was made from.
#[derive(Debug, Clone, Deserialize)]
pub struct CreatedFrom {
    /// Its id.
    pub id: u64,
    /// The name it had.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
}

/// An ssh key.
#[derive(Debug, Clone, Deserialize)]
pub struct SshKey {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The line of `authorized_keys`.
    #[serde(default, deserialize_with = "or_default")]
    pub public_key: String,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Labels,
}

/// A volume.
#[derive(Debug, Clone, Deserialize)]
pub struct Volume {
    /// Its id, also its SCSI serial.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// `creating` or `available`.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// The server it is attached to.
    pub server: Option<u64>,
    /// Its size in GB.
    #[serde(deserialize_with = "whole")]
    pub size: u64,
    /// Where it is.
    pub location: Option<Location>,
    /// What may not be done to it.
    #[serde(default, deserialize_with = "or_default")]
    pub protection: Protection,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Labels,
}
