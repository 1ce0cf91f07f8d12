//! What can be done to a cloud, one change at a time.

use crate::api::model::{Record, Rule};
use crate::dns::{Kind, RrSetWish};
use crate::money::Money;
use serde::Serialize;
use std::fmt;

/// One thing to do, in Terraform's manner: `+` made, `~` changed, `-` taken away, `-/+` overwritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Change {
    /// The project's public key, so that no root password is ever mailed.
    CreateSshKey {
        /// Its name.
        name: String,
    },
    /// The firewall at the cloud's edge.
    CreateFirewall {
        /// Its name.
        name: String,
        /// Its rules.
        rules: Vec<Rule>,
    },
    /// The firewall's rules, where they drifted.
    SetFirewallRules {
        /// The firewall.
        id: u64,
        /// The rules it shall have, besides the doors that commands at work opened.
        rules: Vec<Rule>,
    },
    /// The firewall, applied to a server that lost it.
    ApplyFirewall {
        /// The server.
        server: u64,
    },
    /// The server, at the first place that has it.
    CreateServer {
        /// Its name.
        name: String,
        /// Where it may be, in the order it is tried; never empty.
        places: Vec<Place>,
    },
    /// The server's root disk as it is, kept.
    Snapshot {
        /// The server.
        server: u64,
        /// What a person reads.
        description: String,
    },
    /// The server's root disk, overwritten from an image: same server, same addresses, same volume.
    RebuildServer {
        /// Which.
        server: u64,
        /// From which image.
        image: u64,
        /// Whether packages must be installed, since the image is a stock one.
        stock_image: bool,
        /// Whether its protection has to be lifted for that.
        protected: bool,
    },
    /// A server's type; it is off meanwhile.
    ChangeServerType {
        /// Which.
        server: u64,
        /// What it is.
        from: String,
        /// What it shall be.
        to: String,
    },
    /// A server that is off.
    PowerOn {
        /// Which.
        server: u64,
    },
    /// An address that came with the server, kept beyond it: named, labelled, no longer deleted with it.
    KeepPrimaryIp {
        /// Its name.
        name: String,
        /// `ipv4` or `ipv6`.
        family: &'static str,
    },
    /// The reverse name of the server's address of a family.
    SetReverse {
        /// `ipv4` or `ipv6`.
        family: &'static str,
        /// The name.
        name: String,
    },
    /// The volume, made attached to the server.
    CreateVolume {
        /// Its name.
        name: String,
        /// Its size.
        size_gb: u64,
    },
    /// The volume, attached again.
    AttachVolume {
        /// Which.
        volume: u64,
    },
    /// The volume, made larger.
    GrowVolume {
        /// Which.
        volume: u64,
        /// To what size.
        size_gb: u64,
    },
    /// The zone the records are in.
    CreateZone {
        /// The domain.
        name: String,
    },
    /// An RRSet that is not there.
    CreateRecords {
        /// It.
        records: RrSetWish,
    },
    /// The values of an RRSet of ours.
    SetRecords {
        /// As it shall be.
        records: RrSetWish,
    },
    /// Values added to an RRSet that others keep values in.
    AddRecords {
        /// What is added; the others' values are not in it.
        records: RrSetWish,
    },
    /// Values we added to an RRSet that others keep values in, and that nobody asks for any more.
    RemoveRecords {
        /// Its name.
        name: String,
        /// Its type, as the cloud has it.
        kind: String,
        /// The values.
        values: Vec<Record>,
    },
    /// The TTL of an RRSet of ours.
    SetTtl {
        /// Its name.
        name: String,
        /// Its type.
        kind: Kind,
        /// Seconds.
        ttl: u32,
    },
    /// An RRSet of ours that nobody asks for any more.
    DeleteRecords {
        /// Its name.
        name: String,
        /// Its type, as the cloud has it.
        kind: String,
    },
    /// The box for backups.
    CreateStorageBox {
        /// Its name.
        name: String,
        /// Its type.
        kind: String,
        /// Where.
        location: String,
    },
    /// A box that is there already, given the project's labels.
    AdoptStorageBox {
        /// Which.
        id: u64,
    },
    /// The box's type.
    ChangeStorageBoxType {
        /// Which.
        id: u64,
        /// What it shall be.
        to: String,
    },
    /// Protection from being deleted, and for a server from being rebuilt.
    Protect {
        /// What.
        what: Protected,
    },
}

/// A type in a location, and the image of its architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The server type.
    pub server_type: String,
    /// `arm` or `x86`.
    pub architecture: String,
    /// Where.
    pub location: String,
    /// The image's id: the name alone does not say the architecture.
    pub image: u64,
    /// Whether packages must be installed, since the image is a stock one.
    pub stock_image: bool,
    /// What it costs a month, net.
    pub monthly: Option<Money>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.server_type, self.location)
    }
}

/// What can be protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protected {
    /// The server, from deletion and from rebuilds.
    Server,
    /// The volume.
    Volume,
    /// The IPv4 address.
    Ipv4,
    /// The IPv6 network.
    Ipv6,
    /// The DNS zone, where the project made it.
    Zone,
    /// The storage box.
    StorageBox,
}

impl fmt::Display for Protected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Volume => "volume",
            Self::Ipv4 => "primary IPv4",
            Self::Ipv6 => "primary IPv6",
            Self::Zone => "zone",
            Self::StorageBox => "storage box",
        })
    }
}

/// When a change is made: all of a stage side by side, the next stage when they are done. The stages up to [`Last`](Stage::Last)
/// follow each other; those of the addresses begin as soon as the server has its place, while it is still being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What the server needs before it is made.
    Before,
    /// What must be kept before a disk is overwritten.
    Keep,
    /// The server itself.
    Server,
    /// What hangs on the server.
    After,
    /// Once all that is in its place.
    Last,
    /// The server's addresses, and the records that go.
    Addresses,
    /// What names them.
    Names,
    /// What nothing else waits for, beside all the others.
    Beside,
}

impl Change {
    /// When it is made.
    pub fn stage(&self) -> Stage {
        match self {
            Self::CreateSshKey { .. }
            | Self::CreateFirewall { .. }
            | Self::SetFirewallRules { .. }
            | Self::CreateZone { .. } => Stage::Before,
            Self::Snapshot { .. } => Stage::Keep,
            Self::CreateServer { .. }
            | Self::RebuildServer { .. }
            | Self::ChangeServerType { .. }
            | Self::PowerOn { .. } => Stage::Server,
            Self::ApplyFirewall { .. } | Self::CreateVolume { .. } | Self::AttachVolume { .. } => {
                Stage::After
            }
            Self::GrowVolume { .. } | Self::Protect { what: Protected::Server | Protected::Volume } => {
                Stage::Last
            }
            // What goes makes room: a CNAME takes the place of other records, one SPF text that of another.
            Self::KeepPrimaryIp { .. }
            | Self::SetTtl { .. }
            | Self::RemoveRecords { .. }
            | Self::DeleteRecords { .. } => Stage::Addresses,
            Self::SetReverse { .. }
            | Self::CreateRecords { .. }
            | Self::SetRecords { .. }
            | Self::AddRecords { .. }
            | Self::Protect { what: Protected::Ipv4 | Protected::Ipv6 | Protected::Zone } => Stage::Names,
            Self::CreateStorageBox { .. }
            | Self::AdoptStorageBox { .. }
            | Self::ChangeStorageBoxType { .. }
            | Self::Protect { what: Protected::StorageBox } => Stage::Beside,
        }
    }

    /// How long it takes at Hetzner, about, in seconds.
    pub fn seconds(&self) -> u64 {
        match self {
            Self::CreateServer { .. } | Self::RebuildServer { .. } => 90,
            Self::Snapshot { .. } | Self::ChangeServerType { .. } => 120,
            Self::PowerOn { .. } => 20,
            Self::CreateStorageBox { .. } | Self::ChangeStorageBoxType { .. } => 60,
            Self::CreateSshKey { .. } | Self::CreateFirewall { .. } | Self::KeepPrimaryIp { .. } => 1,
            _ => 5,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = |f: &mut fmt::Formatter<'_>, sign: &str, set: &RrSetWish| {
            write!(f, "{sign} record {} {} → {}", set.name, set.kind, set.shown())
        };
        match self {
            Self::CreateSshKey { name } => write!(f, "+ ssh key {name}"),
            Self::CreateFirewall { name, rules } => write!(f, "+ firewall {name} ({})", ports(rules)),
            Self::SetFirewallRules { rules, .. } => write!(f, "~ firewall rules ({})", ports(rules)),
            Self::ApplyFirewall { .. } => write!(f, "~ firewall applied to the server"),
            Self::CreateServer { name, places } => match places.as_slice() {
                [] => write!(f, "+ server {name}"),
                [place] => write!(f, "+ server {name} ({place})"),
                [place, others @ ..] => {
                    write!(f, "+ server {name} ({place}, else one of {} more)", others.len())
                }
            },
            Self::Snapshot { .. } => write!(f, "+ snapshot of the server's root disk"),
            Self::RebuildServer { .. } => {
                write!(f, "-/+ server rebuilt in place (root disk overwritten; volume and addresses stay)")
            }
            Self::ChangeServerType { from, to, .. } => {
                write!(f, "~ server type {from} → {to} (off meanwhile; locked after it)")
            }
            Self::PowerOn { .. } => write!(f, "~ server powered on"),
            Self::KeepPrimaryIp { name, .. } => write!(f, "+ primary IP {name} (kept beyond the server)"),
            Self::SetReverse { family, name } => write!(f, "~ reverse name of the {family} address → {name}"),
            Self::CreateVolume { name, size_gb } => {
                write!(f, "+ volume {name} ({size_gb} GB, encrypted by the server)")
            }
            Self::AttachVolume { .. } => write!(f, "~ volume attached to the server"),
            Self::GrowVolume { size_gb, .. } => write!(f, "~ volume grown to {size_gb} GB"),
            Self::CreateZone { name } => write!(f, "+ zone {name}"),
            Self::CreateRecords { records: set } => records(f, "+", set),
            Self::SetRecords { records: set } => records(f, "~", set),
            Self::AddRecords { records: set } => records(f, "~ others' kept, added:", set),
            Self::RemoveRecords { name, kind, values } => {
                write!(f, "~ others' kept, {} removed: record {name} {kind}", values.len())
            }
            Self::SetTtl { name, kind, ttl } => write!(f, "~ record {name} {kind} remembered for {ttl} s"),
            Self::DeleteRecords { name, kind } => write!(f, "- record {name} {kind}"),
            Self::CreateStorageBox { name, kind, location } => {
                write!(f, "+ storage box {name} ({kind} in {location})")
            }
            Self::AdoptStorageBox { id } => write!(f, "~ storage box {id} taken over (labels only)"),
            Self::ChangeStorageBoxType { to, .. } => write!(f, "~ storage box type → {to}"),
            Self::Protect { what } => write!(f, "~ {what} protected from deletion"),
        }
    }
}

fn ports(rules: &[Rule]) -> String {
    let everybody = |rule: &Rule| rule.source_ips.iter().any(|network| network == "0.0.0.0/0");
    let one = |rule: &Rule| match &rule.port {
        Some(port) if everybody(rule) => format!("{port}/{}", rule.protocol),
        Some(port) => format!("{port}/{} from {}", rule.protocol, rule.source_ips.join(" ")),
        None => rule.protocol.clone(),
    };
    format!("open: {}", rules.iter().map(one).collect::<Vec<_>>().join(", "))
}
