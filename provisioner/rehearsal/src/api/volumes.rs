use super::error::ApiError;
use super::input::{Id, Input, Query, Reference};
use super::listing::Listing;
use super::{Reply, Shared, actions, created, no_content, ok, parse_id};
use crate::cloud::Cloud;
use crate::cloud::catalog::{LOCATIONS, render_location};
use crate::cloud::job::Job;
use crate::cloud::state::{State, Volume, now};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Arc;

const SIZES: std::ops::RangeInclusive<u64> = 10..=10_240;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .merge(actions::routes_of("volumes", "volume"))
        .route("/volumes", get(list).post(create))
        .route("/volumes/{id}", get(show).put(update).delete(delete))
        .route("/volumes/{id}/actions", actions::list_route("volume"))
        .route("/volumes/{id}/actions/{action}", actions::one_route("volume").post(act))
}

fn render(id: u64, volume: &Volume) -> Value {
    json!({
        "id": id, "name": volume.name, "labels": volume.labels, "created": volume.created, "size": volume.size,
        "location": render_location(&volume.location), "format": volume.format, "server": volume.server,
        "linux_device": format!("/dev/disk/by-id/scsi-0HC_Volume_{id}"),
        "protection": {"delete": volume.protected}, "status": volume.status,
    })
}

fn find(state: &State, id: u64) -> Result<&Volume, ApiError> {
    state.volumes.get(&id).ok_or_else(|| ApiError::not_found("volume", id))
}

async fn list(Extract(cloud): Shared, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let volumes: Vec<_> = cloud.read(|state| state.volumes.iter().map(|(id, v)| render(*id, v)).collect());
    let listing = Listing::new(&query, volumes).by("name").by("status").by_labels()?;
    listing.sorted(&["id", "name", "created"])?.page("volumes")
}

async fn show(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("volume", &id)?;
    cloud.read(|state| ok(json!({"volume": render(id, find(state, id)?)})))
}

async fn create(Extract(cloud): Shared, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let name = input.name();
    let labels = input.labels().unwrap_or_default();
    let size: u64 = input.required("size");
    check_size(&mut input, size);
    let place: Option<Reference> = input.optional("location");
    let server: Option<Id> = input.optional("server");
    let format: Option<String> = input.optional("format");
    if format.as_deref().is_some_and(|format| !["ext4", "xfs"].contains(&format)) {
        input.complain("format", "must be ext4 or xfs");
    }
    if place.is_some() == server.is_some() {
        input.complain("location", "give either a location or a server");
    }
    input.done()?;
    let body = cloud.change(|state| {
        check_unique_name(state, &name, None)?;
        let location = match (server, &place) {
            (Some(Id(server)), _) => {
                state.check_unlocked("server", server)?;
                let found = state.servers.get(&server);
                found.ok_or_else(|| ApiError::not_found("server", server))?.location.clone()
            }
            (None, place) => {
                let known = LOCATIONS.iter().find(|l| place.as_ref().is_some_and(|p| p.means(l.id, l.name)));
                known.ok_or_else(|| ApiError::field("location", "there is no such location"))?.name.to_owned()
            }
        };
        let id = state.new_id();
        let volume = Volume {
            name,
            labels,
            created: now(),
            size,
            location,
            format,
            server: None,
            protected: false,
            status: "creating".into(),
        };
        state.volumes.insert(id, volume);
        let mut jobs = vec![Job::CreateVolume { volume: id }];
        jobs.extend(server.map(|Id(server)| Job::AttachVolume { volume: id, server }));
        let chain = state.begin(jobs);
        Ok(json!({"volume": render(id, find(state, id)?), "action": actions::render(state, chain[0]),
            "next_actions": state.render_actions(&chain[1..])}))
    })?;
    created(body)
}

async fn update(Extract(cloud): Shared, Path(id): Path<String>, body: Bytes) -> Reply {
    let id = parse_id("volume", &id)?;
    let mut input = Input::parse(&body)?;
    let (name, labels) = (input.new_name(), input.labels());
    input.done()?;
    let body = cloud.change(|state| {
        if let Some(name) = &name {
            check_unique_name(state, name, Some(id))?;
        }
        let volume = state.volumes.get_mut(&id).ok_or_else(|| ApiError::not_found("volume", id))?;
        volume.name = name.unwrap_or(std::mem::take(&mut volume.name));
        volume.labels = labels.unwrap_or(std::mem::take(&mut volume.labels));
        Ok(json!({"volume": render(id, volume)}))
    })?;
    ok(body)
}

async fn delete(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("volume", &id)?;
    cloud.change(|state| {
        let volume = find(state, id)?;
        if volume.protected {
            return Err(ApiError::protected("volume", id));
        }
        if let Some(server) = volume.server {
            let message = format!("volume {id} is attached to server {server}; detach it first");
            return Err(ApiError::unprocessable("service_error", message));
        }
        state.check_unlocked("volume", id)?;
        state.volumes.remove(&id);
        Ok(())
    })?;
    cloud.remove_volume_file(id).await;
    no_content()
}

async fn act(Extract(cloud): Shared, Path((id, action)): Path<(String, String)>, body: Bytes) -> Reply {
    let id = parse_id("volume", &id)?;
    let mut input = Input::parse(&body)?;
    let body = cloud.change(|state| {
        let volume = find(state, id)?.clone();
        let job = match action.as_str() {
            "attach" => attach(state, id, &volume, &mut input)?,
            "detach" => {
                let Some(server) = volume.server else {
                    return Err(ApiError::unprocessable(
                        "service_error",
                        format!("volume {id} is not attached"),
                    ));
                };
                Job::DetachVolume { volume: id, server }
            }
            "resize" => {
                let size: u64 = input.required("size");
                check_size(&mut input, size);
                if size < volume.size {
                    input
                        .complain("size", format!("a volume can only grow; this one has {} GB", volume.size));
                }
                input.done()?;
                Job::ResizeVolume { volume: id, size }
            }
            "change_protection" => {
                let on: Option<bool> = input.optional("delete");
                input.done()?;
                Job::ProtectVolume { volume: id, on: on.unwrap_or(volume.protected) }
            }
            _ => return Err(ApiError::not_found("action", &action)),
        };
        for (kind, resource) in job.resources() {
            if job.holds(kind, resource) {
                state.check_unlocked(kind, resource)?;
            }
        }
        let chain = state.begin([job]);
        Ok(actions::one(state, chain[0]))
    })?;
    created(body)
}

fn attach(state: &State, id: u64, volume: &Volume, input: &mut Input) -> Result<Job, ApiError> {
    let Id(server) = input.required("server");
    input.done()?;
    let found = state.servers.get(&server).ok_or_else(|| ApiError::not_found("server", server))?;
    check_attachable(id, volume, &found.location)?;
    Ok(Job::AttachVolume { volume: id, server })
}

/// Fails when the volume cannot be attached to a server in this location.
pub(super) fn check_attachable(id: u64, volume: &Volume, location: &str) -> Result<(), ApiError> {
    if let Some(other) = volume.server {
        let message = format!("volume {id} is attached to server {other}; detach it first");
        return Err(ApiError::unprocessable("volume_already_attached", message));
    }
    if volume.location != location {
        let message = format!(
            "volume {id} is in {} and the server in {location}; both must be in one",
            volume.location
        );
        return Err(ApiError::field("volume", message));
    }
    Ok(())
}

fn check_size(input: &mut Input, size: u64) {
    if !SIZES.contains(&size) && !input.is_wrong("size") {
        input.complain("size", format!("must be {} to {} GB", SIZES.start(), SIZES.end()));
    }
}

fn check_unique_name(state: &State, name: &str, but: Option<u64>) -> Result<(), ApiError> {
    let taken = state.volumes.iter().any(|(id, v)| v.name == name && Some(*id) != but);
    if taken {
        Err(ApiError::uniqueness("name", format!("volume name '{name}' is already used")))
    } else {
        Ok(())
    }
}
