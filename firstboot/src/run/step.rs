//! How a step is run: check → apply → check, then one record in the receipt.

use super::{Cx, lanes};
use crate::machine::clock::rfc3339;
use anyhow::Result;
use spec::{EventKind, Outcome, StepName, StepRecord};

/// One thing that must hold on the server.
pub trait Step {
    /// Its name in the receipt and the event stream.
    const NAME: StepName;
    /// What later steps need of it; it exists only once the step holds.
    type Output;

    /// Reads only. `Some` when the wanted state already holds.
    fn check(&self, cx: &Cx<'_>) -> Result<Option<Self::Output>>;

    /// Makes it hold. May be cut off anywhere and is then called again.
    fn apply(&self, cx: &Cx<'_>) -> Result<()>;
}

/// Makes a step hold, records it, and gives what later steps need of it. Once a step of this run has failed, in whatever lane, no other begins.
pub fn ensure<S: Step>(cx: &Cx<'_>, step: &S) -> Result<S::Output> {
    if !cx.failures().is_empty() {
        return Err(lanes::Halted.into());
    }
    let cx = cx.for_step(S::NAME);
    let ensured = run(&cx, step);
    if ensured.is_err() {
        cx.failed();
    }
    ensured
}

fn run<S: Step>(cx: &Cx<'_>, step: &S) -> Result<S::Output> {
    let start = cx.machine().ticks();
    cx.emit(EventKind::StepStarted { step: S::NAME })?;
    let (value, outcome) = check_apply_check(cx, step)?;
    if outcome == Outcome::Changed {
        // The programs a step runs do not sync what they write; after a power cut a recorded step must still hold.
        cx.machine().sync_all();
    }
    let (program, gate) = cx.spent();
    let millis = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let record = StepRecord {
        step: S::NAME,
        outcome,
        time: rfc3339(cx.machine().now()),
        millis: millis(cx.machine().ticks().saturating_sub(start)),
        program_millis: millis(program),
        gate_millis: millis(gate),
    };
    let finished = EventKind::StepFinished {
        step: S::NAME,
        outcome: record.outcome,
        millis: record.millis,
        program_millis: record.program_millis,
        gate_millis: record.gate_millis,
    };
    cx.record(|receipt| receipt.record(record))?;
    cx.emit(finished)?;
    Ok(value)
}

fn check_apply_check<S: Step>(cx: &Cx<'_>, step: &S) -> Result<(S::Output, Outcome)> {
    if let Some(value) = step.check(cx)? {
        return Ok((value, Outcome::Unchanged));
    }
    step.apply(cx)?;
    match step.check(cx)? {
        Some(value) => Ok((value, Outcome::Changed)),
        None => anyhow::bail!(
            "making {} hold: everything was done and it still does not hold; something else on this server undoes it, \
             see `cargo xtask verify --project NAME`",
            S::NAME
        ),
    }
}
