//! The ways in: who is the front door, and which ports are there besides.

use super::network::Network;
use super::{Planned, PlannedRoute};
use crate::Error;
use crate::manifest::Published;
use spec::Setting;
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

impl FrontDoor {
    pub(super) fn in_networks(mut self, networks: &[Network]) -> Self {
        let outside = networks.iter().filter(|network| !network.internal);
        let place = outside.filter_map(|network| network.member(&self.stack, &self.service)).next();
        self.address = place.map(|member| member.address);
        self.address6 = place.and_then(|member| member.address6);
        self
    }
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
    let door = stacks.iter().find_map(|stack| Some((stack, stack.manifest.provides.front_door.as_ref()?)));
    Ok(door.map(|(stack, door)| FrontDoor {
        stack: stack.name.clone(),
        service: door.service.to_string(),
        address: None,
        address6: None,
    }))
}

/// Leaves of each stack's ports those that are there.
pub(super) fn with_active_ports(mut stacks: Vec<Planned>, has_door: bool) -> Vec<Planned> {
    for stack in &mut stacks {
        let on = |name: &str| stack.options.get(name) == Some(&Setting::Switch(true));
        let active = |port: &&Published| {
            !(port.without_front_door && has_door) && port.when.as_ref().is_none_or(|when| on(when))
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

impl Planned {
    /// Who reads the key of the certificates that firstboot makes for it, where it has such.
    pub fn own_certificate(&self) -> Option<crate::manifest::Owner> {
        let certificate = self.manifest.certificate.as_ref()?;
        // An authority vouches for it, once the project names one.
        let named = certificate.unless.as_ref().and_then(|option| self.options.get(option.as_str()));
        let vouched = named.is_some_and(|option| {
            !matches!(option, Setting::Switch(false)) && *option != Setting::Text(String::new())
        });
        (!vouched).then_some(certificate.reader)
    }
}

/// The public host of whoever provides sign-in.
pub(super) fn sign_in_host<'r>(stacks: &[Planned], routes: &'r [PlannedRoute]) -> Option<&'r str> {
    let (stack, sign_in) =
        stacks.iter().find_map(|stack| Some((stack, stack.manifest.provides.sign_in.as_ref()?)))?;
    let route = routes.iter().find(|route| route.stack == stack.name && route.name == sign_in.route.as_str());
    route.map(|route| route.host.as_str())
}
