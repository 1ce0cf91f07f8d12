//! The container engine of the fake server, and its stacks.

use super::answers::get;
use super::{Content, State};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// As systemd starts a stack's unit, or compose makes anew what differs.
pub(super) fn up(state: &mut State, unit: &str) {
    assert!(state.docker && !state.images.is_empty());
    assert!(!state.torn, "a stack was started from an image the power cut had torn");
    assert!(!state.taken.is_empty(), "a stack was started before any escrow was off the server");
    let stack = unit.strip_prefix("sovereign-stack@").unwrap().strip_suffix(".service").unwrap();
    let compose = get(state, &format!("/srv/sovereign/stacks/{stack}/compose.yaml"));
    let compose = String::from_utf8(compose).unwrap();
    let joined = networks(&compose);
    for network in &joined {
        assert!(
            state.networks.contains_key(network),
            "{stack} was started before network {network} was made"
        );
    }
    state.joined.insert(stack.into(), joined);
    state.containers.insert(stack.into(), services(&compose));
    state.stacks.push(unit.into());
}

/// The networks that a compose file wants to be there.
fn networks(compose: &str) -> Vec<String> {
    compose.lines().filter_map(|line| line.strip_prefix("    name: ")).map(str::to_owned).collect()
}

/// `docker network create`.
pub(super) fn make_network(state: &mut State, options: &[&str], name: &str) {
    let label = options.iter().position(|option| *option == "--label").map(|at| options[at + 1]);
    let (key, value) = label.unwrap().split_once('=').unwrap();
    assert!(["--subnet", "--ip-range", "--gateway"].iter().all(|needed| options.contains(needed)));
    let before = state.networks.insert(name.to_owned(), json!({ key: value }));
    assert!(before.is_none() && state.docker, "{name} was made twice");
}

/// `docker network rm`.
pub(super) fn remove_network(state: &mut State, name: &str) {
    let in_use = stacks_in(state, name);
    assert!(in_use.is_empty(), "{name} has {in_use:?} in it");
    state.networks.remove(name).expect("it was there");
}

/// The stacks that have a container in a network.
pub(super) fn stacks_in(state: &State, network: &str) -> Vec<String> {
    let is_in = |stack: &&String| {
        state.joined.get(*stack).is_some_and(|joined| joined.iter().any(|name| name == network))
    };
    state.containers.keys().filter(is_in).cloned().collect()
}

/// Each service of a compose file and its digest.
fn services(compose: &str) -> BTreeMap<String, String> {
    let (mut service, mut found) = (String::new(), BTreeMap::new());
    for line in compose.lines() {
        if let Some(name) = line.strip_prefix("  ").filter(|name| !name.starts_with([' ', '-'])) {
            name.trim_end_matches(':').clone_into(&mut service);
        }
        if let Some(digest) = line.trim().strip_prefix("sovereign.digest: ") {
            found.insert(service.clone(), digest.trim_matches(['"', '\'']).to_owned());
        }
    }
    found
}

/// The engine was started: with it whatever systemd knows to start with it. A target that is up still when it is wanted is
/// left alone, and so is what it wants: it has to end with the engine.
pub(super) fn started(state: &mut State) {
    let says = |unit: &str, line: &str| {
        let text =
            state.loaded.get(&Path::new("/etc/systemd/system").join(unit)).map(|node| node.bytes.clone());
        text.is_some_and(|text| String::from_utf8(text).unwrap().lines().any(|there| there == line))
    };
    if !says("docker.service.d/10-sovereign.conf", "Wants=sovereign-stacks.target")
        || !says("sovereign-stacks.target", "PartOf=docker.service")
    {
        return;
    }
    let wants = Path::new("/etc/systemd/system/sovereign-stacks.target.wants");
    let units = state.loaded.keys().filter(|path| path.parent() == Some(wants));
    let units: Vec<String> =
        units.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    for unit in units.iter().filter(|unit| unit.starts_with("sovereign-stack@")) {
        if !state.images.is_empty() && !state.torn {
            up(state, unit);
        }
    }
}

pub(super) fn is_up(state: &State, stack: &str) -> bool {
    state.containers.contains_key(stack)
}

/// What it answers.
pub(super) fn answer(state: &State, path: &str) -> Option<(u16, Vec<u8>)> {
    if !state.docker {
        return None;
    }
    let all = state
        .containers
        .iter()
        .flat_map(|(stack, services)| services.iter().map(move |(s, d)| (stack, s, d)));
    let body = match path {
        "/info" => json!({
            "DockerRootDir": "/srv/sovereign/docker", "LiveRestoreEnabled": true, "LoggingDriver": "local",
            "ServerVersion": "26.1.5+dfsg1", "Driver": "overlay2", "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin"],
        }),
        "/containers/json?all=1" => {
            let listed = |(stack, service, _)| json!({ "Id": format!("{stack}-{service}"), "Labels": { "com.docker.compose.project": stack } });
            Value::Array(all.map(listed).collect())
        }
        "/networks" => {
            state.networks.iter().map(|(name, labels)| json!({ "Name": name, "Labels": labels })).collect()
        }
        _ => {
            let mut all = all;
            match all.find(|(stack, service, _)| path == format!("/containers/{stack}-{service}/json")) {
                Some((stack, service, digest)) => container(state, stack, service, digest),
                None => {
                    let here = state.images.iter().any(|i| path == format!("/images/{i}/json"));
                    return Some((if here { 200 } else { 404 }, b"{}".to_vec()));
                }
            }
        }
    };
    Some((200, body.to_string().into_bytes()))
}

fn container(state: &State, stack: &str, service: &str, digest: &str) -> Value {
    let joined = state.joined.get(stack).into_iter().flatten();
    let joined: Value = joined.map(|name| (name.clone(), json!({}))).collect();
    let user = if stack == "postgres" { "999:999" } else { "65532:65532" };
    json!({
        "Name": format!("/{stack}-{service}-1"),
        "State": { "Running": true, "Pid": 77, "Health": { "Status": "healthy" } },
        "NetworkSettings": { "Ports": state.published, "Networks": joined },
        "Config": {
            "User": user, "Image": "r/x@sha256:00", "Labels": { "com.docker.compose.project": stack, "com.docker.compose.service": service, "sovereign.digest": digest },
        },
        "AppArmorProfile": "docker-default",
        "HostConfig": {
            "Privileged": false, "ReadonlyRootfs": true, "CapDrop": ["ALL"], "CapAdd": null,
            "SecurityOpt": ["no-new-privileges:true"], "PidsLimit": 200, "Memory": 1, "NanoCpus": 1,
            "NetworkMode": "of_its_own", "PidMode": "",
            "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 5 },
        },
    })
}

/// Removes a directory with all that is in it.
pub(super) fn wipe(state: &mut State, dir: &str) {
    state.files(Path::new(dir)).retain(|path, _| !path.starts_with(dir));
    if let Content::Luks(luks) = &mut state.volume
        && let Some(files) = &mut luks.files
    {
        files.retain(|path, _| !path.starts_with(dir));
    }
}
