//! First boot from beginning to end: the table of contents.

use crate::step::{Effect, ensure};
use crate::steps::{disk, docker, escrow, finish, firewall, identity, preflight, secrets, stacks, verify};
use crate::{Cx, Locked};
use anyhow::Result;
use spec::EventKind;

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// All steps hold and the marker is written.
    Done,
    /// The volume is locked and its key is not here.
    Locked,
    /// A step could not be made to hold.
    Failed(anyhow::Error),
}

/// Runs every step, and says in the event stream how it ended.
pub fn run(cx: &Cx<'_>) -> Result<Ended> {
    let ended = if finish::was_cut_off(cx)? { finish::complete(cx) } else { steps(cx) };
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
            cx.emit(EventKind::Failed { step: cx.step(), error: format!("{e:#}") })?;
            Ok(Ended::Failed(e))
        }
    }
}

/// Each step takes what the earlier ones gave, so none can be run before its time.
fn steps(cx: &Cx<'_>) -> Result<()> {
    let Effect { value: server, .. } = ensure(cx, &preflight::Preflight)?;
    let Effect { value: identity, .. } = ensure(cx, &identity::Identity { server })?;
    let Effect { value: keys, .. } = ensure(cx, &secrets::Secrets { server })?;
    let Effect { value: volume, .. } = ensure(cx, &disk::Disk { keys })?;
    let Effect { value: escrowed, .. } =
        ensure(cx, &escrow::Escrow { volume: &volume, identity: &identity })?;
    let Effect { value: closed, .. } = ensure(cx, &firewall::Firewall { escrowed })?;
    let Effect { value: engine, .. } = ensure(cx, &docker::Docker { volume: &volume, closed })?;
    let Effect { value: running, .. } = ensure(cx, &stacks::Stacks { engine, escrowed })?;
    let Effect { value: verified, .. } = ensure(cx, &verify::Verify { running })?;
    let Effect { value: finish::Finished, .. } = ensure(cx, &finish::Finish { volume: &volume, verified })?;
    Ok(())
}
