use super::clock::Clock;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The budget of requests: a bucket that is full with an hour's requests and refills evenly.
pub(crate) struct Bucket {
    limit: u32,
    clock: Clock,
    /// How many requests are in it, and since when, counted from the cloud's start.
    level: Mutex<(f64, Duration)>,
}

/// The budget after a request.
pub(crate) struct Budget {
    pub(crate) allowed: bool,
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// When the bucket is full again, in Unix time.
    pub(crate) reset: u64,
}

impl Bucket {
    pub(crate) fn new(limit: u32, clock: Clock) -> Self {
        Self { limit, clock, level: Mutex::new((f64::from(limit), Duration::ZERO)) }
    }

    /// Takes one request out of the bucket.
    pub(crate) fn take(&self) -> Budget {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let per_second = f64::from(self.limit) / 3600.0;
        let now = self.clock.elapsed();
        let filled = level.0 + now.saturating_sub(level.1).as_secs_f64() * per_second;
        let filled = filled.min(f64::from(self.limit));
        let allowed = filled >= 1.0;
        *level = (if allowed { filled - 1.0 } else { filled }, now);
        let missing = (f64::from(self.limit) - level.0) / per_second;
        let full = self.clock.unix_millis() as f64 / 1000.0 + missing;
        Budget { allowed, limit: self.limit, remaining: level.0 as u32, reset: full.ceil() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_bucket_refuses() {
        let bucket = Bucket::new(2, Clock::new(crate::config::Clock::Real, None));
        assert_eq!(bucket.take().remaining, 1);
        assert!(bucket.take().allowed);
        let budget = bucket.take();
        assert!(!budget.allowed && budget.remaining == 0 && budget.limit == 2);
    }

    #[tokio::test]
    async fn an_empty_bucket_refills_with_time() {
        let clock = Clock::new(crate::config::Clock::Virtual { auto: false }, None);
        let bucket = Bucket::new(3600, clock.clone());
        while bucket.take().allowed {}
        clock.advance(Duration::from_millis(900)).await;
        assert!(!bucket.take().allowed);
        clock.advance(Duration::from_millis(100)).await;
        let budget = bucket.take();
        assert!(budget.allowed && budget.remaining == 0);
        assert_eq!(budget.reset, clock.unix_millis().div_ceil(1000) + 3600);
        clock.advance(Duration::from_secs(7200)).await;
        assert_eq!(bucket.take().remaining, 3599, "it never holds more than an hour's requests");
    }
}
