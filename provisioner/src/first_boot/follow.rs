//! Follows the event stream: shows the steps, which may run side by side, and answers the gates.

use super::Server;
use crate::errors::NeedsOperator;
use anyhow::{Result, anyhow, bail};
use escrow::Expected;
use spec::{Event, EventKind, Outcome, StepName, paths};
use std::time::{Duration, Instant};

/// How long firstboot may say nothing before we look again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// How often a lost connection is taken up again while nothing moves.
const RECONNECTS: u32 = 120;

impl Server<'_> {
    /// Follows the event stream from `from` on, through lost connections, until first boot is done.
    /// Gives all that was read.
    pub fn follow(&self, from: u64, expected: &Expected<'_>) -> Result<Vec<Event>> {
        let (seen, stages) = (Seen::default(), Vec::new());
        let mut follower = Follower { server: self, expected, from, seen, stages, locked: false };
        let mut lost = 0;
        loop {
            follower.seen.read_again();
            if follower.read_events()? {
                return Ok(follower.seen.events);
            }
            if follower.locked {
                return Err(self.locked());
            }
            lost = if follower.seen.news { 0 } else { lost + 1 };
            if lost > RECONNECTS {
                bail!(
                    "following first boot: the connection broke {lost} times without news; look at the server's console, then run the same command again"
                );
            }
            follower.lost();
            std::thread::sleep(RECONNECT_PAUSE);
        }
    }
}

/// What was read of the stream so far. Over a new connection it is read again from where it began: a power cut may have
/// taken the last events, and others then have their numbers.
#[derive(Default)]
struct Seen {
    events: Vec<Event>,
    /// How many of them this connection has shown again.
    again: usize,
    /// Whether this connection had anything new.
    news: bool,
}

impl Seen {
    fn read_again(&mut self) {
        (self.again, self.news) = (0, false);
    }

    /// Whether an event was not read before, at this place of the stream.
    fn is_news(&mut self, event: &Event) -> bool {
        let known = self.events.get(self.again) == Some(event);
        if !known {
            self.events.truncate(self.again);
            self.events.push(event.clone());
            self.news = true;
        }
        self.again += 1;
        !known
    }
}

struct Follower<'s, 'a> {
    server: &'s Server<'a>,
    expected: &'s Expected<'s>,
    from: u64,
    seen: Seen,
    /// The steps at hand and since when: steps may run side by side.
    stages: Vec<(StepName, Instant)>,
    /// Whether firstboot's last word was that the volume is locked. The stream ends when it is gone itself.
    locked: bool,
}

impl Follower<'_, '_> {
    /// Reads until the stream ends; true when first boot is done.
    fn read_events(&mut self) -> Result<bool> {
        let command = format!("{} events --from {} --follow", paths::BINARY, self.from);
        let mut lines = self.server.session.lines(&command)?;
        while let Some(line) = lines.next_line()? {
            let event = Event::from_line(&line)?;
            if self.seen.is_news(&event) && self.handle(event.kind)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn lost(&self) {
        for (step, _) in &self.stages {
            self.server.report.detail(&stage(*step), "the connection broke; taking it up again");
        }
    }

    /// Says what a step is at; one that was begun before the stream was read is begun here.
    fn detail(&mut self, step: StepName, text: &str) {
        self.begin(step);
        self.server.report.detail(&stage(step), text);
    }

    fn begin(&mut self, step: StepName) {
        if !self.stages.iter().any(|(at_hand, _)| *at_hand == step) {
            self.server.report.begin(&stage(step));
            self.stages.push((step, Instant::now()));
        }
    }

    fn end(&mut self, step: StepName, outcome: &str, took: Option<Duration>) {
        if let Some(at) = self.stages.iter().position(|(at_hand, _)| *at_hand == step) {
            let (_, start) = self.stages.remove(at);
            self.server.report.end(&stage(step), outcome, took.unwrap_or_else(|| start.elapsed()));
        }
    }

    fn end_all(&mut self, outcome: &str) {
        for (step, start) in std::mem::take(&mut self.stages) {
            self.server.report.end(&stage(step), outcome, start.elapsed());
        }
    }

    fn handle(&mut self, kind: EventKind) -> Result<bool> {
        self.locked = kind == EventKind::Locked;
        match kind {
            EventKind::Started { .. } => self.end_all("cut off"),
            EventKind::StepStarted { step } => self.begin(step),
            EventKind::Progress { step, text } => self.detail(step, &text),
            EventKind::StepFinished { step, outcome, millis, .. } => {
                let outcome = match outcome {
                    Outcome::Changed => "done",
                    Outcome::Unchanged => "held already",
                };
                self.end(step, outcome, Some(Duration::from_millis(millis)));
                if step == StepName::Identity {
                    self.server.keep_lasting_host_key()?;
                }
            }
            EventKind::GateWaiting { gate } => {
                self.detail(gate.step(), &format!("passing the gate {}", gate.name()));
                self.server.pass(&gate, self.expected)?;
            }
            EventKind::GatePassed { .. } => {}
            EventKind::Failed { step, error, needs_operator } => {
                self.end(step, "FAILED", None);
                self.end_all("stopped");
                let said = format!("first boot, step {step}: {error}");
                return Err(if needs_operator { NeedsOperator(said).into() } else { anyhow!(said) });
            }
            EventKind::Locked => self.end_all("locked"),
            EventKind::Done => return Ok(true),
        }
        Ok(false)
    }
}

/// What a step is called where its progress is shown.
fn stage(step: StepName) -> String {
    format!("first boot: {step}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, time: &str, step: StepName) -> Event {
        Event { seq, time: time.into(), kind: EventKind::StepStarted { step } }
    }

    #[test]
    fn numbers_that_a_power_cut_gave_away_again_are_news() {
        let mut seen = Seen::default();
        let first = event(1, "10:00", StepName::Preflight);
        let (lost, instead) = (event(2, "10:01", StepName::Identity), event(2, "10:05", StepName::Identity));
        assert!(seen.is_news(&first) && seen.is_news(&lost));
        seen.read_again();
        assert!(!seen.is_news(&first) && !seen.is_news(&lost), "the same connection broke and came back");
        seen.read_again();
        assert!(!seen.is_news(&first) && seen.is_news(&instead), "the gate behind it would wait for ever");
        assert!(seen.news);
        assert_eq!(seen.events, [first, instead]);
    }
}
