//! What is pending on this server, on the root disk. It is written before anything is begun that somebody may have to answer
//! for, and [`Phase::Settled`] last.

use super::record::receipt;
use crate::machine::Machine;
use anyhow::{Context as _, Result};
use spec::{Phase, paths};
use std::path::Path;

/// What is pending. A server of an earlier release, which left other marks, is run through its steps once more.
pub(crate) fn read(machine: &dyn Machine) -> Result<Phase> {
    match machine.read(Path::new(paths::PHASE))? {
        Some(json) => Phase::from_json(&json).with_context(|| format!("opening {}", paths::PHASE)),
        None if receipt(machine)?.is_none() => Ok(Phase::Fresh),
        None => Ok(Phase::Converging { why: "its steps were not all seen to hold".into() }),
    }
}

/// Writes what is pending from now on.
pub(crate) fn enter(machine: &dyn Machine, phase: &Phase) -> Result<()> {
    let path = Path::new(paths::PHASE);
    if machine.read(path)?.is_none_or(|json| json != phase.to_json()) {
        machine.write(path, &phase.to_json(), 0o644)?;
    }
    Ok(())
}

/// Says that a server that was done is not: something is to be brought to its end, and somebody may have to answer for it.
pub(crate) fn unsettle(machine: &dyn Machine, why: impl Into<String>) -> Result<()> {
    match read(machine)? {
        Phase::Settled => enter(machine, &Phase::Converging { why: why.into() }),
        _ => Ok(()),
    }
}
