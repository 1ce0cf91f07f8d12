//! The stacks on the server, from the operator's chair: what there is of each, and the removal of one that was taken out of
//! the project, with its data.

use crate::in_use::InUse;
use crate::observe::World;
use crate::provision::{Context, Prepared};
use anyhow::{Context as _, Result};
pub use spec::StackState;

/// The server whose stacks they are.
pub struct StacksThere<'a>(InUse<'a>);

impl<'a> StacksThere<'a> {
    /// On the project's server.
    pub fn new(context: &'a Context<'a>, prepared: &'a Prepared, world: &'a World) -> Result<Self> {
        InUse::new(context, prepared, world, "its stacks").map(Self)
    }

    /// Each that lies on the volume or is wanted.
    pub fn list(&self) -> Result<Vec<StackState>> {
        serde_json::from_str(&self.0.ask(&["stacks", "list"])?)
            .context("reading the list of stacks: the server said something else")
    }

    /// Has the server remove one that is not enabled, with its data, and takes the escrow without its secrets.
    pub fn remove(&self, stack: &str) -> Result<()> {
        let change = self.0.change()?;
        change.wait_for_what_runs()?;
        change.make(format!("asking for stack {stack} to be removed"), &["stacks", "remove", stack])?;
        change.confirm()
    }
}
