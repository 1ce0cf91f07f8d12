//! `firstboot status`: how far this server is, from what is on disk.

use crate::access::store::BOOTSTRAP_KEY;
use crate::machine::Machine;
use crate::run::record::receipt;
use crate::run::{Cx, phase};
use crate::steps::pending;
use crate::upkeep::outdated;
use crate::volume::{self, vanished};
use anyhow::Result;
use spec::{Event, EventKind, Gate, Phase, State, Status, StepName, VERSION, paths};
use std::path::Path;

/// Reads the status; `running` says whether a firstboot is at work now.
pub(crate) fn status(machine: &dyn Machine, running: bool) -> Result<Status> {
    let events = crate::run::events::parse(&machine.read(Path::new(paths::EVENTS))?.unwrap_or_default());
    let receipt = receipt(machine)?;
    let (mut steps, mut gates) = current(&events);
    let (state, error) = match at_rest(machine, &events)? {
        _ if running && !gates.is_empty() => (State::Waiting, None),
        _ if running => (State::Running, None),
        standing => standing,
    };
    if matches!(state, State::Done | State::Locked | State::Absent) {
        steps.clear();
    }
    if state != State::Waiting {
        gates.clear();
    }
    // A server that is set up at this moment has nothing that was upgraded under it.
    let looks = matches!(state, State::Done | State::Locked);
    let outdated = if looks { outdated::outdated(machine)? } else { Vec::new() };
    Ok(Status {
        version: VERSION,
        state,
        step: steps.first().copied(),
        steps,
        gate: gates.first().cloned(),
        gates,
        error,
        phase: Some(phase::read(machine)?),
        begun: crate::run::events::running_since(&events).filter(|_| running),
        last_seq: events.last().map_or(0, |e| e.seq),
        outdated,
        receipt,
    })
}

/// How far a server is on which no firstboot is at work, and what is wrong.
fn at_rest(machine: &dyn Machine, events: &[Event]) -> Result<(State, Option<String>)> {
    if machine.stat(Path::new(paths::NODE_SPEC))?.is_none() {
        return Ok((State::Absent, None));
    }
    if vanished::vanished(machine)? {
        return Ok((State::Failed, Some(vanished::SENTENCE.to_owned())));
    }
    let cx = Cx::read_only(machine)?;
    // The bootstrap key opens it as well as any operator.
    let locked = volume::is_locked(&cx)? && !cx.machine().exists(BOOTSTRAP_KEY)?;
    let settled = phase::read(machine)? == Phase::Settled;
    Ok(match events.last().map(|event| &event.kind) {
        Some(EventKind::Failed { error, .. }) if !settled => (State::Failed, Some(error.clone())),
        _ if locked => (State::Locked, None),
        _ if pending::reason(&cx)?.is_none() => (State::Done, None),
        _ => (State::Stopped, None),
    })
}

/// The steps at hand, and the gates they wait at.
fn current(events: &[Event]) -> (Vec<StepName>, Vec<Gate>) {
    let (mut steps, mut gates) = (Vec::new(), Vec::new());
    for event in events {
        match &event.kind {
            EventKind::Started { .. } => {
                steps.clear();
                gates.clear();
            }
            EventKind::StepStarted { step } => steps.push(*step),
            EventKind::StepFinished { step, .. } => steps.retain(|current| current != step),
            EventKind::GateWaiting { gate } => gates.push(gate.clone()),
            EventKind::GatePassed { gate } => gates.retain(|waiting| waiting != gate),
            EventKind::Failed { step, .. } => {
                steps = vec![*step];
                gates.clear();
            }
            EventKind::Progress { .. } | EventKind::Locked | EventKind::Done => {}
        }
    }
    (steps, gates)
}

/// A few lines for a person.
pub(crate) fn for_people(status: &Status) -> String {
    let mut text = match status.state {
        State::Absent => "no node spec was installed; run `cargo xtask provision --project NAME`".to_owned(),
        State::Running => "first boot is at work".into(),
        State::Waiting => "first boot waits for the operator's side".into(),
        State::Failed if status.receipt.as_ref().is_some_and(|receipt| receipt.done.is_some()) => {
            "first boot was done, and something happened since".into()
        }
        State::Failed => {
            "first boot failed; once the cause is removed, `cargo xtask provision --project NAME` goes on"
                .into()
        }
        State::Stopped => {
            "not done, and nothing is at work; `cargo xtask provision --project NAME` or a reboot goes on"
                .into()
        }
        State::Locked => {
            "the volume is locked; `cargo xtask unlock --project NAME --identity FILE` opens it".into()
        }
        State::Done => "done: everything held when it was last looked at".into(),
    };
    if let Some(phase) = status.phase.as_ref().filter(|phase| ![Phase::Fresh, Phase::Settled].contains(phase))
    {
        text += &format!("\nwhy:   {phase}");
    }
    for step in &status.steps {
        text += &format!("\nstep:  {step}");
    }
    for gate in &status.gates {
        text += &format!("\ngate:  {} {}", gate.name(), gate.value());
    }
    if let Some(error) = &status.error {
        text += &format!("\nerror: {error}");
    }
    for outdated in &status.outdated {
        text += &format!("\nold:   {outdated}");
    }
    for record in status.receipt.iter().flat_map(|r| &r.steps) {
        text += &format!("\n  {:<10} {:>8} ms  {}", record.step.to_string(), record.millis, record.time);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(kinds: Vec<EventKind>) -> Vec<Event> {
        (1..).zip(kinds).map(|(seq, kind)| Event { seq, time: "t".into(), kind }).collect()
    }

    #[test]
    fn two_lanes_are_at_two_steps_and_wait_at_two_gates() {
        let escrow = Gate::Escrow { sha256: "ab".into() };
        let firewall = Gate::Firewall { nonce: "cd".into() };
        let mut kinds = vec![
            EventKind::StepStarted { step: StepName::Preflight },
            EventKind::Started { firstboot: "after a power cut".into() },
            EventKind::StepStarted { step: StepName::Escrow },
            EventKind::StepStarted { step: StepName::Firewall },
            EventKind::GateWaiting { gate: escrow.clone() },
            EventKind::GateWaiting { gate: firewall.clone() },
        ];
        assert_eq!(
            current(&events(kinds.clone())),
            (vec![StepName::Escrow, StepName::Firewall], vec![escrow.clone(), firewall.clone()])
        );
        kinds.push(EventKind::GatePassed { gate: escrow });
        kinds.push(EventKind::StepFinished {
            step: StepName::Escrow,
            outcome: spec::Outcome::Changed,
            millis: 1,
            program_millis: 1,
            gate_millis: 1,
        });
        assert_eq!(current(&events(kinds.clone())), (vec![StepName::Firewall], vec![firewall]));
        kinds.push(EventKind::Failed { step: StepName::Firewall, error: "x".into(), needs_operator: false });
        assert_eq!(current(&events(kinds)), (vec![StepName::Firewall], vec![]));
    }
}
