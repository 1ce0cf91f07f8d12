//! The stacks run and are healthy, in the networks that the plan has; what the node spec no longer names is stopped:
//! `disabled`. systemd starts them side by side, each after what it needs, and one that fails stops no other.
//!
//! Each container carries a digest of its definition and of all that it reads when it starts. What runs is what is wanted
//! when the digests are the same; where they are not, compose makes exactly those containers anew.
//!
//! * `compose` knows where a stack lies, and compose's command line.
//! * `rendered` is one stack as it shall be; `certificate` what it answers with where no public authority vouches for it.
//! * `networks` makes the networks of containers; `up` is what a stack's unit does; `settings` puts an Admin API right and
//!   `in_service` runs what the manifest says, once it is up.
//! * `by_hand` is what an administrator does to one stack.

pub(crate) mod by_hand;
pub(crate) mod certificate;
pub(crate) mod compose;
pub(crate) mod disabled;
mod in_service;
pub(crate) mod networks;
mod rendered;
mod settings;
pub(crate) mod up;

pub(crate) use rendered::labelled;

use super::docker::engine;
use super::escrow::Escrowed;
use super::images::Pulled;
use crate::run::{Cx, Step};
use crate::system::units;
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _};
use rendered::Rendered;
use spec::StepName;
use std::time::Duration;

/// How long all stacks together may take; each has a limit of its own in its unit.
const START: Duration = Duration::from_secs(30 * 60);

/// All stacks are healthy.
#[derive(Debug, Clone, Copy)]
pub struct Running(());

/// See the module.
pub struct Stacks {
    /// The engine has all they run.
    pub pulled: Pulled,
    /// No data is accepted before the escrow is safe.
    pub escrowed: Escrowed,
}

impl Step for Stacks {
    const NAME: StepName = StepName::Stacks;
    type Output = Running;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Running>> {
        if !units::ordered(cx)? || !networks::complaints(cx)?.is_empty() {
            return Ok(None);
        }
        for stack in &cx.spec.stacks {
            if !Rendered::new(cx, stack)?.holds(cx)? {
                return Ok(None);
            }
        }
        Ok(disabled::complaints(cx)?.is_empty().then_some(Running(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        bring_up(cx)
    }
}

/// Makes all stacks as they must be.
pub(crate) fn bring_up(cx: &Cx<'_>) -> Result<()> {
    disabled::stop_and_remove(cx)?;
    let all: Vec<Rendered<'_>> =
        cx.spec.stacks.iter().map(|stack| Rendered::new(cx, stack)).collect::<Result<_>>()?;
    // First, so that the hardening beside it, which has systemd read its units, finds the links there.
    units::write_order(cx)?;
    let names: Vec<String> = all.iter().map(|one| units::stack_unit(&one.stack.name)).collect();
    units::want(cx, names.iter().map(String::as_str))?;
    networks::ensure(cx)?;
    for one in &all {
        one.put_files(cx).with_context(|| format!("writing the files of stack {}", one.stack.name))?;
    }
    let mut waiting = Vec::new();
    for one in all {
        if !one.holds(cx)? {
            waiting.push(one);
        }
    }
    start(cx, &waiting)
}

/// Starts what does not hold, and says of each that did not come up what its containers said last.
fn start(cx: &Cx<'_>, stacks: &[Rendered<'_>]) -> Result<()> {
    let names: Vec<&str> = stacks.iter().map(|one| one.stack.name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    cx.say(format!("starting {}", names.join(", ")))?;
    let mut down = Vec::new();
    for one in stacks {
        if !one.runs(cx)? {
            down.push(one.stack.name.as_str());
        }
    }
    start_units(cx, &down)?;
    let mut failed = Vec::new();
    for one in stacks {
        if !one.runs(cx)? {
            failed.push(one.failure(cx)?);
        } else if let Err(error) = one.settle(cx) {
            failed.push(format!("{error:#}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("starting the stacks: {}", failed.join("\n")) }
}

/// Has systemd start these stacks side by side, each after what it needs.
fn start_units(cx: &Cx<'_>, names: &[&str]) -> Result<()> {
    let (mut again, mut others) = (Vec::new(), Vec::new());
    for name in names {
        let unit = units::stack_unit(name);
        // The engine's own start may have begun with it: until that has ended, systemd takes no reload.
        let state =
            cx.probe(&Cmd::new("systemctl").args(["show", "--property=ActiveState", "--value", &unit]))?;
        if state.text() == "activating" {
            cx.probe(&Cmd::new("systemctl").args(["start", &unit]))?;
        }
        // A container that runs and is not well is left alone by compose.
        let unwell = engine::containers(cx, name)?.iter().any(engine::unhealthy);
        if unwell { again.push(unit) } else { others.push(unit) }
    }
    for (verb, units) in [("restart", again), ("reload-or-restart", others)] {
        if !units.is_empty() {
            let cmd = Cmd::new("systemctl").arg(verb).args(units.iter().map(String::as_str)).timeout(START);
            // What did not start is looked at below, one by one: systemd names units, not reasons.
            cx.probe(&cmd)?;
        }
    }
    Ok(())
}
