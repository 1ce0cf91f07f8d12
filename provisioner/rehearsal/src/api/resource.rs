//! What resources share: how they are listed, shown, made, changed, deleted and acted on. Each resource's module says
//! only what is peculiar to it.

use super::input::{Input, Query};
use super::listing::Listing;
use super::{Reply, Shared, actions, created, no_content, ok, parse_id};
use crate::cloud::Cloud;
use crate::cloud::job::Job;
use crate::cloud::state::{Kept, State};
use crate::error::ApiError;
use crate::labels::Labels;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;

/// Actions that run beside others: they only change a record or give something out.
const LIGHT: [&str; 3] = ["change_protection", "change_dns_ptr", "request_console"];

/// A kind of resource as the API has it.
pub(super) trait Resource: Kept {
    /// What its lists are filtered by besides labels: parameters named as fields.
    const FILTERS: &'static [&'static str];
    /// The fields its lists are sorted by.
    const SORTABLE: &'static [&'static str] = &["id", "name", "created"];
    /// Whether one is made by a POST of its own.
    const IS_ORDERED: bool = true;
    const HAS_ACTIONS: bool = true;
    /// Whether an update waits for the action that locks it.
    const UPDATE_WAITS: bool = false;
    /// How a deletion that is an action is answered.
    const DELETED: StatusCode = StatusCode::CREATED;

    /// The name that no other of its kind may have; `None` where that is not asked for.
    fn unique_name(&self) -> Option<&str>;
    fn render(&self, state: &State, id: u64) -> Value;
    /// Takes over what an update brings. Where the input is wrong nothing of it is kept.
    fn update(&mut self, input: &mut Input);

    /// The id of the one that a path names.
    fn resolve(state: &State, text: &str) -> Result<u64, ApiError> {
        let id = parse_id(Self::KIND, text)?;
        find::<Self>(state, id).map(|_| id)
    }

    /// Makes one as it is ordered and gives back the answer.
    fn create(_cloud: &Cloud, _state: &mut State, _input: &mut Input) -> Result<Value, ApiError> {
        Err(ApiError::server(format!("{} is not ordered", Self::KIND)))
    }

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

    /// Removes it, or says which job will.
    fn remove(state: &mut State, id: u64) -> Option<Job> {
        Self::all_mut(state).remove(&id);
        None
    }

    /// Removes what it leaves behind on this machine when it was deleted.
    fn clean_up(_cloud: &Arc<Cloud>, _id: u64) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// What an action comes to. Records may be changed on the way: where this fails, all is as it was.
    fn plan(_state: &mut State, _id: u64, action: &str, _input: &mut Input) -> Result<Plan, ApiError> {
        Err(ApiError::not_found("action", action))
    }
}

/// What an action comes to: its jobs, and what the reply has besides their actions.
pub(super) struct Plan {
    jobs: Vec<Job>,
    /// Whether the reply has a list of actions and not the one.
    is_list: bool,
    reply: Vec<(&'static str, Value)>,
}

impl From<Job> for Plan {
    fn from(job: Job) -> Self {
        Self { jobs: vec![job], is_list: false, reply: Vec::new() }
    }
}

impl Plan {
    /// Of an action whose reply has a list of actions.
    pub(super) fn list(jobs: Vec<Job>) -> Self {
        Self { jobs, is_list: true, reply: Vec::new() }
    }

    pub(super) fn reply(mut self, field: &'static str, value: impl Into<Value>) -> Self {
        self.reply.push((field, value.into()));
        self
    }
}

/// All routes of a kind of resource.
pub(super) fn routes<R: Resource>() -> Router<Arc<Cloud>> {
    let (all, one) = (format!("/{}", R::PLURAL), format!("/{}/{{id}}", R::PLURAL));
    let mut routes = Router::new()
        .route(&all, get(list::<R>))
        .route(&one, get(show::<R>).put(update::<R>).delete(delete::<R>));
    if R::IS_ORDERED {
        routes = routes.route(&all, post(create::<R>));
    }
    if R::HAS_ACTIONS {
        routes = routes.merge(actions::routes_of(R::PLURAL, R::KIND, R::resolve));
        routes = routes.route(&format!("{one}/actions/{{action}}"), post(act::<R>));
    }
    routes
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
fn check_removable<R: Resource>(state: &State, id: u64) -> Result<(), ApiError> {
    let found = find::<R>(state, id)?;
    if found.is_protected() {
        return Err(ApiError::protected(R::KIND, id));
    }
    state.check_unlocked(R::KIND, id)?;
    found.check_unused(id)
}

/// Begins jobs one after the other unless what one would hold is locked; gives back their actions' ids.
pub(super) fn begin(state: &mut State, jobs: Vec<Job>) -> Result<Vec<u64>, ApiError> {
    for job in &jobs {
        for (kind, id) in job.resources().into_iter().filter(|(kind, id)| job.holds(kind, *id)) {
            state.check_unlocked(kind, id)?;
        }
    }
    Ok(state.begin(jobs))
}

/// What `change_protection` makes of the protection from being deleted.
pub(super) fn read_protection(input: &mut Input, present: bool) -> Result<bool, ApiError> {
    let on = input.optional("delete").unwrap_or(present);
    input.done()?;
    Ok(on)
}

async fn list<R: Resource>(Extract(cloud): Shared, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let entries: Vec<_> = cloud.read(|state| {
        let listed = R::all(state).iter().filter(|(_, resource)| resource.is_listed() && !resource.is_gone());
        listed.map(|(id, resource)| resource.render(state, *id)).collect()
    });
    Listing::new(&query, entries).by_all(R::FILTERS).by_labels()?.sorted(R::SORTABLE)?.page(R::PLURAL)
}

async fn show<R: Resource>(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    cloud.read(|state| ok(one::<R>(state, R::resolve(state, &id)?)?))
}

async fn create<R: Resource>(Extract(cloud): Shared, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    created(cloud.change(|state| R::create(&cloud, state, &mut input))?)
}

async fn update<R: Resource>(Extract(cloud): Shared, Path(id): Path<String>, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let body = cloud.change(|state| {
        let id = R::resolve(state, &id)?;
        if R::UPDATE_WAITS {
            state.check_unlocked(R::KIND, id)?;
        }
        find_mut::<R>(state, id)?.update(&mut input);
        input.done()?;
        check_unique_name::<R>(state, id, find(state, id)?)?;
        one::<R>(state, id)
    })?;
    ok(body)
}

async fn delete<R: Resource>(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let (id, action) = cloud.change(|state| {
        let id = R::resolve(state, &id)?;
        check_removable::<R>(state, id)?;
        let action = R::remove(state, id).map(|job| state.begin([job])[0]);
        Ok((id, action.map(|action| actions::one(state, action))))
    })?;
    R::clean_up(&cloud, id).await;
    match action {
        Some(action) => Ok((R::DELETED, Json(action)).into_response()),
        None => no_content(),
    }
}

async fn act<R: Resource>(
    Extract(cloud): Shared,
    Path((id, action)): Path<(String, String)>,
    body: Bytes,
) -> Reply {
    let mut input = Input::parse(&body)?;
    let body = cloud.change(|state| {
        let id = R::resolve(state, &id)?;
        if !LIGHT.contains(&action.as_str()) {
            state.check_unlocked(R::KIND, id)?;
        }
        let plan = R::plan(state, id, &action, &mut input)?;
        let chain = begin(state, plan.jobs)?;
        let mut body = match plan.is_list {
            true => json!({"actions": state.render_actions(&chain)}),
            false => actions::one(state, chain[0]),
        };
        for (field, value) in plan.reply {
            body[field] = value;
        }
        Ok(body)
    })?;
    created(body)
}
