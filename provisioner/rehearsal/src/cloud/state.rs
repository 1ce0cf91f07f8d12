//! Everything the cloud knows, as it lies on disk.

use super::clock::{self, now_text};
use super::dns::Zone;
use super::job::Job;
use super::rescue::Rescue;
use super::storage::StorageBox;
use crate::Error;
use crate::config::Architecture;
use crate::error::ApiError;
use crate::labels::{Labels, Selector};
use crate::machine::{Boot, Failure, Forward};
use host::files;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// How many finished actions are remembered.
const ACTIONS_KEPT: usize = 1000;

/// Resources by id, everything that outlives the daemon.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    last_id: u64,
    last_address: u32,
    pub(crate) ssh_keys: BTreeMap<u64, SshKey>,
    pub(crate) firewalls: BTreeMap<u64, Firewall>,
    pub(crate) volumes: BTreeMap<u64, Volume>,
    pub(crate) primary_ips: BTreeMap<u64, PrimaryIp>,
    pub(crate) images: BTreeMap<u64, Image>,
    pub(crate) servers: BTreeMap<u64, Server>,
    pub(crate) actions: BTreeMap<u64, Action>,
    pub(crate) zones: BTreeMap<u64, Zone>,
    pub(crate) storage_boxes: BTreeMap<u64, StorageBox>,
    /// `type/location` pairs that are out of stock.
    pub(crate) sold_out: BTreeSet<String>,
    /// The present of a virtual clock at the last change, in Unix milliseconds; it goes on from there.
    pub(crate) clock_ms: Option<u64>,
    pub(crate) limits: super::limits::Limits,
    /// The chains of actions begun in this change; they run once it is on disk.
    #[serde(skip)]
    pub(crate) begun: Vec<Vec<u64>>,
}

/// A kind of resource that the state keeps.
pub(crate) trait Kept: Sized + 'static {
    /// Its name in replies, as `primary_ip`.
    const KIND: &'static str;
    /// Its name in paths and lists, as `primary_ips`.
    const PLURAL: &'static str;

    fn all(state: &State) -> &BTreeMap<u64, Self>;
    fn all_mut(state: &mut State) -> &mut BTreeMap<u64, Self>;
}

/// Says of each kind where it is kept, which is also its name in paths, and what it is called in replies.
macro_rules! kept {
    ($($kind:ty: $map:ident, $name:literal;)+) => {$(
        impl Kept for $kind {
            const KIND: &'static str = $name;
            const PLURAL: &'static str = stringify!($map);

            fn all(state: &State) -> &BTreeMap<u64, Self> {
                &state.$map
            }

            fn all_mut(state: &mut State) -> &mut BTreeMap<u64, Self> {
                &mut state.$map
            }
        }
    )+};
}

kept! {
    SshKey: ssh_keys, "ssh_key";
    Firewall: firewalls, "firewall";
    Volume: volumes, "volume";
    PrimaryIp: primary_ips, "primary_ip";
    Image: images, "image";
    Server: servers, "server";
    Zone: zones, "zone";
    StorageBox: storage_boxes, "storage_box";
}

/// An SSH key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SshKey {
    pub(crate) name: String,
    pub(crate) fingerprint: String,
    pub(crate) public_key: String,
    pub(crate) labels: Labels,
    pub(crate) created: String,
}

/// A firewall.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Firewall {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) created: String,
    pub(crate) rules: Vec<Rule>,
    pub(crate) applied_to: Vec<Target>,
}

/// One rule of a firewall.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) description: Option<String>,
    pub(crate) direction: String,
    pub(crate) protocol: String,
    pub(crate) port: Option<String>,
    #[serde(default)]
    pub(crate) source_ips: Vec<String>,
    #[serde(default)]
    pub(crate) destination_ips: Vec<String>,
}

/// What a firewall is applied to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// One server.
    Server(u64),
    /// All servers that a label selector chooses, now and later.
    LabelSelector(String),
}

/// A volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) created: String,
    pub(crate) size: u64,
    pub(crate) location: String,
    pub(crate) format: Option<String>,
    pub(crate) server: Option<u64>,
    pub(crate) protected: bool,
    pub(crate) status: String,
}

/// An address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PrimaryIp {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) created: String,
    pub(crate) address: Address,
    pub(crate) location: String,
    pub(crate) assignee: Option<u64>,
    pub(crate) auto_delete: bool,
    pub(crate) protected: bool,
    /// Reverse names by address.
    pub(crate) dns_ptr: BTreeMap<String, String>,
}

/// A loopback IPv4 address that stands for a public one, or an IPv6 network of the documentation range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Address {
    /// Reached through QEMU's port forwarding.
    Ipv4(Ipv4Addr),
    /// The first address of a /64; nothing listens on it.
    Ipv6(Ipv6Addr),
}

impl Address {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Ipv4(_) => "ipv4",
            Self::Ipv6(_) => "ipv6",
        }
    }

    pub(crate) fn text(self) -> String {
        match self {
            Self::Ipv4(address) => address.to_string(),
            Self::Ipv6(network) => format!("{network}/64"),
        }
    }
}

/// An image whose files the cloud holds itself, where it has any.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) name: Option<String>,
    pub(crate) description: String,
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) architecture: Architecture,
    pub(crate) os_flavor: String,
    pub(crate) os_version: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) created: String,
    pub(crate) protected: bool,
    pub(crate) disk_bytes: u64,
    pub(crate) disk: PathBuf,
    pub(crate) boot: Option<Boot>,
    /// What the files were taken from, to see when a newer build is offered.
    pub(crate) source: String,
    /// A newer build of the same name has taken its place.
    pub(crate) replaced: bool,
    /// The server it is a copy of, by id and by the name it had.
    #[serde(default)]
    pub(crate) created_from: Option<(u64, String)>,
    /// The server it is a backup of.
    #[serde(default)]
    pub(crate) bound_to: Option<u64>,
    /// How large a disk it asks for, in GB, where that is not the size of its file.
    #[serde(default)]
    pub(crate) disk_gb: Option<u64>,
    /// What the copy of a disk takes up, in bytes.
    #[serde(default)]
    pub(crate) stored_bytes: Option<u64>,
    /// It is kept only for the servers that were made from it.
    #[serde(default)]
    pub(crate) deleted: bool,
    /// Hetzner has it, and this cloud no files of it: it is listed, and nothing is made from it.
    #[serde(default)]
    pub(crate) record_only: bool,
}

/// A server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) created: String,
    pub(crate) status: String,
    pub(crate) server_type: String,
    pub(crate) location: String,
    pub(crate) image: u64,
    pub(crate) user_data: Option<String>,
    /// The public keys as they were when the server was made.
    pub(crate) public_keys: Vec<String>,
    pub(crate) protected: bool,
    /// What QEMU forwards to the running machine.
    #[serde(default)]
    pub(crate) forwards: Vec<Forward>,
    /// The size of its disk, in GB, where it kept that of an earlier type.
    #[serde(default)]
    pub(crate) kept_disk: Option<u64>,
    /// When backups would be made, in hours; `None` where they are not enabled.
    #[serde(default)]
    pub(crate) backup_window: Option<String>,
    /// What the next boot starts in place of its own system.
    #[serde(default)]
    pub(crate) rescue: Option<Rescue>,
    /// The public keys of the rescue system, where the last boot started that.
    #[serde(default)]
    pub(crate) rescued: Option<Vec<String>>,
}

/// An action: what was asked, how far it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Action {
    pub(crate) status: String,
    pub(crate) progress: u8,
    pub(crate) started: String,
    pub(crate) finished: Option<String>,
    pub(crate) error: Option<Failure>,
    /// The first action of the chain it belongs to; a chain runs in order.
    pub(crate) chain: u64,
    pub(crate) job: Job,
}

impl Server {
    /// The rescue system that the next boot starts, unless it has waited too long.
    pub(crate) fn due_rescue(&self) -> Option<&Rescue> {
        self.rescue.as_ref().filter(|rescue| rescue.is_due(clock::now().unix_timestamp()))
    }
}

impl Action {
    pub(crate) fn is_running(&self) -> bool {
        self.status == "running"
    }

    pub(crate) fn render(&self, id: u64) -> Value {
        let resources: Vec<_> =
            self.job.resources().iter().map(|(kind, id)| json!({"id": id, "type": kind})).collect();
        json!({
            "id": id, "command": self.job.command(), "status": self.status, "progress": self.progress,
            "started": self.started, "finished": self.finished, "resources": resources,
            "error": self.error.as_ref().map(|e| json!({"code": e.code, "message": e.message})),
        })
    }
}

impl State {
    /// What lies in a state directory; nothing yet is an empty cloud.
    pub(crate) fn load(state_dir: &Path) -> Result<Self, Error> {
        let path = state_dir.join("state.json");
        let Some(bytes) = files::read(&path)? else { return Ok(Self::default()) };
        serde_json::from_slice(&bytes).map_err(|e| {
            Error::Said(format!(
                "reading {}: {e}; it was written by another version: move the directory away to start anew",
                path.display()
            ))
        })
    }

    /// Writes it there, whole or not at all.
    pub(crate) fn save(&self, state_dir: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec(self).map_err(|e| Error::Said(format!("writing state.json: {e}")))?;
        Ok(files::write(&state_dir.join("state.json"), &text, 0o600)?)
    }

    /// An id that no resource ever had.
    pub(crate) fn new_id(&mut self) -> u64 {
        // Six digits from the start, so that no id is taken for a count or a port.
        self.last_id = self.last_id.max(100_000) + 1;
        self.last_id
    }

    /// A number that no address of this cloud was made from.
    pub(crate) fn new_address(&mut self) -> u32 {
        self.last_address += 1;
        self.last_address
    }

    /// Begins actions that run one after the other once this change is on disk; gives back their ids.
    pub(crate) fn begin(&mut self, jobs: impl IntoIterator<Item = Job>) -> Vec<u64> {
        let mut chain = Vec::new();
        for job in jobs {
            let id = self.new_id();
            chain.push(id);
            let action = Action {
                status: "running".into(),
                progress: 0,
                started: now_text(),
                finished: None,
                error: None,
                chain: chain[0],
                job,
            };
            self.actions.insert(id, action);
        }
        if !chain.is_empty() {
            self.begun.push(chain.clone());
        }
        let finished: Vec<_> =
            self.actions.iter().filter(|(_, a)| !a.is_running()).map(|(id, _)| *id).collect();
        for id in finished.iter().take(finished.len().saturating_sub(ACTIONS_KEPT)) {
            self.actions.remove(id);
        }
        chain
    }

    /// Marks an action as ended.
    pub(crate) fn finish(&mut self, id: u64, error: Option<Failure>) {
        if let Some(action) = self.actions.get_mut(&id) {
            action.status = if error.is_some() { "error" } else { "success" }.into();
            action.progress = 100;
            action.finished = Some(now_text());
            action.error = error;
        }
    }

    pub(crate) fn render_actions(&self, ids: &[u64]) -> Vec<Value> {
        ids.iter().filter_map(|id| self.actions.get(id).map(|action| action.render(*id))).collect()
    }

    /// Whether a running action holds this resource.
    pub(crate) fn is_locked(&self, kind: &str, id: u64) -> bool {
        self.actions.values().any(|action| action.is_running() && action.job.holds(kind, id))
    }

    /// Fails while a running action holds this resource.
    pub(crate) fn check_unlocked(&self, kind: &str, id: u64) -> Result<(), ApiError> {
        if self.is_locked(kind, id) { Err(ApiError::locked(kind, id)) } else { Ok(()) }
    }

    /// The volumes attached to a server, in the order of their ids.
    pub(crate) fn volumes_of(&self, server: u64) -> Vec<u64> {
        self.volumes.iter().filter(|(_, v)| v.server == Some(server)).map(|(id, _)| *id).collect()
    }

    /// The addresses assigned to a server.
    pub(crate) fn ips_of(&self, server: u64) -> impl Iterator<Item = (u64, &PrimaryIp)> {
        self.primary_ips.iter().filter(move |(_, ip)| ip.assignee == Some(server)).map(|(id, ip)| (*id, ip))
    }

    /// The address a server is reached at.
    pub(crate) fn ipv4_of(&self, server: u64) -> Option<Ipv4Addr> {
        self.ips_of(server).find_map(|(_, ip)| match ip.address {
            Address::Ipv4(address) => Some(address),
            Address::Ipv6(_) => None,
        })
    }

    /// The servers a target stands for.
    pub(crate) fn servers_of(&self, target: &Target) -> Vec<u64> {
        match target {
            Target::Server(id) => self.servers.contains_key(id).then_some(*id).into_iter().collect(),
            Target::LabelSelector(text) => {
                let Ok(selector) = Selector::parse(text) else { return Vec::new() };
                self.servers.iter().filter(|(_, s)| selector.matches(&s.labels)).map(|(id, _)| *id).collect()
            }
        }
    }

    /// The firewalls in force on a server, directly or by a label selector.
    pub(crate) fn firewalls_of(&self, server: u64) -> Vec<u64> {
        let applies = |f: &Firewall| f.applied_to.iter().any(|t| self.servers_of(t).contains(&server));
        self.firewalls.iter().filter(|(_, f)| applies(f)).map(|(id, _)| *id).collect()
    }

    /// A zone's status, as the API names it.
    pub(crate) fn status_of_zone(&self, id: u64, zone: &Zone) -> &'static str {
        let publishes = |job: &Job| matches!(job, Job::Zone { zone, .. } if *zone == id);
        if self.actions.values().any(|action| action.is_running() && publishes(&action.job)) {
            "updating"
        } else if zone.failed {
            "error"
        } else {
            "ok"
        }
    }
}
