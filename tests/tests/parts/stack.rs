//! Stacks' files, put where a server has them.

use anyhow::{Context as _, Result};
use spec::{DiskSpec, NodeSpec, ServerSpec, SshSpec, StackSpec, UnlockSpec};
use stacks::Plan;
use stacks::plan::Network;
use std::collections::BTreeMap;
use std::path::Path;
use tests::engine::Engine;

/// A stack's folder as the server sees it.
pub(crate) fn folder(stack: &str) -> String {
    format!("/srv/sovereign/stacks/{stack}")
}

/// Makes the networks of a plan, and puts its stacks onto the volume as firstboot does: secrets, configuration, data
/// directories, and last the compose file.
pub(crate) fn put(engine: &Engine, node: &NodeSpec, secrets: &BTreeMap<&str, &[u8]>) -> Result<()> {
    let plan = Plan::of(node)?;
    for network in &plan.networks {
        make_network(engine, network)?;
    }
    for wanted in &node.stacks {
        let stack = plan.stack(&wanted.name).context("it is planned")?;
        let folder = folder(&wanted.name);
        for (secret, owner) in plan.secrets_of(&wanted.name) {
            let value = secrets.get(secret.name.as_str());
            let value = value.with_context(|| format!("no secret {} is given", secret.name))?;
            self::secret(engine, &wanted.name, &secret.name, value, owner.uid)?;
        }
        for (name, text) in plan.config(stack)? {
            write(engine, &format!("{folder}/config/{name}"), text.shown().as_bytes(), 0o644)?;
        }
        for dir in &stack.manifest.data {
            let path = engine.path(Path::new("/srv/sovereign/data").join(dir.path.as_str()));
            std::fs::create_dir_all(&path)?;
            std::os::unix::fs::chown(&path, Some(dir.owner.uid), Some(dir.owner.gid))?;
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(dir.mode.0))?;
        }
        compose(engine, &wanted.name, &plan.render(wanted, &node.inbound)?)?;
    }
    Ok(())
}

fn make_network(engine: &Engine, network: &Network) -> Result<()> {
    let (subnet, range) = (network.subnet.to_string(), network.subnet.for_docker());
    let gateway = network.subnet.gateway().to_string();
    let mut words =
        vec!["network", "create", "--subnet", &subnet, "--ip-range", &range, "--gateway", &gateway];
    let subnet6 = network.subnet6.map(|subnet| subnet.to_string());
    words.extend(subnet6.iter().flat_map(|subnet| ["--ipv6", "--subnet", subnet]));
    words.extend(network.internal.then_some("--internal"));
    words.push(&network.name);
    engine.docker(words).map(drop)
}

/// What a server with these stacks shall be.
pub(crate) fn node(stacks: Vec<StackSpec>) -> NodeSpec {
    NodeSpec {
        version: spec::VERSION,
        project: "parts".into(),
        server: ServerSpec { id: 1, name: "server".into() },
        disk: DiskSpec { volume_id: 1, size_gb: 10, format: None, known: None },
        recipients: vec!["age1nobody".into()],
        ssh: SshSpec { port: 22 },
        inbound: vec![],
        registries: vec![],
        domain: None,
        stacks,
        unlock: UnlockSpec::Operator,
        reboot: None,
        vpn: None,
        exceptions: vec![],
    }
}

/// Puts a compose file where a stack of this name has it.
pub(crate) fn compose(engine: &Engine, stack: &str, text: &str) -> Result<()> {
    write(engine, &format!("{}/compose.yaml", folder(stack)), text.as_bytes(), 0o600)
}

/// Puts a secret where a stack has it, for its reader alone.
pub(crate) fn secret(engine: &Engine, stack: &str, name: &str, value: &[u8], uid: u32) -> Result<()> {
    let file = format!("{}/secrets/{name}", folder(stack));
    write(engine, &file, value, 0o400)?;
    Ok(std::os::unix::fs::chown(engine.path(file), Some(uid), Some(uid))?)
}

fn write(engine: &Engine, path: &str, content: &[u8], mode: u32) -> Result<()> {
    Ok(host::files::write(&engine.path(path), content, mode)?)
}

/// What every service of a trial's own compose files says: the hardening of a server's stacks. It is well when it listens on
/// this port.
pub(crate) fn hardened(port: u16) -> String {
    format!(
        "    user: \"65534:65534\"
    cap_drop: [ALL]
    security_opt: [\"no-new-privileges:true\"]
    read_only: true
    init: true
    mem_limit: 64m
    healthcheck:
      test: [CMD, nc, -w, \"2\", 127.0.0.1, \"{port}\"]
      interval: 1s
      timeout: 5s
      retries: 30
      start_period: 20s
      start_interval: 100ms
"
    )
}
