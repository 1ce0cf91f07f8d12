//! The host itself, held to what docs/hardening.md says: sshd, the kernel's settings, the clock, the journal, the audit
//! log, who guesses at ssh, and security upgrades.
//!
//! 1. `table` is everything that is written and started, for one release ([`stacks::release`]) and one node spec.
//! 2. Files are written, and the handler of each has it come into force; a `FollowUp` sees to that over a cut.
//! 3. `sshd` is last, as a change that puts itself back unless a fresh connection confirms it.

mod sshd;
mod table;

use super::packages::Programs;
use super::release::release;
use crate::run::{Cx, Step};
use crate::system::{FollowUp, managed, systemd};
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _};
use spec::StepName;
use stacks::release::Release;
pub(crate) use table::DROP_INS;
use table::{Handler, ManagedFile};

/// The host is as docs/hardening.md says.
#[derive(Debug, Clone, Copy)]
pub struct Hardened(());

/// See the module.
pub struct Harden {
    /// What is configured is installed.
    pub programs: Programs,
}

/// Every service has to read its files.
const RELOAD: FollowUp = FollowUp("hardening");
/// What was masked is to be stopped.
const STOP: FollowUp = FollowUp("needless");
/// What was enabled is to be started.
const START: FollowUp = FollowUp("enabled");
const SWAPS: &str = "/proc/swaps";

impl Step for Harden {
    const NAME: StepName = StepName::Harden;
    type Output = Hardened;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Hardened>> {
        let release = release(cx)?;
        for file in table::files(release, &cx.spec) {
            if !managed::holds(cx, file.path, file.text.as_bytes())? {
                return Ok(None);
            }
        }
        let due = [RELOAD, STOP, START].into_iter().map(|follow_up| follow_up.is_due(cx));
        let holds = !due.collect::<Result<Vec<_>>>()?.contains(&true)
            && unstarted(cx)?.is_empty()
            && unmasked(cx, release)?.is_empty()
            && !swaps(cx)?
            && sshd::holds(cx, release)?;
        Ok(holds.then_some(Hardened(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        let release = release(cx)?;
        cx.say(format!("hardening {}", release.name()))?;
        let unmasked = unmasked(cx, release)?;
        let mask = || {
            // What is masked could still be started before systemd reads its units again, below.
            RELOAD.mark_due(cx)?;
            Ok(systemd::at_boot(cx, "mask", unmasked.iter().copied())?)
        };
        // Most are not there, which stopping them says by its exit code.
        let stop = Cmd::new("systemctl").args(["stop", "--quiet"]).args(needless(release));
        STOP.ensure(cx, unmasked.is_empty(), mask, || Ok(cx.probe(&stop).map(drop)?))?;
        if swaps(cx)? {
            cx.run(&Cmd::new("swapoff").arg("--all")).context("taking swap out of use")?;
        }
        let unstarted = unstarted(cx)?;
        if !unstarted.is_empty() {
            START.mark_due(cx)?;
            // Where systemd has not read of it, it takes none of its units for current.
            RELOAD.mark_due(cx)?;
            systemd::at_boot(cx, "enable", unstarted.iter().copied())?;
        }
        write_and_reload(cx, &table::files(release, &cx.spec))?;
        if START.is_due(cx)? {
            // Not waited for: fail2ban takes its time, and nothing that follows needs any of them.
            let start = Cmd::new("systemctl").args(["start", "--no-block"]);
            cx.run(&start.args(table::STARTED.map(|(unit, _)| unit)))?;
            START.done(cx)?;
        }
        sshd::apply(cx, release)
    }
}

/// Writes the files that differ, and tells those who read them.
fn write_and_reload(cx: &Cx<'_>, files: &[ManagedFile]) -> Result<()> {
    let due = RELOAD.is_due(cx)?;
    let mut handlers: Vec<Handler> = Vec::new();
    for file in files {
        let differs = !managed::holds(cx, file.path, file.text.as_bytes())?;
        if differs {
            RELOAD.mark_due(cx)?;
            managed::ensure_file(cx, file.path, file.text.as_bytes(), file.mode)?;
        }
        if (differs || due) && !handlers.contains(&file.handler) {
            handlers.push(file.handler);
        }
    }
    handlers.sort_unstable();
    for handler in handlers {
        handler.run(cx)?;
    }
    RELOAD.done(cx)
}

/// The units that are not started at boot.
fn unstarted(cx: &Cx<'_>) -> Result<Vec<&'static str>> {
    let mut units = Vec::new();
    for (unit, target) in table::STARTED {
        if !cx.machine().exists(format!("/etc/systemd/system/{target}.wants/{unit}"))? {
            units.push(unit);
        }
    }
    Ok(units)
}

/// The units that could still be started and must not be.
fn unmasked(cx: &Cx<'_>, release: &'static Release) -> Result<Vec<&'static str>> {
    let mut units = Vec::new();
    for unit in needless(release) {
        if !cx.machine().exists(format!("/etc/systemd/system/{unit}"))? {
            units.push(unit);
        }
    }
    Ok(units)
}

/// What no server of this release has a use for.
fn needless(release: &'static Release) -> impl Iterator<Item = &'static str> {
    table::NEEDLESS.iter().chain(release.needless).copied()
}

/// Whether memory is written to some disk: the first line is the head.
fn swaps(cx: &Cx<'_>) -> Result<bool> {
    Ok(cx.machine().text(SWAPS)?.unwrap_or_default().lines().count() > 1)
}

impl Handler {
    /// Has what was written come into force now.
    fn run(self, cx: &Cx<'_>) -> Result<()> {
        match self {
            Self::Nothing => {}
            Self::Reload => systemd::reload(cx)?,
            Self::Restart(unit) => drop(systemd::systemctl(cx, ["restart", unit])?),
            Self::Later(unit) => drop(systemd::systemctl(cx, ["restart", "--no-block", unit])?),
            // auditd refuses to be restarted, and its rules are the kernel's. Nothing is deleted first: rules that
            // somebody else set for now stay until the next boot.
            Self::AuditRules => {
                let load = Cmd::new("auditctl").args(["-R", table::AUDIT_RULES]);
                cx.run(&load).context("loading the audit rules")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
