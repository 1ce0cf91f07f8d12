//! The event stream on disk: one line an event, appended, numbered over all boots.

use crate::machine::Machine;
use crate::machine::clock::rfc3339;
use spec::{Event, EventKind, paths};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Writes events.
pub(crate) struct Log {
    last: Mutex<u64>,
}

impl Log {
    /// Goes on where the last boot ended. A line torn by a power cut is closed, so that it spoils no other.
    pub(crate) fn open(machine: &dyn Machine) -> Result<Self, host::Error> {
        let bytes = machine.read(Path::new(paths::EVENTS))?.unwrap_or_default();
        if bytes.last().is_some_and(|b| *b != b'\n') {
            machine.append(Path::new(paths::EVENTS), b"\n")?;
        }
        Ok(Self { last: Mutex::new(parse(&bytes).last().map_or(0, |e| e.seq)) })
    }

    /// Adds one; `second_lane` says that it comes from the lane beside the main one.
    pub(crate) fn emit(
        &self,
        machine: &dyn Machine,
        kind: EventKind,
        second_lane: bool,
    ) -> Result<(), host::Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Event { seq: *last + 1, time: rfc3339(machine.now()), kind };
        machine.append(Path::new(paths::EVENTS), &event.to_line())?;
        // A number somebody may have read must not be given twice, so what only a step that acts says is made durable.
        // The start and end of steps that hold are said again, as many, after any power cut; that is so in the main lane,
        // whatever the other one has come to.
        if second_lane
            || !matches!(event.kind, EventKind::StepStarted { .. } | EventKind::StepFinished { .. })
        {
            machine.sync(Path::new(paths::EVENTS))?;
        }
        *last = event.seq;
        Ok(())
    }
}

/// All whole events among these bytes; torn lines are left out.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Event> {
    bytes.split(|b| *b == b'\n').filter_map(|line| Event::from_line(line).ok()).collect()
}

/// The number of the event with which the run began that has not ended yet, if one has begun.
pub(crate) fn running_since(events: &[Event]) -> Option<u64> {
    let last = events
        .iter()
        .rfind(|event| matches!(event.kind, EventKind::Started { .. }) || is_last(&event.kind))?;
    (!is_last(&last.kind)).then_some(last.seq)
}

/// Whether nothing follows this event until firstboot is started again.
pub(crate) fn is_last(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Done | EventKind::Locked | EventKind::Failed { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_left_out() {
        let whole = Event { seq: 1, time: "t".into(), kind: EventKind::Done }.to_line();
        let torn = [&whole[..], &whole[..10]].concat();
        assert_eq!(parse(&torn).len(), 1);
        let closed = [&torn[..], b"\n", &whole[..]].concat();
        assert_eq!(parse(&closed).len(), 2);
    }
}
