//! What has to change: a pure function from the project and the observed world.

mod change;
mod dns;
mod server;
mod stacks;

pub use change::{Change, Place, Protected, Stage};
pub(crate) use stacks::taken_out;

use crate::api::model::{Location, LocationPrice, Rule};
use crate::door;
use crate::money::Money;
use crate::names::Names;
use crate::network::Network;
use crate::project::Project;
use crate::world::World;
use serde::Serialize;
use spec::Protocol;
use std::fmt;

/// A change, why, and what it adds to the monthly bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// What.
    #[serde(flatten)]
    pub change: Change,
    /// Why.
    pub reason: String,
    /// What it costs a month, net, where the cloud's price list says so.
    pub monthly: Option<Money>,
    /// How long it takes at Hetzner, about, in seconds.
    pub seconds: u64,
}

/// All changes, in the order they are made, and what stands in the way of making them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// In order.
    pub changes: Vec<Planned>,
    /// What first boot changes on the server, where that is known beforehand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_server: Vec<String>,
    /// Why it cannot be applied; empty when it can.
    pub obstacles: Vec<String>,
    /// What differs from the project and cannot be changed in place; it is left as it is.
    pub kept: Vec<String>,
    /// The currency of the prices.
    pub currency: String,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.on_server.is_empty()
    }

    /// What the changes add to the monthly bill.
    pub fn monthly(&self) -> Money {
        self.changes.iter().filter_map(|planned| planned.monthly).sum()
    }
}

/// What is asked for beyond what the project's file says, for this one run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// The server's root disk shall be overwritten from the project's image.
    pub rebuild: bool,
}

/// What has to be done so that the world is as the project says.
pub fn plan(project: &Project, public_key: &str, world: &World, wish: Wish) -> Plan {
    let mut planner = Planner { project, names: Names::of(project), world, wish, plan: Plan::default() };
    planner.plan.obstacles = world.in_the_way(&planner.names);
    planner.plan.currency = world.pricing.as_ref().map(|p| p.currency.clone()).unwrap_or_default();
    planner.ssh_key(public_key);
    planner.firewall();
    planner.server();
    planner.primary_ip("ipv4");
    planner.primary_ip("ipv6");
    planner.volume();
    planner.reverse_names();
    planner.records();
    planner.storage_box();
    planner.protection();
    planner.plan.changes.sort_by_key(|planned| planned.change.stage());
    planner.plan
}

struct Planner<'a> {
    project: &'a Project,
    names: Names<'a>,
    world: &'a World,
    wish: Wish,
    plan: Plan,
}

impl Planner<'_> {
    fn add(&mut self, change: Change, reason: impl Into<String>) {
        self.add_priced(change, reason, None);
    }

    fn add_priced(&mut self, change: Change, reason: impl Into<String>, monthly: Option<Money>) {
        let seconds = change.seconds();
        self.plan.changes.push(Planned { change, reason: reason.into(), monthly, seconds });
    }

    fn keep(&mut self, what: String) {
        self.plan.kept.push(what);
    }

    fn obstacle(&mut self, what: String) {
        self.plan.obstacles.push(what);
    }

    fn ssh_key(&mut self, public_key: &str) {
        let body = |key: &str| key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        match &self.world.ssh_key {
            None => self.add(Change::CreateSshKey { name: self.names.ssh_key() }, "there is none"),
            Some(key) if body(&key.public_key) != body(public_key) && self.world.server.is_none() => {
                self.obstacle(format!(
                    "the cloud's ssh key {:?} (id {}) is not the one in the project folder's ssh/: restore the folder, or delete the key at the cloud",
                    key.name, key.id
                ));
            }
            Some(_) => {}
        }
    }

    fn firewall(&mut self) {
        let rules = rules(self.project);
        let Some(firewall) = &self.world.firewall else {
            return self.add(Change::CreateFirewall { name: self.names.firewall(), rules }, "there is none");
        };
        let doors = &self.world.doors_left_behind;
        if !doors.is_empty() {
            let why = format!("a door for ssh was left open to {}", doors.join(", "));
            self.add(Change::SetFirewallRules { id: firewall.id, rules }, why);
        } else if comparable(&door::without_doors(&firewall.rules)) != comparable(&rules) {
            self.add(Change::SetFirewallRules { id: firewall.id, rules }, "its rules are not the project's");
        }
        let server = self.world.server.as_ref();
        if let Some(server) = server.filter(|s| !s.public_net.firewalls.iter().any(|f| f.id == firewall.id)) {
            self.add(Change::ApplyFirewall { server: server.id }, "the server is not behind it");
        }
    }

    fn primary_ip(&mut self, family: &'static str) {
        // A throw-away server's addresses come and go with it.
        if self.project.lease.is_some() {
            return;
        }
        let name = self.names.primary_ip(family);
        let found = self.world.ip(family);
        let server = self.world.server.as_ref();
        match (found, server) {
            (Some(ip), _) if self.names.own(&ip.labels) => {
                self.check_place("primary IP", &ip.name, ip.location.as_ref());
                if ip.auto_delete {
                    self.add(Change::KeepPrimaryIp { name, family }, "it would be deleted with the server");
                } else if let Some(server) = server.filter(|_| ip.assignee_id.is_none()) {
                    // An address can only be assigned while the server is off, so a running one keeps what it has.
                    self.keep(format!(
                        "the server {} does not use the project's own {family} address {}: it can only be assigned while the server is off",
                        server.name, ip.ip
                    ));
                }
            }
            (Some(_), _) => {
                self.add(
                    Change::KeepPrimaryIp { name, family },
                    "it came with the server and would go with it",
                );
            }
            (None, Some(server)) => {
                self.keep(format!("the server {} runs without an {family} address", server.name));
            }
            (None, None) => {
                // It is made in the server's own create call, so that it is wherever the server finds its place.
                let prices = self
                    .world
                    .pricing
                    .as_ref()
                    .and_then(|p| p.primary_ips.iter().find(|i| i.family == family));
                let place = self.first_location();
                let monthly = prices.and_then(|p| price_in(&p.prices, &place));
                self.add_priced(
                    Change::KeepPrimaryIp { name, family },
                    "there is none; it comes with the server",
                    monthly,
                );
            }
        }
    }

    fn volume(&mut self) {
        let Some(wanted_gb) = self.project.volume_gb else { return };
        let Some(volume) = &self.world.volume else {
            let gigabyte = self.world.pricing.as_ref().and_then(|p| p.volume.as_ref());
            let monthly =
                gigabyte.and_then(|v| Money::parse(&v.price_per_gb_month.net)).map(|m| m.times(wanted_gb));
            let change = Change::CreateVolume { name: self.names.volume(), size_gb: wanted_gb };
            return self.add_priced(change, "there is none", monthly);
        };
        self.check_place("volume", &volume.name, volume.location.as_ref());
        if volume.server.is_none() {
            self.add(Change::AttachVolume { volume: volume.id }, "it is not attached");
        }
        if volume.size < wanted_gb {
            let change = Change::GrowVolume { volume: volume.id, size_gb: wanted_gb };
            self.add(change, format!("it has {} GB", volume.size));
        } else if volume.size > wanted_gb {
            self.keep(format!(
                "the volume has {} GB, the project says {wanted_gb}: volumes cannot be made smaller",
                volume.size
            ));
        }
    }

    fn storage_box(&mut self) {
        let Some(wish) = &self.project.storage_box else { return };
        let Some(found) = &self.world.storage_box else {
            if wish.adopt.is_none() {
                let change = Change::CreateStorageBox {
                    name: self.names.storage_box(),
                    kind: wish.kind.clone(),
                    location: wish.location.clone(),
                };
                self.add(change, "there is none");
            }
            return;
        };
        if !self.names.own(&found.labels) {
            self.add(Change::AdoptStorageBox { id: found.id }, "project.toml adopts it");
        }
        if !found.storage_box_type.name.is_empty() && found.storage_box_type.name != wish.kind {
            let change = Change::ChangeStorageBoxType { id: found.id, to: wish.kind.clone() };
            self.add(change, "the project says another type");
        }
    }

    /// Protects what is there unprotected and what is about to be made. It is lifted by `destroy` and by nothing here.
    fn protection(&mut self) {
        let world = self.world;
        let protected = [
            (Protected::Server, true, world.server.as_ref().map(|s| s.protection.delete)),
            (
                Protected::Volume,
                self.project.volume_gb.is_some(),
                world.volume.as_ref().map(|v| v.protection.delete),
            ),
            (Protected::Ipv4, true, world.ipv4.as_ref().map(|i| i.protection.delete)),
            (Protected::Ipv6, true, world.ipv6.as_ref().map(|i| i.protection.delete)),
            (Protected::Zone, self.owns_zone(), world.zone.as_ref().map(|z| z.protection.delete)),
            (
                Protected::StorageBox,
                self.project.storage_box.is_some(),
                world.storage_box.as_ref().map(|b| b.protection.delete),
            ),
        ];
        let rebuilt = self
            .plan
            .changes
            .iter()
            .any(|p| matches!(p.change, Change::RebuildServer { protected: true, .. }));
        let no_address = |what| matches!(what, Protected::Ipv4 | Protected::Ipv6) && world.server.is_some();
        for (what, wanted, found) in protected {
            if !self.project.protect {
                if wanted && found == Some(true) {
                    self.keep(format!(
                        "the {what} is protected, the project does not ask for that: only `destroy` lifts it"
                    ));
                }
            } else if wanted && found == Some(false) {
                self.add(Change::Protect { what }, "it is not protected");
            } else if wanted && found.is_none() && !no_address(what) {
                self.add(Change::Protect { what }, "the project protects what it makes");
            } else if what == Protected::Server && rebuilt {
                self.add(Change::Protect { what }, "it is lifted for the rebuild");
            }
        }
    }

    fn check_place(&mut self, kind: &str, name: &str, location: Option<&Location>) {
        if let Some(location) = location.filter(|l| !self.project.locations.contains(&l.name)) {
            self.obstacle(format!(
                "the {kind} {name} is in {}, the project says {}: what is bound to a location cannot be moved; put the location back",
                location.name,
                self.project.locations.join(", ")
            ));
        }
    }
}

fn price_in(prices: &[LocationPrice], location: &str) -> Option<Money> {
    prices.iter().find(|p| p.location == location).and_then(|p| Money::parse(&p.price_monthly.net))
}

/// The rules of the cloud's firewall: ping and the declared ports from everywhere, ssh from where the project says.
fn rules(project: &Project) -> Vec<Rule> {
    let rule = |protocol: &str, port: Option<u16>, from: &[Network], what: &str| Rule {
        direction: "in".into(),
        protocol: protocol.into(),
        port: port.map(|p| p.to_string()),
        source_ips: from.iter().map(ToString::to_string).collect(),
        description: Some(what.into()),
    };
    let all = Network::everybody();
    let declared = project.open.iter().map(|open| match open.protocol {
        Protocol::Tcp => rule("tcp", Some(open.port), &all, "declared"),
        Protocol::Udp => rule("udp", Some(open.port), &all, "declared"),
    });
    // A rule without sources would be refused; nobody is let in where there is no rule.
    let ssh =
        (!project.ssh_from.is_empty()).then(|| rule("tcp", Some(project.ssh_port), &project.ssh_from, "ssh"));
    ssh.into_iter().chain([rule("icmp", None, &all, "ping")]).chain(declared).collect()
}

/// Rules without their order and their descriptions, which change nothing.
fn comparable(rules: &[Rule]) -> Vec<Rule> {
    let mut rules = rules.to_vec();
    for rule in &mut rules {
        rule.description = None;
        rule.source_ips.sort();
    }
    rules.sort();
    rules
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() && self.obstacles.is_empty() {
            writeln!(f, "No changes: the cloud is as the project says.")?;
        }
        for planned in &self.changes {
            let change = planned.change.to_string();
            let price =
                planned.monthly.map_or_else(String::new, |m| format!("{m:>8} {}/month", self.currency));
            writeln!(f, "  {change:<58} {price:<20} {}", planned.reason)?;
        }
        for change in &self.on_server {
            writeln!(f, "  {:<79} the project does not enable it", format!("~ {change}"))?;
        }
        if !self.changes.is_empty() {
            let seconds: u64 = self.changes.iter().map(|planned| planned.seconds).sum();
            let sum = format!("{:>8} {}/month", self.monthly(), self.currency);
            writeln!(f, "  {:<58} {sum:<20} net; about {seconds} s at Hetzner, then first boot", "sum")?;
        }
        self.kept.iter().try_for_each(|kept| writeln!(f, "  kept: {kept}"))?;
        self.obstacles.iter().try_for_each(|obstacle| writeln!(f, "  in the way: {obstacle}"))
    }
}
