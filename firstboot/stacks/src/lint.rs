//! What a rendered compose file may say: keys off a list (`keys`), and what their values must be.

mod keys;

use crate::confinement;
use crate::finding::{Finding, Rule};
use crate::manifest::{From, Loosened};
use crate::plan::{Plan, Planned};
use crate::value::{items, scalar};
use serde_json::Value;
use spec::{Port, Protocol};
use std::path::{Path, PathBuf};

/// The container engine's socket.
const ENGINE: &str = "/run/docker.sock";

/// Reads a stack's rendered compose file as a stranger would, and lists what breaks a rule. `inbound` are the ports that
/// the project declares open to the world.
pub fn lint(plan: &Plan, stack: &Planned, rendered: &str, inbound: &[Port]) -> Vec<Finding> {
    let one = |found: String| vec![Finding { service: String::new(), rule: Rule::Readable, found }];
    let compose = match crate::parse(rendered) {
        Ok(compose) => compose,
        Err(why) => return one(format!("it cannot be read: {why}")),
    };
    let Some(services) = compose.get("services").and_then(Value::as_object).filter(|s| !s.is_empty()) else {
        return one("it has no services".into());
    };
    let published: Vec<Port> = inbound.iter().copied().chain(plan.ports(From::Vpn)).collect();
    let mut findings = surplus_keys(&compose);
    let whole = |(rule, found)| Finding { service: String::new(), rule, found };
    findings
        .extend(interpolations(&compose).into_iter().chain(granted_files(plan, stack, &compose)).map(whole));
    for (name, service) in services {
        let named = |(rule, found)| Finding { service: name.clone(), rule, found };
        let excepted = |rule| stack.is_excepted(name, rule);
        findings.extend(confinement::broken_in_file(service, &excepted).into_iter().map(named));
        findings.extend(environment(service).into_iter().chain(ports(service, &published)).map(named));
        let engine = excepted(Loosened::EngineSocket);
        findings.extend(mounts(stack, service, &names(&compose, "volumes"), engine).into_iter().map(named));
        findings.extend(networks(plan, stack, name, service).into_iter().map(named));
    }
    findings.extend(foreign_networks(&compose).into_iter().map(whole));
    findings
}

/// The networks of the file are those of the plan, which firstboot makes.
fn foreign_networks(compose: &Value) -> Vec<(Rule, String)> {
    let all = compose.get("networks").and_then(Value::as_object).into_iter().flatten();
    let foreign = all.filter(|(key, network)| network["external"] != true || network["name"] != **key);
    foreign.map(|(key, _)| (Rule::Networks, format!("network {key} is not one that the plan has"))).collect()
}

/// A service is in the networks, and at the addresses, that the plan has it.
fn networks(plan: &Plan, stack: &Planned, name: &str, service: &Value) -> Vec<(Rule, String)> {
    let joined = service.get("networks").and_then(Value::as_object);
    let Some(joined) = joined.filter(|joined| !joined.is_empty()) else {
        return vec![(
            Rule::Networks,
            "it names no network, so Compose would put it in one of its own".into(),
        )];
    };
    let mut found = Vec::new();
    for (key, value) in joined {
        let place = plan
            .networks_of(&stack.name, name)
            .find(|(network, _)| network.name == *key)
            .map(|(_, place)| place);
        if place.is_none_or(|place| value["ipv4_address"] != place.address.to_string()) {
            found.push((
                Rule::Networks,
                format!("it is in network {key}, where the plan does not have it so"),
            ));
        }
    }
    found
}

fn surplus_keys(compose: &Value) -> Vec<Finding> {
    let finding = |path: Vec<String>| {
        let (service, at) = match path.as_slice() {
            [section, service, rest @ ..] if section == "services" && !rest.is_empty() => {
                (service.clone(), rest)
            }
            path => (String::new(), path),
        };
        let found = format!("it says {}, which no stack may", at.join("."));
        Finding { service, rule: Rule::Key, found }
    };
    keys::surplus(compose, &keys::FILE).into_iter().map(finding).collect()
}

/// What Compose would fill in from the environment it is started in.
fn interpolations(value: &Value) -> Vec<(Rule, String)> {
    match value {
        Value::Array(items) => items.iter().flat_map(interpolations).collect(),
        Value::Object(map) => map.values().flat_map(interpolations).collect(),
        Value::String(text) if text.replace("$$", "").contains('$') => {
            vec![(Rule::Interpolation, format!("{text:?} depends on who starts it; write `$$` for a dollar"))]
        }
        _ => vec![],
    }
}

/// The files of the server's behind secrets and configurations.
fn granted_files(plan: &Plan, stack: &Planned, compose: &Value) -> Vec<(Rule, String)> {
    let secrets = folder(stack).join("secrets");
    let secrets: Vec<PathBuf> =
        plan.secrets_of(&stack.name).map(|(read, _)| secrets.join(&read.name)).collect();
    let mut found = Vec::new();
    for (section, own) in [("secrets", secrets), ("configs", configuration(stack))] {
        for (name, entry) in compose.get(section).and_then(Value::as_object).into_iter().flatten() {
            let file = entry.get("file").map(scalar).unwrap_or_default();
            if !own.contains(&folder(stack).join(&file)) {
                found.push((
                    Rule::Files,
                    format!("{section}: {name} is {file:?}, which is not one of its own"),
                ));
            }
        }
    }
    found
}

fn environment(service: &Value) -> Vec<(Rule, String)> {
    let mut found = Vec::new();
    let variables: Vec<(String, bool)> = match service.get("environment") {
        Some(Value::Object(map)) => {
            map.iter().map(|(name, value)| (name.clone(), !value.is_null())).collect()
        }
        Some(Value::Array(items)) => {
            let variable = |item: &Value| match scalar(item).split_once('=') {
                Some((name, _)) => (name.to_owned(), true),
                None => (scalar(item), false),
            };
            items.iter().map(variable).collect()
        }
        _ => Vec::new(),
    };
    for (name, has_value) in variables {
        let upper = name.to_ascii_uppercase();
        let secret = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "PRIVATE_KEY", "API_KEY", "CREDENTIAL"];
        if secret.iter().any(|s| upper.contains(s)) && !upper.ends_with("_FILE") {
            found.push((Rule::EnvironmentSecret, format!("its environment carries a secret: {name}")));
        } else if !has_value {
            found.push((Rule::Interpolation, format!("its environment takes {name} from who starts it")));
        }
    }
    found
}

/// One entry of a service's `volumes`.
struct Mount {
    kind: String,
    source: String,
    read_only: bool,
}

impl Mount {
    /// Reads both syntaxes; `None` for what is neither.
    fn read(value: &Value) -> Option<Self> {
        if let Value::Object(long) = value {
            let text = |key: &str| long.get(key).map(scalar).unwrap_or_default();
            let read_only = long.get("read_only") == Some(&Value::Bool(true));
            return Some(Self { kind: text("type"), source: text("source"), read_only });
        }
        let short = scalar(value);
        let (source, options) = match short.split(':').collect::<Vec<_>>()[..] {
            [_target] => ("", ""),
            [source, _target] => (source, "rw"),
            [source, _target, options] => (source, options),
            _ => return None,
        };
        let kind = if source.starts_with(['/', '.', '~']) { "bind" } else { "volume" };
        let known = source.is_empty() || ["ro", "rw"].contains(&options);
        known.then(|| Self { kind: kind.into(), source: source.into(), read_only: options == "ro" })
    }
}

/// Mounts that are neither in memory, nor a volume that the file declares, nor of the stack's own files.
fn mounts(stack: &Planned, service: &Value, volumes: &[&String], engine: bool) -> Vec<(Rule, String)> {
    let wrong = |entry: &Value| match Mount::read(entry) {
        None => Some(format!("it mounts {}, which is not understood", scalar(entry))),
        Some(mount) => match mount.kind.as_str() {
            "tmpfs" => None,
            "volume" if mount.source.is_empty() || volumes.contains(&&mount.source) => None,
            "volume" => Some(format!("it mounts the volume {:?}, which is not declared", mount.source)),
            "bind" if engine && mount.source == ENGINE && mount.read_only => None,
            "bind" => bind(stack, &mount),
            kind => Some(format!("it mounts {:?} as {kind:?}", mount.source)),
        },
    };
    items(service, "volumes").iter().filter_map(wrong).map(|found| (Rule::Files, found)).collect()
}

/// What is wrong with a bind mount. A stack's data directories are mounted each as a whole: below one a container may
/// have left a link, which would be followed on the server.
fn bind(stack: &Planned, mount: &Mount) -> Option<String> {
    let path = folder(stack).join(&mount.source);
    let data =
        |dir: &crate::manifest::DataDir| Path::new(spec::paths::DATA).join("data").join(dir.path.as_str());
    let mut readable = configuration(stack);
    readable.push(folder(stack).join("config"));
    readable.extend(stack.manifest.certificate.iter().map(|_| folder(stack).join("tls")));
    if stack.manifest.data.iter().any(|dir| data(dir) == path) {
        return None;
    }
    // Compared part by part: `..` is never taken for what it may lead to.
    if !readable.contains(&path) {
        return Some(format!("it mounts {:?}, which is not one of its own", mount.source));
    }
    (!mount.read_only).then(|| format!("it may write to {:?}, its own configuration", mount.source))
}

/// Where the stack's own files lie, and what Compose takes relative paths from.
fn folder(stack: &Planned) -> PathBuf {
    Path::new(spec::paths::DATA).join("stacks").join(&stack.name)
}

fn configuration(stack: &Planned) -> Vec<PathBuf> {
    stack.folder.config().map(|(file, _)| folder(stack).join("config").join(file)).collect()
}

fn ports(service: &Value, inbound: &[Port]) -> Vec<(Rule, String)> {
    let mut found = Vec::new();
    for port in items(service, "ports") {
        match published(port) {
            Some(port) if inbound.contains(&port) => {}
            Some(port) => found.push((Rule::Ports, format!("it publishes {port}, which is not declared"))),
            None => found.push((Rule::Ports, format!("it publishes {}, not one fixed port", scalar(port)))),
        }
    }
    found
}

fn published(port: &Value) -> Option<Port> {
    let (number, protocol) = match port {
        Value::Object(long) => (
            long.get("published").map(scalar)?,
            long.get("protocol").map_or_else(|| "tcp".to_owned(), scalar),
        ),
        short => {
            let short = scalar(short);
            let (ports, protocol) = short.split_once('/').unwrap_or((&short, "tcp"));
            let (outer, _container) = ports.rsplit_once(':')?;
            (outer.rsplit(':').next()?.to_owned(), protocol.to_owned())
        }
    };
    let protocol = match protocol.as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    Some(Port { port: number.parse().ok()?, protocol })
}

fn names<'v>(compose: &'v Value, section: &str) -> Vec<&'v String> {
    compose.get(section).and_then(Value::as_object).into_iter().flat_map(|map| map.keys()).collect()
}
