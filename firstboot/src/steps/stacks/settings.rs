//! What a stack keeps in its own database and is stated in its folder: looked at, and put right, by its Admin API.
//!
//! The API is asked over the container's own network by `curl`, whose whole configuration comes in on stdin: neither a token
//! nor a document is ever an argument.

use crate::access::store::stored;
use crate::run::Cx;
use ::stacks::Planned;
use ::stacks::manifest::api::Api;
use ::stacks::resources::{self, Ask, Change, Request};
use anyhow::{Context as _, Result, anyhow};
use host::{Cmd, Host as _, Secret};
use serde_json::Value;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long one answer may take on a slow machine.
const ANSWER: Duration = Duration::from_secs(90);

/// How what is there differs from what is stated; nothing where the stack has no Admin API.
pub(super) fn differing(cx: &Cx<'_>, stack: &Planned) -> Result<Vec<Change>> {
    with_api(cx, stack, |api, documents, ask| resources::differing(api, documents, ask))
}

/// Puts right what differs, and says what that was.
pub(super) fn put_right(cx: &Cx<'_>, stack: &Planned) -> Result<Vec<Change>> {
    with_api(cx, stack, |api, documents, ask| resources::reconcile(api, documents, ask))
}

type Documents = std::collections::BTreeMap<String, Value>;

fn with_api(
    cx: &Cx<'_>,
    stack: &Planned,
    work: impl FnOnce(&Api, &Documents, &mut Curl<'_, '_>) -> Result<Vec<Change>, String>,
) -> Result<Vec<Change>> {
    let Some(api) = &stack.manifest.api else { return Ok(Vec::new()) };
    let plan = cx.plan()?;
    let secret = |name: &str| cx.read(&stored(name)).ok().flatten();
    let documents = plan.documents(stack, secret)?;
    let base = plan.api_address(stack).context("its Admin API has no address")?;
    let mut curl = Curl { cx, base, token: None };
    let about = || format!("the settings of stack {}", stack.name);
    curl.sign_in(api).with_context(about)?;
    work(api, &documents, &mut curl).map_err(|why| anyhow!(why)).with_context(about)
}

/// An Admin API, asked by curl.
struct Curl<'c, 'm> {
    cx: &'c Cx<'m>,
    base: String,
    token: Option<Secret>,
}

/// What of the answer to a log-in is read.
#[derive(serde::Deserialize)]
struct SignedIn {
    access_token: String,
}

impl Curl<'_, '_> {
    /// Exchanges the client's secret for a token.
    fn sign_in(&mut self, api: &Api) -> Result<()> {
        let secret = self.cx.read(&stored(&api.token.secret))?;
        let secret =
            Zeroizing::new(secret.with_context(|| format!("there is no secret {}", api.token.secret))?);
        let form = Zeroizing::new(resources::token_form(&api.token, &secret));
        let answer = self.ask("POST", &api.token.path, Some(("application/x-www-form-urlencoded", &form)));
        let (status, body) = answer.map_err(|why| anyhow!(why))?;
        // Not into `Value`, whose strings would not be wiped.
        let signed_in: SignedIn = serde_json::from_slice(&body)
            .map_err(|_| anyhow!("signing in at {}{}: it answered {status}", self.base, api.token.path))?;
        self.token = Some(Secret::new(signed_in.access_token.into_bytes()));
        Ok(())
    }

    /// The status and the body of what it answers.
    fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<(u16, Zeroizing<Vec<u8>>), String> {
        let mut config = Zeroizing::new(Vec::with_capacity(1 << 16));
        let mut option = |name: &str, value: &[&[u8]]| {
            config.extend(name.as_bytes());
            config.extend(b" = \"");
            for byte in value.concat() {
                if matches!(byte, b'"' | b'\\') {
                    config.push(b'\\');
                }
                config.push(byte);
            }
            config.extend(b"\"\n");
        };
        option("url", &[self.base.as_bytes(), path.as_bytes()]);
        option("request", &[method.as_bytes()]);
        if let Some(token) = &self.token {
            option("header", &[b"Authorization: Bearer ", token.expose()]);
        }
        if let Some((kind, body)) = body {
            option("header", &[b"Content-Type: ", kind.as_bytes()]);
            option("data-binary", &[body]);
        }
        let cmd = Cmd::new("curl").args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]);
        let cmd = cmd.args(["--write-out", "\n%{http_code}", "--config", "-"]);
        let config = Secret::new(std::mem::take(&mut *config));
        let said =
            self.cx.run(&cmd.stdin_secret(&config).timeout(ANSWER)).map_err(|error| error.to_string())?;
        let said = Zeroizing::new(said.stdout);
        let end = said.iter().rposition(|byte| *byte == b'\n').ok_or("curl said nothing")?;
        let status = std::str::from_utf8(&said[end + 1..]).ok().and_then(|status| status.parse().ok());
        Ok((status.ok_or("curl named no status")?, Zeroizing::new(said[..end].to_vec())))
    }
}

impl Ask for Curl<'_, '_> {
    fn get(&mut self, path: &str) -> Result<Option<Value>, String> {
        match self.ask("GET", path, None)? {
            (404, _) => Ok(None),
            (200, body) => {
                serde_json::from_slice(&body).map(Some).map_err(|error| format!("asking for {path}: {error}"))
            }
            (status, _) => Err(format!("asking for {path}: it answered {status}")),
        }
    }

    fn send(&mut self, request: &Request) -> Result<(), String> {
        let body = Zeroizing::new(serde_json::to_vec(&request.body).map_err(|error| error.to_string())?);
        let (status, said) = self.ask(request.method, &request.path, Some(("application/json", &body)))?;
        if (200..300).contains(&status) {
            return Ok(());
        }
        let said = host::clean(&String::from_utf8_lossy(&said));
        Err(format!("{} {}: it answered {status}: {said}", request.method, request.path))
    }
}
