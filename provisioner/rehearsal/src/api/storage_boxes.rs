//! Storage boxes and their types; Hetzner serves them at api.hetzner.com, this cloud beside everything else.

mod act;
mod fields;
mod parts;
mod snapshots;
mod subaccounts;

use super::catalog::offers;
use super::input::{Input, Query};
use super::resource::{self, Plan, Resource};
use super::ssh_keys::public_key_blob;
use super::{Reply, Shared, actions, ok};
use crate::cloud::Cloud;
use crate::cloud::catalog::render_location;
use crate::cloud::clock::now_text;
use crate::cloud::job::Job;
use crate::cloud::state::State;
use crate::cloud::storage::types::{BoxType, TYPES, box_type};
use crate::cloud::storage::{Access, BOX_SETTINGS, BoxJob, Snapshot, StorageBox, Subaccount};
use crate::error::ApiError;
use axum::Router;
use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use axum::routing::get;
use fields::{nested_settings, required_location, required_password, required_type};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    resource::routes::<StorageBox>()
        .merge(parts::routes::<Snapshot>())
        .merge(parts::routes::<Subaccount>())
        .merge(offers("storage_box_type", "storage_box_types", &["name"], |_| {
            TYPES.iter().map(BoxType::render).collect()
        }))
        .route("/storage_boxes/{id}/folders", get(folders))
}

impl Resource for StorageBox {
    const FILTERS: &'static [&'static str] = &["name"];
    /// Nothing is stored, so by size all are equal.
    const SORTABLE: &'static [&'static str] =
        &["id", "name", "created", "stats.size", "stats.size_filesystem"];

    fn unique_name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn render(&self, _: &State, id: u64) -> Value {
        let username = StorageBox::username(id);
        let known = |text: String| self.active.then_some(text);
        json!({
            "id": id, "name": self.name, "labels": self.labels, "created": self.created,
            "status": if self.active { "active" } else { "initializing" },
            "username": known(username.clone()), "server": known(StorageBox::server(&username)),
            "system": known(format!("{}-BX1", self.location.to_uppercase())),
            "storage_box_type": box_type(&self.storage_box_type).map(BoxType::render),
            "location": render_location(&self.location), "access_settings": self.access,
            "snapshot_plan": self.plan, "protection": {"delete": self.protected},
            "stats": {"size": 0, "size_data": 0, "size_snapshots": 0},
        })
    }

    fn update(&mut self, input: &mut Input) {
        resource::rename(&mut self.name, &mut self.labels, input);
    }

    fn create(_: &Cloud, state: &mut State, input: &mut Input) -> Result<Value, ApiError> {
        let name = input.name();
        let labels = input.labels().unwrap_or_default();
        let kind = required_type(input);
        let location = required_location(input);
        required_password(input);
        let keys: Vec<String> = input.optional("ssh_keys").unwrap_or_default();
        if let Some(wrong) = keys.iter().find(|key| public_key_blob(key).is_none()) {
            input.complain("ssh_keys", format!("'{wrong}' is not a public key in OpenSSH's format"));
        }
        let mut access: Access = BOX_SETTINGS.map(|setting| (setting.to_owned(), false)).into();
        access.extend(nested_settings(input, &BOX_SETTINGS));
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
        let id = resource::add(state, record)?;
        let mut body = resource::one::<StorageBox>(state, id)?;
        let chain = state.begin([Job::StorageBox { storage_box: id, job: BoxJob::Create }]);
        body["action"] = actions::render(state, chain[0]);
        Ok(body)
    }

    fn is_protected(&self) -> bool {
        self.protected
    }

    fn remove(_: &mut State, id: u64) -> Option<Job> {
        Some(Job::StorageBox { storage_box: id, job: BoxJob::Delete })
    }

    fn plan(state: &mut State, id: u64, action: &str, input: &mut Input) -> Result<Plan, ApiError> {
        let job = act::job(resource::find(state, id)?, action, input)?;
        Ok(Job::StorageBox { storage_box: id, job }.into())
    }
}

async fn folders(Extract(cloud): Shared, Path(id): Path<String>, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let path = query.one("path").unwrap_or(".");
    cloud.read(|state| {
        match resource::find::<StorageBox>(state, StorageBox::resolve(state, &id)?)?.folders_in(path) {
            Some(folders) => ok(json!({ "folders": folders })),
            None => Err(ApiError::not_found("folder", path)),
        }
    })
}
