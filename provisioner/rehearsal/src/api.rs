//! The HTTP API: one module a resource, and one place each for errors, input, labels, lists and actions.

mod actions;
mod admin;
mod catalog;
pub(crate) mod error;
mod firewalls;
mod images;
mod input;
pub(crate) mod labels;
mod listing;
mod middleware;
mod primary_ips;
mod resource;
mod servers;
mod ssh_keys;
mod volumes;

use crate::cloud::Cloud;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use error::ApiError;
use serde_json::Value;
use std::sync::Arc;

/// What a handler gives back.
type Reply = Result<Response, ApiError>;
/// How handlers get at the cloud.
type Shared = axum::extract::State<Arc<Cloud>>;

/// Everything that is served on the loopback port.
pub(crate) fn router(cloud: Arc<Cloud>) -> Router {
    let v1 = Router::new()
        .merge(ssh_keys::routes())
        .merge(firewalls::routes())
        .merge(volumes::routes())
        .merge(primary_ips::routes())
        .merge(servers::routes())
        .merge(images::routes())
        .merge(catalog::routes())
        .merge(actions::routes());
    Router::new()
        .nest("/v1", v1)
        .nest("/_rehearsal", admin::routes())
        .fallback(|uri: Uri| async move { ApiError::no_such_path(uri.path()) })
        .method_not_allowed_fallback(|| async {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path has no such method",
            )
        })
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&cloud), middleware::guard))
        .with_state(cloud)
}

fn ok(body: Value) -> Reply {
    Ok(Json(body).into_response())
}

fn created(body: Value) -> Reply {
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

fn no_content() -> Reply {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The id in a path. What is no number is the id of nothing.
fn parse_id(kind: &str, text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| ApiError::not_found(kind, text))
}
