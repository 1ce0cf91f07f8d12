//! How the operator's side says that it has done what a gate waits for.

use super::closing;
use super::gate::file;
use crate::machine::Machine;
use crate::run::events;
use anyhow::{Result, bail};
use spec::{EventKind, paths};
use std::path::Path;

/// `firstboot acknowledge`: files a value, if it is the one waited for or the one acknowledged before.
pub fn acknowledge(machine: &dyn Machine, name: &str, value: &str) -> Result<()> {
    let filed = machine.read(&file(name))?;
    if filed.is_some_and(|filed| filed.trim_ascii_end() == value.as_bytes()) {
        return Ok(());
    }
    let events = events::parse(&machine.read(Path::new(paths::EVENTS))?.unwrap_or_default());
    let last = events.into_iter().rev().find_map(|event| match event.kind {
        EventKind::GateWaiting { gate } if gate.name() == name => Some(gate),
        _ => None,
    });
    match last {
        Some(gate) if gate.value() == value => {
            closing::refuse_late(machine, name, value)?;
            Ok(machine.write(&file(name), format!("{value}\n").as_bytes(), 0o600)?)
        }
        Some(_) => bail!(
            "acknowledging {name}: another value is waited for; take the gate's value from the newest event, \
             `cargo xtask status --project NAME --json` shows it"
        ),
        None => bail!("acknowledging {name}: nothing waits there; see `cargo xtask status --project NAME`"),
    }
}
