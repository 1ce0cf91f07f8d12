//! An Admin API, and what it shall hold: settings that a stack keeps in its own database, stated as documents.

use super::{RelativePath, Word};
use serde::Deserialize;
use std::collections::BTreeMap;

/// How an Admin API is asked, and which documents say what it shall hold; [`mod@crate::resources`] compares.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// The service that answers, over plain HTTP inside.
    pub service: Word,
    /// Its port.
    pub port: u16,
    /// How one gets in.
    pub token: Token,
    /// What is compared, and put right, in this order.
    pub resources: Vec<Resource>,
}

/// Credentials of an OAuth 2.0 client: what they are exchanged for is the bearer token of every request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Where they are exchanged.
    pub path: String,
    /// The client's id.
    pub client: Word,
    /// The stack's secret that is the client's.
    pub secret: Word,
}

/// One object of the API, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// What people call it.
    pub name: String,
    /// The file below `config/` that says how it shall be: JSON, once it is filled in.
    pub document: RelativePath,
    /// Which part of that, as a JSON pointer; the whole where it is empty.
    #[serde(default)]
    pub part: String,
    /// Fields of that part that are no part of this.
    #[serde(default)]
    pub without: Vec<String>,
    /// Where what is there is asked for.
    pub path: String,
    /// The field that tells the items of a list apart; an object is no list.
    pub key: Option<String>,
    /// Where a changed one is put, with `{FIELD}` of what is there; where it is asked for, if nothing is said.
    pub item: Option<String>,
    /// How a missing one is made; where nothing is said it cannot be.
    pub create: Option<Create>,
    /// Fields that are said when it is made, and never read again.
    #[serde(default)]
    pub once: Vec<String>,
    /// Fields whose values nobody is shown.
    #[serde(default)]
    pub hidden: Vec<String>,
}

/// How a missing item is made: by a POST of what the document says of it, or of something else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// Where.
    pub path: String,
    /// What is sent instead of the item, or around it.
    #[serde(default)]
    pub with: BTreeMap<String, String>,
    /// The field in that, a list, which the item stands in.
    pub list: Option<String>,
}
