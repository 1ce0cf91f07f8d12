//! Everything that opens the data is sealed to the offline keys and off the server before anything uses it.
//!
//! * [`mod@again`] is for every later change: [`again::again`] takes what is new through the same gate before it is used.
//! * `sealing` makes the bundle, and keeps notes of what was sealed and what was acknowledged beside the secrets.

pub mod again;
mod sealing;

pub use again::{Fresh, again, kept};
pub(crate) use again::{go, hear};

use super::disk::{Volume, attached, luks};
use super::identity::Lasting;
use crate::Cx;
use crate::step::Step;
use anyhow::Result;
use sealing::Note;
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

/// Whether the volume's header, with all its slots, is the one in the bundle that was acknowledged last. The volume is open.
pub(crate) fn holds_header(cx: &Cx<'_>) -> Result<bool> {
    let Some(note) = Note::acknowledged(cx)? else { return Ok(false) };
    Ok(note.header == luks::header(cx, &attached(cx)?)?.kept)
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
        go(cx, &self.volume.device, &[])
    }
}
