//! Where firstboot waits until the operator's side has acted, and how that side says so.

use crate::machine::Machine;
use crate::{Cx, closing};
use anyhow::{Result, bail};
use spec::{EventKind, Gate, paths};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often an acknowledgement is looked for.
const POLL: Duration = Duration::from_millis(200);

/// Whether the operator's side has acknowledged this very value.
pub(crate) fn passed(cx: &Cx<'_>, gate: &Gate) -> Result<bool> {
    Ok(cx.text(file(gate.name()))?.is_some_and(|value| value.trim_end() == gate.value()))
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
    cx.waited(cx.machine().ticks().saturating_sub(start));
    if in_time {
        cx.emit(EventKind::GatePassed { gate: gate.clone() })?;
    }
    Ok(in_time)
}

/// `firstboot acknowledge`: files a value, if it is the one waited for or the one acknowledged before.
pub fn acknowledge(machine: &dyn Machine, name: &str, value: &str) -> Result<()> {
    let filed = machine.read(&file(name))?;
    if filed.is_some_and(|filed| filed.trim_ascii_end() == value.as_bytes()) {
        return Ok(());
    }
    let events = crate::events::parse(&machine.read(Path::new(paths::EVENTS))?.unwrap_or_default());
    let last = events.into_iter().rev().find_map(|event| match event.kind {
        EventKind::GateWaiting { gate } if gate.name() == name => Some(gate),
        _ => None,
    });
    match last {
        Some(gate) if gate.value() == value => {
            closing::in_time(machine, name, value)?;
            Ok(machine.write(&file(name), format!("{value}\n").as_bytes(), 0o600)?)
        }
        Some(_) => bail!(
            "acknowledging {name}: another value is waited for; take the gate's value from the newest event, \
             `cargo xtask status --project NAME --json` shows it"
        ),
        None => bail!("acknowledging {name}: nothing waits there; see `cargo xtask status --project NAME`"),
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(paths::ACKNOWLEDGED).join(name)
}
