//! Actions: single ones, batches, and the lists of every resource.

use super::input::Query;
use super::listing::Listing;
use super::{Reply, Shared, ok, parse_id};
use crate::cloud::Cloud;
use crate::cloud::state::State;
use crate::error::ApiError;
use axum::Router;
use axum::extract::{Path, State as Extract};
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Arc;

const SORTABLE: [&str; 6] = ["id", "command", "status", "progress", "started", "finished"];

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new().route("/actions", get(batch)).route("/actions/{id}", get(single))
}

/// How a kind of resource finds the one that a path names.
pub(super) type Resolve = fn(&State, &str) -> Result<u64, ApiError>;

/// The routes that show the actions of a kind of resources, of all of them and of one.
pub(super) fn routes_of(plural: &str, kind: &'static str, resolve: Resolve) -> Router<Arc<Cloud>> {
    let all = move |cloud: Shared, uri: Uri| list_all(cloud, uri, kind);
    let any = move |cloud: Shared, Path(id): Path<String>| single_of(cloud, kind, id);
    let list = move |cloud: Shared, Path(id): Path<String>, uri: Uri| list_of(cloud, kind, resolve, id, uri);
    let one = move |cloud: Shared, Path((id, action)): Path<(String, String)>| {
        one_of(cloud, kind, resolve, id, action)
    };
    Router::new()
        .route(&format!("/{plural}/actions"), get(all))
        .route(&format!("/{plural}/actions/{{id}}"), get(any))
        .route(&format!("/{plural}/{{id}}/actions"), get(list))
        .route(&format!("/{plural}/{{id}}/actions/{{action}}"), get(one))
}

/// `{"action": ...}` of the action with this id.
pub(super) fn one(state: &State, id: u64) -> Value {
    json!({"action": render(state, id)})
}

/// The rendered action, or null where there is none.
pub(super) fn render(state: &State, id: u64) -> Value {
    state.actions.get(&id).map_or(Value::Null, |action| action.render(id))
}

async fn batch(Extract(cloud): Shared, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let ids: Vec<u64> = query.all("id").map(|text| parse_id("action", text)).collect::<Result<_, _>>()?;
    if ids.is_empty() {
        let message = "listing all actions was removed; ask by id, or for one resource's actions";
        return Err(ApiError::new(StatusCode::GONE, "deprecated_api_endpoint", message));
    }
    let actions = cloud.read(|state| state.render_actions(&ids));
    Listing::new(&query, actions).by("status").sorted(&SORTABLE)?.page("actions")
}

async fn single(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("action", &id)?;
    cloud.read(|state| {
        if !state.actions.contains_key(&id) {
            return Err(ApiError::not_found("action", id));
        }
        ok(one(state, id))
    })
}

async fn list_all(Extract(cloud): Shared, uri: Uri, kind: &'static str) -> Reply {
    let query = Query::parse(uri)?;
    let actions = cloud.read(|state| collect(state, |k, _| k == kind));
    Listing::new(&query, actions).by("id").by("status").sorted(&SORTABLE)?.page("actions")
}

async fn list_of(
    Extract(cloud): Shared,
    kind: &'static str,
    resolve: Resolve,
    id: String,
    uri: Uri,
) -> Reply {
    let query = Query::parse(uri)?;
    let actions = cloud.read(|state| {
        let id = resolve(state, &id)?;
        Ok::<_, ApiError>(collect(state, |k, i| (k, i) == (kind, id)))
    })?;
    Listing::new(&query, actions).by("status").sorted(&SORTABLE)?.page("actions")
}

async fn single_of(Extract(cloud): Shared, kind: &'static str, id: String) -> Reply {
    let id = parse_id("action", &id)?;
    cloud.read(|state| match state.actions.get(&id) {
        Some(action) if action.job.resources().iter().any(|(k, _)| *k == kind) => ok(one(state, id)),
        _ => Err(ApiError::not_found("action", id)),
    })
}

async fn one_of(
    Extract(cloud): Shared,
    kind: &'static str,
    resolve: Resolve,
    id: String,
    action: String,
) -> Reply {
    let action = parse_id("action", &action)?;
    cloud.read(|state| {
        let id = resolve(state, &id)?;
        match state.actions.get(&action) {
            Some(found) if found.job.resources().contains(&(kind, id)) => ok(one(state, action)),
            _ => Err(ApiError::not_found("action", action)),
        }
    })
}

fn collect(state: &State, wanted: impl Fn(&str, u64) -> bool) -> Vec<Value> {
    let about = state.actions.iter().filter(|(_, a)| a.job.resources().iter().any(|(k, i)| wanted(k, *i)));
    about.map(|(id, action)| action.render(*id)).collect()
}
