//! What is reached through the front door: which host and path lead to which service, and from where.

use super::name::name_of;
use super::{Planned, Wish};
use crate::Error;
use crate::manifest::{From, Host, Limit, Route};
use serde::Serialize;
use std::collections::BTreeMap;

/// A route whose host is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedRoute {
    /// The stack.
    pub stack: String,
    /// What the stack calls it.
    pub name: String,
    /// The whole host name.
    pub host: String,
    /// The other host names, which people are sent on from to that one.
    pub also: Vec<String>,
    /// Whether that name is one inside the private network.
    pub inside: bool,
    /// Whether a public authority vouches for the names; else the front door's own certificate has them.
    pub vouched: bool,
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
    pub role: Option<String>,
    /// How often one address may ask.
    pub limit: Limit,
    /// Paths below it that nobody gets.
    pub refused: Vec<String>,
    /// Paths from which people are sent on to others.
    pub redirects: BTreeMap<String, String>,
    /// Whether what stands for something else in paths may stand there percent-encoded.
    pub encoded: bool,
    /// The Content-Security-Policy of its pages.
    pub policy: Option<String>,
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
        let chosen = hosts(stack, wish)?;
        for route in stack.manifest.routes.iter().filter(|route| is_there(stack, route)) {
            if route.role.is_some() && !has_gate {
                return Err(Error::Clash(format!(
                    "route {} of stack {} asks for a role, and no enabled stack provides the gate",
                    route.name, stack.name
                )));
            }
            let own = chosen.get(route.name.as_str()).or_else(|| with_another(stack, route, &chosen));
            let mut planned = planned(stack, route, own, wish)?;
            planned.vouched = is_vouched(stacks, route.inside);
            routes.extend(one_a_path(route, planned));
        }
    }
    routes.extend(gate(stacks, &routes));
    routes.sort_by(|a, b| (&a.host, b.path.len(), &a.path).cmp(&(&b.host, a.path.len(), &b.path)));
    check(&routes)?;
    Ok(routes)
}

/// The hosts that the project gave the routes of a stack.
fn hosts(stack: &Planned, wish: Wish<'_>) -> Result<BTreeMap<String, Host>, Error> {
    let wrong =
        |name: &str, why| Error::Option { stack: stack.name.clone(), option: format!("hosts.{name}"), why };
    let mut hosts = BTreeMap::new();
    let chosen = wish.stacks.iter().find(|wanted| wanted.name == stack.name).map(|wanted| &wanted.hosts);
    for (name, host) in chosen.into_iter().flatten() {
        if stack.manifest.routes.iter().all(|route| route.name.as_str() != name) {
            let known: Vec<_> = stack.manifest.routes.iter().map(|route| route.name.to_string()).collect();
            return Err(wrong(name, format!("is no route of it; there are: {}", known.join(", "))));
        }
        if is_of_devices(stack, name) {
            return Err(wrong(
                name,
                "is where devices find the private network: choose `host` in [vpn]".into(),
            ));
        }
        hosts.insert(name.clone(), Host::try_from(host.clone()).map_err(|why| wrong(name, why))?);
    }
    Ok(hosts)
}

/// Routes of a stack that are at one host stay together when the project puts one of them elsewhere.
fn with_another<'h>(stack: &Planned, route: &Route, chosen: &'h BTreeMap<String, Host>) -> Option<&'h Host> {
    let mut others =
        stack.manifest.routes.iter().filter(|other| other.host == route.host && other.inside == route.inside);
    others.find_map(|other| chosen.get(other.name.as_str()))
}

/// Whether it is the route that the private network's devices reach its control server by.
fn is_of_devices(stack: &Planned, route: &str) -> bool {
    stack.manifest.provides.private_network.as_ref().is_some_and(|network| &network.route == route)
}

fn is_there(stack: &Planned, route: &Route) -> bool {
    route.when.as_ref().is_none_or(|when| when.holds(&stack.options))
}

/// Whether a public authority vouches for names, as the front door's options have it.
fn is_vouched(stacks: &[Planned], inside: bool) -> bool {
    let door = stacks.iter().find_map(|stack| Some((stack, stack.manifest.provides.front_door.as_ref()?)));
    let Some((stack, door)) = door else { return false };
    let holds =
        |when: &Option<crate::manifest::When>| when.as_ref().is_some_and(|when| when.holds(&stack.options));
    holds(&door.vouched) && (!inside || holds(&door.vouched_inside))
}

fn planned(
    stack: &Planned,
    route: &Route,
    chosen: Option<&Host>,
    wish: Wish<'_>,
) -> Result<PlannedRoute, Error> {
    let needs = |what: &str| {
        let off = route
            .when
            .as_ref()
            .map(|when| format!(", or do without it: see `{}` in [stacks.{}]", when.option, stack.name));
        let off = off.unwrap_or_default();
        Error::Clash(format!("route {} of stack {} needs {what}{off}", route.name, stack.name))
    };
    if route.from == From::Vpn && wish.vpn.is_none() {
        return Err(needs("a private network: add a section [vpn] and the stack that serves it"));
    }
    let domain = match (route.inside, wish.vpn) {
        (true, vpn) => vpn.map(|vpn| vpn.base_domain.as_str()),
        (false, _) => wish.domain,
    };
    let below = |host: &Host| {
        let domain = domain.ok_or_else(|| needs("a domain: add a [dns] zone, or `domain` to [stacks]"))?;
        Ok(if host.as_str() == "@" { domain.into() } else { format!("{host}.{domain}") })
    };
    let own = chosen.unwrap_or(&route.host);
    let host = match wish.vpn {
        Some(vpn) if is_of_devices(stack, &route.name) => vpn.host.clone(),
        _ => below(own)?,
    };
    // A project that puts the route at one of the other hosts has people sent on from the first one.
    let others = route.also.iter().map(|other| if other == own { &route.host } else { other });
    Ok(PlannedRoute {
        stack: stack.name.clone(),
        name: route.name.to_string(),
        host,
        also: others.filter(|other| *other != own).map(below).collect::<Result<_, _>>()?,
        inside: route.inside,
        vouched: false,
        path: route.path.to_string(),
        service: route.service.to_string(),
        upstream: name_of(&stack.name, &route.service),
        port: route.port,
        from: route.from,
        role: route.role.as_ref().map(ToString::to_string),
        limit: route.limit,
        refused: route.refused.iter().map(ToString::to_string).collect(),
        redirects: route.redirects.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect(),
        encoded: route.encoded,
        policy: route.policy.clone(),
    })
}

/// One for each of its paths; what is said of the host stays with the first.
fn one_a_path(route: &Route, planned: PlannedRoute) -> impl Iterator<Item = PlannedRoute> {
    let paths = route.paths().iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut whole = Some(planned.clone());
    let rest = PlannedRoute { also: vec![], refused: vec![], redirects: BTreeMap::new(), ..planned };
    paths.into_iter().map(move |path| PlannedRoute { path, ..whole.take().unwrap_or_else(|| rest.clone()) })
}

/// The gate's own pages: at every host that it guards something of, and reached from where that is.
fn gate(stacks: &[Planned], routes: &[PlannedRoute]) -> Vec<PlannedRoute> {
    let gate = stacks.iter().find_map(|stack| Some((stack, stack.manifest.provides.gate.as_ref()?)));
    let Some((stack, gate)) = gate else { return Vec::new() };
    let mut pages: BTreeMap<&str, PlannedRoute> = BTreeMap::new();
    for route in routes.iter().filter(|route| route.role.is_some()) {
        let page = pages.entry(&route.host).or_insert_with(|| PlannedRoute {
            stack: stack.name.clone(),
            name: "gate".into(),
            path: gate.path.to_string(),
            service: gate.service.to_string(),
            upstream: name_of(&stack.name, &gate.service),
            port: gate.port,
            role: None,
            limit: Limit::Login,
            also: vec![],
            refused: vec![],
            redirects: BTreeMap::new(),
            encoded: false,
            policy: None,
            ..route.clone()
        });
        if route.from == From::World {
            page.from = From::World;
        }
    }
    pages.into_values().collect()
}

/// No two lead from the same place to different ones. They are sorted.
fn check(routes: &[PlannedRoute]) -> Result<(), Error> {
    if let Some([one, other]) =
        routes.windows(2).find(|pair| pair[0].host == pair[1].host && pair[0].path == pair[1].path)
    {
        return Err(Error::Clash(format!(
            "route {} of stack {} and route {} of stack {} are both at {}{}: give one of them another host, `[stacks.{}.hosts]`",
            one.name, one.stack, other.name, other.stack, one.host, one.path, other.stack
        )));
    }
    for route in routes {
        for host in &route.also {
            let taken = |other: &&PlannedRoute| {
                other.host == *host || (other.also.contains(host) && other.host != route.host)
            };
            if let Some(other) = routes.iter().find(taken) {
                return Err(Error::Clash(format!(
                    "route {} of stack {} sends people on from {host}, where route {} of stack {} is: give one of them another host, `[stacks.{}.hosts]`",
                    route.name, route.stack, other.name, other.stack, other.stack
                )));
            }
        }
    }
    Ok(())
}

/// The records of the stacks: what they ask for, and the addresses of the hosts that routes are at. Those are relative to
/// the domain.
pub(super) fn records(stacks: &[Planned], routes: &[PlannedRoute], domain: Option<&str>) -> Vec<String> {
    let mut records: Vec<String> =
        stacks.iter().flat_map(|stack| stack.manifest.records.iter().cloned()).collect();
    let public = routes.iter().filter(|route| !route.inside);
    for host in public.flat_map(|route| std::iter::once(&route.host).chain(&route.also)) {
        let relative =
            domain.and_then(|domain| host.strip_suffix(domain)).map(|labels| labels.trim_end_matches('.'));
        let relative = relative.map(|labels| if labels.is_empty() { "@" } else { labels });
        for (kind, address) in [("A", "{ipv4}"), ("AAAA", "{ipv6}")] {
            records.extend(relative.map(|name| format!("{name} {kind} {address}")));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    records.retain(|record| seen.insert(record.clone()));
    records
}
