use crate::Result;
use std::time::{Duration, Instant};

/// Where a build tells what it is doing.
pub trait Report {
    /// A stage begins; `what` is a gerund and its object.
    fn stage(&self, what: &str);
    /// The stage that began last is done.
    fn done(&self, what: &str, took: Duration);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Report for Silent {
    fn stage(&self, _: &str) {}
    fn done(&self, _: &str, _: Duration) {}
}

/// Runs one stage and reports its time.
pub(crate) fn timed<T>(report: &dyn Report, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    report.stage(what);
    let start = Instant::now();
    let result = work()?;
    report.done(what, start.elapsed());
    Ok(result)
}
