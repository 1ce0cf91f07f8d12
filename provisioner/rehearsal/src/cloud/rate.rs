use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The budget of requests: a bucket that is full with an hour's requests and refills evenly.
pub(crate) struct Bucket {
    limit: u32,
    level: Mutex<(f64, Instant)>,
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
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, level: Mutex::new((f64::from(limit), Instant::now())) }
    }

    /// Takes one request out of the bucket.
    pub(crate) fn take(&self) -> Budget {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let per_second = f64::from(self.limit) / 3600.0;
        let now = Instant::now();
        let filled = level.0 + now.duration_since(level.1).as_secs_f64() * per_second;
        let filled = filled.min(f64::from(self.limit));
        let allowed = filled >= 1.0;
        *level = (if allowed { filled - 1.0 } else { filled }, now);
        let missing = (f64::from(self.limit) - level.0) / per_second;
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Budget { allowed, limit: self.limit, remaining: level.0 as u32, reset: unix + missing.ceil() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_bucket_refuses() {
        let bucket = Bucket::new(2);
        assert_eq!(bucket.take().remaining, 1);
        assert!(bucket.take().allowed);
        let budget = bucket.take();
        assert!(!budget.allowed && budget.remaining == 0 && budget.limit == 2);
    }
}
