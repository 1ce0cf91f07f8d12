//! Files that somebody reads only when told.
//!
//! Whether a file differed before it was written is forgotten when a run is cut off after the write: the next one finds it as
//! wanted, and tells nobody. So a note in memory is made first and taken away last; a reboot needs no telling.

use crate::run::Cx;
use anyhow::Result;
use host::Host as _;
use std::path::{Path, PathBuf};

/// A note that something was written, and that not everybody knows yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FollowUp(pub(crate) &'static str);

impl FollowUp {
    fn path(self) -> PathBuf {
        Path::new("/run/sovereign/untold").join(self.0)
    }

    /// Whether somebody has yet to be told.
    pub(crate) fn is_due(self, cx: &Cx<'_>) -> Result<bool> {
        Ok(cx.machine().exists(self.path())?)
    }

    /// Before anything is written.
    pub(crate) fn mark(self, cx: &Cx<'_>) -> Result<()> {
        if !self.is_due(cx)? {
            cx.write(&self.path(), b"", 0o600)?;
        }
        Ok(())
    }

    /// Once everybody knows.
    pub(crate) fn done(self, cx: &Cx<'_>) -> Result<()> {
        Ok(cx.remove(&self.path())?)
    }

    /// Writes what does not hold and tells who reads it; only tells where that was all that an earlier run left to do.
    pub(crate) fn ensure(
        self,
        cx: &Cx<'_>,
        holds: bool,
        write: impl FnOnce() -> Result<()>,
        tell: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        if holds && !self.is_due(cx)? {
            return Ok(());
        }
        self.mark(cx)?;
        write()?;
        tell()?;
        self.done(cx)
    }
}
