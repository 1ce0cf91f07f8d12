//! Bad days on order: requests that fail, replies that get lost, and a count of what was asked.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// A fault, waiting for its request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// The requests it is about; any method where none is given. `ACTION` is about the work of actions instead,
    /// whose paths are their commands, as `/start_server`.
    #[serde(default)]
    pub(crate) method: Option<String>,
    /// How their path begins, as `/v1/servers`.
    pub(crate) path: String,
    /// It strikes from the nth such request on, counted from 1 ...
    #[serde(default = "one")]
    pub(crate) nth: u32,
    /// ... this many times.
    #[serde(default = "one")]
    pub(crate) times: u32,
    #[serde(flatten)]
    pub(crate) kind: Kind,
    /// How many such requests there were.
    #[serde(default)]
    seen: u32,
}

fn one() -> u32 {
    1
}

/// What a fault does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The request is refused with this status and code, and nothing is done.
    Refuse { status: u16, code: String },
    /// The request is done, and answered with this status and no JSON, as by a gateway that gave up.
    Answer { status: u16 },
    /// The request is done, and the connection is cut instead of an answer.
    Lose,
    /// The request waits before it is done.
    Delay { ms: u64 },
}

/// The faults on order and the requests so far.
#[derive(Default)]
pub(crate) struct Faults {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    faults: Vec<Fault>,
    requests: BTreeMap<String, u64>,
}

impl Inner {
    fn strike(&mut self, path: &str, is_meant: impl Fn(Option<&str>) -> bool) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for fault in &mut self.faults {
            if is_meant(fault.method.as_deref()) && path.starts_with(&fault.path) {
                fault.seen += 1;
                if (fault.nth..fault.nth.saturating_add(fault.times)).contains(&fault.seen) {
                    kinds.push(fault.kind.clone());
                }
            }
        }
        kinds
    }
}

impl Faults {
    /// Counts a request and gives back what strikes it.
    pub(crate) fn strike(&self, method: &str, path: &str) -> Vec<Kind> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        *inner.requests.entry(format!("{method} {}", shape(path))).or_default() += 1;
        inner.strike(path, |wanted| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(method)))
    }

    /// Gives back what strikes the work of an action.
    pub(crate) fn strike_action(&self, command: &str) -> Vec<Kind> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.strike(&format!("/{command}"), |wanted| wanted == Some("ACTION"))
    }

    pub(crate) fn add(&self, fault: Fault) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).faults.push(fault);
    }

    pub(crate) fn clear(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).faults.clear();
    }

    pub(crate) fn render(&self) -> Value {
        json!({"faults": self.inner.lock().unwrap_or_else(PoisonError::into_inner).faults})
    }

    /// How often each endpoint was asked, and how often all of them together.
    pub(crate) fn requests(&self) -> Value {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        json!({"total": inner.requests.values().sum::<u64>(), "requests": inner.requests})
    }

    pub(crate) fn forget_requests(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).requests.clear();
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
    fn a_fault_strikes_its_nth_requests_only() {
        let faults = Faults::default();
        let fault = json!({"method": "POST", "path": "/v1/servers", "nth": 2, "times": 2, "kind": "lose"});
        faults.add(serde_json::from_value(fault).unwrap());
        assert!(faults.strike("GET", "/v1/servers").is_empty());
        let struck: Vec<_> = (0..4).map(|_| faults.strike("POST", "/v1/servers").len()).collect();
        assert_eq!(struck, [0, 1, 1, 0]);
        faults.strike("GET", "/v1/servers/42/actions");
        let requests = faults.requests();
        assert_eq!(requests["requests"]["POST /v1/servers"], 4);
        assert_eq!(requests["requests"]["GET /v1/servers/{id}/actions"], 1);
        assert_eq!(requests["total"], 6);
    }
}
