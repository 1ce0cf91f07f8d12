//! The event stream on disk: one line an event, appended, numbered over all boots.

use crate::clock::rfc3339;
use crate::machine::Machine;
use spec::{Event, EventKind, paths};
use std::cell::Cell;
use std::path::Path;

/// Writes events.
pub(crate) struct Log {
    last: Cell<u64>,
}

impl Log {
    /// Goes on where the last boot ended. A line torn by a power cut is closed, so that it spoils no other.
    pub(crate) fn open(machine: &dyn Machine) -> Result<Self, host::Error> {
        let bytes = machine.read(Path::new(paths::EVENTS))?.unwrap_or_default();
        if bytes.last().is_some_and(|b| *b != b'\n') {
            machine.append(Path::new(paths::EVENTS), b"\n")?;
        }
        Ok(Self { last: Cell::new(parse(&bytes).last().map_or(0, |e| e.seq)) })
    }

    /// Adds one.
    pub(crate) fn emit(&self, machine: &dyn Machine, kind: EventKind) -> Result<(), host::Error> {
        let event = Event { seq: self.last.get() + 1, time: rfc3339(machine.now()), kind };
        machine.append(Path::new(paths::EVENTS), &event.to_line())?;
        // A number somebody may have read must not be given twice, so what only a step that acts says is made durable.
        // The start and end of steps that hold are said again, as many, after any power cut.
        if !matches!(event.kind, EventKind::StepStarted { .. } | EventKind::StepFinished { .. }) {
            machine.sync(Path::new(paths::EVENTS))?;
        }
        self.last.set(event.seq);
        Ok(())
    }
}

/// All whole events among these bytes; torn lines are left out.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Event> {
    bytes.split(|b| *b == b'\n').filter_map(|line| Event::from_line(line).ok()).collect()
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
