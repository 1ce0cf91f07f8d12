use serde_json::Value;
use spec::{Port, Protocol};
use std::path::{Component, Path};

/// Where a service may keep files of the host's.
const DATA: &str = spec::paths::DATA;

/// What no stack may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It can be read.
    Readable,
    /// No `privileged`.
    Privileged,
    /// No namespace shared with the host.
    HostNamespace,
    /// No container engine's socket.
    EngineSocket,
    /// All capabilities dropped, none added.
    Capabilities,
    /// `no-new-privileges`, and nothing unconfined.
    SecurityOptions,
    /// A read-only root file system.
    ReadOnly,
    /// Limits for memory, processors and processes.
    Limits,
    /// A health check.
    Healthcheck,
    /// Ports only where the project declares them.
    Ports,
    /// Images by digest.
    Digest,
    /// No secret in the environment.
    EnvironmentSecret,
    /// Not root.
    Root,
    /// Bind mounts only below the encrypted volume.
    BindMount,
    /// No devices, no system settings.
    Devices,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The service, or empty for the file as a whole.
    pub service: String,
    /// Which rule.
    pub rule: Rule,
    /// What was found.
    pub found: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.service.is_empty() {
            write!(f, "service {}: ", self.service)?;
        }
        f.write_str(&self.found)
    }
}

/// Reads a rendered compose file as a stranger would, and lists what breaks a rule.
pub fn lint(rendered: &str, inbound: &[Port]) -> Vec<Finding> {
    let one = |found: String| vec![Finding { service: String::new(), rule: Rule::Readable, found }];
    let compose = match crate::parse(rendered) {
        Ok(compose) => compose,
        Err(why) => return one(format!("it cannot be read: {why}")),
    };
    let Some(services) = compose.get("services").and_then(Value::as_object).filter(|s| !s.is_empty()) else {
        return one("it has no services".into());
    };
    let mut findings = Vec::new();
    for (name, service) in services {
        for (rule, found) in check(service, inbound) {
            findings.push(Finding { service: name.clone(), rule, found });
        }
    }
    findings
}

fn check(service: &Value, inbound: &[Port]) -> Vec<(Rule, String)> {
    let mut found = Vec::new();
    let mut say = |rule, what: String| found.push((rule, what));
    let text = |key: &str| service.get(key).map(scalar);
    if text("privileged").is_some_and(|v| v != "false") {
        say(Rule::Privileged, "it is privileged".into());
    }
    for key in ["network_mode", "pid", "ipc", "uts", "cgroup", "userns_mode"] {
        if text(key).is_some_and(|v| v == "host" || v.starts_with("container:")) {
            say(Rule::HostNamespace, format!("it shares a namespace: {key}"));
        }
    }
    for key in ["devices", "device_cgroup_rules", "sysctls", "gpus", "credential_spec"] {
        if service.get(key).is_some() {
            say(Rule::Devices, format!("it asks for {key}"));
        }
    }
    if list(service, "cap_drop") != ["ALL"] {
        say(Rule::Capabilities, "it does not drop all capabilities".into());
    }
    if service.get("cap_add").is_some() {
        say(Rule::Capabilities, "it adds capabilities".into());
    }
    let options = list(service, "security_opt");
    if !options.iter().any(|o| o == "no-new-privileges:true") {
        say(Rule::SecurityOptions, "it may gain new privileges".into());
    }
    for option in options.iter().filter(|o| o.contains("unconfined") || o.contains("disable")) {
        say(Rule::SecurityOptions, format!("it is not confined: {option}"));
    }
    if service.get("read_only") != Some(&Value::Bool(true)) {
        say(Rule::ReadOnly, "its root file system can be written".into());
    }
    for key in ["mem_limit", "cpus", "pids_limit"] {
        if text(key).is_none_or(|v| ["", "0", "-1", "0.0", "null"].contains(&v.as_str())) {
            say(Rule::Limits, format!("it has no {key}"));
        }
    }
    let health = service.get("healthcheck");
    if health.and_then(|h| h.get("test")).is_none() || health.and_then(|h| h.get("disable")).is_some() {
        say(Rule::Healthcheck, "it has no health check".into());
    }
    if !text("image").is_some_and(|i| i.contains("@sha256:")) || service.get("build").is_some() {
        say(Rule::Digest, "its image is not pinned by digest".into());
    }
    let user = text("user").unwrap_or_default();
    let user = user.split(':').next().unwrap_or_default();
    if user.parse::<u32>().ok().is_none_or(|uid| uid == 0) {
        say(Rule::Root, "it does not name a user by number that is not root".into());
    }
    found.extend(environment(service));
    found.extend(mounts(service));
    found.extend(ports(service, inbound));
    found
}

fn environment(service: &Value) -> Vec<(Rule, String)> {
    let mut found = Vec::new();
    if service.get("env_file").is_some() {
        found.push((Rule::EnvironmentSecret, "it reads its environment from a file".into()));
    }
    let names: Vec<String> = match service.get("environment") {
        Some(Value::Object(map)) => map.keys().cloned().collect(),
        Some(Value::Array(items)) => {
            items.iter().map(|i| scalar(i).split('=').next().unwrap_or_default().to_owned()).collect()
        }
        _ => Vec::new(),
    };
    for name in names {
        let upper = name.to_ascii_uppercase();
        let secret = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "PRIVATE_KEY", "API_KEY", "CREDENTIAL"];
        if secret.iter().any(|s| upper.contains(s)) && !upper.ends_with("_FILE") {
            found.push((Rule::EnvironmentSecret, format!("its environment carries a secret: {name}")));
        }
    }
    found
}

fn mounts(service: &Value) -> Vec<(Rule, String)> {
    let mut found = Vec::new();
    if service.get("volumes_from").is_some() || service.get("use_api_socket").is_some() {
        found.push((Rule::EngineSocket, "it borrows mounts of another container or of the engine".into()));
    }
    for mount in service.get("volumes").and_then(Value::as_array).into_iter().flatten() {
        let source = match mount {
            Value::Object(long) => {
                let bind = long.get("type").is_none_or(|t| t == "bind");
                bind.then(|| long.get("source").map(scalar).unwrap_or_default())
            }
            short => {
                let short = scalar(short);
                let source = short.split_once(':').map(|(source, _)| source.to_owned());
                source.filter(|s| s.starts_with(['/', '.', '~', '$']))
            }
        };
        let Some(source) = source else { continue };
        let path = Path::new(&source);
        if source.ends_with(".sock") {
            found.push((Rule::EngineSocket, format!("it mounts a socket: {source}")));
        }
        let inside = path.strip_prefix(DATA).is_ok_and(|rest| {
            rest.components().count() > 0 && rest.components().all(|c| matches!(c, Component::Normal(_)))
        });
        if !inside {
            found.push((Rule::BindMount, format!("it mounts {source}, which is not below {DATA}")));
        }
    }
    found
}

fn ports(service: &Value, inbound: &[Port]) -> Vec<(Rule, String)> {
    let mut found = Vec::new();
    for port in service.get("ports").and_then(Value::as_array).into_iter().flatten() {
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

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn list(service: &Value, key: &str) -> Vec<String> {
    service.get(key).and_then(Value::as_array).into_iter().flatten().map(scalar).collect()
}
