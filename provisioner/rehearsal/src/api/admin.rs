//! The operator's side of the rehearsal, under `/_rehearsal`: health, faults, stock, the requests so far.

use super::input::{Input, Query};
use super::resource::Resource as _;
use super::{Reply, Shared, no_content, ok};
use crate::cloud::Cloud;
use crate::cloud::catalog::{location, server_type, stock_key};
use crate::cloud::clock::now_text;
use crate::cloud::dns::{Delegation, DelegationStatus, NAMESERVERS, Zone};
use crate::cloud::faults::Fault;
use crate::error::ApiError;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use axum::routing::{get, post, put};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The longest that is waited for a strike, in seconds.
const LONGEST_WAIT: u64 = 600;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/health", get(health))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/faults/release", post(release_faults))
        .route("/clock", get(clock).post(move_clock))
        .route("/log", get(log).delete(forget_log))
        .route("/stock", get(stock).put(set_stock))
        .route("/limits", get(limits).put(set_limits))
        .route("/servers/{id}/tap", put(plug_tap).delete(unplug_tap))
        .route("/zones/{zone}/delegation", put(set_delegation))
        .route("/requests", get(requests).delete(forget_requests))
}

async fn health() -> Reply {
    ok(json!({"pid": std::process::id(), "version": env!("CARGO_PKG_VERSION")}))
}

/// With `?wait_struck=SECONDS` the answer waits until a fault has struck, with `&after=N` until N + 1 strikes;
/// it says how many there were either way.
async fn faults(Extract(cloud): Shared, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let count = |name: &str| match query.one(name).map(str::parse::<u64>) {
        Some(Err(_)) => Err(ApiError::field(name, "must be a number")),
        Some(Ok(number)) => Ok(number),
        None => Ok(0),
    };
    let patience = Duration::from_secs(count("wait_struck")?.min(LONGEST_WAIT));
    let _ = tokio::time::timeout(patience, cloud.faults.wait(count("after")?)).await;
    ok(cloud.faults.render())
}

async fn add_fault(Extract(cloud): Shared, body: Bytes) -> Reply {
    let order = serde_json::from_slice(&body).map_err(|e| ApiError::field("fault", e.to_string()))?;
    cloud.faults.add(Fault::parse(&order)?);
    no_content()
}

async fn release_faults(Extract(cloud): Shared) -> Reply {
    cloud.faults.release();
    no_content()
}

async fn clear_faults(Extract(cloud): Shared) -> Reply {
    cloud.faults.clear();
    no_content()
}

async fn clock(Extract(cloud): Shared) -> Reply {
    let clock = &cloud.clock;
    let kind = if clock.is_auto().is_some() { "virtual" } else { "real" };
    ok(json!({"clock": kind, "auto": clock.is_auto(), "now": now_text(), "unix_ms": clock.unix_millis()}))
}

/// `{"advance_ms": 60000}` answers when what fell due is done; `{"auto": true}` lets requests move the clock.
async fn move_clock(Extract(cloud): Shared, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let (by, auto): (Option<u64>, Option<bool>) = (input.optional("advance_ms"), input.optional("auto"));
    if cloud.clock.is_auto().is_none() {
        input.complain("clock", "is this machine's, which nobody moves; start the cloud with a virtual one");
    }
    input.done()?;
    if let Some(auto) = auto {
        cloud.clock.set_auto(auto);
    }
    cloud.clock.advance(Duration::from_millis(by.unwrap_or(0))).await;
    clock(Extract(cloud)).await
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

/// `{"status": "lame", "nameservers": ["ns1.example.net."]}`: what a look at the zone's registrar finds, done now. A
/// registrar that is found `valid` names the zone's own name servers, any other those that are said.
async fn set_delegation(Extract(cloud): Shared, Path(zone): Path<String>, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let status: Option<DelegationStatus> = input.optional("status");
    let named: Vec<String> = input.optional("nameservers").unwrap_or_default();
    if status.is_none() && !input.is_wrong("status") {
        input.complain("status", "is needed");
    }
    input.done()?;
    cloud.change(|state| {
        let id = Zone::resolve(state, &zone)?;
        let delegation = status.filter(|status| *status != DelegationStatus::Unknown).map(|status| {
            let own = || NAMESERVERS.map(String::from).to_vec();
            let nameservers = if status == DelegationStatus::Valid { own() } else { named };
            Delegation { status, nameservers, checked: now_text() }
        });
        state.zones.entry(id).and_modify(|zone| zone.delegation = delegation);
        Ok(())
    })?;
    no_content()
}

/// `{"tap": "wire0"}`: a device that is there, of this machine or of the one who moves it into a namespace afterwards.
async fn plug_tap(Extract(cloud): Shared, Path(id): Path<u64>, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let tap: String = input.required("tap");
    let sound =
        (1..16).contains(&tap.len()) && tap.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !sound {
        input.complain("tap", "is no name of a network device");
    }
    input.done()?;
    running(&cloud, id)?;
    cloud.set_tap(id, Some(tap)).await.map_err(|failure| ApiError::server(failure.message))?;
    no_content()
}

async fn unplug_tap(Extract(cloud): Shared, Path(id): Path<u64>) -> Reply {
    running(&cloud, id)?;
    cloud.set_tap(id, None).await.map_err(|failure| ApiError::server(failure.message))?;
    no_content()
}

/// Only a machine that runs has a slot.
fn running(cloud: &Cloud, id: u64) -> Result<(), ApiError> {
    let runs = cloud.read(|state| state.servers.get(&id).is_some_and(|server| server.status == "running"));
    if runs { Ok(()) } else { Err(ApiError::field("server", format!("{id} does not run"))) }
}

async fn requests(Extract(cloud): Shared) -> Reply {
    ok(cloud.log.render_counts())
}

async fn forget_requests(Extract(cloud): Shared) -> Reply {
    cloud.log.forget_counts();
    no_content()
}

async fn log(Extract(cloud): Shared) -> Reply {
    ok(cloud.log.render())
}

async fn forget_log(Extract(cloud): Shared) -> Reply {
    cloud.log.forget();
    no_content()
}
