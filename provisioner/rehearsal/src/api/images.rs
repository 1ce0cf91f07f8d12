use super::input::Input;
use super::resource::{self, Plan, Resource};
use crate::cloud::Cloud;
use crate::cloud::job::Job;
use crate::cloud::state::{Image, State};
use crate::error::ApiError;
use serde_json::{Value, json};
use std::sync::Arc;

const GIGABYTE: f64 = (1_u64 << 30) as f64;

impl Resource for Image {
    const FILTERS: &'static [&'static str] = &["name", "type", "status", "architecture", "bound_to"];
    /// They are made by an action of a server.
    const IS_ORDERED: bool = false;

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

    /// Servers that were made from it keep its files, until the last of them is gone.
    fn remove(state: &mut State, id: u64) -> Option<Job> {
        state.images.entry(id).and_modify(|image| image.deleted = true);
        None
    }

    fn clean_up(cloud: &Arc<Cloud>, _: u64) -> impl Future<Output = ()> + Send {
        cloud.forget_images()
    }

    fn plan(state: &mut State, id: u64, action: &str, input: &mut Input) -> Result<Plan, ApiError> {
        let image = resource::find::<Image>(state, id)?;
        if action != "change_protection" {
            return Err(ApiError::not_found("action", action));
        }
        let on = resource::read_protection(input, image.protected)?;
        if image.kind == "system" {
            let message = "a system image's protection cannot be changed";
            return Err(ApiError::unprocessable("unsupported_error", message));
        }
        Ok(Job::ProtectImage { image: id, on }.into())
    }
}
