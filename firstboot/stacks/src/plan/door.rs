//! The ways in: who is the front door, and which ports are there besides.

use super::{Planned, PlannedRoute};
use crate::Error;
use crate::manifest::Published;
use spec::VpnSpec;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The service that takes what comes from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontDoor {
    /// Its stack.
    pub stack: String,
    /// The service.
    pub service: String,
    /// Where the host itself reaches it.
    pub address: Option<Ipv4Addr>,
    /// The same over IPv6.
    pub address6: Option<Ipv6Addr>,
}

/// The front door, of which there is at most one; as of whatever else is provided.
pub(super) fn find(stacks: &[Planned]) -> Result<Option<FrontDoor>, Error> {
    type Provides = fn(&crate::manifest::Provides) -> bool;
    let provided: [(&str, Provides); 4] = [
        ("the front door", |provides| provides.front_door.is_some()),
        ("the gate", |provides| provides.gate.is_some()),
        ("sign-in", |provides| provides.sign_in.is_some()),
        ("the private network", |provides| provides.private_network.is_some()),
    ];
    for (what, provides) in provided {
        let by: Vec<&str> = stacks
            .iter()
            .filter(|stack| provides(&stack.manifest.provides))
            .map(|stack| stack.name.as_str())
            .collect();
        if by.len() > 1 {
            return Err(Error::Clash(format!(
                "stacks {} all provide {what}: enable one of them",
                by.join(" and ")
            )));
        }
    }
    who_knows_people(stacks)?;
    let door = stacks.iter().find_map(|stack| Some((stack, stack.manifest.provides.front_door.as_ref()?)));
    if let Some(stack) = stacks.iter().find(|stack| !stack.manifest.clients.is_empty() && door.is_none()) {
        return Err(Error::Clash(format!(
            "people sign in at stack {}, and no enabled stack provides the front door, which leads them there",
            stack.name
        )));
    }
    Ok(door.map(|(stack, door)| FrontDoor {
        stack: stack.name.clone(),
        service: door.service.to_string(),
        address: None,
        address6: None,
    }))
}

/// Every client has one provider: the stack that provides sign-in, or one elsewhere that the project names.
fn who_knows_people(stacks: &[Planned]) -> Result<(), Error> {
    let here = stacks.iter().find(|stack| stack.manifest.provides.sign_in.is_some());
    let clients =
        stacks.iter().flat_map(|stack| stack.manifest.clients.iter().map(move |client| (stack, client)));
    for (stack, client) in clients {
        let option =
            client.elsewhere.as_ref().map(|when| format!("`{}` in [stacks.{}]", when.option, stack.name));
        let why = match (here, client.is_elsewhere(&stack.options)) {
            (Some(here), true) => format!(
                "stack {} provides sign-in, and {} says that somebody elsewhere does: leave one of the two out",
                here.name,
                option.unwrap_or_default()
            ),
            (None, false) => format!(
                "stack {} leaves it to another to know who somebody is, and no enabled stack provides sign-in{}",
                stack.name,
                option
                    .map(|option| format!(": enable one, or name one elsewhere by {option}"))
                    .unwrap_or_default()
            ),
            _ => continue,
        };
        return Err(Error::Clash(why));
    }
    Ok(())
}

/// Leaves of each stack's ports those that are there.
pub(super) fn with_active_ports(mut stacks: Vec<Planned>, has_door: bool) -> Vec<Planned> {
    for stack in &mut stacks {
        let active = |port: &&Published| {
            !(port.without_front_door && has_door)
                && port.when.as_ref().is_none_or(|when| when.holds(&stack.options))
        };
        stack.ports = stack.manifest.ports.iter().filter(active).cloned().collect();
    }
    stacks
}

/// No two stacks publish the same port.
pub(super) fn check_ports(stacks: &[Planned]) -> Result<(), Error> {
    let all: Vec<(&str, &Published)> =
        stacks.iter().flat_map(|stack| stack.ports.iter().map(|port| (stack.name.as_str(), port))).collect();
    for (at, (stack, port)) in all.iter().enumerate() {
        if let Some((other, _)) = all[..at].iter().find(|(_, other)| other.outside() == port.outside()) {
            return Err(Error::Clash(format!(
                "stacks {other} and {stack} both publish {}: disable one of them",
                port.outside()
            )));
        }
    }
    Ok(())
}

/// The names that each stack's own certificates are for, one each.
pub(super) fn certificates(
    stacks: &[Planned],
    routes: &[PlannedRoute],
    vpn: Option<&VpnSpec>,
) -> BTreeMap<String, Vec<String>> {
    let has_door = stacks.iter().any(|stack| stack.manifest.provides.front_door.is_some());
    let names = |stack: &Planned| {
        let provides = &stack.manifest.provides;
        let mut names: Vec<String> = if provides.front_door.is_some() {
            let own = routes.iter().filter(|route| !route.vouched);
            let own = own.flat_map(|route| std::iter::once(&route.host).chain(&route.also)).cloned();
            own.collect()
        } else if provides.private_network.is_some() && !has_door {
            vpn.map(|vpn| vpn.host.clone()).into_iter().collect()
        } else {
            Vec::new()
        };
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    };
    let with_one = stacks.iter().filter(|stack| stack.manifest.certificate.is_some());
    with_one.map(|stack| (stack.name.clone(), names(stack))).collect()
}

/// The public host of whoever provides sign-in.
pub(super) fn sign_in_host<'r>(stacks: &[Planned], routes: &'r [PlannedRoute]) -> Option<&'r str> {
    let (stack, sign_in) =
        stacks.iter().find_map(|stack| Some((stack, stack.manifest.provides.sign_in.as_ref()?)))?;
    let route = routes.iter().find(|route| route.stack == stack.name && route.name == sign_in.route.as_str());
    route.map(|route| route.host.as_str())
}
