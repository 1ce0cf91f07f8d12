use super::error::{self, Error};
use super::model::Action;
use super::retry::{Effect, pause};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Hetzner's own.
pub const DEFAULT_ENDPOINT: &str = "https://api.hetzner.cloud/v1";
/// One request, from the first byte sent to the last received.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The most entries a page may have (OpenAPI document, "Pagination").
const PER_PAGE: &str = "50";

/// What the operator is told while a request is waited for.
pub type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// A connection to one Hetzner project.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoint: String,
    token: String,
    notice: Notice,
}

impl Client {
    /// Talks to `endpoint` (no trailing slash) as the holder of `token`; says on `notice` what it waits for.
    pub fn new(endpoint: &str, token: &str, notice: Notice) -> Result<Self, Error> {
        // ring instead of rustls' default: it compiles in seconds, without a C build system. Whoever set a
        // provider before us may keep it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(REQUEST_LIMIT)
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("sovereign/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Error::NoAnswer {
                doing: "preparing the HTTP client".into(),
                why: e.to_string(),
                endpoint: endpoint.into(),
            })?;
        Ok(Self { http, endpoint: endpoint.trim_end_matches('/').into(), token: token.into(), notice })
    }

    /// Reads one object: the value below `key` in the answer to `GET path`.
    pub async fn get<T: DeserializeOwned>(&self, doing: &str, path: &str, key: &str) -> Result<T, Error> {
        let answer = self.send(doing, Method::GET, path, None, Effect::Read).await?;
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
            let answer = self.send(doing, Method::GET, &url, None, Effect::Read).await?;
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
    pub async fn create(&self, doing: &str, path: &str, body: &Value) -> Result<Value, Error> {
        self.send(doing, Method::POST, path, Some(body), Effect::Create).await
    }

    /// Changes something in a way that can be asked for twice.
    pub async fn change(
        &self,
        doing: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        self.send(doing, method, path, body, Effect::Idempotent).await
    }

    /// Deletes something; that it is gone already is fine.
    pub async fn delete(&self, doing: &str, path: &str) -> Result<Value, Error> {
        match self.change(doing, Method::DELETE, path, None).await {
            Err(error) if error.code() == Some("not_found") => Ok(Value::Null),
            other => other,
        }
    }

    /// Waits until every action named in an answer has ended, and looks at each one's error.
    pub async fn finish(&self, doing: &str, answer: &Value, limit: Duration) -> Result<(), Error> {
        let listed =
            ["actions", "next_actions"].iter().filter_map(|key| answer.get(key)?.as_array()).flatten();
        let named = answer.get("action").into_iter().chain(listed);
        let mut open: BTreeMap<u64, String> = BTreeMap::new();
        for action in named.filter(|action| !action.is_null()) {
            self.settle(
                doing,
                &mut open,
                &serde_json::from_value(action.clone()).map_err(|e| self.garbled(doing, &e))?,
            )?;
        }
        let start = Instant::now();
        let mut wait = Duration::from_millis(250);
        while let Some((_, command)) = open.iter().next() {
            if start.elapsed() > limit {
                return Err(Error::ActionTimeout {
                    doing: doing.into(),
                    action: command.clone(),
                    seconds: limit.as_secs(),
                });
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(2));
            let ids = open.keys().map(|id| format!("id={id}")).collect::<Vec<_>>().join("&");
            let answer =
                self.send(doing, Method::GET, &format!("/actions?{ids}"), None, Effect::Read).await?;
            for action in self.field::<Vec<Action>>(doing, answer, "actions")? {
                self.settle(doing, &mut open, &action)?;
            }
        }
        Ok(())
    }

    /// Has a resource do something that must not be done twice, and waits for its end. When the answer is lost it looks
    /// whether such an action was begun since, and waits for that one.
    pub async fn act_once(
        &self,
        doing: &str,
        resource: &str,
        action: &str,
        body: &Value,
        limit: Duration,
    ) -> Result<(), Error> {
        let history = format!("{resource}/actions");
        let newest = async || {
            let seen: Vec<Action> = self.list(doing, &history, "actions", &[("sort", "id:desc")]).await?;
            Ok::<_, Error>(seen)
        };
        let before = newest().await?.iter().map(|action| action.id).max();
        match self.create(doing, &format!("{resource}/actions/{action}"), body).await {
            Ok(answer) => self.finish(doing, &answer, limit).await,
            Err(error) if !matches!(error, Error::NoAnswer { .. }) && error.code().is_none() => Err(error),
            Err(error) => {
                let begun =
                    newest().await?.into_iter().find(|a| Some(a.id) > before && a.command.contains(action));
                let Some(begun) = begun else { return Err(error) };
                self.finish(
                    doing,
                    &serde_json::json!({ "action": { "id": begun.id, "status": begun.status,
                    "command": begun.command } }),
                    limit,
                )
                .await
            }
        }
    }

    /// Waits until what a resource is doing has ended, however it ended; says whether there was anything.
    pub async fn finish_running(&self, doing: &str, path: &str, limit: Duration) -> Result<bool, Error> {
        let running: Vec<Value> =
            self.list(doing, &format!("{path}/actions"), "actions", &[("status", "running")]).await?;
        if running.is_empty() {
            return Ok(false);
        }
        match self.finish(doing, &serde_json::json!({ "actions": running }), limit).await {
            Ok(()) | Err(Error::ActionFailed { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn settle(&self, doing: &str, open: &mut BTreeMap<u64, String>, action: &Action) -> Result<(), Error> {
        match action.status.as_str() {
            "running" => drop(open.insert(action.id, action.command.clone())),
            "error" => {
                let error = action.error.as_ref();
                return Err(Error::ActionFailed {
                    doing: doing.into(),
                    action: action.command.clone(),
                    code: error.map_or_else(|| "unknown".into(), |e| e.code.clone()),
                    message: error.map_or_else(|| "no reason was given".into(), |e| e.message.clone()),
                });
            }
            _ => drop(open.remove(&action.id)),
        }
        Ok(())
    }

    /// Takes the object below `key` out of an answer.
    pub fn field<T: DeserializeOwned>(&self, doing: &str, mut answer: Value, key: &str) -> Result<T, Error> {
        let value = answer.get_mut(key).map(Value::take).unwrap_or_default();
        serde_json::from_value(value).map_err(|e| self.garbled(doing, &e))
    }

    fn garbled(&self, doing: &str, why: &serde_json::Error) -> Error {
        Error::NoAnswer {
            doing: doing.into(),
            why: format!("the answer was not understood: {why}"),
            endpoint: self.endpoint.clone(),
        }
    }

    async fn send(
        &self,
        doing: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
        effect: Effect,
    ) -> Result<Value, Error> {
        let mut attempt = 1;
        loop {
            let error = match self.send_once(doing, method.clone(), path, body).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(wait) = pause(&error, effect, attempt) else { return Err(error) };
            (self.notice)(&format!("{error}; trying again in {} s ({attempt})", wait.as_secs()));
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn send_once(
        &self,
        doing: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let lost = |e: reqwest::Error| {
            let why = if e.is_timeout() {
                format!("no answer within {} s", REQUEST_LIMIT.as_secs())
            } else {
                deepest(&e)
            };
            Error::NoAnswer { doing: doing.into(), why, endpoint: self.endpoint.clone() }
        };
        let mut request =
            self.http.request(method, format!("{}{path}", self.endpoint)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        let correlation =
            response.headers().get("x-correlation-id").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let bytes = response.bytes().await.map_err(lost)?;
        if !status.is_success() {
            return Err(error::refused(doing, status.as_u16(), &bytes, correlation));
        }
        if status == StatusCode::NO_CONTENT || bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|e| self.garbled(doing, &e))
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

fn escape(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
