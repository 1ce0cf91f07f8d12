//! What every request passes on its way in and out.

use super::error::ApiError;
use crate::cloud::Cloud;
use crate::cloud::faults::Kind;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Names the request, counts it, checks its token and budget, and lets the faults on order strike.
pub(crate) async fn guard(State(cloud): State<Arc<Cloud>>, request: Request, next: Next) -> Response {
    let admin = request.uri().path().starts_with("/_rehearsal/");
    let authorized = is_authorized(&cloud, &request);
    let mut response = if admin {
        if authorized { next.run(request).await } else { unauthorized() }
    } else {
        metered(&cloud, authorized, request, next).await
    };
    if let Ok(id) = HeaderValue::from_str(&correlation_id()) {
        response.headers_mut().insert("x-correlation-id", id);
    }
    response
}

async fn metered(cloud: &Arc<Cloud>, authorized: bool, request: Request, next: Next) -> Response {
    let budget = cloud.rate.take();
    let mut response = if !budget.allowed {
        let message =
            format!("more than {} requests an hour; wait as long as RateLimit-Reset says", budget.limit);
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message).into_response()
    } else if authorized {
        with_faults(cloud, request, next).await
    } else {
        unauthorized()
    };
    let headers = response.headers_mut();
    headers.insert("ratelimit-limit", budget.limit.into());
    headers.insert("ratelimit-remaining", budget.remaining.into());
    headers.insert("ratelimit-reset", budget.reset.into());
    response
}

async fn with_faults(cloud: &Arc<Cloud>, request: Request, next: Next) -> Response {
    let kinds = cloud.faults.strike(request.method().as_str(), request.uri().path());
    for kind in &kinds {
        match kind {
            Kind::Delay { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Kind::Refuse { status, code } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return ApiError::new(status, code, "a fault on order").into_response();
            }
            Kind::Answer { .. } | Kind::Lose => {}
        }
    }
    let response = next.run(request).await;
    for kind in &kinds {
        match kind {
            Kind::Answer { status } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
                return (status, "a fault on order").into_response();
            }
            Kind::Lose => return cut(),
            Kind::Delay { .. } | Kind::Refuse { .. } => {}
        }
    }
    response
}

/// A response that breaks off: the server closes the connection when the body fails.
fn cut() -> Response {
    let broken =
        futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("a fault on order")) });
    let mut response = Response::new(Body::from_stream(broken));
    response.headers_mut().insert(header::CONTENT_LENGTH, 1.into());
    response
}

fn is_authorized(cloud: &Cloud, request: &Request) -> bool {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = sent.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default().trim();
    token == cloud.token || (cloud.config.any_token && token.len() == 64)
}

fn unauthorized() -> Response {
    let message = "the token is not this cloud's; it is in the state directory, in the file `token`";
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message).into_response()
}

/// Sixteen hexadecimal digits, different for every request of this process.
fn correlation_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    format!("{:016x}", nanos.rotate_left(20) ^ count)
}
