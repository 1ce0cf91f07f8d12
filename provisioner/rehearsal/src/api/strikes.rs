//! How the faults on order strike a request.

use super::{legacy, take_in};
use crate::cloud::Cloud;
use crate::cloud::faults::{Kind, status};
use crate::config::Profile;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;

/// Marks a response that breaks off.
#[derive(Clone)]
pub(super) struct Lost;

/// Lets the faults on order strike a request, and the rest of it happen.
pub(super) async fn run(cloud: &Arc<Cloud>, mut request: Request, next: Next) -> Response {
    let kinds = cloud.faults.strike(request.method().as_str(), request.uri().path());
    for kind in &kinds {
        match kind {
            Kind::Delay { ms } => {
                cloud.faults.tell();
                tokio::time::sleep(Duration::from_millis(*ms)).await;
            }
            Kind::Refuse(refusal) => {
                cloud.faults.tell();
                let raw = Body::from(refusal.body.clone().unwrap_or_default());
                return match refusal.error() {
                    Some(error) => error.into_response(),
                    None => (status(refusal.status), raw).into_response(),
                };
            }
            Kind::HoldBefore => {
                // Only when its body was read is it noticed that a client goes away.
                request = match take_in(request).await {
                    Ok((head, bytes)) => Request::from_parts(head, Body::from(bytes)),
                    Err(error) => return error.into_response(),
                };
                cloud.faults.hold().await;
            }
            // What comes after the request, and what is about actions.
            _ => {}
        }
    }
    if request.method() == Method::GET {
        cloud.clock.poll(request.uri().path()).await;
    }
    let response = match cloud.config.profile {
        Profile::Current => next.run(request).await,
        Profile::Legacy => legacy::run(cloud, request, next).await,
    };
    for kind in &kinds {
        match kind {
            Kind::Answer { status: code } => {
                cloud.faults.tell();
                return (status(*code), "a fault on order").into_response();
            }
            Kind::Lose => {
                cloud.faults.tell();
                return cut();
            }
            Kind::HoldAfter => cloud.faults.hold().await,
            _ => {}
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
    response.extensions_mut().insert(Lost);
    response
}
