//! What every request passes on its way in and out.

use super::error::ApiError;
use super::strikes::{self, Lost};
use crate::cloud::Cloud;
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
    let clock = cloud.clock.clone();
    let mut response = if admin {
        if authorized { clock.scope(next.run(request)).await } else { unauthorized() }
    } else {
        clock.scope(metered(&cloud, authorized, request, next)).await
    };
    if let Ok(id) = HeaderValue::from_str(&correlation_id()) {
        response.headers_mut().insert("x-correlation-id", id);
    }
    response
}

async fn metered(cloud: &Arc<Cloud>, authorized: bool, request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let logged = cloud.log.begin(request.method().as_str(), path);
    tokio::time::sleep(Duration::from_millis(cloud.config.latency_ms)).await;
    let mut budget = cloud.rate.take();
    let mut response = if !budget.allowed {
        let message =
            format!("more than {} requests an hour; wait as long as RateLimit-Reset says", budget.limit);
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message).into_response()
    } else if authorized {
        strikes::run(cloud, request, next).await
    } else {
        unauthorized()
    };
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        // Also where a fault says so: a client must be able to believe both.
        budget.remaining = 0;
    }
    let headers = response.headers_mut();
    headers.insert("ratelimit-limit", budget.limit.into());
    headers.insert("ratelimit-remaining", budget.remaining.into());
    headers.insert("ratelimit-reset", budget.reset.into());
    let lost = response.extensions().get::<Lost>().is_some();
    logged.end((!lost).then(|| response.status().as_u16()));
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
