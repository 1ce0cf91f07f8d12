//! One request, from the budget to the answer, and the loop that sends it again.

use super::budget::{Budget, Level};
use super::clock::Told;
use super::error::Error;
use super::policy::Effect;
use host::Secret;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Hetzner's own, for all but Storage Boxes.
pub const DEFAULT_ENDPOINT: &str = "https://api.hetzner.cloud/v1";
/// Hetzner's own for Storage Boxes.
pub const STORAGE_ENDPOINT: &str = "https://api.hetzner.com/v1";
/// How many characters Hetzner's tokens have.
const TOKEN_LENGTH: usize = 64;
/// How often one wait is spoken of at the most.
pub(super) const QUIET: Duration = Duration::from_secs(10);

/// What the operator is told while a request is waited for.
pub type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// An API and the right to use it.
#[derive(Clone)]
pub struct Access {
    /// The API's base URL, without a trailing slash.
    pub url: String,
    /// The API token.
    pub token: Secret,
    /// Where the token came from, for messages; empty where that is nobody's business.
    pub source: String,
}

impl Access {
    /// An API at `url` for the holder of `token`.
    pub fn new(url: &str, token: Secret, source: &str) -> Self {
        Self { url: url.trim_end_matches('/').into(), token, source: source.into() }
    }

    /// What may be wrong with a token that was refused.
    pub(super) fn hint(&self) -> String {
        let (source, token) = (&self.source, self.token.expose());
        let from = if source.is_empty() { String::new() } else { format!(" from {source}") };
        let length = String::from_utf8_lossy(token).chars().count();
        if length != TOKEN_LENGTH {
            format!(" (the token{from} has {length} characters, Hetzner's have {TOKEN_LENGTH})")
        } else if !token.iter().all(u8::is_ascii_graphic) {
            format!(" (the token{from} has characters that Hetzner's never have)")
        } else if from.is_empty() {
            String::new()
        } else {
            format!(" (the token is{from})")
        }
    }
}

/// How much a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection is there.
    pub connect: Duration,
    /// One request, from its first byte sent to the last received.
    pub request: Duration,
    /// The largest answer that is read, in bytes.
    pub answer: usize,
    /// How many requests a client and its clones send altogether.
    pub requests: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_secs(30),
            answer: 16 << 20,
            requests: 3000,
        }
    }
}

/// One API with what is known of it.
pub(super) struct Base {
    pub(super) access: Access,
    pub(super) http: reqwest::Client,
    budget: Mutex<Budget>,
    told: Mutex<Option<Told>>,
}

impl Base {
    pub(super) fn new(access: Access, limits: &Limits) -> Result<Self, Error> {
        // ring instead of rustls' default: it compiles in seconds, without a C build system. Whoever set a
        // provider before us may keep it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let unusable = |why: String| Error::Unusable {
            doing: "preparing the connection to the cloud".into(),
            why: format!("{why}: check the endpoint {}", access.url),
        };
        let url = reqwest::Url::parse(&access.url).map_err(|e| unusable(e.to_string()))?;
        let mut builder = reqwest::Client::builder()
            .timeout(limits.request)
            .connect_timeout(limits.connect)
            // The API never redirects: whoever does is not the API, and gets no token.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("sovereign/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        if url.scheme() == "http" {
            // Reading this machine's authorities takes longer than a call, and nobody will be asked for a certificate.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|e| unusable(deepest(&e)))?;
        Ok(Self { access, http, budget: Mutex::default(), told: Mutex::default() })
    }

    pub(super) fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its last answer said of its clock.
    pub(super) fn told(&self) -> Option<Told> {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what an answer's headers say, and gives back what they say of the budget by the client's clock.
    pub(super) fn take_headers(&self, headers: &HeaderMap, now: Duration) -> Option<Level> {
        let told = Told::read(headers, now);
        if told.is_some() {
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
        }
        let level = Level::read(headers)?;
        let reset = told.map_or(level.reset, |told| told.here(level.reset));
        Some(Level { reset, ..level })
    }

    pub(super) fn authorization(&self, doing: &str) -> Result<HeaderValue, Error> {
        let bytes = [b"Bearer ", self.access.token.expose()].concat();
        let mut value = HeaderValue::from_bytes(&bytes).map_err(|_| Error::Unusable {
            doing: doing.into(),
            why: format!("no HTTP header can carry the token{}; set HCLOUD_TOKEN anew", self.access.hint()),
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    pub(super) fn no_answer(&self, doing: &str, why: String) -> Error {
        Error::NoAnswer { doing: doing.into(), why, endpoint: self.access.url.clone() }
    }
}

/// Whether a URL names this machine.
pub(crate) fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What is sent.
pub(super) struct Request<'a> {
    pub(super) doing: &'a str,
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
    pub(super) effect: Effect,
}

/// The innermost cause, which is the one that says "connection refused".
pub(super) fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
