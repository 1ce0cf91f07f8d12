//! Storage Boxes.

use super::tolerant::{or_default, whole_or_zero};
use super::{Labels, Location, Protection};
use serde::Deserialize;

/// A Storage Box.
#[derive(Debug, Clone, Deserialize)]
pub struct StorageBox {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// `active`, `initializing` or `locked`.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// Its host name; none while it is set up.
    pub server: Option<String>,
    /// Its user; none while it is set up.
    pub username: Option<String>,
    /// Its type.
    #[serde(default, deserialize_with = "or_default")]
    pub storage_box_type: StorageBoxType,
    /// Where it is.
    pub location: Option<Location>,
    /// How it can be reached.
    #[serde(default, deserialize_with = "or_default")]
    pub access_settings: AccessSettings,
    /// What may not be done to it.
    #[serde(default, deserialize_with = "or_default")]
    pub protection: Protection,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Labels,
}

/// A type of Storage Box.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct StorageBoxType {
    /// Its id.
    pub id: u64,
    /// Its name, e.g. `bx11`.
    pub name: String,
    /// Its size in bytes.
    #[serde(default, deserialize_with = "whole_or_zero")]
    pub size: u64,
}

/// How a Storage Box can be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct AccessSettings {
    /// From outside Hetzner's network.
    #[serde(default, deserialize_with = "or_default")]
    pub reachable_externally: bool,
    /// By ssh, rsync and borg on port 23.
    #[serde(default, deserialize_with = "or_default")]
    pub ssh_enabled: bool,
    /// By SMB.
    #[serde(default, deserialize_with = "or_default")]
    pub samba_enabled: bool,
    /// By WebDAV.
    #[serde(default, deserialize_with = "or_default")]
    pub webdav_enabled: bool,
    /// Whether the snapshots can be seen as a directory.
    #[serde(default, deserialize_with = "or_default")]
    pub zfs_enabled: bool,
}
