//! `firstboot refresh`: restarts the services whose programs an upgrade replaced, and looks at the stacks afterwards.
//! systemd runs it after each upgrade by itself.

use super::outdated::{INIT, outdated};
use crate::run::Cx;
use crate::steps::docker::engine;
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _};
use spec::{Cure, Outdated};
use std::time::Duration;

/// How long the stacks may take to be healthy once the engine is back; live-restore keeps them running meanwhile.
const HEALTHY: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_secs(2);
/// How long a service may take to stop and start.
const RESTART: Duration = Duration::from_secs(180);
/// What holds the containers: first the one that the other talks to.
const ENGINE: [&str; 2] = ["containerd.service", "docker.service"];

/// What was restarted, and what still runs as it was.
pub(crate) struct Refreshed {
    /// Units.
    pub(crate) restarted: Vec<String>,
    /// What takes more than a restart.
    pub(crate) left: Vec<Outdated>,
}

/// Restarts what a restart cures, one after the other; of several that fail each is said. Nobody else is at work.
pub(crate) fn refresh(cx: &Cx<'_>) -> Result<Refreshed> {
    let mut units: Vec<String> = outdated(cx.machine())?
        .into_iter()
        .filter(|found| found.cure == Cure::Restart)
        .map(|found| found.unit)
        .collect();
    units.sort_by_key(|unit| ENGINE.iter().position(|engine| engine == unit));
    let mut failed = Vec::new();
    for unit in &units {
        if let Err(error) = restart(cx, unit).with_context(|| format!("restarting {unit}")) {
            failed.push(format!("{error:#}"));
        }
    }
    if units.iter().any(|unit| ENGINE.contains(&&**unit)) {
        failed.extend(unhealthy(cx)?);
    }
    if !failed.is_empty() {
        bail!("{}; see `journalctl -b` and `firstboot verify`", failed.join("; "));
    }
    Ok(Refreshed { restarted: units, left: outdated(cx.machine())? })
}

fn restart(cx: &Cx<'_>, unit: &str) -> Result<()> {
    let systemctl = |words: &[&str]| {
        cx.run(&Cmd::new("systemctl").args(words.iter().copied()).timeout(RESTART)).map(drop)
    };
    match unit {
        INIT => systemctl(&["daemon-reexec"])?,
        // It refuses to be stopped by anybody but its own signal.
        "auditd.service" => {
            systemctl(&["kill", unit])?;
            systemctl(&["start", unit])?;
        }
        _ => {
            if unit == "ssh.service" {
                // One that does not start again would let nobody in.
                cx.run(&Cmd::new("sshd").arg("-t"))?;
            }
            // What requires it goes on: with docker.service each stack would be stopped and started.
            systemctl(&["restart", "--job-mode=ignore-requirements", unit])?;
        }
    }
    Ok(())
}

/// The stacks that are not healthy again in time.
fn unhealthy(cx: &Cx<'_>) -> Result<Vec<String>> {
    let start = cx.machine().ticks();
    loop {
        let mut unhealthy = Vec::new();
        for stack in &cx.spec.stacks {
            let containers = engine::containers(cx, &stack.name)?;
            if containers.is_empty() || !containers.iter().all(engine::healthy) {
                unhealthy.push(format!("stack {} is not healthy after the engine was restarted", stack.name));
            }
        }
        if unhealthy.is_empty() || cx.machine().ticks().saturating_sub(start) > HEALTHY {
            return Ok(unhealthy);
        }
        cx.machine().sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;
    use crate::testing::flow::done;
    use crate::upkeep::outdated::tests::runs;

    fn ready(replaced: &[(u32, &str, &str)]) -> Fake {
        let fake = Fake::new();
        done(&fake);
        for (pid, unit, file) in replaced {
            runs(&fake, *pid, &format!("/system.slice/{unit}"), &format!("{file} (deleted)"));
        }
        fake
    }

    fn lines(fake: &Fake, work: impl FnOnce(&Cx<'_>)) -> Vec<String> {
        let before = fake.state.borrow().lines.len();
        work(&Cx::read_only(fake).unwrap());
        fake.state.borrow().lines[before..].iter().filter(|line| !line.contains(" show ")).cloned().collect()
    }

    #[test]
    fn what_was_upgraded_is_restarted_the_engine_last_and_no_stack_is_touched() {
        let fake = ready(&[
            (40, "docker.service", "/usr/sbin/dockerd"),
            (41, "containerd.service", "/usr/bin/containerd"),
            (42, "ssh.service", "/usr/sbin/sshd"),
            (43, "auditd.service", "/usr/sbin/auditd"),
            (44, "dbus.service", "/usr/bin/dbus-daemon"),
        ]);
        let stacks = fake.state.borrow().containers.clone();
        let ran = lines(&fake, |cx| {
            let refreshed = refresh(cx).unwrap();
            assert_eq!(refreshed.restarted.len(), 4, "{:?}", refreshed.restarted);
            let left: Vec<_> = refreshed.left.iter().map(|left| (&*left.unit, left.cure)).collect();
            assert_eq!(left, [("dbus.service", Cure::Reboot)]);
        });
        assert_eq!(
            ran,
            [
                "systemctl kill auditd.service",
                "systemctl start auditd.service",
                "sshd -t",
                "systemctl restart --job-mode=ignore-requirements ssh.service",
                "systemctl restart --job-mode=ignore-requirements containerd.service",
                "systemctl restart --job-mode=ignore-requirements docker.service",
            ]
        );
        assert_eq!(fake.state.borrow().containers, stacks);
    }

    #[test]
    fn a_server_on_which_all_is_current_is_left_alone() {
        let fake = ready(&[]);
        assert!(lines(&fake, |cx| assert!(refresh(cx).unwrap().restarted.is_empty())).is_empty());
    }

    #[test]
    fn a_stack_that_does_not_come_back_is_said() {
        let fake = ready(&[(40, "docker.service", "/usr/sbin/dockerd")]);
        fake.state.borrow_mut().containers.clear();
        let error = refresh(&Cx::read_only(&fake).unwrap()).err().unwrap().to_string();
        assert!(error.contains("stack postgres is not healthy"), "{error}");
    }
}
