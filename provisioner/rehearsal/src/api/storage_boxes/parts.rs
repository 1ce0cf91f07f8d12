//! What a storage box has in it: how its snapshots and subaccounts are listed, shown, made, changed and deleted.

use crate::api::input::{Input, Query};
use crate::api::listing::Listing;
use crate::api::resource::{self, Resource as _};
use crate::api::{Reply, Shared, actions, created, ok, parse_id};
use crate::cloud::Cloud;
use crate::cloud::job::Job;
use crate::cloud::state::State;
use crate::cloud::storage::{BoxJob, StorageBox};
use crate::error::ApiError;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A kind of thing that a box has in it.
pub(super) trait Part: Sized + 'static {
    /// Its name in replies.
    const KIND: &'static str;
    /// Its name in paths and lists.
    const PLURAL: &'static str;
    const FILTERS: &'static [&'static str];
    const SORTABLE: &'static [&'static str];
    const HAS_ACTIONS: bool;

    fn all(record: &StorageBox) -> &BTreeMap<u64, Self>;
    fn all_mut(record: &mut StorageBox) -> &mut BTreeMap<u64, Self>;
    fn render(&self, storage_box: u64, id: u64) -> Value;
    fn update(&mut self, input: &mut Input);
    /// The job that makes one with this id in the box.
    fn create(
        record: &mut StorageBox,
        storage_box: u64,
        id: u64,
        input: &mut Input,
    ) -> Result<BoxJob, ApiError>;
    fn delete(id: u64) -> BoxJob;

    /// The job of an action.
    fn plan(_id: u64, action: &str, _input: &mut Input) -> Result<BoxJob, ApiError> {
        Err(ApiError::not_found("action", action))
    }
}

/// All routes of a kind of part.
pub(super) fn routes<P: Part>() -> Router<Arc<Cloud>> {
    let all = format!("/storage_boxes/{{id}}/{}", P::PLURAL);
    let one = format!("{all}/{{part}}");
    let routes = Router::new()
        .route(&all, get(list::<P>).post(create::<P>))
        .route(&one, get(show::<P>).put(update::<P>).delete(delete::<P>));
    if P::HAS_ACTIONS { routes.route(&format!("{one}/actions/{{action}}"), post(act::<P>)) } else { routes }
}

/// The ids in a path: of the box, and of the part of it.
fn resolve<P: Part>(state: &State, id: &str, part: &str) -> Result<(u64, u64), ApiError> {
    let id = StorageBox::resolve(state, id)?;
    let kind = format!("storage_box_{}", P::KIND);
    let part = parse_id(&kind, part)?;
    match P::all(resource::find(state, id)?).contains_key(&part) {
        true => Ok((id, part)),
        false => Err(ApiError::not_found(&kind, part)),
    }
}

/// `{"snapshot": ...}`
fn one<P: Part>(state: &State, id: u64, part: u64) -> Result<Value, ApiError> {
    let found = P::all(resource::find(state, id)?).get(&part);
    Ok(json!({ (P::KIND): found.map(|found| found.render(id, part)) }))
}

/// Fails when a box has as many of something as it may have.
pub(super) fn check_limit(what: &str, present: usize, limit: u64) -> Result<(), ApiError> {
    if (present as u64) < limit {
        return Ok(());
    }
    let message = format!("a storage box of this type has {limit} {what} at most; delete one first");
    Err(ApiError::new(StatusCode::FORBIDDEN, "resource_limit_exceeded", message))
}

/// Begins an action of a box and renders it.
fn begin(state: &mut State, id: u64, job: BoxJob) -> Result<Value, ApiError> {
    let chain = resource::begin(state, vec![Job::StorageBox { storage_box: id, job }])?;
    Ok(actions::one(state, chain[0]))
}

async fn list<P: Part>(Extract(cloud): Shared, Path(id): Path<String>, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let parts: Vec<_> = cloud.read(|state| {
        let id = StorageBox::resolve(state, &id)?;
        let all = P::all(resource::find(state, id)?).iter();
        Ok::<_, ApiError>(all.map(|(part, found)| found.render(id, *part)).collect())
    })?;
    Listing::new(&query, parts).by_all(P::FILTERS).by_labels()?.sorted(P::SORTABLE)?.whole(P::PLURAL)
}

async fn show<P: Part>(Extract(cloud): Shared, Path((id, part)): Path<(String, String)>) -> Reply {
    cloud.read(|state| {
        let (id, part) = resolve::<P>(state, &id, &part)?;
        ok(one::<P>(state, id, part)?)
    })
}

async fn create<P: Part>(Extract(cloud): Shared, Path(id): Path<String>, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let body = cloud.change(|state| {
        let id = StorageBox::resolve(state, &id)?;
        let part = state.new_id();
        let job = P::create(resource::find_mut(state, id)?, id, part, &mut input)?;
        let mut body = begin(state, id, job)?;
        body[P::KIND] = json!({"id": part, "storage_box": id});
        Ok(body)
    })?;
    created(body)
}

async fn update<P: Part>(
    Extract(cloud): Shared,
    Path((id, part)): Path<(String, String)>,
    body: Bytes,
) -> Reply {
    let mut input = Input::parse(&body)?;
    let body = cloud.change(|state| {
        let (id, part) = resolve::<P>(state, &id, &part)?;
        let parts = P::all_mut(resource::find_mut(state, id)?);
        parts.entry(part).and_modify(|found| found.update(&mut input));
        input.done()?;
        one::<P>(state, id, part)
    })?;
    ok(body)
}

async fn delete<P: Part>(Extract(cloud): Shared, Path((id, part)): Path<(String, String)>) -> Reply {
    let body = cloud.change(|state| {
        let (id, part) = resolve::<P>(state, &id, &part)?;
        begin(state, id, P::delete(part))
    })?;
    created(body)
}

async fn act<P: Part>(
    Extract(cloud): Shared,
    Path((id, part, action)): Path<(String, String, String)>,
    body: Bytes,
) -> Reply {
    let mut input = Input::parse(&body)?;
    let body = cloud.change(|state| {
        let (id, part) = resolve::<P>(state, &id, &part)?;
        let job = P::plan(part, &action, &mut input)?;
        input.done()?;
        begin(state, id, job)
    })?;
    created(body)
}
