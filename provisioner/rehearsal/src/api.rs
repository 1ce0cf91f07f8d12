//! The HTTP API: one module a resource, and one place each for input, lists, actions and what resources share.

mod actions;
mod admin;
mod catalog;
mod firewalls;
mod images;
mod input;
mod legacy;
mod listing;
mod middleware;
mod primary_ips;
mod resource;
mod servers;
mod ssh_keys;
mod storage_boxes;
mod strikes;
mod volumes;
mod zones;

use crate::cloud::Cloud;
use crate::cloud::state::{Firewall, Image, PrimaryIp, SshKey, Volume};
use crate::error::ApiError;
use axum::body::{Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;

/// The largest body that is taken in, in bytes; axum's own limit for handlers.
const LARGEST_BODY: usize = 2 << 20;

/// What a handler gives back.
type Reply = Result<Response, ApiError>;
/// How handlers get at the cloud.
type Shared = axum::extract::State<Arc<Cloud>>;

/// Everything that is served on the loopback port.
pub(crate) fn router(cloud: Arc<Cloud>) -> Router {
    let v1 = Router::new()
        .merge(resource::routes::<SshKey>())
        .merge(resource::routes::<Firewall>())
        .merge(resource::routes::<Volume>())
        .merge(resource::routes::<PrimaryIp>())
        .merge(servers::routes())
        .merge(resource::routes::<Image>())
        .merge(zones::routes())
        .merge(storage_boxes::routes())
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
        // Below the guard: whoever asks for the address they come from needs no token, as at Hetzner.
        .route("/address", get(address))
        .with_state(cloud)
}

/// Says from which address the question came, as ip.hetzner.com does.
async fn address(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> String {
    format!("{}\n", peer.ip())
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

/// Reads a request's body before anything else is done with it.
async fn take_in(request: Request) -> Result<(Parts, Bytes), ApiError> {
    let (head, body) = request.into_parts();
    let broken = |e| ApiError::new(StatusCode::BAD_REQUEST, "json_error", format!("reading the body: {e}"));
    let bytes = to_bytes(body, LARGEST_BODY).await.map_err(broken)?;
    Ok((head, bytes))
}
