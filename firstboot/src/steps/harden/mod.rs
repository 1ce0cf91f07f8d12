//! The host itself, held to what docs/hardening.md says: sshd, the kernel's settings, the clock, the journal, the audit
//! log, who guesses at ssh, and security upgrades.
//!
//! 1. `table` is everything that is written and started, for one release ([`stacks::release`]) and one node spec.
//! 2. Files are written while a note of it lies in memory, and their services told; a run that is cut off between the
//!    two tells them again, and a reboot needs no telling.
//! 3. `sshd` is last, as a change that puts itself back unless a fresh connection confirms it.

mod sshd;
mod table;

use super::packages::Programs;
use crate::Cx;
use crate::step::Step;
use crate::untold::Untold;
use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _};
use spec::StepName;
use stacks::release::Release;
use table::{Managed, Then};

/// The host is as docs/hardening.md says.
#[derive(Debug, Clone, Copy)]
pub struct Hardened(());

/// See the module.
pub struct Harden {
    /// What is configured is installed.
    pub programs: Programs,
}

/// Every service has read its files.
const UNREAD: Untold = Untold("hardening");
/// What was masked was stopped.
const UNSTOPPED: Untold = Untold("needless");
/// What was enabled was started.
const UNSTARTED: Untold = Untold("enabled");
const OS_RELEASE: &str = "/etc/os-release";
const APPARMOR: &str = "/sys/module/apparmor/parameters/enabled";
const SWAPS: &str = "/proc/swaps";

impl Step for Harden {
    const NAME: StepName = StepName::Harden;
    type Output = Hardened;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Hardened>> {
        let release = release(cx)?;
        for file in table::files(release, &cx.spec) {
            if !cx.holds(file.path, file.text.as_bytes())? {
                return Ok(None);
            }
        }
        let untold = [UNREAD, UNSTOPPED, UNSTARTED].into_iter().map(|note| note.is_noted(cx));
        let holds = !untold.collect::<Result<Vec<_>>>()?.contains(&true)
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
            UNREAD.note(cx)?;
            Ok(cx.at_boot("mask", unmasked.iter().copied())?)
        };
        // Most are not there, which stopping them says by its exit code.
        let stop = Cmd::new("systemctl").args(["stop", "--quiet"]).args(needless(release));
        UNSTOPPED.ensure(cx, unmasked.is_empty(), mask, || Ok(cx.probe(&stop).map(drop)?))?;
        if swaps(cx)? {
            cx.run(&Cmd::new("swapoff").arg("--all")).context("taking swap out of use")?;
        }
        write_and_tell(cx, &table::files(release, &cx.spec))?;
        let unstarted = unstarted(cx)?;
        let enable = || Ok(cx.at_boot("enable", unstarted.iter().copied())?);
        // Not waited for: fail2ban takes its time, and nothing that follows needs any of them.
        let start =
            Cmd::new("systemctl").args(["start", "--no-block"]).args(table::STARTED.map(|(unit, _)| unit));
        UNSTARTED.ensure(cx, unstarted.is_empty(), enable, || Ok(cx.run(&start).map(drop)?))?;
        sshd::apply(cx, release)
    }
}

/// What this server runs, refused where nobody has said how it is hardened.
pub(super) fn release(cx: &Cx<'_>) -> Result<&'static Release> {
    let text = cx.text(OS_RELEASE)?.unwrap_or_default();
    Release::of(&text).with_context(|| {
        let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or("nothing").to_owned();
        let known: Vec<String> = stacks::release::RELEASES.iter().map(Release::name).collect();
        format!(
            "looking which release this is: {OS_RELEASE} says {}, which is none of {}; choose one of these images in \
             project.toml",
            line("PRETTY_NAME="),
            known.join(", ")
        )
    })
}

/// Without AppArmor nothing below could hold containers; it cannot be had without a reboot.
pub(super) fn confines(cx: &Cx<'_>) -> Result<()> {
    let on = cx.text(APPARMOR)?.is_some_and(|text| text.trim() == "Y");
    ensure!(
        on,
        "looking whether AppArmor is on: the kernel runs without it, so nothing would confine containers; take \
         `apparmor=0` or `security=` off the kernel's command line, reboot, then try again"
    );
    Ok(())
}

/// Writes the files that differ, and tells those who read them.
fn write_and_tell(cx: &Cx<'_>, files: &[Managed]) -> Result<()> {
    let untold = UNREAD.is_noted(cx)?;
    let mut tell: Vec<Then> = Vec::new();
    for file in files {
        let differs = !cx.holds(file.path, file.text.as_bytes())?;
        if differs {
            UNREAD.note(cx)?;
            cx.ensure_file(file.path, file.text.as_bytes(), file.mode)?;
        }
        if (differs || untold) && !tell.contains(&file.then) {
            tell.push(file.then);
        }
    }
    tell.sort_unstable();
    for then in tell {
        then.tell(cx)?;
    }
    UNREAD.told(cx)
}

/// The units that are not started at boot.
fn unstarted(cx: &Cx<'_>) -> Result<Vec<&'static str>> {
    let mut units = Vec::new();
    for (unit, target) in table::STARTED {
        if !cx.exists(format!("/etc/systemd/system/{target}.wants/{unit}"))? {
            units.push(unit);
        }
    }
    Ok(units)
}

/// The units that could still be started and must not be.
fn unmasked(cx: &Cx<'_>, release: &'static Release) -> Result<Vec<&'static str>> {
    let mut units = Vec::new();
    for unit in needless(release) {
        if !cx.exists(format!("/etc/systemd/system/{unit}"))? {
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
    Ok(cx.text(SWAPS)?.unwrap_or_default().lines().count() > 1)
}

impl Then {
    /// Has what was written come into force now.
    fn tell(self, cx: &Cx<'_>) -> Result<()> {
        match self {
            Self::Nothing => {}
            Self::Reload => drop(cx.systemctl(["daemon-reload"])?),
            Self::Restart(unit) => drop(cx.systemctl(["restart", unit])?),
            Self::Later(unit) => drop(cx.systemctl(["restart", "--no-block", unit])?),
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
