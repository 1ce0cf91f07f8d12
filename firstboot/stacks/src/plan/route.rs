//! What is reached through the front door: which host and path lead to which service, and from where.

use super::network::name_of;
use super::{Planned, Wish};
use crate::Error;
use crate::manifest::{From, Host, Route};
use serde::Serialize;

/// A route whose host is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedRoute {
    /// The stack.
    pub stack: String,
    /// What the stack calls it.
    pub name: String,
    /// The whole host name.
    pub host: String,
    /// Whether that name is one inside the private network.
    pub inside: bool,
    /// What the path begins with.
    pub path: String,
    /// The service.
    pub service: String,
    /// The name that the door finds the service by, `SERVICE.STACK`.
    pub upstream: String,
    /// The port it listens on.
    pub port: u16,
    /// From where it may be asked for.
    pub from: From,
    /// The role that whoever asks must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Paths below it that nobody gets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// Gives every route its host. Without a front door there are none.
pub(super) fn resolve(
    stacks: &[Planned],
    wish: Wish<'_>,
    has_door: bool,
) -> Result<Vec<PlannedRoute>, Error> {
    let mut routes: Vec<PlannedRoute> = Vec::new();
    if !has_door {
        return Ok(routes);
    }
    let has_gate = stacks.iter().any(|stack| stack.manifest.provides.gate.is_some());
    for stack in stacks {
        let hosts = wish.stacks.iter().find(|wanted| wanted.name == stack.name).map(|wanted| &wanted.hosts);
        for route in &stack.manifest.routes {
            let chosen = hosts.and_then(|hosts| hosts.get(route.name.as_str()));
            let chosen = chosen.map(|host| Host::try_from(host.clone())).transpose();
            let chosen = chosen.map_err(|why| Error::Option {
                stack: stack.name.clone(),
                option: format!("hosts.{}", route.name),
                why,
            })?;
            if route.role.is_some() && !has_gate {
                return Err(Error::Clash(format!(
                    "route {} of stack {} asks for a role, and no enabled stack provides the gate",
                    route.name, stack.name
                )));
            }
            routes.push(planned(stack, route, chosen.as_ref().unwrap_or(&route.host), wish)?);
        }
        if let Some(unknown) = hosts
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
            .find(|name| stack.manifest.routes.iter().all(|route| route.name.as_str() != *name))
        {
            let known: Vec<_> = stack.manifest.routes.iter().map(|route| route.name.to_string()).collect();
            return Err(Error::Option {
                stack: stack.name.clone(),
                option: format!("hosts.{unknown}"),
                why: format!("is no route of it; there are: {}", known.join(", ")),
            });
        }
    }
    routes.sort_by(|a, b| (&a.host, b.path.len(), &a.path).cmp(&(&b.host, a.path.len(), &b.path)));
    match routes.windows(2).find(|pair| pair[0].host == pair[1].host && pair[0].path == pair[1].path) {
        Some([one, other]) => Err(Error::Clash(format!(
            "route {} of stack {} and route {} of stack {} are both at {}{}: give one of them another host, `[stacks.{}.hosts]`",
            one.name, one.stack, other.name, other.stack, one.host, one.path, other.stack
        ))),
        _ => Ok(routes),
    }
}

fn planned(stack: &Planned, route: &Route, host: &Host, wish: Wish<'_>) -> Result<PlannedRoute, Error> {
    let needs =
        |what: &str| Error::Clash(format!("route {} of stack {} needs {what}", route.name, stack.name));
    if route.from == From::Vpn && wish.vpn.is_none() {
        return Err(needs("a private network: add a section [vpn] and the stack that serves it"));
    }
    let domain = match (route.inside, wish.vpn) {
        (true, vpn) => vpn.map(|vpn| vpn.base_domain.as_str()),
        (false, _) => wish.domain,
    };
    let domain = domain.ok_or_else(|| needs("a domain: add a [dns] zone, or `domain` to [stacks]"))?;
    Ok(PlannedRoute {
        stack: stack.name.clone(),
        name: route.name.to_string(),
        host: if host.as_str() == "@" { domain.into() } else { format!("{host}.{domain}") },
        inside: route.inside,
        path: route.path.to_string(),
        service: route.service.to_string(),
        upstream: name_of(&stack.name, &route.service),
        port: route.port,
        from: route.from,
        role: route.role.as_ref().map(ToString::to_string),
        refused: route.refused.iter().map(ToString::to_string).collect(),
    })
}

/// The records of the stacks: what they ask for, and the addresses of the hosts that routes are at. Those are relative to
/// the domain.
pub(super) fn records(stacks: &[Planned], routes: &[PlannedRoute], domain: Option<&str>) -> Vec<String> {
    let mut records: Vec<String> =
        stacks.iter().flat_map(|stack| stack.manifest.records.iter().cloned()).collect();
    for route in routes.iter().filter(|route| !route.inside) {
        let relative = domain
            .and_then(|domain| route.host.strip_suffix(domain))
            .map(|labels| labels.trim_end_matches('.'));
        let relative = relative.map(|labels| if labels.is_empty() { "@" } else { labels });
        for (kind, address) in [("A", "{ipv4}"), ("AAAA", "{ipv6}")] {
            records.extend(relative.map(|name| format!("{name} {kind} {address}")));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    records.retain(|record| seen.insert(record.clone()));
    records
}
