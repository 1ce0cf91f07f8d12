//! The closed set of values that a stack's templates may name.

use super::name::name_of;
use super::{Plan, Planned, PlannedRoute, Wish};
use crate::manifest::{Client, From};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Addresses that devices of the private network have; the firewall sees to it that nobody else comes by one.
const PRIVATE: [&str; 2] = ["100.64.0.0/10", "fd7a:115c:a1e0::/48"];

/// What the templates of each stack may name, by the stack.
pub(super) fn of_all(plan: &Plan, wish: Wish<'_>) -> BTreeMap<String, Value> {
    let shared = json!({
        "project": { "name": wish.project, "domain": wish.domain },
        "vpn": wish.vpn.map(|vpn| json!({ "host": vpn.host, "base_domain": vpn.base_domain, "addresses": PRIVATE })),
        "sign_in": sign_in(plan),
        "gate": gate(plan),
    });
    plan.stacks.iter().map(|stack| (stack.name.clone(), of(plan, stack, &shared))).collect()
}

fn of(plan: &Plan, stack: &Planned, shared: &Value) -> Value {
    let mut values = shared.as_object().cloned().unwrap_or_default();
    let mut add = |key: &str, value: Value| drop(values.insert(key.into(), value));
    add("certificates", json!(plan.certificates.get(&stack.name)));
    add("option", json!(stack.options));
    add("route", own_routes(plan, stack));
    add("import", imports(plan, stack));
    add("front_door", front_door(plan, stack));
    // What concerns all stacks is for those who serve them.
    if stack.manifest.provides.front_door.is_some() {
        add("routes", json!(plan.routes));
    }
    if stack.manifest.provides.sign_in.is_some() {
        add("clients", clients(plan));
    }
    if stack.manifest.provides.sign_in.is_some() || stack.manifest.provides.gate.is_some() {
        add("roles", roles(plan));
    }
    Value::Object(values)
}

/// `route.NAME.host`, `.url` and `.path`; of one with several paths the root.
fn own_routes(plan: &Plan, stack: &Planned) -> Value {
    let mut values = Map::new();
    for route in stack.manifest.routes.iter() {
        let mut planned = plan
            .routes
            .iter()
            .filter(|planned| planned.stack == stack.name && planned.name == route.name.as_str());
        let path = if route.paths.is_empty() { route.path.as_str() } else { "/" };
        let value = planned
            .next()
            .map(|planned| json!({ "host": planned.host, "path": path, "url": url(&planned.host, path) }));
        values.extend(value.map(|value| (route.name.to_string(), value)));
    }
    values.into()
}

fn url(host: &str, path: &str) -> String {
    format!("https://{host}{}", path.trim_end_matches('/'))
}

/// `import.EXPORT.host` and `.port`.
fn imports(plan: &Plan, stack: &Planned) -> Value {
    let mut values = Map::new();
    for import in &stack.manifest.imports {
        let from = plan.stack(&import.stack);
        let exports = from.into_iter().flat_map(|from| &from.manifest.exports);
        for export in exports.filter(|export| export.name == import.export) {
            let value = json!({ "host": name_of(&import.stack, &export.service), "port": export.port });
            values.insert(export.name.to_string(), value);
        }
    }
    values.into()
}

/// Where what comes from the front door comes from, as seen by this stack; nothing where there is no door.
fn front_door(plan: &Plan, stack: &Planned) -> Value {
    let Some(door) = &plan.front_door else { return Value::Null };
    let shared = plan.networks.iter().filter(|network| network.stack == stack.name);
    let places = shared.filter_map(|network| network.member(&door.stack, &door.service));
    let addresses: Vec<String> = places.map(|place| place.address.to_string()).collect();
    json!({ "addresses": addresses })
}

fn sign_in(plan: &Plan) -> Value {
    let provider =
        plan.stacks.iter().find_map(|stack| Some((stack, stack.manifest.provides.sign_in.as_ref()?)));
    let Some((stack, sign_in)) = provider else { return Value::Null };
    let route =
        plan.routes.iter().find(|route| route.stack == stack.name && route.name == sign_in.route.as_str());
    route.map_or(
        Value::Null,
        |route| json!({ "host": route.host, "issuer": url(&route.host, &sign_in.issuer) }),
    )
}

fn gate(plan: &Plan) -> Value {
    let gate = plan.stacks.iter().find_map(|stack| Some((stack, stack.manifest.provides.gate.as_ref()?)));
    gate.map_or(
        Value::Null,
        |(stack, gate)| json!({ "upstream": name_of(&stack.name, &gate.service), "port": gate.port, "path": gate.path.as_str() }),
    )
}

/// Every client of sign-in, with the whole addresses that its log-in may end at.
fn clients(plan: &Plan) -> Value {
    let mut clients = Vec::new();
    for stack in &plan.stacks {
        for client in &stack.manifest.clients {
            let origins: Vec<String> =
                client_hosts(plan, stack, client).iter().map(|host| format!("https://{host}")).collect();
            let redirects: Vec<String> = origins
                .iter()
                .flat_map(|origin| client.redirects.iter().map(move |path| format!("{origin}{path}")))
                .collect();
            clients.push(json!({ "id": client.id.as_str(), "secret": client.secret.as_str(), "redirects": redirects, "origins": origins }));
        }
    }
    clients.into()
}

/// The hosts that a client is at: its route's, or all that the gate guards something of.
fn client_hosts<'p>(plan: &'p Plan, stack: &Planned, client: &Client) -> BTreeSet<&'p str> {
    let is_its = |route: &&PlannedRoute| match &client.route {
        Some(named) => route.stack == stack.name && route.name == named.as_str(),
        None => route.role.is_some(),
    };
    plan.routes.iter().filter(is_its).map(|route| route.host.as_str()).collect()
}

/// The roles that routes ask for.
fn roles(plan: &Plan) -> Value {
    let mut roles: Vec<&str> = plan.routes.iter().filter_map(|route| route.role.as_deref()).collect();
    roles.sort_unstable();
    roles.dedup();
    json!(roles)
}

impl Plan {
    /// The names that lead to the server inside the private network, besides those the project gives it: hosts with
    /// something that is reached over that network only.
    pub fn names_inside(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .routes
            .iter()
            .filter(|route| route.from == From::Vpn)
            .map(|route| route.host.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::{StackSpec, VpnSpec};

    /// A stack that imports something: of ours none does.
    const IMPORTS: [(&str, &str); 2] = [
        (
            "stack.toml",
            "about = \"x\"\nmemory = \"256m\"\n[images.x]\nupstream = \"x:1\"\n\
             [[imports]]\nstack = \"socket-proxy\"\nexport = \"engine\"\nservices = [\"x\"]\n",
        ),
        ("compose.yaml", "services:\n  x:\n    image: x\n"),
    ];

    /// The names of values, with `NAME` where a manifest's own stand; lists are one value.
    fn names(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        let Value::Object(map) = value else {
            found.insert(path.to_owned());
            return;
        };
        for (key, below) in map {
            let key = match path {
                "option" | "route" => "NAME",
                "import" => "EXPORT",
                _ => key,
            };
            names(below, &if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }, found);
        }
    }

    #[test]
    fn every_value_is_described() {
        let (_, page) = include_str!("../../../../docs/stacks.md").split_once("\n### Templates\n").unwrap();
        let (page, _) = page.split_once("\n## ").unwrap();
        let ours = ["traefik", "oauth2-proxy", "headscale", "keycloak", "socket-proxy"];
        let mut stacks = ours.map(|name| StackSpec { name: name.into(), ..StackSpec::default() }).to_vec();
        let files = IMPORTS.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
        stacks.push(StackSpec { name: "x".into(), files, ..StackSpec::default() });
        let vpn = VpnSpec {
            host: "vpn.example.org".into(),
            base_domain: "in.example.org".into(),
            devices: vec![],
            names: vec![],
        };
        let wish = Wish { project: "x", domain: Some("example.org"), vpn: Some(&vpn), stacks: &stacks };
        let plan = Plan::resolve(wish).unwrap();
        let mut found = BTreeSet::new();
        plan.values.values().for_each(|of_one| names(of_one, "", &mut found));
        assert!(found.contains("import.EXPORT.port") && found.contains("routes"), "{found:?}");
        let missing: Vec<_> = found.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let clients = plan.values["keycloak"]["clients"][0].as_object().unwrap();
        assert!(clients.keys().all(|key| page.contains(&format!("`{key}`"))), "{clients:?}");
    }
}
