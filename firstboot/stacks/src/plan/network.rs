//! Which container networks there are, and who is in each. Whoever shares none cannot talk.
//!
//! * `STACK_NAME` is a stack's own, as its compose file has it; `STACK.edge` holds what is reached through the front door,
//!   and the door; `STACK.EXPORT` what a stack exports, and who imports it. From these no way leads out.
//! * `STACK.outside` holds what publishes a port or may reach the internet.

use super::address::{MEMBERS, Subnet4, Subnet6};
use super::{FrontDoor, Planned, PlannedRoute};
use crate::Error;
use crate::manifest::Word;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A network of containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name, as Docker has it.
    pub name: String,
    /// The stack that it is there for.
    pub stack: String,
    /// Its IPv4 addresses.
    pub subnet: Subnet4,
    /// Its IPv6 addresses, where something in it is published.
    pub subnet6: Option<Subnet6>,
    /// Whether no way leads out of it.
    pub internal: bool,
    /// Who is in it, by stack and service.
    pub members: Vec<Member>,
}

/// A service in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its stack.
    pub stack: String,
    /// The service.
    pub service: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its IPv6 address, where the network has IPv6.
    pub address6: Option<Ipv6Addr>,
    /// Other names it answers to there, besides `SERVICE.STACK`.
    pub aliases: Vec<String>,
}

impl Network {
    /// A service's place in it.
    pub fn member(&self, stack: &str, service: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.stack == stack && member.service == service)
    }
}

/// A network on its way: members are `(stack, service)`, with their aliases.
#[derive(Default)]
struct Draft {
    stack: String,
    internal: bool,
    published: bool,
    members: BTreeMap<(String, String), BTreeSet<String>>,
}

/// Draws up all networks.
pub(super) fn resolve(
    stacks: &[Planned],
    routes: &[PlannedRoute],
    door: Option<&FrontDoor>,
) -> Result<Vec<Network>, Error> {
    let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
    for stack in stacks {
        own(stack, &mut drafts);
        outside(stack, &mut drafts);
        exports(stack, stacks, &mut drafts)?;
        if let Some(door) = door {
            edge(stack, routes, door, stacks, &mut drafts);
        }
    }
    stacks.iter().for_each(|stack| nowhere_else(stack, &mut drafts));
    let (mut taken4, mut taken6) = (Vec::new(), Vec::new());
    let mut networks = Vec::new();
    for (name, draft) in drafts {
        if draft.members.len() > MEMBERS as usize {
            return Err(Error::Clash(format!(
                "network {name} would have {} members, and holds {MEMBERS}",
                draft.members.len()
            )));
        }
        let subnet = Subnet4::of(&name, &taken4);
        taken4.push(subnet);
        let subnet6 = draft.published.then(|| Subnet6::of(&name, &taken6));
        taken6.extend(subnet6);
        let members = draft.members.into_iter().zip(0..).map(|(((stack, service), aliases), at)| Member {
            stack,
            service,
            address: subnet.member(at),
            address6: subnet6.map(|subnet| subnet.member(at)),
            aliases: aliases.into_iter().collect(),
        });
        networks.push(Network {
            name,
            stack: draft.stack,
            subnet,
            subnet6,
            internal: draft.internal,
            members: members.collect(),
        });
    }
    Ok(networks)
}

/// Those of its compose file. A service that names none is in one called `default`, as Compose has it, if there is anybody
/// to talk to in it.
fn own(stack: &Planned, drafts: &mut BTreeMap<String, Draft>) {
    let alone = stack.services().count() == 1;
    for (service, definition) in stack.services() {
        let mut keys: Vec<&str> =
            definition["networks"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if keys.is_empty() && !alone {
            keys.push("default");
        }
        for key in keys {
            join(drafts, format!("{}_{key}", stack.name), stack, service);
        }
    }
}

/// Compose would put a service that is in no network into one of its own making.
fn nowhere_else(stack: &Planned, drafts: &mut BTreeMap<String, Draft>) {
    for (service, _) in stack.services() {
        let is_in = |draft: &Draft| draft.members.contains_key(&(stack.name.clone(), service.clone()));
        if !drafts.values().any(is_in) {
            join(drafts, format!("{}_default", stack.name), stack, service);
        }
    }
}

fn join(drafts: &mut BTreeMap<String, Draft>, network: String, stack: &Planned, service: &str) {
    let members = &mut draft(drafts, network, stack, true).members;
    members.entry((stack.name.clone(), service.to_owned())).or_default();
}

fn outside(stack: &Planned, drafts: &mut BTreeMap<String, Draft>) {
    let m = &stack.manifest;
    let published: Vec<&str> =
        stack.ports.iter().filter_map(|port| port.service.as_ref()).map(Word::as_str).collect();
    let asking = m
        .clients
        .iter()
        .filter(|client| client.is_elsewhere(&stack.options))
        .flat_map(|client| &client.services);
    let all = m.egress.iter().chain(&m.mail).chain(asking).map(Word::as_str).chain(published.iter().copied());
    for service in all {
        let draft = draft(drafts, format!("{}.outside", stack.name), stack, false);
        draft.published |= !published.is_empty();
        draft.members.entry((stack.name.clone(), service.to_owned())).or_default();
    }
}

fn exports(stack: &Planned, stacks: &[Planned], drafts: &mut BTreeMap<String, Draft>) -> Result<(), Error> {
    for import in &stack.manifest.imports {
        let from = stacks.iter().find(|other| other.name == import.stack.as_str());
        let export =
            from.and_then(|from| from.manifest.exports.iter().find(|export| export.name == import.export));
        let export = export.filter(|export| export.is_for(&stack.name));
        let (Some(from), Some(export)) = (from, export) else {
            return Err(Error::Clash(format!(
                "stack {} imports {} of stack {}, which exports nothing of that name to it",
                stack.name, import.export, import.stack
            )));
        };
        let draft = draft(drafts, format!("{}.{}", from.name, export.name), from, true);
        draft.members.entry((from.name.clone(), export.service.to_string())).or_default();
        for service in &import.services {
            draft.members.entry((stack.name.clone(), service.to_string())).or_default();
        }
    }
    Ok(())
}

/// What is reached through the front door, and what speaks through it to whoever provides sign-in: by the provider's own
/// public name, which inside leads to the door.
fn edge(
    stack: &Planned,
    routes: &[PlannedRoute],
    door: &FrontDoor,
    stacks: &[Planned],
    drafts: &mut BTreeMap<String, Draft>,
) {
    if stack.name == door.stack {
        return;
    }
    let routed = routes.iter().filter(|route| route.stack == stack.name).map(|route| route.service.as_str());
    let calling = stack.manifest.clients.iter().flat_map(|client| &client.services).map(Word::as_str);
    let services: BTreeSet<&str> = routed.chain(calling).collect();
    if services.is_empty() {
        return;
    }
    let draft = draft(drafts, format!("{}.edge", stack.name), stack, true);
    for service in services {
        draft.members.entry((stack.name.clone(), service.to_owned())).or_default();
    }
    let aliases = draft.members.entry((door.stack.clone(), door.service.clone())).or_default();
    if !stack.manifest.clients.is_empty() {
        aliases.extend(super::door::sign_in_host(stacks, routes).map(str::to_owned));
    }
}

fn draft<'d>(
    drafts: &'d mut BTreeMap<String, Draft>,
    name: String,
    stack: &Planned,
    internal: bool,
) -> &'d mut Draft {
    drafts.entry(name).or_insert_with(|| Draft { stack: stack.name.clone(), internal, ..Draft::default() })
}

impl FrontDoor {
    pub(super) fn in_networks(mut self, networks: &[Network]) -> Self {
        let outside = networks.iter().filter(|network| !network.internal);
        let place = outside.filter_map(|network| network.member(&self.stack, &self.service)).next();
        self.address = place.map(|member| member.address);
        self.address6 = place.and_then(|member| member.address6);
        self
    }
}
