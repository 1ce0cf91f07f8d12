//! The operator's side of the rehearsal, under `/_rehearsal`: health, faults, stock, the count of requests.

use super::error::ApiError;
use super::input::Input;
use super::{Reply, Shared, no_content, ok};
use crate::cloud::Cloud;
use crate::cloud::catalog::{location, server_type, stock_key};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::routing::get;
use serde_json::json;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/health", get(health))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/stock", get(stock).put(set_stock))
        .route("/limits", get(limits).put(set_limits))
        .route("/requests", get(requests).delete(forget_requests))
}

async fn health() -> Reply {
    ok(json!({"pid": std::process::id(), "version": env!("CARGO_PKG_VERSION")}))
}

async fn faults(Extract(cloud): Shared) -> Reply {
    ok(cloud.faults.render())
}

async fn add_fault(Extract(cloud): Shared, body: Bytes) -> Reply {
    let fault = serde_json::from_slice(&body).map_err(|e| ApiError::field("fault", e.to_string()))?;
    cloud.faults.add(fault);
    no_content()
}

async fn clear_faults(Extract(cloud): Shared) -> Reply {
    cloud.faults.clear();
    no_content()
}

async fn stock(Extract(cloud): Shared) -> Reply {
    ok(cloud.read(|state| json!({"sold_out": state.sold_out})))
}

/// `{"server_type": "cax31", "location": "fsn1", "available": false}`
async fn set_stock(Extract(cloud): Shared, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let (kind, place): (String, String) = (input.required("server_type"), input.required("location"));
    let available: bool = input.required("available");
    if server_type(&kind).is_none_or(|kind| !kind.is_sold_in(&place)) || location(&place).is_none() {
        input.complain("server_type", format!("{kind} is not sold in {place}"));
    }
    input.done()?;
    cloud.change(|state| {
        let key = stock_key(&kind, &place);
        if available {
            state.sold_out.remove(&key)
        } else {
            state.sold_out.insert(key)
        };
        Ok(())
    })?;
    no_content()
}

async fn limits(Extract(cloud): Shared) -> Reply {
    ok(cloud.read(|state| json!({"limits": state.limits.render()})))
}

/// `{"servers": 5, "volumes": 0}`; what is not named stays.
async fn set_limits(Extract(cloud): Shared, body: Bytes) -> Reply {
    let changes = serde_json::from_slice(&body).map_err(|e| ApiError::field("limits", e.to_string()))?;
    cloud.change(|state| state.limits.set(changes))?;
    no_content()
}

async fn requests(Extract(cloud): Shared) -> Reply {
    ok(cloud.faults.requests())
}

async fn forget_requests(Extract(cloud): Shared) -> Reply {
    cloud.faults.forget_requests();
    no_content()
}
