//! What the operator sees while it happens. The provisioner says it; the front door decides how it looks.

use std::time::{Duration, Instant};

/// Somebody who watches. Stages may run side by side; each is known by its name.
pub trait Report: Send + Sync {
    /// A stage begins.
    fn begin(&self, stage: &str);
    /// The stage says what it is at.
    fn detail(&self, stage: &str, text: &str);
    /// The stage ended: what came of it, and how long it took.
    fn end(&self, stage: &str, outcome: &str, took: Duration);
    /// Something the operator should know beyond the stages.
    fn note(&self, text: &str);
}

/// A stage that has begun; [`Stage::done`] ends it. Dropped without that, it ends as failed.
pub struct Stage<'a> {
    report: &'a dyn Report,
    name: String,
    start: Instant,
    ended: bool,
}

impl<'a> Stage<'a> {
    /// Begins one.
    pub fn begin(report: &'a dyn Report, name: impl Into<String>) -> Self {
        let name = name.into();
        report.begin(&name);
        Self { report, name, start: Instant::now(), ended: false }
    }

    /// Says what it is at.
    pub fn detail(&self, text: &str) {
        self.report.detail(&self.name, text);
    }

    /// Ends it.
    pub fn done(mut self, outcome: &str) {
        self.ended = true;
        self.report.end(&self.name, outcome, self.start.elapsed());
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.report.end(&self.name, "FAILED", self.start.elapsed());
        }
    }
}

/// Nobody watches.
pub struct Silent;

impl Report for Silent {
    fn begin(&self, _: &str) {}
    fn detail(&self, _: &str, _: &str) {}
    fn end(&self, _: &str, _: &str, _: Duration) {}
    fn note(&self, _: &str) {}
}
