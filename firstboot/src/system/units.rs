//! The systemd units and drop-ins, written whole from the files in `systemd/`, and the command for people.

use super::{managed, systemd};
use crate::run::Cx;
use anyhow::Result;
use host::{Cmd, Host as _};

const FOLDER: &str = "/etc/systemd/system/";

/// The unit that mounts the volume.
pub(crate) const MOUNT: &str = "srv-sovereign.mount";
/// The unit that runs the host's node of the private network.
pub(crate) const VPN: &str = "sovereign-vpn.service";
/// The target that holds the stacks together.
pub(crate) const STACKS: &str = "sovereign-stacks.target";

/// Each unit and its text.
pub(crate) const UNITS: [(&str, &str); 13] = [
    (
        "/etc/systemd/system/sovereign-firstboot.service",
        include_str!("../../systemd/sovereign-firstboot.service"),
    ),
    (
        "/etc/systemd/system/sovereign-put-back.service",
        include_str!("../../systemd/sovereign-put-back.service"),
    ),
    (
        "/etc/systemd/system/sovereign-refresh.service",
        include_str!("../../systemd/sovereign-refresh.service"),
    ),
    (
        "/etc/systemd/system/apt-daily-upgrade.service.d/10-sovereign.conf",
        include_str!("../../systemd/refresh-after-upgrade.conf"),
    ),
    ("/etc/systemd/system/srv-sovereign.mount", include_str!("../../systemd/srv-sovereign.mount")),
    ("/etc/systemd/system/sovereign-stacks.target", include_str!("../../systemd/sovereign-stacks.target")),
    ("/etc/systemd/system/sovereign-stack@.service", include_str!("../../systemd/sovereign-stack@.service")),
    ("/etc/systemd/system/sovereign-timer@.service", include_str!("../../systemd/sovereign-timer@.service")),
    ("/etc/systemd/system/sovereign-vpn.service", include_str!("../../systemd/sovereign-vpn.service")),
    ("/etc/systemd/system/docker.service.d/10-sovereign.conf", include_str!("../../systemd/docker.conf")),
    (
        "/etc/systemd/system/docker.service.d/30-sovereign-firewall.conf",
        include_str!("../../systemd/docker-user-first.conf"),
    ),
    (
        "/etc/systemd/system/docker.socket.d/10-sovereign.conf",
        include_str!("../../systemd/needs-volume.conf"),
    ),
    (
        "/etc/systemd/system/containerd.service.d/10-sovereign.conf",
        include_str!("../../systemd/needs-volume.conf"),
    ),
];

/// What `firstboot` runs, typed on the server.
const COMMAND: &[u8] = b"#!/bin/sh\nexec /usr/local/lib/sovereign/firstboot \"$@\"\n";

/// What is started at boot.
const WANTED: [&str; 2] = [spec::paths::UNIT, "sovereign-put-back.service"];

/// Whether every unit is as it must be.
pub(crate) fn current(cx: &Cx<'_>) -> Result<bool> {
    let mut links = WANTED.into_iter().map(|unit| is_wanted(cx, unit));
    Ok(written(cx)? && links.all(|there| there.is_ok_and(|there| there)))
}

fn written(cx: &Cx<'_>) -> Result<bool> {
    for (path, text) in UNITS {
        if !managed::holds(cx, path, text.as_bytes())? {
            return Ok(false);
        }
    }
    managed::holds(cx, spec::paths::COMMAND, COMMAND)
}

/// Writes the units that differ and tells systemd.
pub(crate) fn write(cx: &Cx<'_>) -> Result<()> {
    let mut written = false;
    // Also those that hold: what somebody made of them by hand and is wanted now is ours from now on.
    for (path, text) in UNITS {
        written |= managed::ensure_file(cx, path, text.as_bytes(), 0o644)?;
    }
    managed::ensure_file(cx, spec::paths::COMMAND, COMMAND, 0o755)?;
    for unit in WANTED {
        if !is_wanted(cx, unit)? {
            systemd::at_boot(cx, "enable", [unit])?;
            written = true;
        }
    }
    reload(cx, written)
}

/// What says which stack is started after which, the host's node after the stack it asks, and what is run every so often:
/// path and text.
fn order(cx: &Cx<'_>) -> Result<Vec<(String, String)>> {
    const HEAD: &str = "# Written by firstboot; changes here are overwritten.\n[Unit]\n";
    let plan = cx.plan()?;
    let mut files = Vec::new();
    for stack in &plan.stacks {
        let unit = stack_unit(&stack.name);
        let needs: Vec<String> = stack.needs().into_iter().map(stack_unit).collect();
        let timers =
            stack.manifest.timers.iter().map(|timer| (timer_unit(&stack.name, &timer.name), timer.every));
        let mut text = HEAD.to_owned();
        if !needs.is_empty() {
            text += &format!("Wants={0}\nAfter={0}\n", needs.join(" "));
        }
        for (timer, every) in timers {
            text += &format!("Wants={timer}\n");
            let minutes = every.minutes();
            let timer_text = format!(
                "{HEAD}PartOf={unit}\nAfter={unit}\n[Timer]\nOnActiveSec={minutes}min\nOnUnitInactiveSec={minutes}min\n"
            );
            files.push((format!("{FOLDER}{timer}"), timer_text));
        }
        files.push((format!("{}/10-order.conf", drop_ins(&unit)), text));
    }
    if let Some((stack, _)) = plan.private_network() {
        let text = format!("{HEAD}After={}\n", stack_unit(&stack.name));
        files.push((format!("{}/10-order.conf", drop_ins(VPN)), text));
    }
    Ok(files)
}

/// What systemd has of a stack that is its own: its order, its timers.
pub(crate) fn files_of_stack(cx: &Cx<'_>, stack: &str) -> Result<Vec<String>> {
    let timers = timer_unit(stack, "");
    let timers = timers.trim_end_matches(".timer");
    let mut files = vec![drop_ins(&stack_unit(stack))];
    for name in cx.machine().list(FOLDER.as_ref())? {
        if name.starts_with(timers) {
            files.push(format!("{FOLDER}{name}"));
        }
    }
    Ok(files)
}

/// The timer of a stack: of another stack's name it begins with none.
fn timer_unit(stack: &str, timer: &str) -> String {
    format!("sovereign-timer@{stack}:{timer}.timer")
}

/// The unit that runs a stack.
pub(crate) fn stack_unit(stack: &str) -> String {
    format!("sovereign-stack@{stack}.service")
}

/// Where additions to a unit lie.
fn drop_ins(unit: &str) -> String {
    format!("{FOLDER}{unit}.d")
}

/// Whether the order of the stacks is as it must be.
pub(crate) fn ordered(cx: &Cx<'_>) -> Result<bool> {
    for (path, text) in order(cx)? {
        if !managed::holds(cx, path, text.as_bytes())? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes the order of the stacks; systemd is told where it knew another.
pub(crate) fn write_order(cx: &Cx<'_>) -> Result<()> {
    let mut written = false;
    for (path, text) in order(cx)? {
        written |= managed::ensure_file(cx, path, text.as_bytes(), 0o644)?;
    }
    if written { reload_unread(cx, &[]) } else { Ok(()) }
}

/// The link that has a unit started with its target.
fn link(unit: &str) -> String {
    let target = if WANTED.contains(&unit) { "multi-user.target" } else { STACKS };
    format!("/etc/systemd/system/{target}.wants/{unit}")
}

/// Whether a unit is started with its target.
pub(crate) fn is_wanted(cx: &Cx<'_>, unit: &str) -> Result<bool> {
    Ok(cx.machine().exists(link(unit))?)
}

/// Has units started with the stacks: the engine starts them whenever it is started itself, once systemd has read its units
/// anew, which it is told to before the run ends.
pub(crate) fn want<'u>(cx: &Cx<'_>, units: impl IntoIterator<Item = &'u str>) -> Result<()> {
    let mut missing = Vec::new();
    for unit in units {
        if !is_wanted(cx, unit)? {
            missing.push(unit);
        }
    }
    if missing.is_empty() { Ok(()) } else { Ok(systemd::at_boot(cx, "enable", missing)?) }
}

/// Has a unit not started with them any more, from now on.
pub(crate) fn unwant(cx: &Cx<'_>, unit: &str) -> Result<()> {
    let is_wanted = is_wanted(cx, unit)?;
    if is_wanted {
        systemd::at_boot(cx, "disable", [unit])?;
    }
    reload(cx, is_wanted)
}

/// Has systemd read its units anew after a change. Without one it is asked: whoever made an earlier change may have been
/// cut off before systemd was told.
fn reload(cx: &Cx<'_>, changed: bool) -> Result<()> {
    if changed { Ok(systemd::reload(cx)?) } else { reload_unread(cx, &[]) }
}

/// Has systemd read its units anew where what it knows is not what lies on disk. `drop_ins` are additions of ours to units of
/// others.
pub(crate) fn reload_unread(cx: &Cx<'_>, drop_ins: &[&'static str]) -> Result<()> {
    if unread(cx, drop_ins)?.is_empty() { Ok(()) } else { Ok(systemd::reload(cx)?) }
}

/// The units with a file of ours that systemd knows otherwise than it lies on disk. After an `enable` or `mask` that told
/// systemd nothing it says so of every unit.
pub(crate) fn unread(cx: &Cx<'_>, drop_ins: &[&'static str]) -> Result<Vec<String>> {
    let mut units = names(drop_ins);
    units.extend(cx.spec.stacks.iter().map(|stack| stack_unit(&stack.name)));
    let show = Cmd::new("systemctl").args(["show", "--property=NeedDaemonReload", "--value", "--"]);
    let said = cx.run(&show.args(units.iter().map(String::as_str)))?.text();
    let answers = said.lines().filter(|line| !line.is_empty());
    Ok(units.into_iter().zip(answers).filter(|(_, needs)| *needs == "yes").map(|(unit, _)| unit).collect())
}

/// Every unit with a file of ours. Of a template only its instances are known to systemd.
fn names(drop_ins: &[&'static str]) -> Vec<String> {
    let files = UNITS.iter().map(|(path, _)| *path).chain(drop_ins.iter().copied());
    let unit = |path: &'static str| {
        let name = path.strip_prefix(FOLDER)?.split('/').next()?;
        Some(name.strip_suffix(".d").unwrap_or(name)).filter(|name| !name.contains("@."))
    };
    let mut names: Vec<String> = files.filter_map(unit).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::harden::DROP_INS;
    use crate::testing::Fake;
    use crate::testing::flow::done;

    #[test]
    fn systemd_is_asked_about_every_unit_with_a_file_of_ours() {
        let names = names(&DROP_INS);
        for unit in ["docker.service", "docker.socket", "fail2ban.service", "sovereign-vpn.service"] {
            assert!(names.iter().any(|name| name == unit), "{unit}: {names:?}");
        }
        assert!(names.iter().all(|name| !name.contains('/') && !name.contains('@')), "{names:?}");
    }

    #[test]
    fn whatever_was_written_or_enabled_systemd_knows_it_in_the_end() {
        let fake = Fake::new();
        done(&fake);
        assert_eq!(unread(&Cx::read_only(&fake).unwrap(), &DROP_INS).unwrap(), Vec::<String>::new());
        // A run that was cut off between the file and the telling: no file differs any more.
        let forget = || fake.state.borrow_mut().loaded.clear();
        let unread = || unread(&Cx::read_only(&fake).unwrap(), &DROP_INS).unwrap();
        forget();
        assert!(!unread().is_empty());
        done(&fake);
        assert_eq!(unread(), Vec::<String>::new(), "a run left it so");
    }
}
