use super::fields::description;
use super::parts::{Part, check_limit};
use crate::api::input::Input;
use crate::api::resource;
use crate::cloud::clock::now_text;
use crate::cloud::storage::types::box_type;
use crate::cloud::storage::{BoxJob, Snapshot, StorageBox};
use crate::error::ApiError;
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl Part for Snapshot {
    const KIND: &'static str = "snapshot";
    const PLURAL: &'static str = "snapshots";
    const FILTERS: &'static [&'static str] = &["name", "is_automatic"];
    const SORTABLE: &'static [&'static str] = &["id", "name", "created"];
    const HAS_ACTIONS: bool = false;

    fn all(record: &StorageBox) -> &BTreeMap<u64, Self> {
        &record.snapshots
    }

    fn all_mut(record: &mut StorageBox) -> &mut BTreeMap<u64, Self> {
        &mut record.snapshots
    }

    fn render(&self, storage_box: u64, id: u64) -> Value {
        json!({
            "id": id, "storage_box": storage_box, "name": self.name, "description": self.description,
            "labels": self.labels, "created": self.created, "is_automatic": false,
            "stats": {"size": 0, "size_filesystem": 0},
        })
    }

    fn update(&mut self, input: &mut Input) {
        self.description = snapshot_description(input).unwrap_or(std::mem::take(&mut self.description));
        resource::relabel(&mut self.labels, input);
    }

    fn create(record: &mut StorageBox, _: u64, id: u64, input: &mut Input) -> Result<BoxJob, ApiError> {
        let labels = input.labels().unwrap_or_default();
        let description = snapshot_description(input).unwrap_or_default();
        input.done()?;
        let limit = box_type(&record.storage_box_type).map_or(0, |kind| kind.snapshots);
        check_limit("snapshots", record.snapshots.len(), limit)?;
        let name = record.new_snapshot_name();
        Ok(BoxJob::CreateSnapshot {
            id,
            snapshot: Snapshot { name, description, labels, created: now_text() },
        })
    }

    fn delete(id: u64) -> BoxJob {
        BoxJob::DeleteSnapshot { id }
    }
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
