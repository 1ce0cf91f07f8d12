use crate::{Error, KeySlot, parse, to_json};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};

/// What a sealed escrow bundle is, for those who cannot open it. Signed by the server's lasting host key,
/// which is how the operator's side knows to whom the bytes were sealed: an age header does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EscrowManifest {
    /// [`VERSION`](crate::VERSION).
    pub version: u32,
    /// The project's name.
    pub project: String,
    /// The server that sealed it.
    pub server_id: u64,
    /// The volume its key opens.
    pub volume_id: u64,
    /// The UUID of that volume's LUKS2 header; bundles sealed by the first releases do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub luks_uuid: Option<String>,
    /// When it was sealed, RFC 3339 in UTC.
    pub created: String,
    /// SHA-256 of the sealed bytes, hexadecimal.
    pub sha256: String,
    /// Length of the sealed bytes.
    pub size: u64,
    /// The offline keys it is sealed to.
    pub recipients: Vec<String>,
    /// What lies in it, by name; never the values.
    pub contents: Vec<EscrowEntry>,
    /// The keyslots of the LUKS header in it; bundles sealed by the first releases do not say them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_slots: Vec<KeySlot>,
}

/// One thing in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EscrowEntry {
    /// Its path inside the bundle, e.g. `secrets/luks-key`.
    pub name: String,
    /// What it is for, in a sentence.
    pub purpose: String,
}

impl EscrowEntry {
    /// Whether its name leads to a file below whatever directory the bundle is written to.
    pub fn is_inside(&self) -> bool {
        let mut parts = Path::new(&self.name).components();
        !self.name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
    }
}

impl EscrowManifest {
    /// Reads and checks it.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        parse("escrow manifest", json, |m: &Self| m.version)
    }

    /// The same bytes for the same manifest: what is signed.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}
