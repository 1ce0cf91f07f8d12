//! The project's budget of requests: a bucket that refills evenly and that others drink from, too.

use reqwest::header::HeaderMap;
use std::time::Duration;

/// How many requests are left to the project's other users before ours are slowed down.
const RESERVE: f64 = 20.0;
/// The longest pause before one request; headers that ask for more are taken for wrong.
const LONGEST: Duration = Duration::from_secs(60);
/// What refills the bucket in this time, whatever its size.
const HOUR: f64 = 3600.0;

/// What an answer's headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// How many requests an hour the project has.
    pub limit: u32,
    /// How many are left.
    pub remaining: u32,
    /// When all are there again, as time since 1970.
    pub reset: Duration,
}

impl Level {
    /// Reads `RateLimit-Limit`, `-Remaining` and `-Reset`; `None` unless all three are numbers.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
        Some(Self {
            limit: number("ratelimit-limit")?.try_into().ok()?,
            remaining: number("ratelimit-remaining")?.try_into().ok()?,
            reset: Duration::from_secs(number("ratelimit-reset")?),
        })
    }

    /// Requests that come back per second: what is missing over the time until it is back. Clocks differ, so
    /// nothing but a value near the documented limit / hour is believed.
    fn refill(&self, now: Duration) -> f64 {
        let documented = (f64::from(self.limit) / HOUR).max(f64::MIN_POSITIVE);
        let missing = f64::from(self.limit.saturating_sub(self.remaining));
        let left = self.reset.saturating_sub(now).as_secs_f64();
        let measured = if left > 0.0 && missing > 0.0 { missing / left } else { documented };
        measured.clamp(documented / 2.0, documented * 2.0)
    }

    fn reserve(&self) -> f64 {
        RESERVE.min(f64::from(self.limit) / 20.0)
    }
}

/// What is known of the bucket, and how many of our own requests its last answer does not count yet.
#[derive(Debug, Default)]
pub(super) struct Budget {
    seen: Option<(Level, Duration)>,
    outstanding: u32,
}

impl Budget {
    /// Books one request, and says how long to wait before it is sent. Every booking ends in [`Budget::free`].
    pub(super) fn book(&mut self, now: Duration) -> Duration {
        self.outstanding += 1;
        self.seen.as_ref().map_or(Duration::ZERO, |(level, at)| {
            let refilled = level.refill(*at) * now.saturating_sub(*at).as_secs_f64();
            let there = (f64::from(level.remaining) + refilled).min(f64::from(level.limit));
            wait_for(level.reserve() + f64::from(self.outstanding) - there, level.refill(*at))
        })
    }

    /// Ends the booking of a request that was answered, or never will be.
    pub(super) fn free(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    /// Takes in what an answer says.
    pub(super) fn record(&mut self, level: Level, now: Duration) {
        self.seen = Some((level, now));
    }

    /// What the last answer said.
    pub(super) fn level(&self) -> Option<Level> {
        self.seen.map(|(level, _)| level)
    }

    /// How long to wait after a refusal for too many requests, where headers say.
    pub(super) fn after_refusal(&self, now: Duration) -> Option<Duration> {
        let (level, _) = self.seen.as_ref()?;
        let wait = wait_for(1.0 + level.reserve() - f64::from(level.remaining), level.refill(now));
        Some(wait.max(Duration::from_secs(1)))
    }
}

fn wait_for(missing: f64, refill: f64) -> Duration {
    if missing <= 0.0 {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(missing / refill).unwrap_or(LONGEST).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn level(remaining: u32) -> Level {
        let missing = u64::from(3600 - remaining);
        Level { limit: 3600, remaining, reset: NOW + Duration::from_secs(missing) }
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn nothing_waits_while_nothing_is_known_or_much_is_left() {
        let mut budget = Budget::default();
        assert_eq!(budget.book(NOW), Duration::ZERO);
        budget.free();
        assert_eq!(budget.after_refusal(NOW), None);
        budget.record(level(3000), NOW);
        for _ in 0..50 {
            assert_eq!(budget.book(NOW), Duration::ZERO);
        }
        assert_eq!(budget.level(), Some(level(3000)));
    }

    #[test]
    fn near_the_reserve_requests_are_spaced_as_the_bucket_refills() {
        let mut budget = Budget::default();
        budget.record(level(22), NOW);
        let waits: Vec<_> = (0..5).map(|_| budget.book(NOW)).collect();
        assert_eq!(waits, [0, 0, 1, 2, 3].map(seconds));
        for _ in 0..5 {
            budget.free();
        }
        assert_eq!(budget.book(NOW + seconds(30)), Duration::ZERO, "it has refilled");
    }

    #[test]
    fn a_refusal_waits_until_the_reserve_is_back() {
        let mut budget = Budget::default();
        budget.record(level(0), NOW);
        assert_eq!(budget.after_refusal(NOW), Some(seconds(21)));
        budget.record(level(100), NOW);
        assert_eq!(budget.after_refusal(NOW), Some(seconds(1)), "never at once");
    }

    #[test]
    fn wrong_headers_wait_a_minute_at_the_most() {
        let odd = [
            Level { limit: 0, remaining: 0, reset: Duration::ZERO },
            Level { limit: 1, remaining: 0, reset: Duration::from_secs(u64::MAX) },
            Level { limit: 3600, remaining: 0, reset: Duration::ZERO },
            Level { limit: u32::MAX, remaining: u32::MAX, reset: NOW },
        ];
        for level in odd {
            let mut budget = Budget::default();
            budget.record(level, NOW);
            assert!(budget.book(NOW) <= LONGEST, "{level:?}");
            assert!(budget.after_refusal(NOW) <= Some(LONGEST), "{level:?}");
        }
    }

    #[test]
    fn headers_are_read_whole_or_not_at_all() {
        let headers = |reset: &str| {
            let pairs =
                [("ratelimit-limit", "3600"), ("ratelimit-remaining", "7"), ("ratelimit-reset", reset)];
            let pair = |(name, value): (&'static str, &str)| {
                (reqwest::header::HeaderName::from_static(name), value.parse().unwrap())
            };
            pairs.into_iter().map(pair).collect::<HeaderMap>()
        };
        let read = Level::read(&headers("1800000000"));
        assert_eq!(read, Some(Level { limit: 3600, remaining: 7, reset: NOW }));
        assert_eq!(Level::read(&headers("soon")), None);
        assert_eq!(Level::read(&HeaderMap::new()), None);
    }
}
