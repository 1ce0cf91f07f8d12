use super::budget::Level;
use super::clock::{Clock, SystemClock};
use super::error::Error;
use super::policy::{Effect, Step};
use super::transport::{Access, Base, Limits, Notice, Request};
use host::Secret;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
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

fn escape(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
