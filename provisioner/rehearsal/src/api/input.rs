//! What a request carries: its query and the fields of its body, read tolerantly and complained about together.

use crate::error::ApiError;
use crate::labels::{self, Labels};
use axum::http::{StatusCode, Uri};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A request's JSON object. Missing bodies are empty objects, unknown fields are ignored, `null` is absent.
pub(crate) struct Input {
    fields: Map<String, Value>,
    wrong: BTreeMap<String, Vec<String>>,
}

impl Input {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let broken =
            |why: &str| ApiError::new(StatusCode::BAD_REQUEST, "json_error", format!("invalid JSON: {why}"));
        let fields = if body.trim_ascii().is_empty() {
            Map::new()
        } else {
            match serde_json::from_slice(body).map_err(|e| broken(&e.to_string()))? {
                Value::Object(fields) => fields,
                Value::Null => Map::new(),
                _ => return Err(broken("an object is expected")),
            }
        };
        Ok(Self { fields, wrong: BTreeMap::new() })
    }

    /// Whether the field was sent, be it as `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Notes that a field is wrong; [`Input::done`] tells.
    pub(crate) fn complain(&mut self, name: &str, why: impl Into<String>) {
        self.wrong.entry(name.into()).or_default().push(why.into());
    }

    /// Whether something was complained about.
    pub(crate) fn is_wrong(&self, name: &str) -> bool {
        self.wrong.contains_key(name)
    }

    pub(crate) fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.fields.get(name).filter(|v| !v.is_null())?;
        match T::deserialize(value) {
            Ok(value) => Some(value),
            Err(e) => {
                self.complain(name, e.to_string());
                None
            }
        }
    }

    /// A field that must be there. Where it is missing or wrong the default is given back and [`Input::done`] fails.
    pub(crate) fn required<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        if self.fields.get(name).is_none_or(Value::is_null) {
            self.complain(name, "missing data for required field");
        }
        self.optional(name).unwrap_or_default()
    }

    pub(crate) fn labels(&mut self) -> Option<Labels> {
        let labels: Labels = self.optional("labels")?;
        if let Err(why) = labels::validate(&labels) {
            self.complain("labels", why);
        }
        Some(labels)
    }

    /// A resource's name: 1 to 128 printable characters.
    pub(crate) fn name(&mut self) -> String {
        let name: String = self.required("name");
        self.check_name(&name);
        name
    }

    /// The new name, in an update.
    pub(crate) fn new_name(&mut self) -> Option<String> {
        let name: String = self.optional("name")?;
        self.check_name(&name);
        Some(name)
    }

    fn check_name(&mut self, name: &str) {
        let missing = self.is_wrong("name");
        if !missing && (name.trim().is_empty() || name.len() > 128 || name.chars().any(char::is_control)) {
            self.complain("name", "must have 1 to 128 characters");
        }
    }

    /// Fails with every complaint there was.
    pub(crate) fn done(&self) -> Result<(), ApiError> {
        if self.wrong.is_empty() { Ok(()) } else { Err(ApiError::fields(&self.wrong)) }
    }
}

/// An id that clients send as a number or as digits in a string.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Id(pub(crate) u64);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
        .map(Self)
        .ok_or_else(|| serde::de::Error::custom("expected an id"))
    }
}

/// An id or a name, as the API takes for server types, images, locations and SSH keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reference(String);

impl Reference {
    /// Whether this is what is meant. An id wins over a name that looks like one.
    pub(crate) fn means(&self, id: u64, name: &str) -> bool {
        self.id().map_or(self.0 == name, |wanted| wanted == id)
    }

    pub(crate) fn id(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Number(number) if number.is_u64() => Ok(Self(number.to_string())),
            Value::String(text) if !text.is_empty() => Ok(Self(text)),
            _ => Err(serde::de::Error::custom("expected an id or a name")),
        }
    }
}

/// A request's query string; parameters may repeat.
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    pub(crate) uri: Uri,
}

impl Query {
    pub(crate) fn parse(uri: Uri) -> Result<Self, ApiError> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri)
            .map_err(|e| ApiError::new(StatusCode::BAD_REQUEST, "invalid_input", e.to_string()))?
            .0;
        Ok(Self { pairs, uri })
    }

    /// The parameter's values; an empty one is as good as none.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    pub(crate) fn one<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    pub(crate) fn number(&self, name: &str, default: u64) -> Result<u64, ApiError> {
        let Some(text) = self.one(name) else { return Ok(default) };
        match text.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(ApiError::field(name, "must be a number from 1")),
        }
    }

    /// Every pair but these, to build links from.
    pub(crate) fn others<'a>(&'a self, but: &'a str) -> impl Iterator<Item = &'a (String, String)> {
        self.pairs.iter().filter(move |(name, _)| name != but)
    }
}
