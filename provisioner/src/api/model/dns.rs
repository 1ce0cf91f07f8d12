//! DNS zones and their records.

use super::tolerant::or_default;
use super::{Labels, Protection};
use serde::{Deserialize, Serialize};

/// A DNS zone.
#[derive(Debug, Clone, Deserialize)]
pub struct Zone {
    /// Its id.
    pub id: u64,
    /// Its domain, without a dot at the end.
    pub name: String,
    /// `primary`, or `secondary` for one whose records are kept elsewhere.
    #[serde(default, deserialize_with = "or_default")]
    pub mode: String,
    /// `ok`, `updating` or `error`.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// Seconds, for records without a TTL of their own.
    pub ttl: Option<u64>,
    /// Who answers for it.
    #[serde(default, deserialize_with = "or_default")]
    pub authoritative_nameservers: NameServers,
    /// What may not be done to it.
    #[serde(default, deserialize_with = "or_default")]
    pub protection: Protection,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Labels,
}

/// The name servers of a zone, as it should be and as its registrar has it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NameServers {
    /// Hetzner's, each with a dot at its end.
    #[serde(default, deserialize_with = "or_default")]
    pub assigned: Vec<String>,
    /// `valid`, `partially-valid`, `invalid`, `lame`, `unregistered` or `unknown`; empty where the cloud does not say.
    #[serde(default, deserialize_with = "or_default")]
    pub delegation_status: String,
}

/// The records of one name and type.
#[derive(Debug, Clone, Deserialize)]
pub struct RRSet {
    /// The name and the type, e.g. `www/A`.
    pub id: String,
    /// The name without the zone's, `@` for the zone itself.
    pub name: String,
    /// `A`, `AAAA`, `TXT`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Seconds; the zone's where there is none.
    pub ttl: Option<u64>,
    /// The records.
    #[serde(default, deserialize_with = "or_default")]
    pub records: Vec<Record>,
    /// What may not be done to it.
    #[serde(default, deserialize_with = "or_default")]
    pub protection: RecordProtection,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Labels,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Record {
    /// As in a zone file: an address, a name with a dot at the end, a quoted text.
    pub value: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What may not be done to records.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct RecordProtection {
    /// They may not be changed or deleted.
    #[serde(default, deserialize_with = "or_default")]
    pub change: bool,
}
