//! Commands inside a stack's services, as its manifest names them.

use crate::run::Cx;
use crate::steps::docker::engine;
use ::stacks::Planned;
use ::stacks::manifest::Word;
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _};
use std::time::Duration;

/// How long such a command may take: a database's check after a crash is one.
const LIMIT: Duration = Duration::from_secs(600);

/// A command inside a service's container, which has to be there.
pub(super) fn command(cx: &Cx<'_>, stack: &Planned, service: &Word, words: &[String]) -> Result<Cmd> {
    let containers = engine::containers(cx, &stack.name)?;
    let container = containers.iter().find(|one| engine::service(one) == Some(service.as_str()));
    let container =
        container.with_context(|| format!("stack {}: service {service} has no container", stack.name))?;
    let cmd = Cmd::new("docker").args(["exec", "--interactive", engine::name(container)]);
    Ok(cmd.args(words.iter().map(String::as_str)).env("HOME", "/root"))
}

/// Runs one to its end; what it said is in the error.
pub(super) fn run(cx: &Cx<'_>, stack: &Planned, service: &Word, words: &[String]) -> Result<()> {
    cx.run(&command(cx, stack, service, words)?.timeout(LIMIT))?;
    Ok(())
}
