//! `firstboot install`: takes a node spec from stdin, checks it, and starts or resumes first boot.

use crate::cx::{Cx, receipt, sha256};
use crate::machine::Machine;
use crate::{events, room, units};
use anyhow::{Context as _, Result, bail};
use spec::{NodeSpec, Receipt, paths};
use std::path::Path;

/// Installs a node spec for this firstboot, known by its version. Gives back the number of the first event to follow,
/// or `done` when there is nothing to do. `running` tells whether a firstboot is at work, as one is that a boot started.
pub(crate) fn install(
    machine: &dyn Machine,
    json: &[u8],
    version: &str,
    running: &dyn Fn() -> bool,
) -> Result<String> {
    room::need(machine)?;
    let spec = NodeSpec::from_json(json)?;
    for recipient in &spec.recipients {
        escrow::Recipient::parse(recipient)?;
    }
    for stack in &spec.stacks {
        stacks::render(stack, &spec.inbound)?;
        stacks::config(stacks::find(&stack.name)?, spec.vpn.as_ref())?;
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
    let before = machine.read(path)?.and_then(|json| NodeSpec::from_json(&json).ok());
    let same_firstboot = receipt.as_ref().is_none_or(|receipt| receipt.firstboot == version);
    let same = same_firstboot && before.is_some_and(|before| work(before) == work(spec.clone()));
    let done = Path::new(paths::DONE);
    if !same {
        // First the marker: a cut in between must not leave a wish that nobody follows. And before it the receipt, as in
        // `Cx::reopen`, which needs a spec that can be read.
        if let Some(receipt) = &receipt {
            refile(machine, receipt, Receipt::reopen)?;
        }
        machine.remove(done)?;
    } else if machine.stat(done)?.is_some()
        && let Some(receipt) = &receipt
    {
        // What is new asks for no work: the server stays done, for the spec as it is now.
        refile(machine, receipt, |receipt| receipt.spec_sha256 = sha256(&spec.to_json()))?;
    }
    machine.write(path, &spec.to_json(), 0o644).context("writing the node spec")?;
    let cx = Cx::read_only(machine)?;
    units::write(&cx)?;
    if machine.stat(done)?.is_some() {
        return Ok("done".into());
    }
    // cloud-init does not sync what it writes: the network's configuration and sshd's host key were seen empty after a
    // power cut seconds later, and such a server is never reached again.
    machine.sync_all();
    let read = || anyhow::Ok(events::parse(&machine.read(Path::new(paths::EVENTS))?.unwrap_or_default()));
    let mut from = read()?.last().map_or(0, |event| event.seq) + 1;
    if same && running() {
        // It goes on, and what it said so far is to be heard too: it may wait at a gate already.
        from = events::begun(&read()?).unwrap_or(from);
    }
    // One that follows another wish is stopped where it stands, as a power cut would.
    cx.systemctl([if same { "start" } else { "restart" }, "--no-block", paths::UNIT])?;
    Ok(from.to_string())
}

/// Changes the receipt, and writes it only where that makes a difference: on a server that is not done a firstboot may be at
/// work, whose receipt it is.
fn refile(machine: &dyn Machine, receipt: &Receipt, change: impl FnOnce(&mut Receipt)) -> Result<()> {
    let mut changed = receipt.clone();
    change(&mut changed);
    if changed != *receipt {
        machine.write(Path::new(paths::RECEIPT), &changed.to_json(), 0o644)?;
    }
    Ok(())
}

/// What of a spec asks for work: the leave to format alone does not, once it was used, nor what is known of the volume,
/// nor what the audit accepts.
fn work(mut spec: NodeSpec) -> NodeSpec {
    (spec.disk.format, spec.disk.known) = (None, None);
    spec.exceptions.clear();
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[test]
    fn a_spec_cut_short_anywhere_changes_nothing() {
        let fake = Fake::new();
        let before = fake.state.borrow().root.clone();
        let json = fake.spec().to_json();
        // All but the newline at its end is the whole of it.
        for cut in 0..json.len() - 1 {
            assert!(install(&fake, &json[..cut], "0.0.0 test", &|| false).is_err(), "{cut}");
        }
        assert_eq!(fake.state.borrow().root, before);
        assert!(fake.state.borrow().lines.is_empty(), "nothing was started");
    }
}
