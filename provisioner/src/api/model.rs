//! The fields of Hetzner's answers that are looked at. All else passes unread.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The labels of a resource.
pub type Labels = BTreeMap<String, String>;

/// A resource with an id, a name and labels.
pub trait Resource {
    /// Its id, unique within its kind.
    fn id(&self) -> u64;
    /// Its name.
    fn name(&self) -> &str;
    /// Its labels.
    fn labels(&self) -> &Labels;
}

macro_rules! resource {
    ($($kind:ident),*) => {$(
        impl Resource for $kind {
            fn id(&self) -> u64 { self.id }
            fn name(&self) -> &str { &self.name }
            fn labels(&self) -> &Labels { &self.labels }
        }
    )*};
}
resource!(Server, Volume, Firewall, SshKey, PrimaryIp, Zone, StorageBox);

/// A server.
#[derive(Debug, Clone, Deserialize)]
pub struct Server {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// `running`, `initializing`, `starting`, `stopping`, `off`, …
    pub status: String,
    /// Its type.
    pub server_type: ServerType,
    /// Where it is.
    pub location: Option<Location>,
    /// Its addresses.
    #[serde(default)]
    pub public_net: PublicNet,
    /// The image its disk was made from.
    pub image: Option<Image>,
    /// The ids of the volumes attached.
    #[serde(default)]
    pub volumes: Vec<u64>,
    /// What may not be done to it.
    #[serde(default)]
    pub protection: Protection,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
}

/// A server's public addresses.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PublicNet {
    /// The IPv4 address.
    pub ipv4: Option<Address>,
    /// The IPv6 network.
    pub ipv6: Option<Address>,
    /// The firewalls applied.
    #[serde(default)]
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
}

/// What may not be done to a resource.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Protection {
    /// It may not be deleted.
    #[serde(default)]
    pub delete: bool,
}

/// A volume.
#[derive(Debug, Clone, Deserialize)]
pub struct Volume {
    /// Its id, also its SCSI serial.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// `creating` or `available`.
    pub status: Option<String>,
    /// The server it is attached to.
    pub server: Option<u64>,
    /// Its size in GB.
    pub size: u64,
    /// Where it is.
    pub location: Option<Location>,
    /// What may not be done to it.
    #[serde(default)]
    pub protection: Protection,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
}

/// A firewall.
#[derive(Debug, Clone, Deserialize)]
pub struct Firewall {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its rules.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
}

/// A firewall's rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
pub struct Rule {
    /// `in` or `out`.
    pub direction: String,
    /// `tcp`, `udp`, `icmp`, …
    pub protocol: String,
    /// A port or a range; none for ICMP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// From where, CIDR.
    #[serde(default)]
    pub source_ips: Vec<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// An ssh key.
#[derive(Debug, Clone, Deserialize)]
pub struct SshKey {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The line of `authorized_keys`.
    pub public_key: String,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
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
    /// Whether it dies with that server.
    #[serde(default)]
    pub auto_delete: bool,
    /// Its reverse names.
    #[serde(default)]
    pub dns_ptr: Vec<DnsPtr>,
    /// What may not be done to it.
    #[serde(default)]
    pub protection: Protection,
    /// Where it is.
    pub location: Option<Location>,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
}

/// The reverse name of one address.
#[derive(Debug, Clone, Deserialize)]
pub struct DnsPtr {
    /// The address.
    pub ip: String,
    /// Its name.
    pub dns_ptr: String,
}

/// A DNS zone.
#[derive(Debug, Clone, Deserialize)]
pub struct Zone {
    /// Its id.
    pub id: u64,
    /// The domain.
    pub name: String,
    /// What may not be done to it.
    #[serde(default)]
    pub protection: Protection,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
}

/// All records of one name and type.
#[derive(Debug, Clone, Deserialize)]
pub struct RrSet {
    /// Relative to the zone, `@` for the zone itself.
    pub name: String,
    /// `A`, `MX`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Seconds; none where the zone's default holds.
    pub ttl: Option<u32>,
    /// Its values.
    #[serde(default)]
    pub records: Vec<DnsRecord>,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
}

/// One value of an RRSet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct DnsRecord {
    /// As in a zone file.
    pub value: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A storage box.
#[derive(Debug, Clone, Deserialize)]
pub struct StorageBox {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The host it is reached at, once it is there.
    pub server: Option<String>,
    /// The user it is reached as, once it is there.
    pub username: Option<String>,
    /// Its type.
    pub storage_box_type: Option<NamedType>,
    /// What may not be done to it.
    #[serde(default)]
    pub protection: Protection,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
}

/// A type of which only the name counts.
#[derive(Debug, Clone, Deserialize)]
pub struct NamedType {
    /// Its name, e.g. `bx11`.
    pub name: String,
}

/// A location.
#[derive(Debug, Clone, Deserialize)]
pub struct Location {
    /// Its name, e.g. `fsn1`.
    pub name: String,
}

/// A server type.
#[derive(Debug, Clone, Deserialize)]
pub struct ServerType {
    /// Its id.
    pub id: u64,
    /// Its name, e.g. `cax31`.
    pub name: String,
    /// `arm` or `x86`.
    #[serde(default)]
    pub architecture: String,
    /// Its cores.
    #[serde(default)]
    pub cores: u32,
    /// Its memory in GB.
    #[serde(default)]
    pub memory: f64,
    /// Its disk in GB.
    #[serde(default)]
    pub disk: u64,
    /// What it costs where.
    #[serde(default)]
    pub prices: Vec<LocationPrice>,
    /// Where it is sold.
    #[serde(default)]
    pub locations: Vec<TypeLocation>,
}

/// A server type's standing in one location.
#[derive(Debug, Clone, Deserialize)]
pub struct TypeLocation {
    /// The location's name.
    pub name: String,
    /// Whether it is in stock; the field has been there since 2026-04-01.
    pub available: Option<bool>,
}

/// A price in one location.
#[derive(Debug, Clone, Deserialize)]
pub struct LocationPrice {
    /// The location's name.
    pub location: String,
    /// The price a month.
    pub price_monthly: Price,
    /// The price an hour.
    pub price_hourly: Option<Price>,
}

/// An amount in the account's currency.
#[derive(Debug, Clone, Deserialize)]
pub struct Price {
    /// Without tax, a decimal number.
    pub net: String,
}

/// The price list.
#[derive(Debug, Clone, Deserialize)]
pub struct Pricing {
    /// E.g. `EUR`.
    pub currency: String,
    /// What a GB of volume costs.
    pub volume: Option<VolumePricing>,
    /// What primary IPs cost.
    #[serde(default)]
    pub primary_ips: Vec<PrimaryIpPricing>,
}

/// What volumes cost.
#[derive(Debug, Clone, Deserialize)]
pub struct VolumePricing {
    /// A GB for a month.
    pub price_per_gb_month: Price,
}

/// What primary IPs of one family cost.
#[derive(Debug, Clone, Deserialize)]
pub struct PrimaryIpPricing {
    /// `ipv4` or `ipv6`.
    #[serde(rename = "type")]
    pub family: String,
    /// By location.
    #[serde(default)]
    pub prices: Vec<LocationPrice>,
}

/// An image.
#[derive(Debug, Clone, Deserialize)]
pub struct Image {
    /// Its id.
    pub id: u64,
    /// Its name; snapshots have none.
    pub name: Option<String>,
    /// What a person reads.
    #[serde(default)]
    pub description: String,
    /// What may not be done to it.
    #[serde(default)]
    pub protection: Protection,
    /// `arm` or `x86`.
    #[serde(default)]
    pub architecture: String,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
}

/// Something the cloud is doing.
#[derive(Debug, Clone, Deserialize)]
pub struct Action {
    /// Its id.
    pub id: u64,
    /// E.g. `create_server`.
    #[serde(default)]
    pub command: String,
    /// `running`, `success` or `error`.
    pub status: String,
    /// Percent.
    #[serde(default)]
    pub progress: u32,
    /// Why it failed.
    pub error: Option<ActionError>,
}

/// Why an action failed.
#[derive(Debug, Clone, Deserialize)]
pub struct ActionError {
    /// A word.
    pub code: String,
    /// A sentence.
    pub message: String,
}
