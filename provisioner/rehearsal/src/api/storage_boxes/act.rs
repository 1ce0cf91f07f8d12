//! The actions of storage boxes.

use super::fields::{required_password, required_type, settings};
use crate::api::input::{Input, Reference};
use crate::cloud::storage::types::box_type;
use crate::cloud::storage::{BOX_SETTINGS, BoxJob, Plan, StorageBox};
use crate::error::ApiError;

pub(super) fn job(record: &StorageBox, action: &str, input: &mut Input) -> Result<BoxJob, ApiError> {
    let job = match action {
        "change_protection" => {
            BoxJob::ChangeProtection { on: input.optional("delete").unwrap_or(record.protected) }
        }
        "change_type" => {
            let storage_box_type = required_type(input);
            check_room(record, &storage_box_type, input);
            BoxJob::ChangeType { storage_box_type }
        }
        "reset_password" => {
            required_password(input);
            BoxJob::ResetPassword
        }
        "update_access_settings" => BoxJob::UpdateAccessSettings { access: settings(input, &BOX_SETTINGS) },
        "enable_snapshot_plan" => BoxJob::EnableSnapshotPlan { plan: plan(record, input) },
        "disable_snapshot_plan" => BoxJob::DisableSnapshotPlan,
        "rollback_snapshot" => {
            let wanted: Reference = input.required("snapshot");
            input.done()?;
            let found = record.snapshots.iter().find(|(id, snapshot)| wanted.means(**id, &snapshot.name));
            let found = found.ok_or_else(|| ApiError::not_found("storage_box_snapshot", wanted.text()))?;
            BoxJob::RollbackSnapshot { id: *found.0 }
        }
        _ => return Err(ApiError::not_found("action", action)),
    };
    input.done()?;
    Ok(job)
}

/// Complains when the box has more snapshots than a type allows.
fn check_room(record: &StorageBox, kind: &str, input: &mut Input) {
    let limit = box_type(kind).map_or(u64::MAX, |kind| kind.snapshots);
    if record.snapshots.len() as u64 > limit {
        input.complain("storage_box_type", format!("{kind} allows for {limit} snapshots; delete some first"));
    }
}

fn plan(record: &StorageBox, input: &mut Input) -> Plan {
    let most = box_type(&record.storage_box_type).map_or(u64::MAX, |kind| kind.snapshots);
    let plan = Plan {
        max_snapshots: input.required("max_snapshots"),
        minute: input.required("minute"),
        hour: input.required("hour"),
        day_of_week: input.optional("day_of_week"),
        day_of_month: input.optional("day_of_month"),
    };
    let table = [
        ("max_snapshots", Some(plan.max_snapshots), 1..=most),
        ("minute", Some(plan.minute), 0..=59),
        ("hour", Some(plan.hour), 0..=23),
        ("day_of_week", plan.day_of_week, 1..=7),
        ("day_of_month", plan.day_of_month, 1..=31),
    ];
    for (field, value, range) in table {
        if value.is_some_and(|value| !range.contains(&value)) && !input.is_wrong(field) {
            input.complain(field, format!("must be {} to {}", range.start(), range.end()));
        }
    }
    plan
}
