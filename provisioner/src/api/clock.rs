use reqwest::header::{DATE, HeaderMap};
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Where the client takes its time from: the machine's clock, or one that a test turns by hand.
pub trait Clock: Send + Sync {
    /// The time since 1970. It never goes backwards.
    fn now(&self) -> Duration;
    /// Ends when that long has passed.
    fn sleep(&self, length: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// What the cloud's clock said, and when that was by the client's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) date: Duration,
    pub(super) at: Duration,
}

impl Told {
    /// Reads an answer's `Date`.
    pub(super) fn read(headers: &HeaderMap, at: Duration) -> Option<Self> {
        let text = headers.get(DATE)?.to_str().ok()?;
        let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
        Some(Self { date: Duration::from_secs(date.unix_timestamp().try_into().ok()?), at })
    }

    /// The cloud's time when it is `now` by the client's clock.
    pub(super) fn cloud(&self, now: Duration) -> Duration {
        self.date + now.saturating_sub(self.at)
    }

    /// When a moment of the cloud's is by the client's clock.
    pub(super) fn here(&self, moment: Duration) -> Duration {
        (moment + self.at).saturating_sub(self.date)
    }
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
