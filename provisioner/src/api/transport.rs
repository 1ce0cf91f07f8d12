//! One request, from the budget to the answer, and the loop that sends it again.

use super::budget::{Budget, Level};
use super::client::Client;
use super::clock::Told;
use super::error::{self, Error, clean};
use super::policy::{Effect, Step, Tries, Wait, jitter};
use host::Secret;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
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
    fn hint(&self) -> String {
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
    http: reqwest::Client,
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
    fn hear(&self, headers: &HeaderMap, now: Duration) -> Option<Level> {
        let told = Told::read(headers, now);
        if told.is_some() {
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
        }
        let level = Level::read(headers)?;
        let reset = told.map_or(level.reset, |told| told.here(level.reset));
        Some(Level { reset, ..level })
    }

    fn authorization(&self, doing: &str) -> Result<HeaderValue, Error> {
        let bytes = [b"Bearer ", self.access.token.expose()].concat();
        let mut value = HeaderValue::from_bytes(&bytes).map_err(|_| Error::Unusable {
            doing: doing.into(),
            why: format!("no HTTP header can carry the token{}; set HCLOUD_TOKEN anew", self.access.hint()),
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn no_answer(&self, doing: &str, why: String) -> Error {
        Error::NoAnswer { doing: doing.into(), why, endpoint: self.access.url.clone() }
    }
}

/// Whether a URL names this machine.
pub(crate) fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A request's place in the budget, given back however it ends.
struct Booking<'a>(&'a Base);

impl Drop for Booking<'_> {
    fn drop(&mut self) {
        self.0.budget().free();
    }
}

/// What is sent.
pub(super) struct Request<'a> {
    pub(super) doing: &'a str,
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
    pub(super) effect: Effect,
}

impl Client {
    /// Sends a request until it is answered, or the policy says that it is enough.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Value, Error> {
        let start = self.clock.now();
        let mut tries = Tries::default();
        let mut spoke: Option<(Step, Duration)> = None;
        loop {
            let error = match self.send_once(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let (step, now) = (error.next_step(), self.clock.now());
            let asked = match step {
                Step::Again(Wait::Budget) => self.base(request.path).budget().after_refusal(now),
                _ => None,
            };
            let wait =
                if request.effect.allows(step) { tries.pause(step, now, asked, jitter()) } else { None };
            let Some(wait) = wait else {
                return Err(error.after(tries.count(), now.saturating_sub(start).as_secs()));
            };
            if spoke.is_none_or(|(of, at)| of != step || now.saturating_sub(at) >= QUIET) {
                spoke = Some((step, now));
                let total = step.bound().map_or(0, |bound| bound.total.as_secs());
                let (what, wait) = (step.waits_for(), wait.as_secs_f64());
                self.say(&format!("{error}; {what}: asking again in {wait:.0} s, for {total} s at most"));
            }
            self.clock.sleep(wait).await;
        }
    }

    async fn send_once(&self, request: &Request<'_>) -> Result<Value, Error> {
        let base = self.base(request.path);
        let doing = request.doing;
        if self.sent.fetch_add(1, Ordering::Relaxed) >= self.limits.requests {
            return Err(Error::TooMany { doing: doing.into(), limit: self.limits.requests });
        }
        let _booking = self.pace(doing, base).await;
        let mut built = base
            .http
            .request(request.method.clone(), format!("{}{}", base.access.url, request.path))
            .header(AUTHORIZATION, base.authorization(doing)?);
        if let Some(body) = request.body {
            built = built.json(body);
        }
        let response = built.send().await.map_err(|e| self.lost(doing, base, &e))?;
        let status = response.status();
        let now = self.clock.now();
        if let Some(level) = base.hear(response.headers(), now) {
            base.budget().record(level, now);
        }
        let correlation =
            response.headers().get("x-correlation-id").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let bytes = self.read(doing, base, response).await?;
        if !status.is_success() {
            let token = String::from_utf8_lossy(base.access.token.expose());
            let mut error = error::refused(doing, status.as_u16(), &bytes, correlation.as_deref(), &token);
            if let (StatusCode::UNAUTHORIZED, Error::Refused { message, .. }) = (status, &mut error) {
                message.push_str(&base.access.hint());
            }
            return Err(error);
        }
        if status == StatusCode::NO_CONTENT || bytes.is_empty() {
            return Ok(Value::Null);
        }
        let answer = serde_json::from_slice(&bytes).map_err(|e| self.garbled(doing, request.path, &e))?;
        Ok(spec::cleaned(answer))
    }

    /// Books the request, and waits for its turn where the project's budget runs low.
    async fn pace<'a>(&self, doing: &str, base: &'a Base) -> Booking<'a> {
        let (wait, level) = {
            let mut budget = base.budget();
            (budget.book(self.clock.now()), budget.level())
        };
        let booking = Booking(base);
        if wait.is_zero() {
            return booking;
        }
        if let Some(level) = level.filter(|_| wait >= Duration::from_secs(2) && self.may_speak_of_pace()) {
            self.say(&format!(
                "{doing}: {} of the project's {} requests an hour are left, so that requests are spaced: the next in {} s",
                level.remaining,
                level.limit,
                wait.as_secs()
            ));
        }
        self.clock.sleep(wait).await;
        booking
    }

    fn may_speak_of_pace(&self) -> bool {
        let now = self.clock.now();
        let mut spoke = self.spoke_of_pace.lock().unwrap_or_else(PoisonError::into_inner);
        let may = spoke.is_none_or(|at| now.saturating_sub(at) >= QUIET);
        if may {
            *spoke = Some(now);
        }
        may
    }

    /// Reads an answer's body, as far as it may go.
    async fn read(
        &self,
        doing: &str,
        base: &Base,
        mut response: reqwest::Response,
    ) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.lost(doing, base, &e))? {
            if bytes.len() + chunk.len() > self.limits.answer {
                let why = format!("the answer is larger than {} bytes", self.limits.answer);
                return Err(base.no_answer(doing, why));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn lost(&self, doing: &str, base: &Base, error: &reqwest::Error) -> Error {
        let why = if error.is_timeout() && error.is_connect() {
            format!("no connection within {} s", self.limits.connect.as_secs())
        } else if error.is_timeout() {
            format!("no whole answer within {} s", self.limits.request.as_secs())
        } else {
            clean(&deepest(error))
        };
        base.no_answer(doing, why)
    }

    /// An answer that could not be read: what was asked for may have been done.
    pub(super) fn garbled(&self, doing: &str, path: &str, why: &serde_json::Error) -> Error {
        self.base(path).no_answer(doing, format!("the answer was not understood: {why}"))
    }
}

/// The innermost cause, which is the one that says "connection refused".
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
