//! `firstboot status`: how far this server is, from what is on disk.

use crate::cx::receipt;
use crate::machine::Machine;
use crate::steps::disk::{luks, vanished};
use anyhow::Result;
use spec::{Event, EventKind, Gate, State, Status, StepName, VERSION, paths};
use std::path::Path;

/// Reads the status; `running` says whether a firstboot is at work now.
pub(crate) fn status(machine: &dyn Machine, running: bool) -> Result<Status> {
    let there = |path: &Path| Ok::<_, anyhow::Error>(machine.stat(path)?.is_some());
    let events = crate::events::parse(&machine.read(Path::new(paths::EVENTS))?.unwrap_or_default());
    let receipt = receipt(machine)?;
    let (step, gate) = at_hand(&events);
    let formatted = receipt.as_ref().and_then(|r| r.volume.as_ref()).is_some_and(|v| v.formatted);
    let locked = formatted && !there(&luks::mapping())?;
    let last = events.last().map(|e| &e.kind);
    let (state, error) = match last {
        _ if running && gate.is_some() => (State::Waiting, None),
        _ if running => (State::Running, None),
        _ if !there(Path::new(paths::NODE_SPEC))? => (State::Absent, None),
        _ if vanished::vanished(machine)? => (State::Failed, Some(vanished::SENTENCE.to_owned())),
        _ if there(Path::new(paths::DONE))? => (if locked { State::Locked } else { State::Done }, None),
        Some(EventKind::Locked) if locked => (State::Locked, None),
        Some(EventKind::Failed { error, .. }) => (State::Failed, Some(error.clone())),
        _ => (State::Stopped, None),
    };
    let ended = matches!(state, State::Done | State::Locked | State::Absent);
    Ok(Status {
        version: VERSION,
        state,
        step: step.filter(|_| !ended),
        gate: gate.filter(|_| state == State::Waiting),
        error,
        last_seq: events.last().map_or(0, |e| e.seq),
        receipt,
    })
}

/// The step at hand, and the gate it waits at.
fn at_hand(events: &[Event]) -> (Option<StepName>, Option<Gate>) {
    let (mut step, mut gate) = (None, None);
    for event in events {
        match &event.kind {
            EventKind::Started { .. } | EventKind::GatePassed { .. } => gate = None,
            EventKind::StepStarted { step: name } => step = Some(*name),
            EventKind::GateWaiting { gate: waiting } => gate = Some(waiting.clone()),
            EventKind::Failed { step: name, .. } => (step, gate) = (Some(*name), None),
            EventKind::Progress { .. }
            | EventKind::StepFinished { .. }
            | EventKind::Locked
            | EventKind::Done => {}
        }
    }
    (step, gate)
}

/// A few lines for a person.
pub(crate) fn for_people(status: &Status) -> String {
    let mut text = match status.state {
        State::Absent => "no node spec was installed; run `cargo xtask provision`".to_owned(),
        State::Running => "first boot is at work".into(),
        State::Waiting => "first boot waits for the operator's side".into(),
        State::Failed => {
            "first boot failed; once the cause is removed, `cargo xtask provision` goes on".into()
        }
        State::Stopped => {
            "first boot was stopped half-way; `cargo xtask provision` or a reboot goes on".into()
        }
        State::Locked => "the volume is locked; `cargo xtask unlock` opens it".into(),
        State::Done => "done: everything held when it was last looked at".into(),
    };
    if let Some(step) = status.step {
        text += &format!("\nstep:  {step}");
    }
    if let Some(gate) = &status.gate {
        text += &format!("\ngate:  {} {}", gate.name(), gate.value());
    }
    if let Some(error) = &status.error {
        text += &format!("\nerror: {error}");
    }
    for record in status.receipt.iter().flat_map(|r| &r.steps) {
        text += &format!("\n  {:<10} {:>8} ms  {}", record.step.to_string(), record.millis, record.time);
    }
    text
}
