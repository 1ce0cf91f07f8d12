//! What lies on disk of a run: what was wanted, and what was done.

use crate::machine::Machine;
use anyhow::Context as _;
use spec::{NodeSpec, Receipt, paths};
use std::path::Path;

/// The node spec as installed on this machine.
pub(crate) fn installed_spec(machine: &dyn Machine) -> anyhow::Result<NodeSpec> {
    let json = machine.read(Path::new(paths::NODE_SPEC))?;
    let json = json.with_context(|| {
        format!(
            "reading {}: no node spec was installed; run `cargo xtask provision --project NAME`",
            paths::NODE_SPEC
        )
    })?;
    Ok(NodeSpec::from_json(&json)?)
}

/// The receipt, if there is one.
pub(crate) fn receipt(machine: &dyn Machine) -> anyhow::Result<Option<Receipt>> {
    let json = machine.read(Path::new(paths::RECEIPT))?;
    json.map(|json| Receipt::from_json(&json)).transpose().context("opening the receipt of an earlier run")
}
