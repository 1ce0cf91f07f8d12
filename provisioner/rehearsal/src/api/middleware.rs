//! What every request passes on its way in and out.

use super::strikes::{self, Lost};
use crate::cloud::Cloud;
use crate::error::ApiError;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use time::OffsetDateTime;
use time::macros::format_description;

/// What a request's token allows.
#[derive(Clone, Copy, PartialEq)]
enum Right {
    Everything,
    Looking,
    Nothing,
}

/// Names the request, counts it, checks its token and budget, and lets the faults on order strike.
pub(crate) async fn guard(State(cloud): State<Arc<Cloud>>, request: Request, next: Next) -> Response {
    let admin = request.uri().path().starts_with("/_rehearsal/");
    let right = right_of(&cloud, &request);
    let clock = cloud.clock.clone();
    let mut response = match (admin, right) {
        (true, Right::Everything) => clock.scope(next.run(request)).await,
        (true, _) => unauthorized(),
        (false, right) => clock.scope(metered(&cloud, right, request, next)).await,
    };
    let told = [("x-correlation-id", correlation_id()), ("date", date(clock.now()))];
    for (name, value) in told {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn metered(cloud: &Arc<Cloud>, right: Right, request: Request, next: Next) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let logged = cloud.log.begin(request.method().as_str(), path);
    tokio::time::sleep(Duration::from_millis(cloud.config.latency_ms)).await;
    let mut budget = cloud.rate.take();
    let mut response = if !budget.allowed {
        let message =
            format!("more than {} requests an hour; wait as long as RateLimit-Reset says", budget.limit);
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message).into_response()
    } else if right == Right::Nothing {
        unauthorized()
    } else if right == Right::Looking && request.method() != Method::GET {
        let message = "the token may only look; use one that may write";
        ApiError::new(StatusCode::UNAUTHORIZED, "token_readonly", message).into_response()
    } else {
        strikes::run(cloud, request, next).await
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

fn right_of(cloud: &Cloud, request: &Request) -> Right {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = sent.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default().trim();
    if token == cloud.token {
        Right::Everything
    } else if cloud.config.read_only_token.as_deref() == Some(token) {
        Right::Looking
    } else if cloud.config.any_token && token.len() == 64 {
        Right::Everything
    } else {
        Right::Nothing
    }
}

fn unauthorized() -> Response {
    let message = "the token is not this cloud's; it is in the state directory, in the file `token`";
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message).into_response()
}

/// A moment as HTTP writes it.
fn date(moment: OffsetDateTime) -> String {
    let form = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    moment.format(form).unwrap_or_default()
}

/// Sixteen hexadecimal digits, different for every request of this process.
fn correlation_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    format!("{:016x}", nanos.rotate_left(20) ^ count)
}
