//! What was asked: how often each endpoint, and every request in order.

use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many requests are remembered; older ones are only counted.
const REMEMBERED: usize = 100_000;

/// The requests since they were last forgotten. Bodies are not kept: they may hold secrets.
pub(crate) struct Log {
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    counts: BTreeMap<String, u64>,
    entries: VecDeque<Entry>,
    /// How many requests came before the first of the entries.
    before: u64,
}

#[derive(Serialize)]
struct Entry {
    method: String,
    /// With its query.
    path: String,
    /// Missing while there is no answer, and where none got out.
    status: Option<u16>,
    /// In milliseconds since the cloud was started, of real time.
    start_ms: f64,
    /// Missing while the request is in flight.
    end_ms: Option<f64>,
}

/// A request in flight. One that is dropped had no answer: its client went away.
pub(crate) struct InFlight<'a> {
    log: &'a Log,
    number: u64,
    status: Option<u16>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), inner: Mutex::default() }
    }

    /// Notes that a request has come.
    pub(crate) fn begin(&self, method: &str, path: &str) -> InFlight<'_> {
        let mut inner = self.lock();
        let without_query = path.split('?').next().unwrap_or_default();
        *inner.counts.entry(format!("{method} {}", shape(without_query))).or_default() += 1;
        if inner.entries.len() == REMEMBERED {
            inner.entries.pop_front();
            inner.before += 1;
        }
        let number = inner.before + inner.entries.len() as u64;
        let start_ms = self.millis();
        inner.entries.push_back(Entry {
            method: method.into(),
            path: path.into(),
            status: None,
            start_ms,
            end_ms: None,
        });
        InFlight { log: self, number, status: None }
    }

    /// Every request in order.
    pub(crate) fn render(&self) -> Value {
        json!({"log": self.lock().entries})
    }

    pub(crate) fn forget(&self) {
        let mut inner = self.lock();
        inner.before += inner.entries.len() as u64;
        inner.entries.clear();
    }

    /// How often each endpoint was asked, and how often all of them together.
    pub(crate) fn render_counts(&self) -> Value {
        let inner = self.lock();
        json!({"total": inner.counts.values().sum::<u64>(), "requests": inner.counts})
    }

    pub(crate) fn forget_counts(&self) {
        self.lock().counts.clear();
    }

    /// Since the start, to a thousandth.
    fn millis(&self) -> f64 {
        self.started.elapsed().as_micros() as f64 / 1000.0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlight<'_> {
    /// Notes how the request was answered, if it was.
    pub(crate) fn end(mut self, status: Option<u16>) {
        self.status = status;
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let end_ms = Some(self.log.millis());
        let mut inner = self.log.lock();
        // One that was forgotten meanwhile has no place any more.
        let place = self.number.checked_sub(inner.before).and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| inner.entries.get_mut(place)) {
            (entry.status, entry.end_ms) = (self.status, end_ms);
        }
    }
}

/// A path with its ids taken out.
fn shape(path: &str) -> String {
    let part = |p: &str| if p.parse::<u64>().is_ok() { "{id}".to_owned() } else { p.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_shape() {
        let log = Log::new();
        for path in ["/v1/servers/42/actions?page=1", "/v1/servers/43/actions"] {
            log.begin("GET", path).end(Some(200));
        }
        let counts = log.render_counts();
        assert_eq!(counts["requests"]["GET /v1/servers/{id}/actions"], 2);
        assert_eq!(counts["total"], 2);
    }

    #[test]
    fn what_is_in_flight_has_no_end_and_what_was_forgotten_no_place() {
        let log = Log::new();
        let (first, second) = (log.begin("GET", "/a"), log.begin("GET", "/b"));
        second.end(Some(200));
        let entries = log.render()["log"].clone();
        assert!(entries[0]["end_ms"].is_null() && entries[1]["status"] == 200, "{entries}");
        log.forget();
        let third = log.begin("GET", "/c");
        first.end(Some(500));
        assert!(log.render()["log"][0]["end_ms"].is_null());
        drop(third);
        let entry = log.render()["log"][0].clone();
        assert!(entry["status"].is_null() && entry["end_ms"].is_number(), "{entry}");
    }
}
