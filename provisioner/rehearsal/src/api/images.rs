use super::error::ApiError;
use super::input::{Input, Query};
use super::listing::Listing;
use super::{Reply, Shared, actions, created, ok, parse_id};
use crate::cloud::Cloud;
use crate::cloud::job::Job;
use crate::cloud::state::Image;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::sync::Arc;

const GIGABYTE: f64 = (1_u64 << 30) as f64;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .merge(actions::routes_of("images", "image"))
        .route("/images", get(list))
        .route("/images/{id}", get(show))
        .route("/images/{id}/actions", actions::list_route("image"))
        .route("/images/{id}/actions/{action}", actions::one_route("image"))
        .route("/images/{id}/actions/change_protection", post(change_protection))
}

pub(super) fn render(id: u64, image: &Image) -> Value {
    let size = (image.disk_bytes as f64 / GIGABYTE).ceil();
    json!({
        "id": id, "type": image.kind, "status": image.status, "name": image.name,
        "description": image.description, "image_size": null, "disk_size": size, "created": image.created,
        "created_from": null, "bound_to": null, "os_flavor": image.os_flavor, "os_version": image.os_version,
        "rapid_deploy": true, "protection": {"delete": image.protected}, "deprecated": null, "deprecation": null,
        "labels": image.labels, "deleted": null, "architecture": image.architecture.name(),
    })
}

async fn list(Extract(cloud): Shared, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let images: Vec<_> = cloud.read(|state| {
        let offered = state.images.iter().filter(|(_, image)| !image.replaced);
        offered.map(|(id, image)| render(*id, image)).collect()
    });
    let listing =
        Listing::new(&query, images).by("name").by("type").by("status").by("architecture").by("bound_to");
    listing.by_labels()?.sorted(&["id", "name", "created"])?.page("images")
}

async fn show(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("image", &id)?;
    cloud.read(|state| match state.images.get(&id) {
        Some(image) => ok(json!({"image": render(id, image)})),
        None => Err(ApiError::not_found("image", id)),
    })
}

async fn change_protection(Extract(cloud): Shared, Path(id): Path<String>, body: Bytes) -> Reply {
    let id = parse_id("image", &id)?;
    let mut input = Input::parse(&body)?;
    let on: Option<bool> = input.optional("delete");
    input.done()?;
    let body = cloud.change(|state| {
        let image = state.images.get(&id).ok_or_else(|| ApiError::not_found("image", id))?;
        if image.kind == "system" {
            return Err(ApiError::unprocessable(
                "unsupported_error",
                "a system image's protection cannot be changed",
            ));
        }
        let on = on.unwrap_or(image.protected);
        let chain = state.begin([Job::ProtectImage { image: id, on }]);
        Ok(actions::one(state, chain[0]))
    })?;
    created(body)
}
