//! Where the time of a first boot went: its steps as they ran side by side, and the path that decided how long it took.

use crate::project::Folder;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use spec::{Event, EventKind, Outcome, StepName};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Its name in the project's folder.
const FILE: &str = "timeline.json";
const VERSION: u32 = 1;
/// How wide the drawing of a whole first boot is, characters.
const WIDTH: u64 = 40;

/// The run of firstboot that came to the end. All times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeline {
    /// 1.
    pub version: u32,
    /// The project's name.
    pub project: String,
    /// When firstboot started, RFC 3339 in UTC, by the server's clock.
    pub started: String,
    /// From its start to the end of its last step.
    pub millis: u64,
    /// The steps in the order in which they began.
    pub steps: Vec<Span>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Which.
    pub step: StepName,
    /// Whether it had to act.
    pub outcome: Outcome,
    /// When it began, after firstboot's start.
    pub began: u64,
    /// How long it took.
    pub millis: u64,
    /// How much of that was spent in programs it ran.
    pub program_millis: u64,
    /// How much of that was spent waiting at a gate.
    pub gate_millis: u64,
    /// Whether it is on the critical path: had it been quicker, so had all of it.
    pub critical: bool,
}

impl Span {
    fn end(&self) -> u64 {
        self.began + self.millis
    }
}

impl Timeline {
    /// From the events of a run, the last one where there are several; an error where none came to an end.
    pub fn of(project: &str, events: &[Event]) -> Result<Self> {
        let start = events.iter().rposition(|event| matches!(event.kind, EventKind::Started { .. }));
        let run = &events[start.context("drawing the timeline: firstboot never started")?..];
        let started = moment(&run[0])?;
        let mut began = Vec::new();
        let mut steps = Vec::new();
        for event in run {
            match &event.kind {
                EventKind::StepStarted { step } => {
                    let since = (moment(event)? - started).whole_milliseconds();
                    began.push((*step, u64::try_from(since).unwrap_or(0)));
                }
                EventKind::StepFinished { step, outcome, millis, program_millis, gate_millis } => {
                    let found = began.iter().find(|(name, _)| name == step);
                    let (_, began) = found.context("drawing the timeline: a step ended that never began")?;
                    steps.push(Span {
                        step: *step,
                        outcome: *outcome,
                        began: *began,
                        millis: *millis,
                        program_millis: *program_millis,
                        gate_millis: *gate_millis,
                        critical: false,
                    });
                }
                _ => {}
            }
        }
        steps.sort_by_key(|span| (span.began, span.step));
        mark_critical(&mut steps);
        Ok(Self {
            version: VERSION,
            project: project.into(),
            started: run[0].time.clone(),
            millis: steps.iter().map(Span::end).max().unwrap_or(0),
            steps,
        })
    }

    /// Keeps it in the project's folder.
    pub fn file(&self, folder: &Folder) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(host::files::write(&folder.file(FILE), &json, 0o644)?)
    }

    /// For people: a line a step, drawn to scale, and what the critical path was spent on.
    pub fn table(&self) -> String {
        let seconds = |millis: u64| millis as f64 / 1e3;
        let mut text = format!(
            "  {:<10} {:>7} {:>7} {:>9} {:>6}    (seconds; * is the critical path)\n",
            "step", "began", "took", "programs", "gates"
        );
        for span in &self.steps {
            let column = |at: u64| usize::try_from(at * WIDTH / self.millis.max(1)).unwrap_or(0);
            let (from, to) = (column(span.began), column(span.end()));
            let bar = format!("{}{}", " ".repeat(from), "=".repeat((to - from).max(1)));
            text += &format!(
                "{} {:<10} {:>7.1} {:>7.1} {:>9.1} {:>6.1}  |{bar:<width$}|\n",
                if span.critical { "*" } else { " " },
                span.step.to_string(),
                seconds(span.began),
                seconds(span.millis),
                seconds(span.program_millis),
                seconds(span.gate_millis),
                width = usize::try_from(WIDTH).unwrap_or(0) + 1,
            );
        }
        let sum = |of: fn(&Span) -> u64| self.steps.iter().filter(|s| s.critical).map(of).sum::<u64>();
        let (path, programs, gates) = (sum(|s| s.millis), sum(|s| s.program_millis), sum(|s| s.gate_millis));
        let all: u64 = self.steps.iter().map(|span| span.millis).sum();
        text += &format!(
            "  first boot {:.1} s; its critical path {:.1} s: programs {:.1}, gates {:.1}, firstboot itself {:.1}; \
             one after the other {:.1} s",
            seconds(self.millis),
            seconds(path),
            seconds(programs),
            seconds(gates),
            seconds(path.saturating_sub(programs + gates)),
            seconds(all)
        );
        text
    }
}

/// From the step that ended last backwards: what a step waited for is the one that ended last before it began.
fn mark_critical(steps: &mut [Span]) {
    let mut before = u64::MAX;
    let last_until = |steps: &[Span], limit: u64| {
        let ended = steps.iter().enumerate().filter(|(_, span)| !span.critical && span.end() <= limit);
        ended.max_by_key(|(_, span)| span.end()).map(|(at, _)| at)
    };
    while let Some(at) = last_until(steps, before) {
        steps[at].critical = true;
        // What both clocks round off must not hide the step before.
        before = steps[at].began + 5;
        if steps[at].began == 0 {
            break;
        }
    }
}

fn moment(event: &Event) -> Result<OffsetDateTime> {
    OffsetDateTime::parse(&event.time, &Rfc3339)
        .with_context(|| format!("reading the time of event {}: {:?}", event.seq, event.time))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server says it: cut off once, then secrets and disk beside packages.
    const STREAM: &str = include_str!("../tests/fixtures/events.jsonl");

    fn events() -> Vec<Event> {
        STREAM.lines().map(|line| Event::from_line(line.as_bytes()).unwrap()).collect()
    }

    #[test]
    fn the_last_run_counts_and_its_longest_lane_is_critical() {
        let timeline = Timeline::of("demo", &events()).unwrap();
        assert_eq!(timeline.started, "2026-01-01T00:01:00.000Z");
        let path: Vec<_> = timeline.steps.iter().filter(|span| span.critical).map(|span| span.step).collect();
        assert_eq!(
            path,
            [StepName::Preflight, StepName::Secrets, StepName::Disk, StepName::Firewall, StepName::Finish]
        );
        assert_eq!(timeline.millis, 9_900);
        let disk = timeline.steps.iter().find(|span| span.step == StepName::Disk).unwrap();
        assert_eq!((disk.began, disk.millis, disk.program_millis), (200, 5_000, 4_500));
    }

    #[test]
    fn it_reads_back_and_is_drawn_to_scale() {
        let timeline = Timeline::of("demo", &events()).unwrap();
        let json = serde_json::to_vec(&timeline).unwrap();
        assert_eq!(serde_json::from_slice::<Timeline>(&json).unwrap(), timeline);
        let table = timeline.table();
        let line = |step: &str| table.lines().find(|line| line.contains(step)).unwrap().to_owned();
        assert!(line("disk").starts_with('*') && line("packages").starts_with(' '), "{table}");
        assert_eq!(line("disk").matches('=').count(), 21, "5.0 of 9.9 seconds: {table}");
        assert!(table.contains("critical path 9.9 s: programs 5.0, gates 2.0"), "{table}");
    }

    #[test]
    fn a_stream_that_cannot_be_drawn_is_an_error() {
        assert!(Timeline::of("demo", &[]).is_err());
        let mut torn = events();
        torn.retain(|event| !matches!(event.kind, EventKind::StepStarted { step: StepName::Disk }));
        assert!(Timeline::of("demo", &torn).is_err());
        let mut odd = events();
        odd.iter_mut().for_each(|event| event.time = "yesterday".into());
        assert!(Timeline::of("demo", &odd).is_err());
    }
}
