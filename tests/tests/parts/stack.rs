//! Stacks' files, put where a server has them.

use anyhow::{Context as _, Result};
use spec::{DiskSpec, NodeSpec, Port, ServerSpec, SshSpec, StackSpec, UnlockSpec};
use std::collections::BTreeMap;
use std::path::Path;
use tests::engine::Engine;

/// A stack's folder as the server sees it.
pub(crate) fn folder(stack: &str) -> String {
    format!("/srv/sovereign/stacks/{stack}")
}

/// Puts a stack of the catalogue onto the volume as firstboot does: secrets, configuration, data directories, and last the
/// compose file.
pub(crate) fn put(
    engine: &Engine,
    wanted: &StackSpec,
    inbound: &[Port],
    secrets: &BTreeMap<&str, &[u8]>,
) -> Result<()> {
    let stack = stacks::find(&wanted.name)?;
    let folder = folder(&wanted.name);
    for need in stack.secrets {
        let value = secrets.get(need.name).with_context(|| format!("no secret {} is given", need.name))?;
        secret(engine, &wanted.name, need.name, value, need.uid)?;
    }
    for (name, text) in stacks::config(stack, None)? {
        write(engine, &format!("{folder}/config/{name}"), text.as_bytes(), 0o644)?;
    }
    for dir in stack.data {
        let path = engine.path(Path::new("/srv/sovereign/data").join(dir.path));
        std::fs::create_dir_all(&path)?;
        std::os::unix::fs::chown(&path, Some(dir.uid), Some(dir.gid))?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(dir.mode))?;
    }
    compose(engine, &wanted.name, &stacks::render(wanted, inbound)?)
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
