use super::catalog::locate;
use super::input::{Id, Input, Reference};
use super::resource::{self, Resource};
use super::{Reply, Shared, actions, created, no_content, parse_id};
use crate::cloud::Cloud;
use crate::cloud::catalog::render_location;
use crate::cloud::clock::now_text;
use crate::cloud::job::Job;
use crate::cloud::state::{Server, State, Volume};
use crate::error::ApiError;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::routing::post;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const SIZES: std::ops::RangeInclusive<u64> = 10..=10_240;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    resource::routes::<Volume>()
        .merge(resource::action_routes::<Volume>())
        .route("/volumes", post(create))
        .route("/volumes/{id}", axum::routing::delete(delete))
        .route("/volumes/{id}/actions/{action}", post(resource::act::<Volume>))
}

impl Resource for Volume {
    const KIND: &'static str = "volume";
    const PLURAL: &'static str = "volumes";
    const FILTERS: &'static [&'static str] = &["name", "status"];

    fn all(state: &State) -> &BTreeMap<u64, Self> {
        &state.volumes
    }

    fn all_mut(state: &mut State) -> &mut BTreeMap<u64, Self> {
        &mut state.volumes
    }

    fn unique_name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn render(&self, _: &State, id: u64) -> Value {
        json!({
            "id": id, "name": self.name, "labels": self.labels, "created": self.created, "size": self.size,
            "location": render_location(&self.location), "format": self.format, "server": self.server,
            "linux_device": format!("/dev/disk/by-id/scsi-0HC_Volume_{id}"),
            "protection": {"delete": self.protected}, "status": self.status,
        })
    }

    fn update(&mut self, input: &mut Input) {
        resource::rename(&mut self.name, &mut self.labels, input);
        check_name(input, &self.name);
    }

    fn is_protected(&self) -> bool {
        self.protected
    }

    fn check_unused(&self, id: u64) -> Result<(), ApiError> {
        let Some(server) = self.server else { return Ok(()) };
        let message = format!("volume {id} is attached to server {server}; detach it first");
        Err(ApiError::unprocessable("service_error", message))
    }

    fn plan(&self, state: &State, id: u64, action: &str, input: &mut Input) -> Result<Job, ApiError> {
        Ok(match action {
            "attach" => attach(state, id, self, input)?,
            "detach" => {
                let Some(server) = self.server else {
                    let message = format!("volume {id} is not attached");
                    return Err(ApiError::unprocessable("service_error", message));
                };
                Job::DetachVolume { volume: id, server }
            }
            "resize" => {
                let size: u64 = input.required("size");
                check_size(input, size);
                if size < self.size {
                    let message = format!("a volume can only grow; this one has {} GB", self.size);
                    input.complain("size", message);
                }
                input.done()?;
                Job::ResizeVolume { volume: id, size }
            }
            "change_protection" => {
                Job::ProtectVolume { volume: id, on: resource::read_protection(input, self.protected)? }
            }
            _ => return Err(ApiError::not_found("action", action)),
        })
    }
}

async fn create(Extract(cloud): Shared, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let name = input.name();
    check_name(&mut input, &name);
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
        let location = match server {
            Some(Id(server)) => {
                state.check_unlocked("server", server)?;
                resource::find::<Server>(state, server)?.location.clone()
            }
            None => locate(place.as_ref())?.name.to_owned(),
        };
        let volume = Volume {
            name,
            labels,
            created: now_text(),
            size,
            location,
            format,
            server: None,
            protected: false,
            status: "creating".into(),
        };
        let id = resource::add(state, volume)?;
        let mut jobs = vec![Job::CreateVolume { volume: id }];
        jobs.extend(server.map(|Id(server)| Job::AttachVolume { volume: id, server }));
        let chain = state.begin(jobs);
        let mut body = resource::one::<Volume>(state, id)?;
        body["action"] = actions::render(state, chain[0]);
        body["next_actions"] = state.render_actions(&chain[1..]).into();
        Ok(body)
    })?;
    created(body)
}

async fn delete(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("volume", &id)?;
    cloud.change(|state| resource::remove::<Volume>(state, id))?;
    cloud.remove_volume_file(id).await;
    no_content()
}

fn attach(state: &State, id: u64, volume: &Volume, input: &mut Input) -> Result<Job, ApiError> {
    let Id(server) = input.required("server");
    input.done()?;
    check_attachable(id, volume, &resource::find::<Server>(state, server)?.location)?;
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

fn check_name(input: &mut Input, name: &str) {
    let ends = |c: char| c.is_ascii_alphanumeric();
    let inner = |c: char| ends(c) || "-_.".contains(c);
    let fits = name.len() <= 64 && name.chars().all(inner) && name.starts_with(ends) && name.ends_with(ends);
    if !fits && !input.is_wrong("name") {
        input.complain(
            "name",
            "must have 1 to 64 letters, digits, '-', '_' and '.', the last three not at its ends",
        );
    }
}

fn check_size(input: &mut Input, size: u64) {
    if !SIZES.contains(&size) && !input.is_wrong("size") {
        input.complain("size", format!("must be {} to {} GB", SIZES.start(), SIZES.end()));
    }
}
