//! Lists: filtered, sorted, cut into pages, the same for every resource.

use super::input::Query;
use crate::error::ApiError;
use crate::labels::{Labels, Selector};
use axum::Json;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::cmp::Ordering;

const DEFAULT_PER_PAGE: u64 = 25;
const MOST_PER_PAGE: u64 = 50;

/// A resource's rendered entries, on the way to becoming a page.
pub(crate) struct Listing<'a> {
    query: &'a Query,
    entries: Vec<Value>,
}

impl<'a> Listing<'a> {
    pub(crate) fn new(query: &'a Query, entries: impl IntoIterator<Item = Value>) -> Self {
        Self { query, entries: entries.into_iter().collect() }
    }

    /// Keeps the entries whose field is one of the values of the parameter of the same name.
    pub(crate) fn by(mut self, field: &str) -> Self {
        let wanted: Vec<_> = self.query.all(field).collect();
        if !wanted.is_empty() {
            self.entries.retain(|entry| match &entry[field] {
                Value::String(text) => wanted.contains(&text.as_str()),
                other => wanted.contains(&other.to_string().as_str()),
            });
        }
        self
    }

    /// As [`Listing::by`], for several fields.
    pub(crate) fn by_all(self, fields: &[&str]) -> Self {
        fields.iter().fold(self, |listing, field| listing.by(field))
    }

    /// Keeps the entries that the label selector chooses.
    pub(crate) fn by_labels(mut self) -> Result<Self, ApiError> {
        if let Some(text) = self.query.one("label_selector") {
            let selector = Selector::parse(text).map_err(|why| ApiError::field("label_selector", why))?;
            self.entries.retain(|entry| {
                let labels = serde_json::from_value::<Labels>(entry["labels"].clone()).unwrap_or_default();
                selector.matches(&labels)
            });
        }
        Ok(self)
    }

    /// Sorts by the `sort` parameters, which may be these fields; by id where there is none.
    pub(crate) fn sorted(mut self, fields: &[&str]) -> Result<Self, ApiError> {
        let mut keys = Vec::new();
        for text in self.query.all("sort") {
            let (field, direction) = text.split_once(':').unwrap_or((text, "asc"));
            if !fields.contains(&field) || !["asc", "desc"].contains(&direction) {
                let allowed = fields.join(", ");
                return Err(ApiError::field(
                    "sort",
                    format!("'{text}' is none of {allowed}, with :asc or :desc"),
                ));
            }
            keys.push((field, direction == "desc"));
        }
        keys.push(("id", false));
        self.entries.sort_by(|a, b| {
            keys.iter().fold(Ordering::Equal, |order, (field, descending)| {
                let next = compare(&a[*field], &b[*field]);
                order.then(if *descending { next.reverse() } else { next })
            })
        });
        Ok(self)
    }

    /// Everything on one page, for the few lists that have no pages.
    pub(crate) fn whole(self, plural: &str) -> Result<Response, ApiError> {
        Ok(Json(json!({ plural: self.entries })).into_response())
    }

    /// Forgets a field that was there to be sorted by.
    pub(crate) fn without(mut self, field: &str) -> Self {
        for entry in self.entries.iter_mut().filter_map(Value::as_object_mut) {
            entry.remove(field);
        }
        self
    }

    /// The page asked for, with its `meta.pagination` and `Link` header.
    pub(crate) fn page(self, plural: &str) -> Result<Response, ApiError> {
        self.page_of_at_most(MOST_PER_PAGE, plural)
    }

    /// As [`Listing::page`], where `per_page` may be another number.
    pub(crate) fn page_of_at_most(self, most: u64, plural: &str) -> Result<Response, ApiError> {
        let page = self.query.number("page", 1)?;
        let per_page = self.query.number("per_page", DEFAULT_PER_PAGE)?.min(most);
        let total = self.entries.len() as u64;
        let last = total.div_ceil(per_page).max(1);
        let skip = usize::try_from((page - 1).saturating_mul(per_page)).unwrap_or(usize::MAX);
        let shown: Vec<_> = self.entries.into_iter().skip(skip).take(per_page as usize).collect();
        let previous = (page > 1).then(|| (page - 1).min(last));
        let next = (page < last).then_some(page + 1);
        let mut body = Map::new();
        body.insert(plural.into(), Value::Array(shown));
        body.insert(
            "meta".into(),
            json!({"pagination": {"page": page, "per_page": per_page, "previous_page": previous,
                   "next_page": next, "last_page": last, "total_entries": total}}),
        );
        let links = [("prev", previous), ("next", next), ("last", Some(last))];
        let links = links.iter().filter_map(|(rel, page)| page.map(|page| link(self.query, page, rel)));
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&links.collect::<Vec<_>>().join(", ")) {
            headers.insert(header::LINK, value);
        }
        Ok((headers, Json(Value::Object(body))).into_response())
    }
}

fn link(query: &Query, page: u64, rel: &str) -> String {
    let mut pairs: Vec<String> =
        query.others("page").map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.push(format!("page={page}"));
    format!("<{}?{}>; rel={rel}", query.uri.path(), pairs.join("&"))
}

fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_u64(), b.as_u64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_str().cmp(&b.as_str()),
    }
}
