//! `firstboot stacks up NAME`, which a stack's unit runs: its containers are started, and healthy in the end.

use super::by_hand::enabled;
use super::compose::compose;
use super::in_service;
use crate::run::Cx;
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _};
use std::time::Duration;

/// Compose's own limit, in seconds, for all to be healthy.
const HEALTHY: &str = "300";
/// A little more than that, for what Compose does before and after.
const LIMIT: Duration = Duration::from_secs(330);

/// Starts what is not up, and makes anew what is otherwise than its definition. What has to be done before the rest comes
/// up is done first: where it fails, the rest stays down.
pub(crate) fn up(cx: &Cx<'_>, name: &str) -> Result<()> {
    let stack = enabled(cx, name)?;
    if let Some(before) = &stack.manifest.hooks.before {
        cx.run(&start(name, &[before.service.as_str()]))?;
        in_service::run(cx, stack, &before.service, &before.command)
            .with_context(|| format!("before the rest of stack {name} is started"))?;
    }
    cx.run(&start(name, &["--remove-orphans"]))?;
    Ok(())
}

fn start(name: &str, what: &[&str]) -> Cmd {
    let words = ["up", "--detach", "--wait", "--wait-timeout", HEALTHY, "--pull", "never"];
    compose(name, &[&words, what].concat()).timeout(LIMIT)
}

/// `firstboot stacks timer STACK:TIMER`, which a timer's unit runs.
pub(crate) fn timer(cx: &Cx<'_>, instance: &str) -> Result<()> {
    let (name, timer) = instance.split_once(':').context("a timer is named as STACK:TIMER")?;
    let stack = enabled(cx, name)?;
    let found = stack.manifest.timers.iter().find(|found| found.name.as_str() == timer);
    let found = found.with_context(|| format!("stack {name} has no timer {timer}"))?;
    in_service::run(cx, stack, &found.service, &found.command)
}
