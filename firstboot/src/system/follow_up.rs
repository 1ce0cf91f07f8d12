//! What follows a write: a reload or restart of whoever reads a file only when told.
//!
//! Whether a file differed before it was written is forgotten when a run is cut off after the write: the next one finds it as
//! wanted, and tells nobody. So a note in memory is made first and taken away last; after a reboot nothing is due.

use crate::run::Cx;
use anyhow::Result;
use host::Host as _;
use std::path::{Path, PathBuf};

/// Something that is to be done once files were written, by its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FollowUp(pub(crate) &'static str);

impl FollowUp {
    fn path(self) -> PathBuf {
        Path::new("/run/sovereign/untold").join(self.0)
    }

    /// Whether it is still to be done.
    pub(crate) fn is_due(self, cx: &Cx<'_>) -> Result<bool> {
        Ok(cx.machine().exists(self.path())?)
    }

    /// Called before anything is written.
    pub(crate) fn mark_due(self, cx: &Cx<'_>) -> Result<()> {
        if !self.is_due(cx)? {
            cx.write(&self.path(), b"", 0o600)?;
        }
        Ok(())
    }

    /// Called once it was done.
    pub(crate) fn done(self, cx: &Cx<'_>) -> Result<()> {
        Ok(cx.remove(&self.path())?)
    }

    /// Writes what does not hold and follows up; only follows up where that was all that an earlier run left to do.
    pub(crate) fn ensure(
        self,
        cx: &Cx<'_>,
        holds: bool,
        write: impl FnOnce() -> Result<()>,
        follow_up: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        if holds && !self.is_due(cx)? {
            return Ok(());
        }
        self.mark_due(cx)?;
        write()?;
        follow_up()?;
        self.done(cx)
    }
}
