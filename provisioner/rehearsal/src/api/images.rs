use super::input::Input;
use super::resource::{self, Resource};
use super::{Reply, Shared, no_content, parse_id};
use crate::cloud::Cloud;
use crate::cloud::job::Job;
use crate::cloud::state::{Image, State};
use crate::error::ApiError;
use axum::Router;
use axum::extract::{Path, State as Extract};
use axum::routing::post;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const GIGABYTE: f64 = (1_u64 << 30) as f64;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    resource::routes::<Image>()
        .merge(resource::action_routes::<Image>())
        .route("/images/{id}", axum::routing::delete(delete))
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
        let created_from = self.created_from.as_ref().map(|(id, name)| json!({"id": id, "name": name}));
        // The size on disk, which is what a copy is billed by, in hundredths of a GB.
        let image_size = self.stored_bytes.map(|bytes| (bytes as f64 / GIGABYTE * 100.0).ceil() / 100.0);
        json!({
            "id": id, "type": self.kind, "status": self.status, "name": self.name,
            "description": self.description, "image_size": image_size, "disk_size": self.disk_size(), "created": self.created,
            "created_from": created_from, "bound_to": self.bound_to, "os_flavor": self.os_flavor, "os_version": self.os_version,
            "rapid_deploy": self.kind == "system", "protection": {"delete": self.protected}, "deprecated": null,
            "deprecation": null, "labels": self.labels, "deleted": null, "architecture": self.architecture.name(),
        })
    }

    fn update(&mut self, input: &mut Input) {
        resource::relabel(&mut self.labels, input);
        if let Some(description) = input.optional::<String>("description") {
            self.description = description;
        }
        match input.optional::<String>("type").as_deref() {
            None => {}
            Some("snapshot") if self.kind == "backup" => {
                self.kind = "snapshot".into();
                self.bound_to = None;
            }
            Some("snapshot") if self.kind == "snapshot" => {}
            Some(_) => input.complain("type", "only a backup can be changed, to snapshot"),
        }
        if self.kind == "system" {
            input.complain("image", "a system image cannot be changed");
        }
    }

    fn is_listed(&self) -> bool {
        !self.replaced
    }

    fn is_gone(&self) -> bool {
        self.deleted
    }

    fn is_protected(&self) -> bool {
        self.protected
    }

    fn check_unused(&self, id: u64) -> Result<(), ApiError> {
        if self.kind == "system" {
            let message = format!("image {id} is a system image; only snapshots and backups can be deleted");
            return Err(ApiError::unprocessable("unsupported_error", message));
        }
        Ok(())
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

/// Servers that were made from it keep its files, until the last of them is gone.
async fn delete(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("image", &id)?;
    cloud.change(|state| {
        resource::check_removable::<Image>(state, id)?;
        state.images.entry(id).and_modify(|image| image.deleted = true);
        Ok(())
    })?;
    cloud.forget_images().await;
    no_content()
}
