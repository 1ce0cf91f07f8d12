use super::error::ApiError;
use super::input::Input;
use super::resource::{self, Resource};
use crate::cloud::Cloud;
use crate::cloud::job::Job;
use crate::cloud::state::{Image, State};
use axum::Router;
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const GIGABYTE: f64 = (1_u64 << 30) as f64;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    resource::action_routes::<Image>()
        .route("/images", get(resource::list::<Image>))
        .route("/images/{id}", get(resource::show::<Image>))
        .route("/images/{id}/actions/{action}", post(resource::act::<Image>))
}

impl Resource for Image {
    const KIND: &'static str = "image";
    const PLURAL: &'static str = "images";
    const FILTERS: &'static [&'static str] = &["name", "type", "status", "architecture", "bound_to"];

    fn all(state: &State) -> &BTreeMap<u64, Self> {
        &state.images
    }

    fn all_mut(state: &mut State) -> &mut BTreeMap<u64, Self> {
        &mut state.images
    }

    /// Images of different architectures may share a name, and snapshots have none.
    fn unique_name(&self) -> Option<&str> {
        None
    }

    fn render(&self, _: &State, id: u64) -> Value {
        let size = (self.disk_bytes as f64 / GIGABYTE).ceil();
        json!({
            "id": id, "type": self.kind, "status": self.status, "name": self.name,
            "description": self.description, "image_size": null, "disk_size": size, "created": self.created,
            "created_from": null, "bound_to": null, "os_flavor": self.os_flavor, "os_version": self.os_version,
            "rapid_deploy": true, "protection": {"delete": self.protected}, "deprecated": null,
            "deprecation": null, "labels": self.labels, "deleted": null, "architecture": self.architecture.name(),
        })
    }

    fn update(&mut self, input: &mut Input) {
        resource::relabel(&mut self.labels, input);
    }

    fn is_listed(&self) -> bool {
        !self.replaced
    }

    fn is_protected(&self) -> bool {
        self.protected
    }

    fn plan(&self, _: &State, id: u64, action: &str, input: &mut Input) -> Result<Job, ApiError> {
        if action != "change_protection" {
            return Err(ApiError::not_found("action", action));
        }
        let on = resource::read_protection(input, self.protected)?;
        if self.kind == "system" {
            let message = "a system image's protection cannot be changed";
            return Err(ApiError::unprocessable("unsupported_error", message));
        }
        Ok(Job::ProtectImage { image: id, on })
    }
}
