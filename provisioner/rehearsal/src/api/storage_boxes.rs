//! Storage boxes and their types; Hetzner serves them at api.hetzner.com, this cloud beside everything else.

mod act;
mod parts;

use super::input::{Input, Query, Reference};
use super::listing::Listing;
use super::ssh_keys::public_key_blob;
use super::{Reply, Shared, actions, created, ok, parse_id};
use crate::cloud::Cloud;
use crate::cloud::catalog::{LOCATIONS, render_location};
use crate::cloud::clock::now_text;
use crate::cloud::job::Job;
use crate::cloud::state::State;
use crate::cloud::storage::types::{self, BoxType, TYPES, box_type};
use crate::cloud::storage::{Access, BOX_SETTINGS, BoxJob, StorageBox, check_password};
use crate::error::ApiError;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use axum::routing::get;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .merge(actions::routes_of("storage_boxes", "storage_box"))
        .merge(parts::routes())
        .route("/storage_box_types", get(list_types))
        .route("/storage_box_types/{id}", get(show_type))
        .route("/storage_boxes", get(list).post(create))
        .route("/storage_boxes/{id}", get(show).put(update).delete(delete))
        .route("/storage_boxes/{id}/folders", get(folders))
        .route("/storage_boxes/{id}/actions", actions::list_route("storage_box"))
        .route("/storage_boxes/{id}/actions/{action}", actions::one_route("storage_box").post(act::act))
}

async fn list_types(uri: Uri) -> Reply {
    Listing::new(&Query::parse(uri)?, TYPES.iter().map(BoxType::render)).by("name").page("storage_box_types")
}

async fn show_type(Path(id): Path<String>) -> Reply {
    let number = parse_id("storage_box_type", &id)?;
    let found = TYPES.iter().find(|kind| kind.id == number);
    let found = found.ok_or_else(|| ApiError::not_found("storage_box_type", id))?;
    ok(json!({"storage_box_type": found.render()}))
}

fn render(id: u64, record: &StorageBox) -> Value {
    let username = StorageBox::username(id);
    let known = |text: String| record.active.then_some(text);
    json!({
        "id": id, "name": record.name, "labels": record.labels, "created": record.created,
        "status": if record.active { "active" } else { "initializing" },
        "username": known(username.clone()), "server": known(StorageBox::server(&username)),
        "system": known(format!("{}-BX1", record.location.to_uppercase())),
        "storage_box_type": box_type(&record.storage_box_type).map(BoxType::render),
        "location": render_location(&record.location), "access_settings": record.access,
        "snapshot_plan": record.plan, "protection": {"delete": record.protected},
        "stats": {"size": 0, "size_data": 0, "size_snapshots": 0},
    })
}

fn find(state: &State, id: u64) -> Result<&StorageBox, ApiError> {
    state.storage_boxes.get(&id).ok_or_else(|| ApiError::not_found("storage_box", id))
}

/// Begins an action; gives back its id.
fn begin(state: &mut State, id: u64, job: BoxJob) -> Result<u64, ApiError> {
    if job.locks() {
        state.check_unlocked("storage_box", id)?;
    }
    Ok(state.begin([Job::StorageBox { storage_box: id, job }])[0])
}

async fn list(Extract(cloud): Shared, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let boxes: Vec<_> =
        cloud.read(|state| state.storage_boxes.iter().map(|(id, found)| render(*id, found)).collect());
    // Nothing is stored, so by size all are equal.
    let sortable = ["id", "name", "created", "stats.size", "stats.size_filesystem"];
    Listing::new(&query, boxes).by("name").by_labels()?.sorted(&sortable)?.page("storage_boxes")
}

async fn show(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("storage_box", &id)?;
    cloud.read(|state| ok(json!({"storage_box": render(id, find(state, id)?)})))
}

async fn create(Extract(cloud): Shared, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let name = input.name();
    let labels = input.labels().unwrap_or_default();
    let kind = required_type(&mut input);
    let location = required_location(&mut input);
    required_password(&mut input);
    let keys: Vec<String> = input.optional("ssh_keys").unwrap_or_default();
    if let Some(wrong) = keys.iter().find(|key| public_key_blob(key).is_none()) {
        input.complain("ssh_keys", format!("'{wrong}' is not a public key in OpenSSH's format"));
    }
    let mut access: Access = BOX_SETTINGS.map(|setting| (setting.to_owned(), false)).into();
    access.extend(nested_settings(&mut input, &BOX_SETTINGS));
    input.done()?;
    let record = StorageBox {
        name,
        labels,
        created: now_text(),
        storage_box_type: kind,
        location,
        active: false,
        protected: false,
        access,
        plan: None,
        snapshots: Default::default(),
        subaccounts: Default::default(),
        folders: Default::default(),
        subaccounts_made: 0,
    };
    let body = cloud.change(|state| {
        check_unique_name(state, &record.name, None)?;
        let id = state.new_id();
        let rendered = render(id, &record);
        state.storage_boxes.insert(id, record);
        let action = begin(state, id, BoxJob::Create)?;
        Ok(json!({"storage_box": rendered, "action": actions::render(state, action)}))
    })?;
    created(body)
}

async fn update(Extract(cloud): Shared, Path(id): Path<String>, body: Bytes) -> Reply {
    let id = parse_id("storage_box", &id)?;
    let mut input = Input::parse(&body)?;
    let (name, labels) = (input.new_name(), input.labels());
    input.done()?;
    let body = cloud.change(|state| {
        if let Some(name) = &name {
            check_unique_name(state, name, Some(id))?;
        }
        let record =
            state.storage_boxes.get_mut(&id).ok_or_else(|| ApiError::not_found("storage_box", id))?;
        record.name = name.unwrap_or(std::mem::take(&mut record.name));
        record.labels = labels.unwrap_or(std::mem::take(&mut record.labels));
        Ok(json!({"storage_box": render(id, record)}))
    })?;
    ok(body)
}

async fn delete(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("storage_box", &id)?;
    let body = cloud.change(|state| {
        if find(state, id)?.protected {
            return Err(ApiError::protected("storage_box", id));
        }
        let action = begin(state, id, BoxJob::Delete)?;
        Ok(actions::one(state, action))
    })?;
    created(body)
}

async fn folders(Extract(cloud): Shared, Path(id): Path<String>, uri: Uri) -> Reply {
    let id = parse_id("storage_box", &id)?;
    let query = Query::parse(uri)?;
    let path = query.one("path").unwrap_or(".");
    cloud.read(|state| match find(state, id)?.folders_in(path) {
        Some(folders) => ok(json!({ "folders": folders })),
        None => Err(ApiError::not_found("folder", path)),
    })
}

/// The name of the type that the request names.
fn required_type(input: &mut Input) -> String {
    let wanted: Reference = input.required("storage_box_type");
    let found = TYPES.iter().find(|kind| wanted.means(kind.id, kind.name));
    if found.is_none() && !input.is_wrong("storage_box_type") {
        input.complain("storage_box_type", "there is no such type of storage box");
    }
    found.map(|kind| kind.name.to_owned()).unwrap_or_default()
}

fn required_location(input: &mut Input) -> String {
    let wanted: Reference = input.required("location");
    let found = LOCATIONS.iter().find(|l| wanted.means(l.id, l.name) && types::LOCATIONS.contains(&l.name));
    if found.is_none() && !input.is_wrong("location") {
        input.complain("location", format!("storage boxes are in {}", types::LOCATIONS.join(" and ")));
    }
    found.map(|location| location.name.to_owned()).unwrap_or_default()
}

/// Checks the password and forgets it.
fn required_password(input: &mut Input) {
    let password: String = input.required("password");
    if let Err(why) = check_password(&password)
        && !input.is_wrong("password")
    {
        input.complain("password", why);
    }
}

/// The settings in `access_settings`.
fn nested_settings(input: &mut Input, names: &[&str]) -> Access {
    let mut access = Access::new();
    let sent: Map<String, Value> = input.optional("access_settings").unwrap_or_default();
    for name in names {
        match sent.get(*name) {
            None | Some(Value::Null) => {}
            Some(Value::Bool(on)) => drop(access.insert((*name).to_owned(), *on)),
            Some(_) => input.complain("access_settings", format!("{name} must be true or false")),
        }
    }
    access
}

/// The settings that are fields of their own.
fn settings(input: &mut Input, names: &[&str]) -> Access {
    names.iter().filter_map(|name| Some(((*name).to_owned(), input.optional(name)?))).collect()
}

fn check_unique_name(state: &State, name: &str, but: Option<u64>) -> Result<(), ApiError> {
    let taken = state.storage_boxes.iter().any(|(id, other)| other.name == name && Some(*id) != but);
    if taken {
        Err(ApiError::uniqueness("name", format!("storage box name '{name}' is already used")))
    } else {
        Ok(())
    }
}
