//! What is on sale, and what this cloud never has.

use super::input::{Query, Reference};
use super::listing::Listing;
use super::{Shared, ok, parse_id};
use crate::cloud::Cloud;
use crate::cloud::catalog::{LOCATIONS, Location, SERVER_TYPES, pricing};
use crate::cloud::clock::now_text;
use crate::cloud::state::State;
use crate::error::ApiError;
use axum::Router;
use axum::extract::{Path, State as Extract};
use axum::http::{StatusCode, Uri};
use axum::routing::{any, get};
use serde_json::{Value, json};
use std::sync::Arc;

/// Kinds of resources that this cloud does not have: the path, and what people call them. Their lists are empty, since
/// clients look through all there is; whatever else is asked of them is refused with one sentence.
const ABSENT: [(&str, &str); 7] = [
    ("load_balancers", "load balancers"),
    ("load_balancer_types", "load balancer types"),
    ("floating_ips", "floating IPs"),
    ("networks", "private networks"),
    ("placement_groups", "placement groups"),
    ("certificates", "certificates"),
    ("isos", "ISOs"),
];

pub(super) fn routes() -> Router<Arc<Cloud>> {
    let mut router = Router::new()
        .merge(offers("location", "locations", &["name"], |_| {
            LOCATIONS.iter().map(Location::render).collect()
        }))
        .merge(offers("server_type", "server_types", &["name", "architecture"], |state| {
            SERVER_TYPES.iter().map(|kind| kind.render(state)).collect()
        }))
        .route("/pricing", get(|| async { ok(json!({"pricing": pricing()})) }))
        .route("/datacenters", get(gone))
        .route("/datacenters/{id}", get(gone));
    for (plural, what) in ABSENT {
        let empty = move |uri: Uri| async move { Listing::new(&Query::parse(uri)?, []).page(plural) };
        let absent = move || async move { ApiError::absent(what) };
        router = router
            .route(&format!("/{plural}"), get(empty).fallback(absent))
            .route(&format!("/{plural}/{{*rest}}"), any(absent));
    }
    router
}

/// The location that is meant.
pub(super) fn locate(place: Option<&Reference>) -> Result<&'static Location, ApiError> {
    let text = place.map(Reference::text).unwrap_or_default();
    let known = LOCATIONS.iter().find(|l| place.is_some_and(|place| place.means(l.id, l.name)));
    known.ok_or_else(|| ApiError::field("location", format!("there is no location '{text}'")))
}

/// The routes of what is on sale, which no request changes: the list, and each by its id.
pub(super) fn offers(
    kind: &'static str,
    plural: &'static str,
    filters: &'static [&'static str],
    render: fn(&State) -> Vec<Value>,
) -> Router<Arc<Cloud>> {
    let list = move |Extract(cloud): Shared, uri: Uri| async move {
        let query = Query::parse(uri)?;
        let offers = cloud.read(render).into_iter().filter(|offer| !is_withdrawn(offer));
        Listing::new(&query, offers).by_all(filters).sorted(&["id", "name"])?.page(plural)
    };
    let one = move |Extract(cloud): Shared, Path(id): Path<String>| async move {
        let number = parse_id(kind, &id)?;
        let found = cloud.read(render).into_iter().find(|offer| offer["id"] == number);
        found.map_or_else(|| Err(ApiError::not_found(kind, id)), |offer| ok(json!({ (kind): offer })))
    };
    Router::new().route(&format!("/{plural}"), get(list)).route(&format!("/{plural}/{{id}}"), get(one))
}

/// What is deprecated is listed until it can no longer be ordered, and then only found by its id.
fn is_withdrawn(offer: &Value) -> bool {
    // Both moments are in UTC and begin alike, so that they are compared as texts.
    offer["deprecation"]["unavailable_after"].as_str().is_some_and(|last| *last < *now_text())
}

async fn gone() -> ApiError {
    let message = "data centers were removed on 2026-10-01; use locations, and locations[] of server types";
    ApiError::new(StatusCode::GONE, "deprecated_api_endpoint", message)
}
