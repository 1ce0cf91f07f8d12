//! How a step is run: check → apply → check, then one record in the receipt.

use crate::Cx;
use crate::clock::rfc3339;
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

/// What a step came to.
#[must_use = "a later step needs the value of the earlier one"]
pub struct Effect<T> {
    /// What later steps need.
    pub value: T,
    /// Whether it had to act.
    pub outcome: Outcome,
}

/// Makes a step hold and records it.
pub fn ensure<S: Step>(cx: &Cx<'_>, step: &S) -> Result<Effect<S::Output>> {
    let start = cx.machine().ticks();
    cx.enter(S::NAME);
    cx.emit(EventKind::StepStarted { step: S::NAME })?;
    let effect = check_apply_check(cx, step)?;
    if effect.outcome == Outcome::Changed {
        // The programs a step runs do not sync what they write; after a power cut a recorded step must still hold.
        cx.machine().sync_all();
    }
    let (program, gate) = cx.spent();
    let millis = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let record = StepRecord {
        step: S::NAME,
        outcome: effect.outcome,
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
    Ok(effect)
}

fn check_apply_check<S: Step>(cx: &Cx<'_>, step: &S) -> Result<Effect<S::Output>> {
    if let Some(value) = step.check(cx)? {
        return Ok(Effect { value, outcome: Outcome::Unchanged });
    }
    step.apply(cx)?;
    match step.check(cx)? {
        Some(value) => Ok(Effect { value, outcome: Outcome::Changed }),
        None => anyhow::bail!(
            "making {} hold: everything was done and it still does not hold; something else on this server undoes it, \
             see `firstboot verify`",
            S::NAME
        ),
    }
}
