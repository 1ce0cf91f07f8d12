//! Who reaches what, and through which door: the plan's access matrix, which people read and `verify` can probe.

use super::{Plan, Planned, PlannedRoute};
use crate::manifest::{From, Published};
use serde::Serialize;

/// The columns' names.
const HEAD: [&str; 5] = ["address", "who", "door", "role", "service"];

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Access {
    /// `https://HOST/PATH` with all below it, or a port.
    pub address: String,
    /// Whom it is for.
    pub who: Who,
    /// What stands before the service.
    pub door: String,
    /// The role that whoever asks must have.
    pub role: Option<String>,
    /// Who answers: `SERVICE.STACK:PORT`, or another address that people are sent on to.
    pub service: String,
}

/// Whom something is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Whoever asks.
    Everybody,
    /// Devices of the private network.
    PrivateNetwork,
    /// Not a soul.
    Nobody,
}

impl Who {
    fn of(from: From) -> Self {
        match from {
            From::World => Self::Everybody,
            From::Vpn => Self::PrivateNetwork,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Everybody => "everybody",
            Self::PrivateNetwork => "private network",
            Self::Nobody => "nobody",
        }
    }
}

impl Plan {
    /// All that can be asked for from outside, by address; then the ports that are there besides.
    pub fn access(&self) -> Vec<Access> {
        let mut rows: Vec<Access> = self.routes.iter().flat_map(|route| self.of_route(route)).collect();
        rows.sort_by(|a, b| a.address.cmp(&b.address));
        let ports = self.stacks.iter().flat_map(|stack| stack.ports.iter().map(move |port| (stack, port)));
        rows.extend(ports.map(|(stack, port)| self.of_port(stack, port)));
        rows
    }

    /// The same as a table of Markdown's.
    pub fn access_matrix(&self) -> String {
        let line = |cells: [&str; 5]| format!("| {} |\n", cells.join(" | "));
        let rows = self.access();
        let rows = rows.iter().map(|row| line(row.cells().each_ref().map(String::as_str)));
        line(HEAD) + "| --- | --- | --- | --- | --- |\n" + &rows.collect::<String>()
    }

    /// A route, the hosts that lead there, and what below it nobody gets.
    fn of_route(&self, route: &PlannedRoute) -> Vec<Access> {
        let door = self.front_door.as_ref().map_or("", |door| &door.stack);
        let row =
            |address: String, who, service| Access { address, who, door: door.into(), role: None, service };
        let mut whole = row(
            format!("https://{}{}", route.host, route.path),
            Who::of(route.from),
            format!("{}:{}", route.upstream, route.port),
        );
        if let Some(role) = &route.role {
            let gate = self.stacks.iter().find(|stack| stack.manifest.provides.gate.is_some());
            whole.door = format!("{door}, then {}", gate.map_or("", |gate| &gate.name));
            whole.role = Some(role.clone());
        }
        let leads = format!("leads to https://{}/", route.host);
        let also = route.also.iter().map(|host| row(format!("https://{host}/"), whole.who, leads.clone()));
        let refused = route.refused.iter();
        let refused =
            refused.map(|path| row(format!("https://{}{path}", route.host), Who::Nobody, String::new()));
        also.chain(refused).chain([whole.clone()]).collect()
    }

    /// A port: the front door's own, or one that passes it by.
    fn of_port(&self, stack: &Planned, port: &Published) -> Access {
        let is_door = self.front_door.as_ref().is_some_and(|door| door.stack == stack.name);
        let service = port.service.as_ref().map(|service| {
            let inside = port.target.unwrap_or(port.port);
            format!("{}:{inside}", super::name_of(&stack.name, service))
        });
        Access {
            address: port.outside().to_string(),
            who: Who::of(port.from),
            door: if is_door { "the door itself".into() } else { "a port of its own".into() },
            role: None,
            service: service.unwrap_or_else(|| format!("the host itself, for {}", stack.name)),
        }
    }
}

impl Access {
    fn cells(&self) -> [String; 5] {
        let role = self.role.clone().unwrap_or_default();
        [self.address.clone(), self.who.word().into(), self.door.clone(), role, self.service.clone()]
    }

    /// Rows for people, the columns' names first.
    pub(super) fn rows(all: &[Self]) -> Vec<Vec<String>> {
        let head = HEAD.map(str::to_owned).to_vec();
        std::iter::once(head).chain(all.iter().map(|row| row.cells().to_vec())).collect()
    }
}
