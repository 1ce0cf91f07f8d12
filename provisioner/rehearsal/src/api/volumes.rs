use super::actions;
use super::catalog::locate;
use super::input::{Id, Input, Reference};
use super::resource::{self, Plan, Resource};
use crate::cloud::Cloud;
use crate::cloud::catalog::render_location;
use crate::cloud::clock::now_text;
use crate::cloud::job::Job;
use crate::cloud::state::{Server, State, Volume};
use crate::error::ApiError;
use serde_json::{Value, json};
use std::sync::Arc;

const SIZES: std::ops::RangeInclusive<u64> = 10..=10_240;

impl Resource for Volume {
    const FILTERS: &'static [&'static str] = &["name", "status"];

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

    fn create(_: &Cloud, state: &mut State, input: &mut Input) -> Result<Value, ApiError> {
        let name = input.name();
        check_name(input, &name);
        let labels = input.labels().unwrap_or_default();
        let size: u64 = input.required("size");
        check_size(input, size);
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
    }

    fn is_protected(&self) -> bool {
        self.protected
    }

    fn check_unused(&self, id: u64) -> Result<(), ApiError> {
        let Some(server) = self.server else { return Ok(()) };
        let message = format!("volume {id} is attached to server {server}; detach it first");
        Err(ApiError::unprocessable("service_error", message))
    }

    fn clean_up(cloud: &Arc<Cloud>, id: u64) -> impl Future<Output = ()> + Send {
        cloud.remove_volume_file(id)
    }

    fn plan(state: &mut State, id: u64, action: &str, input: &mut Input) -> Result<Plan, ApiError> {
        let volume = resource::find::<Volume>(state, id)?;
        let job = match action {
            "attach" => attach(state, id, volume, input)?,
            "detach" => {
                let Some(server) = volume.server else {
                    let message = format!("volume {id} is not attached");
                    return Err(ApiError::unprocessable("service_error", message));
                };
                Job::DetachVolume { volume: id, server }
            }
            "resize" => {
                let size: u64 = input.required("size");
                check_size(input, size);
                if size < volume.size {
                    let message = format!("a volume can only grow; this one has {} GB", volume.size);
                    input.complain("size", message);
                }
                input.done()?;
                Job::ResizeVolume { volume: id, size }
            }
            "change_protection" => {
                Job::ProtectVolume { volume: id, on: resource::read_protection(input, volume.protected)? }
            }
            _ => return Err(ApiError::not_found("action", action)),
        };
        Ok(job.into())
    }
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
