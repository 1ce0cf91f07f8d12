//! What is about stacks, alone.

use crate::access::store;
use crate::machine::Machine;
use crate::run::Cx;
use crate::steps::{images, stacks};
use anyhow::Result;

/// Brings up the stacks of the node spec where there is no server to set up: for trials of the stacks themselves. No escrow
/// is asked for, so nothing that matters may come to lie there.
///
/// # Errors
/// As those of the steps: an image that cannot be pulled, a stack that does not become healthy.
pub fn stacks_alone(machine: &dyn Machine) -> Result<()> {
    let cx = Cx::begin(machine)?;
    store::draw_for_stacks(&cx)?;
    images::pull_missing(&cx)?;
    stacks::bring_up(&cx)
}
