//! Where firstboot waits until the operator's side has acted, and how that side says so.

use crate::run::Cx;
use anyhow::Result;
use spec::{EventKind, Gate, paths};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often an acknowledgement is looked for.
const POLL: Duration = Duration::from_millis(200);

/// Whether the operator's side has acknowledged this very value.
pub(crate) fn passed(cx: &Cx<'_>, gate: &Gate) -> Result<bool> {
    Ok(cx.machine().text(file(gate.name()))?.is_some_and(|value| value.trim_end() == gate.value()))
}

/// Waits until it has. Where the wait is over before, the answer is false.
pub(crate) fn wait(cx: &Cx<'_>, gate: &Gate, mut is_over: impl FnMut() -> Result<bool>) -> Result<bool> {
    let start = cx.machine().ticks();
    cx.emit(EventKind::GateWaiting { gate: gate.clone() })?;
    let in_time = loop {
        if passed(cx, gate)? {
            break true;
        }
        if is_over()? {
            break false;
        }
        cx.machine().sleep(POLL);
    };
    cx.add_gate_time(cx.machine().ticks().saturating_sub(start));
    if in_time {
        cx.emit(EventKind::GatePassed { gate: gate.clone() })?;
    }
    Ok(in_time)
}

pub(super) fn file(name: &str) -> PathBuf {
    Path::new(paths::ACKNOWLEDGED).join(name)
}
