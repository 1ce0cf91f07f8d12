//! What the container engine says of itself, asked over its socket: no program has to start for it.

use crate::run::Cx;
use anyhow::{Result, bail};
use serde_json::Value;
use std::path::Path;

const SOCKET: &str = "/run/docker.sock";
/// The label with the name of a container's or network's stack.
pub(crate) const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// `docker info`, or `None` when it does not run.
pub(crate) fn info(cx: &Cx<'_>) -> Result<Option<Value>> {
    Ok(get(cx, "/info")?.filter(|info| info.get("DockerRootDir").is_some()))
}

/// Whether an image is here.
pub(crate) fn has_image(cx: &Cx<'_>, reference: &str) -> Result<bool> {
    Ok(get(cx, &format!("/images/{reference}/json"))?.is_some())
}

/// Every container of a stack, inspected; none when the engine does not run.
pub(crate) fn containers(cx: &Cx<'_>, stack: &str) -> Result<Vec<Value>> {
    let all = get(cx, "/containers/json?all=1")?.unwrap_or_default();
    let mut inspected = Vec::new();
    for container in all.as_array().into_iter().flatten() {
        if container["Labels"][PROJECT] == stack
            && let Some(id) = container["Id"].as_str()
        {
            inspected.extend(get(cx, &format!("/containers/{id}/json"))?);
        }
    }
    Ok(inspected)
}

/// Every container there is, inspected; none when the engine does not run.
pub(crate) fn every_container(cx: &Cx<'_>) -> Result<Vec<Value>> {
    let all = get(cx, "/containers/json?all=1")?.unwrap_or_default();
    let ids = all.as_array().into_iter().flatten().filter_map(|container| container["Id"].as_str());
    let mut inspected = Vec::new();
    for id in ids {
        inspected.extend(get(cx, &format!("/containers/{id}/json"))?);
    }
    Ok(inspected)
}

/// A network of containers.
pub(crate) struct Network {
    pub(crate) name: String,
    labels: Value,
}

impl Network {
    /// What a label of it says.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels[name].as_str()
    }
}

/// Every network there is; none when the engine does not run.
pub(crate) fn networks(cx: &Cx<'_>) -> Result<Vec<Network>> {
    let all = get(cx, "/networks")?.unwrap_or_default();
    let network =
        |one: &Value| Some(Network { name: one["Name"].as_str()?.to_owned(), labels: one["Labels"].clone() });
    Ok(all.as_array().into_iter().flatten().filter_map(network).collect())
}

/// The stacks with a container in a network, each once.
pub(crate) fn stacks_in(cx: &Cx<'_>, network: &str) -> Result<Vec<String>> {
    let mut stacks: Vec<String> = every_container(cx)?
        .iter()
        .filter(|container| container["NetworkSettings"]["Networks"].get(network).is_some())
        .filter_map(|container| label(container, PROJECT).map(str::to_owned))
        .collect();
    stacks.sort_unstable();
    stacks.dedup();
    Ok(stacks)
}

/// The command lines that run in a container.
pub(crate) fn programs(cx: &Cx<'_>, id: &str) -> Result<Vec<String>> {
    let top = get(cx, &format!("/containers/{id}/top?ps_args=-eo%20pid,args"))?.unwrap_or_default();
    let processes = top["Processes"].as_array().into_iter().flatten();
    Ok(processes.filter_map(|process| process[1].as_str().map(str::to_owned)).collect())
}

/// What a label of a container says.
pub(crate) fn label<'c>(container: &'c Value, name: &str) -> Option<&'c str> {
    container["Config"]["Labels"][name].as_str()
}

/// The service that compose made a container for; none where somebody only ran one in its network for once.
pub(crate) fn service(container: &Value) -> Option<&str> {
    label(container, SERVICE).filter(|_| label(container, ONE_OFF) != Some("True"))
}

/// A container's name without the slash.
pub(crate) fn name(container: &Value) -> &str {
    container["Name"].as_str().unwrap_or_default().trim_start_matches('/')
}

/// Whether a container runs and its health check says it is well.
pub(crate) fn healthy(container: &Value) -> bool {
    container["State"]["Running"] == true && container["State"]["Health"]["Status"] == "healthy"
}

/// Whether a container's health check says that it is not well.
pub(crate) fn unhealthy(container: &Value) -> bool {
    container["State"]["Health"]["Status"] == "unhealthy"
}

fn get(cx: &Cx<'_>, path: &str) -> Result<Option<Value>> {
    // A socket unit may hold the socket while the daemon does not run: asking would start it.
    if !cx.machine().exists("/run/docker.pid")? {
        return Ok(None);
    }
    match cx.ask(Path::new(SOCKET), path)? {
        None | Some((404, _)) => Ok(None),
        Some((200, body)) => Ok(Some(spec::from_outside("answer of Docker's", &body)?)),
        Some((status, body)) => {
            bail!(
                "asking Docker for {path}: it answered {status}: {}",
                host::clean(&String::from_utf8_lossy(&body))
            )
        }
    }
}
