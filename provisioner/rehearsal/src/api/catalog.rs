//! What is on sale, and what this cloud never has.

use super::input::{Query, Reference};
use super::listing::Listing;
use super::{Reply, Shared, ok, parse_id};
use crate::cloud::Cloud;
use crate::cloud::catalog::{LOCATIONS, Location, SERVER_TYPES, pricing};
use crate::error::ApiError;
use axum::Router;
use axum::extract::{Path, State as Extract};
use axum::http::{StatusCode, Uri};
use axum::routing::{any, get};
use serde_json::json;
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
        .route("/locations", get(list_locations))
        .route("/locations/{id}", get(one_location))
        .route("/server_types", get(list_types))
        .route("/server_types/{id}", get(one_type))
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

async fn list_locations(uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    Listing::new(&query, LOCATIONS.iter().map(Location::render))
        .by("name")
        .sorted(&["id", "name"])?
        .page("locations")
}

async fn one_location(Path(id): Path<String>) -> Reply {
    let number = parse_id("location", &id)?;
    let found = LOCATIONS.iter().find(|location| location.id == number);
    found.map_or_else(|| Err(ApiError::not_found("location", id)), |l| ok(json!({"location": l.render()})))
}

async fn list_types(Extract(cloud): Shared, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let types = cloud.read(|state| SERVER_TYPES.iter().map(|kind| kind.render(state)).collect::<Vec<_>>());
    Listing::new(&query, types).by("name").by("architecture").sorted(&["id", "name"])?.page("server_types")
}

async fn one_type(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let number = parse_id("server_type", &id)?;
    let Some(found) = SERVER_TYPES.iter().find(|kind| kind.id == number) else {
        return Err(ApiError::not_found("server_type", id));
    };
    ok(json!({"server_type": cloud.read(|state| found.render(state))}))
}

async fn gone() -> ApiError {
    let message = "data centers were removed on 2026-10-01; use locations, and locations[] of server types";
    ApiError::new(StatusCode::GONE, "deprecated_api_endpoint", message)
}
