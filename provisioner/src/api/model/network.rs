//! Addresses and firewalls.

use super::tolerant::or_default;
use super::{Labels, Location, Protection};
use serde::{Deserialize, Serialize};

/// A server's public addresses.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PublicNet {
    /// The IPv4 address.
    pub ipv4: Option<Address>,
    /// The IPv6 network.
    pub ipv6: Option<Address>,
    /// The firewalls applied.
    #[serde(default, deserialize_with = "or_default")]
    pub firewalls: Vec<AppliedFirewall>,
}

/// An address as a server shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Address {
    /// The primary IP's id.
    pub id: Option<u64>,
    /// The address, for IPv6 the network.
    pub ip: String,
}

/// A firewall as a server shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct AppliedFirewall {
    /// The firewall's id.
    pub id: u64,
    /// `applied` or `pending`.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
}

/// A firewall.
#[derive(Debug, Clone, Deserialize)]
pub struct Firewall {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its rules.
    #[serde(default, deserialize_with = "or_default")]
    pub rules: Vec<Rule>,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Labels,
}

/// A firewall's rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Rule {
    /// `in` or `out`.
    #[serde(default, deserialize_with = "or_default")]
    pub direction: String,
    /// `tcp`, `udp`, `icmp`, …
    #[serde(default, deserialize_with = "or_default")]
    pub protocol: String,
    /// A port or a range; none for ICMP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// From where, CIDR.
    #[serde(default, deserialize_with = "or_default")]
    pub source_ips: Vec<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A primary IP.
#[derive(Debug, Clone, Deserialize)]
pub struct PrimaryIp {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The address, for IPv6 the network.
    pub ip: String,
    /// `ipv4` or `ipv6`.
    #[serde(rename = "type")]
    pub family: String,
    /// The server it is assigned to.
    pub assignee_id: Option<u64>,
    /// `server`, `load_balancer` or `unassigned`.
    #[serde(default, deserialize_with = "or_default")]
    pub assignee_type: String,
    /// Whether it goes with what it is assigned to.
    #[serde(default, deserialize_with = "or_default")]
    pub auto_delete: bool,
    /// The names its addresses lead back to.
    #[serde(default, deserialize_with = "or_default")]
    pub dns_ptr: Vec<DnsPtr>,
    /// Where it is.
    pub location: Option<Location>,
    /// What may not be done to it.
    #[serde(default, deserialize_with = "or_default")]
    pub protection: Protection,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Labels,
}

/// A reverse name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DnsPtr {
    /// One address.
    #[serde(default, deserialize_with = "or_default")]
    pub ip: String,
    /// The name it leads back to.
    #[serde(default, deserialize_with = "or_default")]
    pub dns_ptr: String,
}
