use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the client takes its time from: the machine's clock, or one that a test turns by hand.
pub trait Clock: Send + Sync {
    /// The time since 1970. It never goes backwards.
    fn now(&self) -> Duration;
    /// Ends when that long has passed.
    fn sleep(&self, length: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The machine's clock: wall time at the start, steady from there.
pub(super) struct SystemClock {
    began: Instant,
    unix: Duration,
}

impl SystemClock {
    pub(super) fn new() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), unix }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.unix + self.began.elapsed()
    }

    fn sleep(&self, length: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(length))
    }
}
