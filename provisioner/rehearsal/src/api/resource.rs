//! The shape that resources share: lists, single ones, new names and labels, removal, actions of one job. Each
//! resource's module says only what is peculiar to it.

use super::input::{Input, Query};
use super::listing::Listing;
use super::{Reply, Shared, actions, created, no_content, ok, parse_id};
use crate::cloud::Cloud;
use crate::cloud::job::Job;
use crate::cloud::state::State;
use crate::error::ApiError;
use crate::labels::Labels;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use axum::routing::get;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Actions that run beside others: they only change a record or give something out.
pub(super) const LIGHT: [&str; 3] = ["change_protection", "change_dns_ptr", "request_console"];

/// A kind of resource, kept in a map of the state.
pub(super) trait Resource: Sized + 'static {
    /// Its name in replies, as `primary_ip`.
    const KIND: &'static str;
    /// Its name in paths and lists, as `primary_ips`.
    const PLURAL: &'static str;
    /// What its lists are filtered by besides labels: parameters named as fields.
    const FILTERS: &'static [&'static str];

    fn all(state: &State) -> &BTreeMap<u64, Self>;
    fn all_mut(state: &mut State) -> &mut BTreeMap<u64, Self>;
    /// The name that no other of its kind may have; `None` where that is not asked for.
    fn unique_name(&self) -> Option<&str>;
    fn render(&self, state: &State, id: u64) -> Value;
    /// Takes over what an update brings. Where the input is wrong nothing of it is kept.
    fn update(&mut self, input: &mut Input);

    /// Whether lists show it.
    fn is_listed(&self) -> bool {
        true
    }

    /// Whether its record is kept only because others still need it.
    fn is_gone(&self) -> bool {
        false
    }

    /// Whether it is protected from being deleted.
    fn is_protected(&self) -> bool {
        false
    }

    /// Fails while something else needs it, so that it must not be deleted.
    fn check_unused(&self, _id: u64) -> Result<(), ApiError> {
        Ok(())
    }

    /// The job of an action of this name, where one job is all the action is.
    fn plan(&self, _state: &State, _id: u64, action: &str, _input: &mut Input) -> Result<Job, ApiError> {
        Err(ApiError::not_found("action", action))
    }
}

/// The routes that list, show and update.
pub(super) fn routes<R: Resource>() -> Router<Arc<Cloud>> {
    Router::new()
        .route(&format!("/{}", R::PLURAL), get(list::<R>))
        .route(&format!("/{}/{{id}}", R::PLURAL), get(show::<R>).put(update::<R>))
}

/// The routes that show actions.
pub(super) fn action_routes<R: Resource>() -> Router<Arc<Cloud>> {
    let one = format!("/{}/{{id}}/actions", R::PLURAL);
    actions::routes_of(R::PLURAL, R::KIND)
        .route(&one, actions::list_route(R::KIND))
        .route(&format!("{one}/{{action}}"), actions::one_route(R::KIND))
}

pub(super) fn find<R: Resource>(state: &State, id: u64) -> Result<&R, ApiError> {
    let found = R::all(state).get(&id).filter(|resource| !resource.is_gone());
    found.ok_or_else(|| ApiError::not_found(R::KIND, id))
}

pub(super) fn find_mut<R: Resource>(state: &mut State, id: u64) -> Result<&mut R, ApiError> {
    let found = R::all_mut(state).get_mut(&id).filter(|resource| !resource.is_gone());
    found.ok_or_else(|| ApiError::not_found(R::KIND, id))
}

/// Fails when there are as many of its kind as the project may have.
pub(super) fn check_limit<R: Resource>(state: &State) -> Result<(), ApiError> {
    state.limits.check(R::PLURAL, R::all(state).len())
}

/// Adds a resource whose name no other has.
pub(super) fn add<R: Resource>(state: &mut State, resource: R) -> Result<u64, ApiError> {
    check_limit::<R>(state)?;
    let id = state.new_id();
    check_unique_name(state, id, &resource)?;
    R::all_mut(state).insert(id, resource);
    Ok(id)
}

fn check_unique_name<R: Resource>(state: &State, id: u64, resource: &R) -> Result<(), ApiError> {
    let Some(name) = resource.unique_name() else { return Ok(()) };
    if R::all(state).iter().any(|(other, r)| *other != id && r.unique_name() == Some(name)) {
        let message = format!("{} name '{name}' is already used", R::KIND);
        return Err(ApiError::uniqueness("name", message));
    }
    Ok(())
}

/// `{"volume": ...}`
pub(super) fn one<R: Resource>(state: &State, id: u64) -> Result<Value, ApiError> {
    Ok(json!({ (R::KIND): find::<R>(state, id)?.render(state, id) }))
}

/// Takes over a new name and new labels, which every update may bring.
pub(super) fn rename(name: &mut String, labels: &mut Labels, input: &mut Input) {
    if let Some(new) = input.new_name() {
        *name = new;
    }
    relabel(labels, input);
}

/// Takes over new labels; they replace all that there were.
pub(super) fn relabel(labels: &mut Labels, input: &mut Input) {
    if let Some(new) = input.labels() {
        *labels = new;
    }
}

/// Fails while something protects, holds or needs a resource that is to be deleted.
pub(super) fn check_removable<R: Resource>(state: &State, id: u64) -> Result<(), ApiError> {
    let found = find::<R>(state, id)?;
    if found.is_protected() {
        return Err(ApiError::protected(R::KIND, id));
    }
    state.check_unlocked(R::KIND, id)?;
    found.check_unused(id)
}

pub(super) fn remove<R: Resource>(state: &mut State, id: u64) -> Result<(), ApiError> {
    check_removable::<R>(state, id)?;
    R::all_mut(state).remove(&id);
    Ok(())
}

/// Begins a job unless what it would hold is locked; gives back `{"action": ...}`.
pub(super) fn begin(state: &mut State, job: Job) -> Result<Value, ApiError> {
    for (kind, id) in job.resources() {
        if job.holds(kind, id) {
            state.check_unlocked(kind, id)?;
        }
    }
    let chain = state.begin([job]);
    Ok(actions::one(state, chain[0]))
}

/// What `change_protection` makes of the protection from being deleted.
pub(super) fn read_protection(input: &mut Input, present: bool) -> Result<bool, ApiError> {
    let on = input.optional("delete").unwrap_or(present);
    input.done()?;
    Ok(on)
}

pub(super) async fn list<R: Resource>(Extract(cloud): Shared, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let entries: Vec<_> = cloud.read(|state| {
        let listed = R::all(state).iter().filter(|(_, resource)| resource.is_listed() && !resource.is_gone());
        listed.map(|(id, resource)| resource.render(state, *id)).collect()
    });
    let listing = R::FILTERS.iter().fold(Listing::new(&query, entries), |listing, field| listing.by(field));
    listing.by_labels()?.sorted(&["id", "name", "created"])?.page(R::PLURAL)
}

pub(super) async fn show<R: Resource>(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id(R::KIND, &id)?;
    cloud.read(|state| ok(one::<R>(state, id)?))
}

pub(super) async fn update<R: Resource>(
    Extract(cloud): Shared,
    Path(id): Path<String>,
    body: Bytes,
) -> Reply {
    let id = parse_id(R::KIND, &id)?;
    let mut input = Input::parse(&body)?;
    let body = cloud.change(|state| {
        find_mut::<R>(state, id)?.update(&mut input);
        input.done()?;
        check_unique_name::<R>(state, id, find(state, id)?)?;
        one::<R>(state, id)
    })?;
    ok(body)
}

pub(super) async fn delete<R: Resource>(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id(R::KIND, &id)?;
    cloud.change(|state| remove::<R>(state, id))?;
    no_content()
}

pub(super) async fn act<R: Resource>(
    Extract(cloud): Shared,
    Path((id, action)): Path<(String, String)>,
    body: Bytes,
) -> Reply {
    let id = parse_id(R::KIND, &id)?;
    let mut input = Input::parse(&body)?;
    let body = cloud.change(|state| {
        let found = find::<R>(state, id)?;
        if !LIGHT.contains(&action.as_str()) {
            state.check_unlocked(R::KIND, id)?;
        }
        let job = found.plan(state, id, &action, &mut input)?;
        begin(state, job)
    })?;
    created(body)
}
