//! Storage boxes. They are records: there is no host behind their names, nothing listens on port 23, and no file is
//! kept. So a box is always empty and its snapshots too, a snapshot plan is noted and never carried out, and passwords
//! and keys are checked and forgotten. The only folders are the homes of subaccounts.
//!
//! An action locks its box, as at Hetzner, and what it changes shows when it has succeeded.

pub(crate) mod types;

use super::clock::now_text;
use crate::labels::Labels;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is reached over which protocol, by the setting's name.
pub(crate) type Access = BTreeMap<String, bool>;

/// The settings of a box.
pub(crate) const BOX_SETTINGS: [&str; 5] =
    ["reachable_externally", "samba_enabled", "ssh_enabled", "webdav_enabled", "zfs_enabled"];
/// The settings of a subaccount.
pub(crate) const SUBACCOUNT_SETTINGS: [&str; 5] =
    ["reachable_externally", "readonly", "samba_enabled", "ssh_enabled", "webdav_enabled"];
/// What a password may have besides letters and digits, of which it must have one.
const SPECIAL: &str = "^°!§$%/()=?+#-.,;:~*@{}_&";
/// In characters.
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 12..=128;

/// A storage box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StorageBox {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) created: String,
    /// The type's name.
    pub(crate) storage_box_type: String,
    pub(crate) location: String,
    /// Its creation has succeeded.
    pub(crate) active: bool,
    pub(crate) protected: bool,
    pub(crate) access: Access,
    pub(crate) plan: Option<Plan>,
    pub(crate) snapshots: BTreeMap<u64, Snapshot>,
    pub(crate) subaccounts: BTreeMap<u64, Subaccount>,
    /// Paths below the root, without a slash at their ends.
    pub(crate) folders: BTreeSet<String>,
    /// How many subaccounts it ever had, to name the next.
    pub(crate) subaccounts_made: u64,
}

/// When snapshots are to be made, in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) max_snapshots: u64,
    pub(crate) minute: u64,
    pub(crate) hour: u64,
    /// From 1 for Monday.
    pub(crate) day_of_week: Option<u64>,
    pub(crate) day_of_month: Option<u64>,
}

/// A snapshot of a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) labels: Labels,
    pub(crate) created: String,
}

/// An account that sees one folder of a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subaccount {
    pub(crate) username: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) labels: Labels,
    pub(crate) created: String,
    pub(crate) home_directory: String,
    pub(crate) access: Access,
}

/// What an action does to a box, with all it needs to be done again after a crash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BoxJob {
    Create,
    Delete,
    ChangeProtection { on: bool },
    ChangeType { storage_box_type: String },
    ResetPassword,
    UpdateAccessSettings { access: Access },
    EnableSnapshotPlan { plan: Plan },
    DisableSnapshotPlan,
    RollbackSnapshot { id: u64 },
    CreateSnapshot { id: u64, snapshot: Snapshot },
    DeleteSnapshot { id: u64 },
    CreateSubaccount { id: u64, subaccount: Subaccount },
    DeleteSubaccount { id: u64 },
    ChangeHomeDirectory { id: u64, home_directory: String },
    ResetSubaccountPassword { id: u64 },
    UpdateSubaccountAccessSettings { id: u64, access: Access },
}

impl BoxJob {
    pub(crate) fn command(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::ChangeProtection { .. } => "change_protection",
            Self::ChangeType { .. } => "change_type",
            Self::ResetPassword => "reset_password",
            Self::UpdateAccessSettings { .. } | Self::UpdateSubaccountAccessSettings { .. } => {
                "update_access_settings"
            }
            Self::EnableSnapshotPlan { .. } => "enable_snapshot_plan",
            Self::DisableSnapshotPlan => "disable_snapshot_plan",
            Self::RollbackSnapshot { .. } => "rollback_snapshot",
            Self::CreateSnapshot { .. } => "create_snapshot",
            Self::DeleteSnapshot { .. } => "delete_snapshot",
            Self::CreateSubaccount { .. } => "create_subaccount",
            Self::DeleteSubaccount { .. } => "delete_subaccount",
            Self::ChangeHomeDirectory { .. } => "change_home_directory",
            Self::ResetSubaccountPassword { .. } => "reset_subaccount_password",
        }
    }

    /// The box, and the part of it that it is about.
    pub(crate) fn resources(&self, storage_box: u64) -> Vec<(&'static str, u64)> {
        let mut all = vec![("storage_box", storage_box)];
        match *self {
            Self::RollbackSnapshot { id } | Self::CreateSnapshot { id, .. } | Self::DeleteSnapshot { id } => {
                all.push(("storage_box_snapshot", id));
            }
            Self::CreateSubaccount { id, .. }
            | Self::DeleteSubaccount { id }
            | Self::ChangeHomeDirectory { id, .. }
            | Self::ResetSubaccountPassword { id }
            | Self::UpdateSubaccountAccessSettings { id, .. } => all.push(("storage_box_subaccount", id)),
            _ => {}
        }
        all
    }

    /// Whether it locks the box.
    pub(crate) fn locks(&self) -> bool {
        !matches!(self, Self::ChangeProtection { .. })
    }

    /// What the box's record says once the work is done.
    pub(super) fn change(&self, record: &mut StorageBox) {
        match self {
            Self::Create => record.active = true,
            Self::ChangeProtection { on } => record.protected = *on,
            Self::ChangeType { storage_box_type } => record.storage_box_type.clone_from(storage_box_type),
            Self::UpdateAccessSettings { access } => record.access.extend(access.clone()),
            Self::EnableSnapshotPlan { plan } => record.plan = Some(plan.clone()),
            Self::DisableSnapshotPlan => record.plan = None,
            // What came after the snapshot is lost with what was written since.
            Self::RollbackSnapshot { id } => record.snapshots.retain(|other, _| other <= id),
            Self::CreateSnapshot { id, snapshot } => drop(record.snapshots.insert(*id, snapshot.clone())),
            Self::DeleteSnapshot { id } => drop(record.snapshots.remove(id)),
            Self::CreateSubaccount { id, subaccount } => {
                record.make_folder(&subaccount.home_directory);
                record.subaccounts.insert(*id, subaccount.clone());
            }
            Self::DeleteSubaccount { id } => drop(record.subaccounts.remove(id)),
            Self::ChangeHomeDirectory { id, home_directory } => {
                record.make_folder(home_directory);
                record.subaccounts.entry(*id).and_modify(|s| s.home_directory.clone_from(home_directory));
            }
            Self::UpdateSubaccountAccessSettings { id, access } => {
                record.subaccounts.entry(*id).and_modify(|s| s.access.extend(access.clone()));
            }
            Self::ResetPassword | Self::ResetSubaccountPassword { .. } | Self::Delete => {}
        }
    }
}

impl StorageBox {
    /// The name to log in with.
    pub(crate) fn username(id: u64) -> String {
        format!("u{id}")
    }

    /// The name the box, or one of its subaccounts, would be reached at.
    pub(crate) fn server(username: &str) -> String {
        format!("{username}.your-storagebox.de")
    }

    /// A name that none of its snapshots has: the time, counted on within a second.
    pub(crate) fn new_snapshot_name(&self) -> String {
        let time: String = now_text().replace(':', "-").chars().take("2025-02-12T11-35-19".len()).collect();
        let is_free = |name: &String| self.snapshots.values().all(|snapshot| snapshot.name != *name);
        let counted = (2_u64..).map(|n| format!("{time}-{n}"));
        std::iter::once(time.clone()).chain(counted).find(is_free).unwrap_or(time)
    }

    fn make_folder(&mut self, path: &str) {
        let parts = normalize(path);
        for end in 1..=parts.len() {
            self.folders.insert(parts[..end].join("/"));
        }
    }

    /// The names of the folders in a folder, or `None` where that is none.
    pub(crate) fn folders_in(&self, path: &str) -> Option<Vec<&str>> {
        let parent = normalize(path).join("/");
        if !parent.is_empty() && !self.folders.contains(&parent) {
            return None;
        }
        let inside = self.folders.iter().filter_map(|folder| match folder.rsplit_once('/') {
            Some((above, name)) => (above == parent).then_some(name),
            None => parent.is_empty().then_some(folder.as_str()),
        });
        Some(inside.collect())
    }
}

/// The parts of a path below the root; `..` does not lead out of it.
fn normalize(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts
}

/// Fails unless the password meets Hetzner's policy. Its last rule, that no known breach has the password, is not
/// looked up.
pub(crate) fn check_password(password: &str) -> Result<(), String> {
    let has = |of: fn(char) -> bool| password.chars().any(of);
    let is_letter = |c: char| c.is_ascii_alphabetic() || "ÄÖÜäöüß".contains(c);
    let is_special = |c: char| SPECIAL.contains(c);
    if !PASSWORD_LENGTH.contains(&password.chars().count()) {
        return Err("must have 12 to 128 characters".into());
    }
    if password.chars().any(|c| !is_letter(c) && !c.is_ascii_digit() && !is_special(c)) {
        return Err(format!("may have letters, digits and {SPECIAL} only"));
    }
    if !(has(char::is_uppercase) && has(char::is_lowercase) && has(|c| c.is_ascii_digit()) && has(is_special))
    {
        return Err(
            "must have an upper case letter, a lower case letter, a digit and a special character".into()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_meet_the_policy() {
        let long = format!("Aa1!{}", "x".repeat(125));
        let table = [
            ("Correct-Horse-1", true),
            ("Äpfel&Birnen99", true),
            ("Short-1a", false),
            ("correct-horse-1", false),
            ("CORRECT-HORSE-1", false),
            ("Correct-Horse-x", false),
            ("CorrectHorse11", false),
            ("Correct Horse-1", false),
            ("Correct-Horse-1é", false),
            (&long[..128], true),
            (&long, false),
            ("", false),
        ];
        for (password, expected) in table {
            assert_eq!(check_password(password).is_ok(), expected, "{password}");
        }
    }

    #[test]
    fn paths_stay_inside() {
        assert_eq!(normalize("a/./b//c/../d/"), ["a", "b", "d"]);
        assert!(normalize("../../..").is_empty());
    }
}
