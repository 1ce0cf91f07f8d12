//! Routes: what is reached through the front door, from where, by whom and how often.

use super::{From, Host, PathPrefix, When, Word};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Requests that are handed to a service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What the stack calls it; a project may give it another host by that name.
    pub name: Word,
    /// The host, below the project's domain; `@` is the domain itself.
    pub host: Host,
    /// Other hosts, which people are sent on from to that one.
    #[serde(default)]
    pub also: Vec<Host>,
    /// Whether the host lies below the domain of names inside the private network instead, and has no public record.
    #[serde(default)]
    pub inside: bool,
    /// What the path begins with: a whole part of it, so `/a` is not `/ab`.
    #[serde(default)]
    pub path: PathPrefix,
    /// Several of those, instead.
    #[serde(default)]
    pub paths: Vec<PathPrefix>,
    /// The service.
    pub service: Word,
    /// The port it listens on.
    pub port: u16,
    /// From where it may be asked for.
    pub from: From,
    /// The role that whoever asks must have.
    pub role: Option<Word>,
    /// How often one address may ask.
    #[serde(default)]
    pub limit: Limit,
    /// Paths below it that nobody gets.
    #[serde(default)]
    pub refused: Vec<PathPrefix>,
    /// Paths from which people are sent on to others of the same host.
    #[serde(default)]
    pub redirects: BTreeMap<PathPrefix, PathPrefix>,
    /// Whether `%`, `;`, `?` and `#` may stand percent-encoded in its paths, as they do where files have names. Encoded
    /// slashes, backslashes and zeros nobody gets through.
    #[serde(default)]
    pub encoded: bool,
    /// The Content-Security-Policy of its pages, for a service that sends none of its own.
    pub policy: Option<String>,
    /// The choice that it is there for.
    pub when: Option<When>,
}

/// How often one address may ask for something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// As often as pages and what belongs to them need.
    #[default]
    Pages,
    /// As seldom as people sign in.
    Login,
    /// As often as a device needs that keeps a folder of many files.
    Files,
}

impl Route {
    /// What its paths begin with.
    pub fn paths(&self) -> &[PathPrefix] {
        if self.paths.is_empty() { std::slice::from_ref(&self.path) } else { &self.paths }
    }
}
