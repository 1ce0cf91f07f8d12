//! What has to change: a pure function from the project and the observed world.

use crate::api::model::{Location, LocationPrice, Rule};
use crate::money::Money;
use crate::names::{BAKED_IMAGE, Names};
use crate::observe::World;
use crate::project::Project;
use serde::Serialize;
use spec::Protocol;
use std::fmt;

/// One thing to do, in Terraform's manner: `+` made, `~` changed.
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
        /// The rules it shall have.
        rules: Vec<Rule>,
    },
    /// The firewall, applied to a server that lost it.
    ApplyFirewall {
        /// The server.
        server: u64,
    },
    /// An address that outlives the server.
    CreatePrimaryIp {
        /// Its name.
        name: String,
        /// `ipv4` or `ipv6`.
        family: &'static str,
        /// Where.
        location: String,
    },
    /// The server.
    CreateServer {
        /// Its name.
        name: String,
        /// Its type.
        server_type: String,
        /// The image's id: the name alone does not say the architecture.
        image: u64,
        /// Whether packages must be installed, since the image is a stock one.
        stock_image: bool,
        /// Where.
        location: String,
    },
    /// A server that is off.
    PowerOn {
        /// Which.
        server: u64,
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
}

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
        self.changes.is_empty()
    }

    /// What the changes add to the monthly bill.
    pub fn monthly(&self) -> Money {
        self.changes.iter().filter_map(|planned| planned.monthly).sum()
    }
}

/// What has to be done so that the world is as the project says.
pub fn plan(project: &Project, public_key: &str, world: &World) -> Plan {
    let mut planner = Planner { project, names: Names(&project.name), world, plan: Plan::default() };
    planner.plan.obstacles.clone_from(&world.obstacles);
    planner.plan.currency = world.pricing.as_ref().map(|p| p.currency.clone()).unwrap_or_default();
    planner.ssh_key(public_key);
    planner.firewall();
    planner.primary_ip("ipv4");
    planner.primary_ip("ipv6");
    planner.server();
    planner.volume();
    planner.plan
}

struct Planner<'a> {
    project: &'a Project,
    names: Names<'a>,
    world: &'a World,
    plan: Plan,
}

impl Planner<'_> {
    fn add(&mut self, change: Change, reason: impl Into<String>, monthly: Option<Money>, seconds: u64) {
        self.plan.changes.push(Planned { change, reason: reason.into(), monthly, seconds });
    }

    fn ssh_key(&mut self, public_key: &str) {
        let body = |key: &str| key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        match &self.world.ssh_key {
            None => self.add(Change::CreateSshKey { name: self.names.ssh_key() }, "there is none", None, 1),
            Some(key) if body(&key.public_key) != body(public_key) && self.world.server.is_none() => {
                self.plan.obstacles.push(format!(
                    "the cloud's ssh key {:?} (id {}) is not the one in the project folder's ssh/: restore the folder, or delete the key at the cloud",
                    key.name, key.id
                ));
            }
            Some(_) => {}
        }
    }

    fn firewall(&mut self) {
        let rules = rules(self.project);
        match &self.world.firewall {
            None => self.add(
                Change::CreateFirewall { name: self.names.firewall(), rules },
                "there is none",
                None,
                1,
            ),
            Some(firewall) => {
                if comparable(&firewall.rules) != comparable(&rules) {
                    self.add(
                        Change::SetFirewallRules { id: firewall.id, rules },
                        "its rules are not the project's",
                        None,
                        5,
                    );
                }
                let server = self.world.server.as_ref();
                if let Some(server) =
                    server.filter(|s| !s.public_net.firewalls.iter().any(|f| f.id == firewall.id))
                {
                    self.add(
                        Change::ApplyFirewall { server: server.id },
                        "the server is not behind it",
                        None,
                        5,
                    );
                }
            }
        }
    }

    fn primary_ip(&mut self, family: &'static str) {
        let found = if family == "ipv4" { &self.world.ipv4 } else { &self.world.ipv6 };
        if let Some(ip) = found {
            self.check_place("primary IP", &ip.name, ip.location.as_ref());
            return;
        }
        // An address can only be assigned while the server is off, so a running one keeps the address it has.
        if let Some(server) = &self.world.server {
            self.plan
                .kept
                .push(format!("the server {} runs without the project's own {family} address", server.name));
            return;
        }
        let prices =
            self.world.pricing.as_ref().and_then(|p| p.primary_ips.iter().find(|i| i.family == family));
        let monthly = prices.and_then(|p| price_in(&p.prices, &self.project.location));
        let change = Change::CreatePrimaryIp {
            name: self.names.primary_ip(family),
            family,
            location: self.project.location.clone(),
        };
        self.add(change, "there is none", monthly, 1);
    }

    fn server(&mut self) {
        if let Some(server) = &self.world.server {
            self.check_place("server", &server.name, server.location.as_ref());
            if server.server_type.name != self.project.server_type {
                self.plan.kept.push(format!(
                    "the server is a {}, the project says {}: changing the type needs the server off and is not done here",
                    server.server_type.name, self.project.server_type
                ));
            }
            if server.status == "off" {
                self.add(Change::PowerOn { server: server.id }, "it is off", None, 20);
            }
            return;
        }
        let Some(kind) = &self.world.server_type else {
            self.plan
                .obstacles
                .push(format!("the cloud sells no server type {:?}", self.project.server_type));
            return;
        };
        let place = kind.locations.iter().find(|l| l.name == self.project.location);
        if place.is_some_and(|l| l.available == Some(false)) {
            self.plan.obstacles.push(format!(
                "{} is out of stock in {}: name another type or location in project.toml, or try later; nothing was changed",
                kind.name, self.project.location
            ));
        }
        let Some(image) = &self.world.image else {
            self.plan.obstacles.push(format!(
                "the cloud has no image {:?} for {} ({})",
                self.project.image, kind.name, kind.architecture
            ));
            return;
        };
        let change = Change::CreateServer {
            name: self.names.server(),
            server_type: kind.name.clone(),
            image: image.id,
            stock_image: !image.labels.contains_key(BAKED_IMAGE),
            location: self.project.location.clone(),
        };
        self.add(change, "there is none", price_in(&kind.prices, &self.project.location), 90);
    }

    fn volume(&mut self) {
        let Some(volume) = &self.world.volume else {
            let gigabyte = self.world.pricing.as_ref().and_then(|p| p.volume.as_ref());
            let monthly = gigabyte
                .and_then(|v| Money::parse(&v.price_per_gb_month.net))
                .map(|m| m.times(self.project.volume_gb));
            let change = Change::CreateVolume { name: self.names.volume(), size_gb: self.project.volume_gb };
            return self.add(change, "there is none", monthly, 5);
        };
        self.check_place("volume", &volume.name, volume.location.as_ref());
        let server = self.world.server.as_ref().map(|s| s.id);
        match volume.server {
            Some(other) if server != Some(other) => self.plan.obstacles.push(format!(
                "the volume {} is attached to server {other}, which is not this project's: detach it there first",
                volume.name
            )),
            None => self.add(Change::AttachVolume { volume: volume.id }, "it is not attached", None, 5),
            Some(_) => {}
        }
        if volume.size < self.project.volume_gb {
            let change = Change::GrowVolume { volume: volume.id, size_gb: self.project.volume_gb };
            self.add(change, format!("it has {} GB", volume.size), None, 5);
        } else if volume.size > self.project.volume_gb {
            self.plan.kept.push(format!(
                "the volume has {} GB, the project says {}: volumes cannot be made smaller",
                volume.size, self.project.volume_gb
            ));
        }
    }

    fn check_place(&mut self, kind: &str, name: &str, location: Option<&Location>) {
        if let Some(location) = location.filter(|l| l.name != self.project.location) {
            self.plan.obstacles.push(format!(
                "the {kind} {name} is in {}, the project says {}: what is bound to a location cannot be moved; put the location back",
                location.name, self.project.location
            ));
        }
    }
}

fn price_in(prices: &[LocationPrice], location: &str) -> Option<Money> {
    prices.iter().find(|p| p.location == location).and_then(|p| Money::parse(&p.price_monthly.net))
}

/// The rules of the cloud's firewall: ssh, ping and the declared ports, from everywhere.
fn rules(project: &Project) -> Vec<Rule> {
    let rule = |protocol: &str, port: Option<u16>, what: &str| Rule {
        direction: "in".into(),
        protocol: protocol.into(),
        port: port.map(|p| p.to_string()),
        source_ips: vec!["0.0.0.0/0".into(), "::/0".into()],
        description: Some(what.into()),
    };
    let declared = project.open.iter().map(|open| match open.protocol {
        Protocol::Tcp => rule("tcp", Some(open.port), "declared"),
        Protocol::Udp => rule("udp", Some(open.port), "declared"),
    });
    [rule("tcp", Some(project.ssh_port), "ssh"), rule("icmp", None, "ping")]
        .into_iter()
        .chain(declared)
        .collect()
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

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateSshKey { name } => write!(f, "+ ssh key {name}"),
            Self::CreateFirewall { name, rules } => write!(f, "+ firewall {name} ({})", ports(rules)),
            Self::SetFirewallRules { rules, .. } => write!(f, "~ firewall rules ({})", ports(rules)),
            Self::ApplyFirewall { .. } => write!(f, "~ firewall applied to the server"),
            Self::CreatePrimaryIp { name, location, .. } => write!(f, "+ primary IP {name} in {location}"),
            Self::CreateServer { name, server_type, location, .. } => {
                write!(f, "+ server {name} ({server_type} in {location})")
            }
            Self::PowerOn { .. } => write!(f, "~ server powered on"),
            Self::CreateVolume { name, size_gb } => {
                write!(f, "+ volume {name} ({size_gb} GB, encrypted by the server)")
            }
            Self::AttachVolume { .. } => write!(f, "~ volume attached to the server"),
            Self::GrowVolume { size_gb, .. } => write!(f, "~ volume grown to {size_gb} GB"),
        }
    }
}

fn ports(rules: &[Rule]) -> String {
    let one = |rule: &Rule| match &rule.port {
        Some(port) => format!("{port}/{}", rule.protocol),
        None => rule.protocol.clone(),
    };
    format!("open: {}", rules.iter().map(one).collect::<Vec<_>>().join(", "))
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
        if !self.is_empty() {
            let seconds: u64 = self.changes.iter().map(|planned| planned.seconds).sum();
            let sum = format!("{:>8} {}/month", self.monthly(), self.currency);
            writeln!(f, "  {:<58} {sum:<20} net; about {seconds} s at Hetzner, then first boot", "sum")?;
        }
        self.kept.iter().try_for_each(|kept| writeln!(f, "  kept: {kept}"))?;
        self.obstacles.iter().try_for_each(|obstacle| writeln!(f, "  in the way: {obstacle}"))
    }
}
