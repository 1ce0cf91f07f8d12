//! The stacks on the server, from the operator's chair: what there is of each, and the removal of one that was taken out of
//! the project, with its data.

use crate::context::Context;
use crate::in_use::InUse;
use crate::node::ImageLock;
use crate::provision::Prepared;
use crate::world::World;
use anyhow::Result;
pub use spec::StackState;
pub use stacks::Planned;

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

    /// How the stacks' files there differ from what the project wants now, with these images; nothing where they do not.
    pub fn diff(&self, lock: &ImageLock) -> Result<String> {
        let spec = self.0.described(lock)?;
        let said = self.0.tell(&["stacks", "diff"], spec.to_json())?;
        let text = String::from_utf8_lossy(&said.stdout);
        Ok(text.lines().map(|line| host::clean(line) + "\n").collect())
    }

    /// Has the server remove one that is not enabled, with its data, and takes the escrow without its secrets.
    pub fn remove(&self, stack: &str) -> Result<()> {
        let change = self.0.change()?;
        change.wait_for_what_runs()?;
        change.make(format!("asking for stack {stack} to be removed"), &["stacks", "remove", stack])?;
        change.confirm()
    }
}
