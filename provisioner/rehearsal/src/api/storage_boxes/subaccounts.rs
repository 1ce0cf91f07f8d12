use super::fields::{description, nested_settings, required_password, settings};
use super::parts::{Part, check_limit};
use crate::api::input::Input;
use crate::api::resource;
use crate::cloud::clock::now_text;
use crate::cloud::storage::types::SUBACCOUNTS;
use crate::cloud::storage::{Access, BoxJob, SUBACCOUNT_SETTINGS, StorageBox, Subaccount};
use crate::error::ApiError;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Of a name, in characters.
const LONGEST_NAME: usize = 50;
/// Of a home directory's path, in characters.
const LONGEST_PATH: usize = 999;

impl Part for Subaccount {
    const KIND: &'static str = "subaccount";
    const PLURAL: &'static str = "subaccounts";
    const FILTERS: &'static [&'static str] = &["name", "username"];
    const SORTABLE: &'static [&'static str] = &["id", "created"];
    const HAS_ACTIONS: bool = true;

    fn all(record: &StorageBox) -> &BTreeMap<u64, Self> {
        &record.subaccounts
    }

    fn all_mut(record: &mut StorageBox) -> &mut BTreeMap<u64, Self> {
        &mut record.subaccounts
    }

    fn render(&self, storage_box: u64, id: u64) -> Value {
        json!({
            "id": id, "storage_box": storage_box, "username": self.username, "name": self.name,
            "server": StorageBox::server(&self.username), "home_directory": self.home_directory,
            "description": self.description, "labels": self.labels, "created": self.created,
            "access_settings": self.access,
        })
    }

    fn update(&mut self, input: &mut Input) {
        self.name = name(input).unwrap_or(std::mem::take(&mut self.name));
        self.description = description(input).unwrap_or(std::mem::take(&mut self.description));
        resource::relabel(&mut self.labels, input);
    }

    fn create(
        record: &mut StorageBox,
        storage_box: u64,
        id: u64,
        input: &mut Input,
    ) -> Result<BoxJob, ApiError> {
        required_password(input);
        let home_directory = home_directory(input);
        let name = name(input);
        let description = description(input).unwrap_or_default();
        let labels = input.labels().unwrap_or_default();
        let mut access: Access = SUBACCOUNT_SETTINGS.map(|setting| (setting.to_owned(), false)).into();
        access.extend(nested_settings(input, &SUBACCOUNT_SETTINGS));
        input.done()?;
        check_limit("subaccounts", record.subaccounts.len(), SUBACCOUNTS)?;
        record.subaccounts_made += 1;
        let username = format!("{}-sub{}", StorageBox::username(storage_box), record.subaccounts_made);
        let name = name.unwrap_or_else(|| username.clone());
        let created = now_text();
        let subaccount = Subaccount { username, name, description, labels, created, home_directory, access };
        Ok(BoxJob::CreateSubaccount { id, subaccount })
    }

    fn delete(id: u64) -> BoxJob {
        BoxJob::DeleteSubaccount { id }
    }

    fn plan(id: u64, action: &str, input: &mut Input) -> Result<BoxJob, ApiError> {
        Ok(match action {
            "change_home_directory" => {
                BoxJob::ChangeHomeDirectory { id, home_directory: home_directory(input) }
            }
            "reset_subaccount_password" => {
                required_password(input);
                BoxJob::ResetSubaccountPassword { id }
            }
            "update_access_settings" => {
                BoxJob::UpdateSubaccountAccessSettings { id, access: settings(input, &SUBACCOUNT_SETTINGS) }
            }
            _ => return Err(ApiError::not_found("action", action)),
        })
    }
}

fn name(input: &mut Input) -> Option<String> {
    let name: String = input.optional("name")?;
    if !(1..=LONGEST_NAME).contains(&name.chars().count()) {
        input.complain("name", format!("must have 1 to {LONGEST_NAME} characters"));
    }
    Some(name)
}

fn home_directory(input: &mut Input) -> String {
    let path: String = input.required("home_directory");
    let fine = |c: char| c.is_ascii_alphanumeric() || " ./_-".contains(c);
    let right = (1..=LONGEST_PATH).contains(&path.len()) && path.chars().all(fine);
    if !right && !input.is_wrong("home_directory") {
        input.complain(
            "home_directory",
            format!("must have 1 to {LONGEST_PATH} letters, digits, spaces or . / _ -"),
        );
    }
    path
}
