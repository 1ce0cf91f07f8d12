//! `firstboot install`: takes a node spec from stdin, checks it, and starts or resumes first boot.

use crate::machine::{Machine, free_space};
use crate::run::record::receipt;
use crate::run::{Cx, events, phase};
use crate::steps::pending::{self, wish};
use crate::steps::verify;
use crate::system::{systemd, units};
use anyhow::{Context as _, Result, bail};
use spec::{Check, NodeSpec, Phase, paths};
use std::path::Path;

/// Installs a node spec for this firstboot. Gives back the number of the first event to follow, or `done` when there is
/// nothing to do and the server is as it must be. `running` tells whether a firstboot is at work, as one is that a boot started.
pub(crate) fn install(machine: &dyn Machine, json: &[u8], running: &dyn Fn() -> bool) -> Result<String> {
    free_space::require(machine)?;
    let spec = NodeSpec::from_json(json)?;
    for recipient in &spec.recipients {
        escrow::Recipient::parse(recipient)?;
    }
    let plan = stacks::Plan::of(&spec)?;
    for stack in &spec.stacks {
        plan.render(stack, &spec.inbound)?;
    }
    let receipt = receipt(machine)?;
    if let Some(receipt) = &receipt
        && (receipt.server_id != spec.server.id || receipt.project != spec.project)
    {
        bail!(
            "installing the node spec: this server belongs to project {:?} as server {}, the node spec is for project \
             {:?}, server {}; install it on the server it was made for",
            receipt.project,
            receipt.server_id,
            spec.project,
            spec.server.id
        );
    }
    let path = Path::new(paths::NODE_SPEC);
    let before = machine.read(path)?;
    let followed = before.as_deref().and_then(|json| NodeSpec::from_json(json).ok());
    let firstboot = machine.firstboot()?;
    let same = receipt.is_none_or(|receipt| receipt.firstboot == firstboot)
        && followed.is_some_and(|followed| wish(&followed) == wish(&spec));
    if !same && phase::read(machine)? != Phase::Fresh {
        // First of all: a cut in between must not leave a wish that nobody follows.
        let why = "another node spec, or another release of firstboot, is to be followed".into();
        phase::enter(machine, &Phase::Converging { why })?;
    }
    if before.is_none_or(|before| before != spec.to_json()) {
        machine.write(path, &spec.to_json(), 0o644).context("writing the node spec")?;
    }
    let cx = Cx::read_only(machine)?;
    units::write(&cx)?;
    let running = running();
    if !running && is_done(&cx)? {
        return Ok("done".into());
    }
    // cloud-init does not sync what it writes: the network's configuration and sshd's host key were seen empty after a
    // power cut seconds later, and such a server is never reached again.
    machine.sync_all();
    let events = events::parse(&machine.read(Path::new(paths::EVENTS))?.unwrap_or_default());
    let mut from = events.last().map_or(0, |event| event.seq) + 1;
    if same && running {
        // It goes on, and what it said so far is to be heard too: it may wait at a gate already.
        from = events::running_since(&events).unwrap_or(from);
    }
    // One that follows another wish is stopped where it stands, as a power cut would.
    systemd::systemctl(&cx, [if same { "start" } else { "restart" }, "--no-block", paths::UNIT])?;
    Ok(from.to_string())
}

/// Whether nothing is pending, and all is as it must be. Where it is not, as after somebody stopped something, the steps
/// are run again before anybody complains.
fn is_done(cx: &Cx<'_>) -> Result<bool> {
    if pending::reason(cx)?.is_some() {
        return Ok(false);
    }
    let wrong: Vec<String> = verify::checks(cx).iter().filter_map(Check::complaint).collect();
    if !wrong.is_empty() {
        phase::unsettle(cx.machine(), wrong.join("; "))?;
    }
    Ok(wrong.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[test]
    fn firstboot_is_a_command_as_its_help_has_it() {
        let fake = Fake::new();
        install(&fake, &fake.spec().to_json(), &|| false).unwrap();
        let command = String::from_utf8(fake.get(paths::COMMAND).unwrap()).unwrap();
        assert_eq!(command, "#!/bin/sh\nexec /usr/local/lib/sovereign/firstboot \"$@\"\n");
        assert_eq!(fake.state.borrow().root[Path::new(paths::COMMAND)].mode, 0o755);
        fake.put(paths::COMMAND, b"edited by hand");
        assert!(install(&fake, &fake.spec().to_json(), &|| false).is_err());
        assert_eq!(fake.get(paths::COMMAND).unwrap(), b"edited by hand");
    }

    #[test]
    fn a_spec_cut_short_anywhere_changes_nothing() {
        let fake = Fake::new();
        let before = fake.state.borrow().root.clone();
        let json = fake.spec().to_json();
        // All but the newline at its end is the whole of it.
        for cut in 0..json.len() - 1 {
            assert!(install(&fake, &json[..cut], &|| false).is_err(), "{cut}");
        }
        assert_eq!(fake.state.borrow().root, before);
        assert!(fake.state.borrow().lines.is_empty(), "nothing was started");
    }
}
