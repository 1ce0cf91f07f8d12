//! The stacks on the server, from the operator's chair: what there is of each, and the removal of one that was taken out of
//! the project, with its data.

use crate::context::Context;
use crate::in_use::InUse;
use crate::provision::Prepared;
use crate::world::World;
use anyhow::Result;
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
        Ok(spec::from_outside("list of stacks", &self.0.ask(&["stacks", "list"])?.stdout)?)
    }

    /// Has the server remove one that is not enabled, with its data, and takes the escrow without its secrets.
    pub fn remove(&self, stack: &str) -> Result<()> {
        let change = self.0.change()?;
        change.wait_for_what_runs()?;
        change.make(format!("asking for stack {stack} to be removed"), &["stacks", "remove", stack])?;
        change.confirm()
    }
}
