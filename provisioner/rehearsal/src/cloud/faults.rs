//! Bad days on order: requests that are refused, late or held, replies that get lost, actions that fail or never end.

use crate::error::ApiError;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The method of faults that are about the work of actions.
const ACTION: &str = "ACTION";

/// A fault, waiting for its request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// The requests it is about; any method where none is given. `ACTION` is about the work of actions instead,
    /// whose paths are their commands, as `/start_server`.
    #[serde(default)]
    method: Option<String>,
    /// How their path begins, as `/v1/servers`. With braces in it, the whole path: `{id}` stands for a number,
    /// any other word in braces for one part of the path.
    path: String,
    /// It strikes from the nth such request on, counted from 1 ...
    #[serde(default = "one")]
    nth: u32,
    /// ... this many times: once where nothing is said, without an end where there is a probability.
    #[serde(default)]
    times: Option<u32>,
    /// How likely such a request is struck, from 0 to 1. The same seed and the same sequence of requests have the
    /// same strikes.
    #[serde(default)]
    probability: Option<f64>,
    #[serde(default)]
    seed: u64,
    #[serde(flatten)]
    kind: Kind,
    /// How many such requests there were ...
    #[serde(skip_deserializing)]
    seen: u32,
    /// ... and how many of them it struck.
    #[serde(skip_deserializing)]
    struck: u32,
}

fn one() -> u32 {
    1
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The request is refused, and nothing is done.
    Refuse(Refusal),
    /// The request is done, and answered with this status and no JSON, as by a gateway that gave up.
    Answer { status: u16 },
    /// The request is done, and the connection is cut instead of an answer.
    Lose,
    /// The request waits before it is done, or the action before its work is, which is on the cloud's clock.
    Delay { ms: u64 },
    /// The request is not begun until faults are released; never when its client goes away before.
    HoldBefore,
    /// The request is done, and not answered until faults are released.
    HoldAfter,
    /// The action fails.
    Fail { code: String, message: Option<String> },
    /// The action goes on running until faults are released.
    Stuck,
}

/// How a request is refused: by an error of this code, or with a body that is no JSON and has no content type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) details: Option<Value>,
    #[serde(default)]
    pub(crate) body: Option<String>,
}

impl Fault {
    /// Reads an order and refuses what could never strike.
    pub(crate) fn parse(order: &Value) -> Result<Self, ApiError> {
        let wrong = |field: &str, why: String| Err(ApiError::field(field, why));
        let mut fault = Self::deserialize(order).map_err(|e| ApiError::field("fault", e.to_string()))?;
        let known = serde_json::to_value(&fault).unwrap_or_default();
        let unknown = order.as_object().and_then(|sent| sent.keys().find(|key| known.get(key).is_none()));
        if let Some(unknown) = unknown {
            return wrong(unknown, "is no field of this kind of fault".into());
        }
        if !fault.path.starts_with('/') {
            return wrong("path", format!("'{}' does not begin with a slash", fault.path));
        }
        if fault.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
            return wrong("probability", "must be from 0 to 1".into());
        }
        if fault.kind.is_about_actions().is_some_and(|only| only != fault.is_about_actions()) {
            let why = "fail and stuck are for the method ACTION, which knows only these two and delay";
            return wrong("kind", why.into());
        }
        if let Kind::Refuse(Refusal { status, .. }) | Kind::Answer { status } = fault.kind
            && !(200..=599).contains(&status)
        {
            return wrong("status", "must be from 200 to 599".into());
        }
        if let Kind::Refuse(refusal) = &fault.kind
            && refusal.code.is_some() == refusal.body.is_some()
        {
            return wrong("code", "give either the error's code or a body".into());
        }
        if fault.probability.is_none() {
            fault.times.get_or_insert(1);
        }
        Ok(fault)
    }

    fn is_about_actions(&self) -> bool {
        self.method.as_deref() == Some(ACTION)
    }

    /// Takes note of a request of its kind; whether it strikes.
    fn strikes(&mut self) -> bool {
        self.seen += 1;
        let due = self.seen >= self.nth && self.times.is_none_or(|times| self.struck < times);
        let strikes = due && self.probability.is_none_or(|p| draw(self.seed, self.seen) < p);
        self.struck += u32::from(strikes);
        strikes
    }

    fn is_about(&self, path: &str) -> bool {
        if !self.path.contains('{') {
            return path.starts_with(&self.path);
        }
        let fits = |wanted: &str, part: &str| match wanted {
            "{id}" => part.parse::<u64>().is_ok(),
            _ if wanted.starts_with('{') => !part.is_empty(),
            _ => wanted == part,
        };
        self.path.split('/').count() == path.split('/').count()
            && self.path.split('/').zip(path.split('/')).all(|(wanted, part)| fits(wanted, part))
    }
}

impl Kind {
    /// Whether it is for the work of actions alone, or for requests alone; neither where it is for both.
    fn is_about_actions(&self) -> Option<bool> {
        match self {
            Self::Delay { .. } => None,
            Self::Fail { .. } | Self::Stuck => Some(true),
            Self::Refuse(_) | Self::Answer { .. } | Self::Lose | Self::HoldBefore | Self::HoldAfter => {
                Some(false)
            }
        }
    }
}

impl Refusal {
    /// The error it answers with, where it is one.
    pub(crate) fn error(&self) -> Option<ApiError> {
        let message = self.message.as_deref().unwrap_or("a fault on order");
        let mut error = ApiError::new(status(self.status), self.code.as_ref()?, message);
        error.details = Box::new(self.details.clone().unwrap_or_default());
        Some(error)
    }
}

/// A status that was checked when the fault was ordered.
pub(crate) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A number from 0 to 1 that the seed and the request's place in the sequence decide (SplitMix64).
fn draw(seed: u64, place: u32) -> f64 {
    let mut z = seed.wrapping_add(u64::from(place).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The faults on order.
pub(crate) struct Faults {
    ordered: Mutex<Vec<Fault>>,
    /// How often one struck since they were last cleared.
    struck: watch::Sender<u64>,
    /// How many of these strikes [`Faults::next_strike`] has told of.
    told: Mutex<u64>,
    /// Changes when what is held is let go.
    released: watch::Sender<()>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            ordered: Mutex::default(),
            struck: watch::Sender::new(0),
            told: Mutex::default(),
            released: watch::Sender::new(()),
        }
    }
}

impl Faults {
    /// Gives back what is to strike a request. Each strike is told with [`Faults::tell`] when it takes effect.
    pub(crate) fn strike(&self, method: &str, path: &str) -> Vec<Kind> {
        self.strike_if(path, |wanted| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(method)))
    }

    /// Gives back what is to strike the work of an action.
    pub(crate) fn strike_action(&self, command: &str) -> Vec<Kind> {
        self.strike_if(&format!("/{command}"), |wanted| wanted == Some(ACTION))
    }

    fn strike_if(&self, path: &str, is_meant: impl Fn(Option<&str>) -> bool) -> Vec<Kind> {
        let mut ordered = lock(&self.ordered);
        let about = ordered.iter_mut().filter(|f| is_meant(f.method.as_deref()) && f.is_about(path));
        about.filter_map(|fault| fault.strikes().then(|| fault.kind.clone())).collect()
    }

    pub(crate) fn add(&self, fault: Fault) {
        lock(&self.ordered).push(fault);
    }

    /// Forgets the faults and their strikes, and lets go what is held.
    pub(crate) fn clear(&self) {
        lock(&self.ordered).clear();
        *lock(&self.told) = 0;
        self.struck.send_replace(0);
        self.release();
    }

    /// Lets go what is held now: requests, and actions that are stuck.
    pub(crate) fn release(&self) {
        self.released.send_replace(());
    }

    /// Says that a fault has struck.
    pub(crate) fn tell(&self) {
        self.struck.send_modify(|count| *count += 1);
    }

    /// Says that a fault has struck and waits until it is let go.
    pub(crate) async fn hold(&self) {
        let mut released = self.released.subscribe();
        self.tell();
        // The sender lives as long as the cloud does.
        let _ = released.changed().await;
    }

    /// Waits until there were more strikes than these.
    pub(crate) async fn wait(&self, after: u64) {
        let _ = self.struck.subscribe().wait_for(|count| *count > after).await;
    }

    /// Waits for a strike that no earlier call has told of.
    pub(crate) async fn next_strike(&self) {
        let told = *lock(&self.told);
        self.wait(told).await;
        *lock(&self.told) += 1;
    }

    pub(crate) fn render(&self) -> Value {
        json!({"struck": *self.struck.borrow(), "faults": *lock(&self.ordered)})
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(order: &Value) -> Faults {
        let faults = Faults::default();
        faults.add(Fault::parse(order).unwrap());
        faults
    }

    #[test]
    fn a_fault_strikes_its_nth_requests_only() {
        let faults =
            ordered(&json!({"method": "POST", "path": "/v1/servers", "nth": 2, "times": 2, "kind": "lose"}));
        assert!(faults.strike("GET", "/v1/servers").is_empty());
        let struck: Vec<_> = (0..4).map(|_| faults.strike("POST", "/v1/servers").len()).collect();
        assert_eq!(struck, [0, 1, 1, 0]);
    }

    #[test]
    fn the_same_seed_has_the_same_strikes() {
        let strikes = |seed: u64, probability: f64| {
            let faults =
                ordered(&json!({"path": "/", "probability": probability, "seed": seed, "kind": "lose"}));
            (0..200).map(|_| faults.strike("GET", "/v1/servers").len()).collect::<Vec<_>>()
        };
        assert_eq!(strikes(7, 0.3), strikes(7, 0.3));
        assert_ne!(strikes(7, 0.3), strikes(8, 0.3));
        let struck: usize = strikes(7, 0.3).iter().sum();
        assert!((40..80).contains(&struck), "{struck} of 200");
        assert_eq!(strikes(7, 0.0).iter().sum::<usize>(), 0);
        assert_eq!(strikes(7, 1.0).iter().sum::<usize>(), 200);
    }

    #[test]
    fn a_path_in_braces_means_one_shape() {
        let hits = |pattern: &str, path: &str| {
            !ordered(&json!({"path": pattern, "kind": "lose"})).strike("POST", path).is_empty()
        };
        let poweron = "/v1/servers/{id}/actions/poweron";
        assert!(hits(poweron, "/v1/servers/42/actions/poweron"));
        assert!(!hits(poweron, "/v1/servers/42/actions/poweroff"));
        assert!(!hits("/v1/servers/{id}", "/v1/servers/actions"));
        assert!(!hits("/v1/servers/{id}", "/v1/servers/42/actions"));
        assert!(hits("/v1/zones/{zone}/rrsets", "/v1/zones/example.com/rrsets"));
    }

    #[test]
    fn what_could_never_strike_is_refused() {
        for order in [
            json!({"path": "/v1/", "kind": "lose", "probabilty": 0.5}),
            json!({"path": "/v1/", "kind": "lose", "probability": 1.5}),
            json!({"path": "v1/", "kind": "lose"}),
            json!({"path": "/v1/", "kind": "refuse", "status": 409}),
            json!({"path": "/v1/", "kind": "refuse", "status": 4090, "code": "conflict"}),
            json!({"path": "/v1/", "kind": "stuck"}),
            json!({"path": "/start_server", "method": "ACTION", "kind": "lose"}),
            json!([]),
        ] {
            assert!(Fault::parse(&order).is_err(), "{order}");
        }
    }
}
