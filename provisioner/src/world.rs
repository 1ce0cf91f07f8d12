//! What there is at the cloud.

use crate::api::model::{
    Firewall, Image, Pricing, PrimaryIp, RRSet, Server, ServerType, SshKey, StorageBox, Volume, Zone,
};
use crate::dns::{Addresses, first_address};
use crate::errors::NeedsOperator;
use crate::names::Names;
use crate::project::Project;
use crate::report::Report;
use std::fmt;

/// What there is. Made by [`observe`](crate::observe::observe()); read by [`plan`](crate::plan::plan).
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The project's server.
    pub server: Option<Server>,
    /// The project's volume.
    pub volume: Option<Volume>,
    /// The project's firewall.
    pub firewall: Option<Firewall>,
    /// The doors for ssh that commands which are gone left open in it, each with whose it was.
    pub doors_left_behind: Vec<String>,
    /// The project's ssh key.
    pub ssh_key: Option<SshKey>,
    /// The project's primary IPv4, or the one its server was made with.
    pub ipv4: Option<PrimaryIp>,
    /// The project's primary IPv6, or the one its server was made with.
    pub ipv6: Option<PrimaryIp>,
    /// The zone the project's records are in, whoever made it.
    pub zone: Option<Zone>,
    /// All RRSets of that zone.
    pub rrsets: Vec<RRSet>,
    /// The project's storage box, or the one it shall take over.
    pub storage_box: Option<StorageBox>,
    /// The snapshots made of the project's server.
    pub snapshots: Vec<Image>,
    /// What stands in the way: a second resource with our labels, or a foreign one with our names.
    pub obstacles: Vec<Obstacle>,
    /// All server types that are sold.
    pub server_types: Vec<ServerType>,
    /// The images of the name wanted, one an architecture.
    pub images: Vec<Image>,
    /// The price list.
    pub pricing: Option<Pricing>,
}

/// The kinds of resources of which one must be meant.
pub(crate) mod kind {
    pub(crate) const SERVER: &str = "server";
    pub(crate) const VOLUME: &str = "volume";
    pub(crate) const FIREWALL: &str = "firewall";
}

/// Something that stands in the way; displayed as what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// The kind of resource of which it leaves open which is the project's, where it is two that may be.
    pub doubt: Option<&'static str>,
    pub(crate) said: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl From<String> for Obstacle {
    fn from(said: String) -> Self {
        Self { doubt: None, said }
    }
}

impl World {
    /// The primary IP of a family (`ipv4`, `ipv6`).
    pub fn ip(&self, family: &str) -> Option<&PrimaryIp> {
        if family == "ipv4" { self.ipv4.as_ref() } else { self.ipv6.as_ref() }
    }

    /// The addresses the server has or will have, as far as they are known.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            ipv4: self.ipv4.as_ref().and_then(|ip| ip.ip.parse().ok()),
            ipv6: self.ipv6.as_ref().and_then(|ip| first_address(&ip.ip)),
        }
    }

    /// What stands in the way of any change: what cannot be told apart, and what a server that is not the project's uses.
    pub fn in_the_way(&self, names: &Names<'_>) -> Vec<String> {
        let own = self.server.as_ref().map(|server| server.id);
        let strangers = |user: Option<u64>| user.filter(|user| Some(*user) != own);
        let volume = self.volume.iter().filter_map(|volume| {
            let other = strangers(volume.server)?;
            Some(format!(
                "the volume {} is attached to server {other}, which is not this project's: detach it there first",
                volume.name
            ))
        });
        let ips = [&self.ipv4, &self.ipv6].into_iter().flatten().filter(|ip| names.own(&ip.labels));
        let ips = ips.filter_map(|ip| {
            let other = strangers(ip.assignee_id)?;
            Some(format!(
                "the primary IP {} is assigned to server {other}, which is not this project's: unassign it there first",
                ip.name
            ))
        });
        self.obstacles.iter().map(ToString::to_string).chain(volume).chain(ips).collect()
    }

    /// Refuses to change or remove anything of the project's while something stands in the way.
    pub fn refuse_obstacles(&self, project: &Project, doing: &str) -> Result<(), NeedsOperator> {
        NeedsOperator::unless_clear(doing, &self.in_the_way(&Names::of(project)))
    }

    /// Refuses where it is not clear which resource of a kind is the project's.
    pub(crate) fn need_one(&self, kind: &str, doing: &str) -> Result<(), NeedsOperator> {
        let doubts: Vec<_> = self.doubts(kind).map(ToString::to_string).collect();
        NeedsOperator::unless_clear(doing, &doubts)
    }

    /// What leaves open which resource of a kind is the project's.
    pub(crate) fn doubts(&self, kind: &str) -> impl Iterator<Item = &Obstacle> {
        self.obstacles.iter().filter(move |obstacle| obstacle.doubt == Some(kind))
    }

    /// Shows what stands in the way of changes, to somebody who does not make any in the cloud.
    pub(crate) fn warn(&self, project: &Project, report: &dyn Report) {
        for obstacle in self.in_the_way(&Names::of(project)) {
            report.note(&format!("warning: {obstacle}"));
        }
    }
}
