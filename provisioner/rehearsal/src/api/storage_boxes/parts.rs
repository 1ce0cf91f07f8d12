//! What a storage box has in it: snapshots and subaccounts.

use super::{begin, find, nested_settings, required_password, settings};
use crate::api::input::{Input, Query};
use crate::api::listing::Listing;
use crate::api::{Reply, Shared, actions, created, ok, parse_id};
use crate::cloud::Cloud;
use crate::cloud::clock::now_text;
use crate::cloud::state::State;
use crate::cloud::storage::types::{SUBACCOUNTS, box_type};
use crate::cloud::storage::{Access, BoxJob, SUBACCOUNT_SETTINGS, Snapshot, StorageBox, Subaccount};
use crate::error::ApiError;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::sync::Arc;

/// Of descriptions, in characters.
const LONGEST_DESCRIPTION: usize = 1000;
/// Of a subaccount's name, in characters.
const LONGEST_NAME: usize = 50;
/// Of a home directory's path, in characters.
const LONGEST_PATH: usize = 999;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    let snapshot = get(show_snapshot).put(update_snapshot).delete(delete_snapshot);
    let subaccount = get(show_subaccount).put(update_subaccount).delete(delete_subaccount);
    Router::new()
        .route("/storage_boxes/{id}/snapshots", get(list_snapshots).post(create_snapshot))
        .route("/storage_boxes/{id}/snapshots/{part}", snapshot)
        .route("/storage_boxes/{id}/subaccounts", get(list_subaccounts).post(create_subaccount))
        .route("/storage_boxes/{id}/subaccounts/{part}", subaccount)
        .route("/storage_boxes/{id}/subaccounts/{part}/actions/{action}", post(act))
}

/// The ids in a path: of the box, and of the part of it.
fn parse_ids(id: &str, kind: &str, part: &str) -> Result<(u64, u64), ApiError> {
    Ok((parse_id("storage_box", id)?, parse_id(kind, part)?))
}

fn find_mut(state: &mut State, id: u64) -> Result<&mut StorageBox, ApiError> {
    state.storage_boxes.get_mut(&id).ok_or_else(|| ApiError::not_found("storage_box", id))
}

fn no_snapshot(id: u64) -> ApiError {
    ApiError::not_found("storage_box_snapshot", id)
}

fn no_subaccount(id: u64) -> ApiError {
    ApiError::not_found("storage_box_subaccount", id)
}

fn limit_exceeded(what: &str, limit: u64) -> ApiError {
    let message = format!("a storage box of this type has {limit} {what} at most; delete one first");
    ApiError::new(StatusCode::FORBIDDEN, "resource_limit_exceeded", message)
}

/// Begins an action that makes or deletes something, and renders it.
fn begin_action(
    cloud: &Arc<Cloud>,
    id: u64,
    job: BoxJob,
    exists: impl FnOnce(&StorageBox) -> Result<(), ApiError>,
) -> Reply {
    let body = cloud.change(|state| {
        exists(find(state, id)?)?;
        let action = begin(state, id, job)?;
        Ok(actions::one(state, action))
    })?;
    created(body)
}

fn render_snapshot(storage_box: u64, id: u64, snapshot: &Snapshot) -> Value {
    json!({
        "id": id, "storage_box": storage_box, "name": snapshot.name, "description": snapshot.description,
        "labels": snapshot.labels, "created": snapshot.created, "is_automatic": false,
        "stats": {"size": 0, "size_filesystem": 0},
    })
}

/// A snapshot's description: letters, digits, spaces and some signs.
fn snapshot_description(input: &mut Input) -> Option<String> {
    let text = description(input)?;
    let fine = |c: char| c.is_ascii_alphanumeric() || " -_,:<>+#!()[]{}".contains(c);
    if !text.chars().all(fine) {
        input.complain("description", "may have letters, digits, spaces and -_,:<>+#!()[]{} only");
    }
    Some(text)
}

fn description(input: &mut Input) -> Option<String> {
    let text: String = input.optional("description")?;
    if text.chars().count() > LONGEST_DESCRIPTION {
        input.complain("description", format!("must have at most {LONGEST_DESCRIPTION} characters"));
    }
    Some(text)
}

async fn list_snapshots(Extract(cloud): Shared, Path(id): Path<String>, uri: Uri) -> Reply {
    let id = parse_id("storage_box", &id)?;
    let query = Query::parse(uri)?;
    let snapshots: Vec<_> = cloud.read(|state| {
        let snapshots = find(state, id)?.snapshots.iter();
        Ok::<_, ApiError>(snapshots.map(|(part, snapshot)| render_snapshot(id, *part, snapshot)).collect())
    })?;
    let listing = Listing::new(&query, snapshots).by("name").by("is_automatic").by_labels()?;
    listing.sorted(&["id", "name", "created"])?.whole("snapshots")
}

async fn show_snapshot(Extract(cloud): Shared, Path((id, part)): Path<(String, String)>) -> Reply {
    let (id, part) = parse_ids(&id, "storage_box_snapshot", &part)?;
    cloud.read(|state| {
        let found = find(state, id)?.snapshots.get(&part).ok_or_else(|| no_snapshot(part))?;
        ok(json!({"snapshot": render_snapshot(id, part, found)}))
    })
}

async fn create_snapshot(Extract(cloud): Shared, Path(id): Path<String>, body: Bytes) -> Reply {
    let id = parse_id("storage_box", &id)?;
    let mut input = Input::parse(&body)?;
    let labels = input.labels().unwrap_or_default();
    let description = snapshot_description(&mut input).unwrap_or_default();
    input.done()?;
    let body = cloud.change(|state| {
        let record = find(state, id)?;
        let limit = box_type(&record.storage_box_type).map_or(0, |kind| kind.snapshots);
        if record.snapshots.len() as u64 >= limit {
            return Err(limit_exceeded("snapshots", limit));
        }
        let snapshot =
            Snapshot { name: record.new_snapshot_name(), description, labels, created: now_text() };
        let part = state.new_id();
        let action = begin(state, id, BoxJob::CreateSnapshot { id: part, snapshot })?;
        Ok(json!({"snapshot": {"id": part, "storage_box": id}, "action": actions::render(state, action)}))
    })?;
    created(body)
}

async fn update_snapshot(
    Extract(cloud): Shared,
    Path((id, part)): Path<(String, String)>,
    body: Bytes,
) -> Reply {
    let (id, part) = parse_ids(&id, "storage_box_snapshot", &part)?;
    let mut input = Input::parse(&body)?;
    let (description, labels) = (snapshot_description(&mut input), input.labels());
    input.done()?;
    let body = cloud.change(|state| {
        let found = find_mut(state, id)?.snapshots.get_mut(&part).ok_or_else(|| no_snapshot(part))?;
        found.description = description.unwrap_or(std::mem::take(&mut found.description));
        found.labels = labels.unwrap_or(std::mem::take(&mut found.labels));
        Ok(json!({"snapshot": render_snapshot(id, part, found)}))
    })?;
    ok(body)
}

async fn delete_snapshot(Extract(cloud): Shared, Path((id, part)): Path<(String, String)>) -> Reply {
    let (id, part) = parse_ids(&id, "storage_box_snapshot", &part)?;
    begin_action(&cloud, id, BoxJob::DeleteSnapshot { id: part }, |record| {
        record.snapshots.get(&part).map(drop).ok_or_else(|| no_snapshot(part))
    })
}

fn render_subaccount(storage_box: u64, id: u64, subaccount: &Subaccount) -> Value {
    json!({
        "id": id, "storage_box": storage_box, "username": subaccount.username, "name": subaccount.name,
        "server": StorageBox::server(&subaccount.username), "home_directory": subaccount.home_directory,
        "description": subaccount.description, "labels": subaccount.labels, "created": subaccount.created,
        "access_settings": subaccount.access,
    })
}

fn subaccount_name(input: &mut Input) -> Option<String> {
    let name: String = input.optional("name")?;
    if !(1..=LONGEST_NAME).contains(&name.chars().count()) {
        input.complain("name", format!("must have 1 to {LONGEST_NAME} characters"));
    }
    Some(name)
}

fn home_directory(input: &mut Input) -> String {
    let path: String = input.required("home_directory");
    let fine = |c: char| c.is_ascii_alphanumeric() || " ./_-".contains(c);
    let right = (1..=LONGEST_PATH).contains(&path.len()) && path.chars().all(fine);
    if !right && !input.is_wrong("home_directory") {
        input.complain(
            "home_directory",
            format!("must have 1 to {LONGEST_PATH} letters, digits, spaces or . / _ -"),
        );
    }
    path
}

async fn list_subaccounts(Extract(cloud): Shared, Path(id): Path<String>, uri: Uri) -> Reply {
    let id = parse_id("storage_box", &id)?;
    let query = Query::parse(uri)?;
    let subaccounts: Vec<_> = cloud.read(|state| {
        let all = find(state, id)?.subaccounts.iter();
        Ok::<_, ApiError>(all.map(|(part, subaccount)| render_subaccount(id, *part, subaccount)).collect())
    })?;
    let listing = Listing::new(&query, subaccounts).by("name").by("username").by_labels()?;
    listing.sorted(&["id", "created"])?.whole("subaccounts")
}

async fn show_subaccount(Extract(cloud): Shared, Path((id, part)): Path<(String, String)>) -> Reply {
    let (id, part) = parse_ids(&id, "storage_box_subaccount", &part)?;
    cloud.read(|state| {
        let found = find(state, id)?.subaccounts.get(&part).ok_or_else(|| no_subaccount(part))?;
        ok(json!({"subaccount": render_subaccount(id, part, found)}))
    })
}

async fn create_subaccount(Extract(cloud): Shared, Path(id): Path<String>, body: Bytes) -> Reply {
    let id = parse_id("storage_box", &id)?;
    let mut input = Input::parse(&body)?;
    required_password(&mut input);
    let home_directory = home_directory(&mut input);
    let name = subaccount_name(&mut input);
    let description = description(&mut input).unwrap_or_default();
    let labels = input.labels().unwrap_or_default();
    let mut access: Access = SUBACCOUNT_SETTINGS.map(|setting| (setting.to_owned(), false)).into();
    access.extend(nested_settings(&mut input, &SUBACCOUNT_SETTINGS));
    input.done()?;
    let body = cloud.change(|state| {
        let record = find_mut(state, id)?;
        if record.subaccounts.len() as u64 >= SUBACCOUNTS {
            return Err(limit_exceeded("subaccounts", SUBACCOUNTS));
        }
        record.subaccounts_made += 1;
        let username = format!("{}-sub{}", StorageBox::username(id), record.subaccounts_made);
        let name = name.unwrap_or_else(|| username.clone());
        let created = now_text();
        let subaccount = Subaccount { username, name, description, labels, created, home_directory, access };
        let part = state.new_id();
        let action = begin(state, id, BoxJob::CreateSubaccount { id: part, subaccount })?;
        Ok(json!({"subaccount": {"id": part, "storage_box": id}, "action": actions::render(state, action)}))
    })?;
    created(body)
}

async fn update_subaccount(
    Extract(cloud): Shared,
    Path((id, part)): Path<(String, String)>,
    body: Bytes,
) -> Reply {
    let (id, part) = parse_ids(&id, "storage_box_subaccount", &part)?;
    let mut input = Input::parse(&body)?;
    let (name, description) = (subaccount_name(&mut input), description(&mut input));
    let labels = input.labels();
    input.done()?;
    let body = cloud.change(|state| {
        let found = find_mut(state, id)?.subaccounts.get_mut(&part).ok_or_else(|| no_subaccount(part))?;
        found.name = name.unwrap_or(std::mem::take(&mut found.name));
        found.description = description.unwrap_or(std::mem::take(&mut found.description));
        found.labels = labels.unwrap_or(std::mem::take(&mut found.labels));
        Ok(json!({"subaccount": render_subaccount(id, part, found)}))
    })?;
    ok(body)
}

fn has_subaccount(record: &StorageBox, part: u64) -> Result<(), ApiError> {
    record.subaccounts.get(&part).map(drop).ok_or_else(|| no_subaccount(part))
}

async fn delete_subaccount(Extract(cloud): Shared, Path((id, part)): Path<(String, String)>) -> Reply {
    let (id, part) = parse_ids(&id, "storage_box_subaccount", &part)?;
    begin_action(&cloud, id, BoxJob::DeleteSubaccount { id: part }, |record| has_subaccount(record, part))
}

async fn act(
    Extract(cloud): Shared,
    Path((id, part, action)): Path<(String, String, String)>,
    body: Bytes,
) -> Reply {
    let (id, part) = parse_ids(&id, "storage_box_subaccount", &part)?;
    let mut input = Input::parse(&body)?;
    let job = match action.as_str() {
        "change_home_directory" => {
            BoxJob::ChangeHomeDirectory { id: part, home_directory: home_directory(&mut input) }
        }
        "reset_subaccount_password" => {
            required_password(&mut input);
            BoxJob::ResetSubaccountPassword { id: part }
        }
        "update_access_settings" => {
            let access = settings(&mut input, &SUBACCOUNT_SETTINGS);
            BoxJob::UpdateSubaccountAccessSettings { id: part, access }
        }
        _ => return Err(ApiError::not_found("action", &action)),
    };
    begin_action(&cloud, id, job, |record| {
        has_subaccount(record, part)?;
        input.done()
    })
}
