//! First boot from beginning to end: the table of contents.

use crate::run::lanes::{Both, in_parallel};
use crate::run::{Cx, ensure, phase};
use crate::steps::{
    disk, docker, escrow, finish, firewall, harden, identity, images, packages, preflight, secrets, stacks,
    verify, vpn,
};
use crate::system::managed::{self, Edited};
use crate::volume::Locked;
use anyhow::Result;
use spec::{EventKind, StepName};

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// All steps hold and nothing is pending.
    Done,
    /// The volume is locked and its key is not here.
    Locked,
    /// A step could not be made to hold.
    Failed(anyhow::Error),
}

/// Runs every step, and says in the event stream how it ended.
pub fn run(cx: &Cx<'_>) -> Result<Ended> {
    let ended = finish::complete_while_locked(cx).and_then(|()| steps(cx));
    match ended {
        Ok(()) => {
            cx.emit(EventKind::Done)?;
            Ok(Ended::Done)
        }
        Err(e) if e.is::<Locked>() => {
            cx.emit(EventKind::Locked)?;
            Ok(Ended::Locked)
        }
        Err(e) => {
            // The operator's command has to see to it, and finds it undone.
            phase::unsettle(cx.machine(), "something does not hold any more")?;
            let step = cx.failures().first().copied().unwrap_or(StepName::Finish);
            let needs_operator = needs_operator(&e);
            cx.emit(EventKind::Failed { step, error: format!("{e:#}"), needs_operator })?;
            Ok(Ended::Failed(e))
        }
    }
}

/// Whether only a person can decide what to do about an error.
pub(crate) fn needs_operator(error: &anyhow::Error) -> bool {
    let both = error.downcast_ref::<Both>();
    error.is::<Edited>() || both.is_some_and(|both| needs_operator(&both.main) || needs_operator(&both.other))
}

/// Each step takes what the earlier ones gave, so none can be run before its time. What does not need one another runs
/// side by side, the lane that the rest waits for first: an engine that starts and images that are unpacked keep two
/// processors busy, a stack that starts mostly one. The door is closed before there is an engine.
fn steps(cx: &Cx<'_>) -> Result<()> {
    let server = ensure(cx, &preflight::Preflight)?;
    let identity = ensure(cx, &identity::Identity { server })?;
    let (volume, door) = in_parallel(cx, |cx| volume(cx, server), |cx| door(cx, server))?;
    let docker = docker::Docker { volume: &volume, closed: door.closed };
    let escrow = escrow::Escrow { volume: &volume, identity: &identity };
    let (engine, escrowed) = in_parallel(cx, |cx| ensure(cx, &docker), |cx| ensure(cx, &escrow))?;
    let pulled = ensure(cx, &images::Images { engine })?;
    let stacks = stacks::Stacks { pulled, escrowed };
    let harden = harden::Harden { programs: door.programs };
    let (running, hardened) = in_parallel(cx, |cx| ensure(cx, &stacks), |cx| ensure(cx, &harden))?;
    let vpn::Joined { .. } = ensure(cx, &vpn::Vpn { running })?;
    let verified = ensure(cx, &verify::Verify { running, hardened })?;
    managed::forget_replaced(cx)?;
    let finish::Finished = ensure(cx, &finish::Finish { volume: &volume, verified })?;
    Ok(())
}

fn volume(cx: &Cx<'_>, server: preflight::ThisServer) -> Result<disk::Volume> {
    let keys = ensure(cx, &secrets::Secrets { server })?;
    ensure(cx, &disk::Disk { keys })
}

struct Door {
    programs: packages::Programs,
    closed: firewall::Closed,
}

fn door(cx: &Cx<'_>, server: preflight::ThisServer) -> Result<Door> {
    let programs = ensure(cx, &packages::Packages { server })?;
    let closed = ensure(cx, &firewall::Firewall { programs })?;
    Ok(Door { programs, closed })
}
