use super::budget::Level;
use super::clock::{Clock, SystemClock};
use super::error::{self, Error, clean};
use super::policy::{Effect, Step, Tries, Wait, jitter};
use super::transport::{Access, Base, Limits, Notice, QUIET, Request, deepest};
use host::Secret;
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most entries a page may have (OpenAPI document, "Pagination").
const PER_PAGE: &str = "50";
/// How the paths begin that are served by the other API.
const STORAGE: &str = "/storage_box";

/// A connection to one Hetzner project: the Cloud API, and for paths that begin with `/storage_box` the Storage Box
/// API. Clones share the budget of requests and their count.
#[derive(Clone)]
pub struct Client {
    cloud: Arc<Base>,
    storage: Arc<Base>,
    pub(super) limits: Limits,
    pub(super) sent: Arc<AtomicU32>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) spoke_of_pace: Arc<Mutex<Option<Duration>>>,
    notice: Notice,
}

impl Client {
    /// Talks to `endpoint` as the holder of `token`, about Storage Boxes, too; says on `notice` what it waits for.
    pub fn new(endpoint: &str, token: &str, notice: Notice) -> Result<Self, Error> {
        let access = Access::new(endpoint, Secret::new(token.into()), "");
        Self::serving(access, None, notice)
    }

    /// Talks to two APIs: all but Storage Boxes, and these, where they have one of their own.
    pub fn serving(cloud: Access, storage: Option<Access>, notice: Notice) -> Result<Self, Error> {
        let limits = Limits::default();
        let cloud = Arc::new(Base::new(cloud, &limits)?);
        let storage = match storage {
            Some(access) => Arc::new(Base::new(access, &limits)?),
            None => Arc::clone(&cloud),
        };
        Ok(Self {
            cloud,
            storage,
            limits,
            sent: Arc::default(),
            clock: Arc::new(SystemClock::new()),
            spoke_of_pace: Arc::default(),
            notice,
        })
    }

    /// The same with other limits, nothing sent yet.
    pub fn with_limits(mut self, limits: Limits) -> Result<Self, Error> {
        let shared = Arc::ptr_eq(&self.cloud, &self.storage);
        self.cloud = Arc::new(Base::new(self.cloud.access.clone(), &limits)?);
        self.storage = if shared {
            Arc::clone(&self.cloud)
        } else {
            Arc::new(Base::new(self.storage.access.clone(), &limits)?)
        };
        Ok(Self { limits, sent: Arc::default(), ..self })
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The time by this machine's clock, since 1970. What is decided about the cloud's things is decided by
    /// [`cloud_time`](Self::cloud_time).
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// The time by the cloud's own clock, since 1970: what its last answer said, and what has passed since.
    pub fn cloud_time(&self) -> Result<Duration, Error> {
        let told = self.cloud.told().ok_or_else(|| Error::Unusable {
            doing: "reading the cloud's clock".into(),
            why: format!("no answer of {} had a Date; look what stands between", self.cloud.access.url),
        })?;
        Ok(told.cloud(self.now()))
    }

    /// Waits by its clock.
    pub async fn rest(&self, length: Duration) {
        self.clock.sleep(length).await;
    }

    /// What is left of the project's budget of requests, as its last answer said.
    pub fn budget(&self) -> Option<Level> {
        self.cloud.budget().level()
    }

    pub(super) fn base(&self, path: &str) -> &Base {
        if path.starts_with(STORAGE) { &self.storage } else { &self.cloud }
    }

    pub(super) fn say(&self, text: &str) {
        (self.notice)(text);
    }

    /// Reads one object: the value below `key` in the answer to `GET path`.
    pub async fn get<T: DeserializeOwned>(&self, doing: &str, path: &str, key: &str) -> Result<T, Error> {
        let answer = self.read_path(doing, path).await?;
        self.field(doing, answer, key)
    }

    /// Reads a whole list, page by page.
    pub async fn list<T: DeserializeOwned>(
        &self,
        doing: &str,
        path: &str,
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut page = 1;
        loop {
            let mut url = format!("{path}?page={page}&per_page={PER_PAGE}");
            for (name, value) in query {
                url.push_str(&format!("&{name}={}", escape(value)));
            }
            let answer = self.read_path(doing, &url).await?;
            let next = answer.pointer("/meta/pagination/next_page").and_then(Value::as_u64);
            all.extend(self.field::<Vec<T>>(doing, answer, key)?);
            match next {
                Some(next) if next > page => page = next,
                _ => return Ok(all),
            }
        }
    }

    /// Creates something: sent once more only where the cloud said that nothing was done.
    /// The whole answer is given back, since actions stand beside the object.
    /// [`create_or_adopt`](Self::create_or_adopt) gets over lost answers, too.
    pub async fn create(&self, doing: &str, path: &str, body: &Value) -> Result<Value, Error> {
        let effect = Effect::Twice;
        self.send(&Request { doing, method: Method::POST, path, body: Some(body), effect }).await
    }

    /// Changes something in a way that can be asked for twice.
    pub async fn change(
        &self,
        doing: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        self.send(&Request { doing, method, path, body, effect: Effect::Once }).await
    }

    /// Deletes something; that it is gone already is fine.
    pub async fn delete(&self, doing: &str, path: &str) -> Result<Value, Error> {
        match self.change(doing, Method::DELETE, path, None).await {
            Err(error) if error.next_step() == Step::Gone => Ok(Value::Null),
            other => other,
        }
    }

    /// Takes the object below `key` out of an answer.
    pub fn field<T: DeserializeOwned>(&self, doing: &str, mut answer: Value, key: &str) -> Result<T, Error> {
        let value = answer.get_mut(key).map(Value::take).unwrap_or_default();
        serde_json::from_value(value).map_err(|e| self.garbled(doing, "", &e))
    }

    pub(super) async fn read_path(&self, doing: &str, path: &str) -> Result<Value, Error> {
        self.change(doing, Method::GET, path, None).await
    }
}

impl Client {
    /// Sends a request until it is answered, or the policy says that it is enough.
    async fn send(&self, request: &Request<'_>) -> Result<Value, Error> {
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
        if let Some(level) = base.take_headers(response.headers(), now) {
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

/// A request's place in the budget, given back however it ends.
struct Booking<'a>(&'a Base);

impl Drop for Booking<'_> {
    fn drop(&mut self) {
        self.0.budget().free();
    }
}

fn escape(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
