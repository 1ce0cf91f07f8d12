//! Everything that opens the data is sealed to the offline keys and off the server before anything uses it. Every later
//! change takes the same way: `reseal`(crate::access::reseal).

use super::disk::Volume;
use super::identity::Lasting;
use crate::access::reseal::reseal;
use crate::access::sealing::{self, Note};
use crate::run::{Cx, Step};
use anyhow::Result;
use spec::StepName;

/// The operator's side holds everything that opens the data.
#[derive(Debug, Clone, Copy)]
pub struct Escrowed(());

/// See the module.
pub struct Escrow<'a> {
    /// Whose key and header are sealed.
    pub volume: &'a Volume,
    /// Its key signs the manifest.
    pub identity: &'a Lasting,
}

impl Step for Escrow<'_> {
    const NAME: StepName = StepName::Escrow;
    type Output = Escrowed;

    /// Holds when every secret in use is in a bundle that was acknowledged. A header that has changed since does not
    /// hold the stacks up: a key that the bundle holds opens it, and the last step has it escrowed again.
    fn check(&self, cx: &Cx<'_>) -> Result<Option<Escrowed>> {
        let Some(note) = Note::acknowledged(cx)? else { return Ok(None) };
        let holds = note.contents == sealing::contents_digest(cx, &self.volume.device, &[])?;
        Ok(holds.then_some(Escrowed(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        reseal(cx, &self.volume.device, &[])
    }
}
