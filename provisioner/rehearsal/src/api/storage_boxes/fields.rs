//! Fields that several requests about storage boxes have.

use crate::api::input::{Input, Reference};
use crate::cloud::catalog::LOCATIONS;
use crate::cloud::storage::types::{self, TYPES};
use crate::cloud::storage::{Access, check_password};
use serde_json::{Map, Value};

/// Of descriptions, in characters.
const LONGEST_DESCRIPTION: usize = 1000;

/// The name of the type that the request names.
pub(super) fn required_type(input: &mut Input) -> String {
    let wanted: Reference = input.required("storage_box_type");
    let found = TYPES.iter().find(|kind| wanted.means(kind.id, kind.name));
    if found.is_none() && !input.is_wrong("storage_box_type") {
        input.complain("storage_box_type", "there is no such type of storage box");
    }
    found.map(|kind| kind.name.to_owned()).unwrap_or_default()
}

pub(super) fn required_location(input: &mut Input) -> String {
    let wanted: Reference = input.required("location");
    let found = LOCATIONS.iter().find(|l| wanted.means(l.id, l.name) && types::LOCATIONS.contains(&l.name));
    if found.is_none() && !input.is_wrong("location") {
        input.complain("location", format!("storage boxes are in {}", types::LOCATIONS.join(" and ")));
    }
    found.map(|location| location.name.to_owned()).unwrap_or_default()
}

/// Checks the password and forgets it.
pub(super) fn required_password(input: &mut Input) {
    let password: String = input.required("password");
    if let Err(why) = check_password(&password)
        && !input.is_wrong("password")
    {
        input.complain("password", why);
    }
}

/// The settings in `access_settings`.
pub(super) fn nested_settings(input: &mut Input, names: &[&str]) -> Access {
    let mut access = Access::new();
    let sent: Map<String, Value> = input.optional("access_settings").unwrap_or_default();
    for name in names {
        match sent.get(*name) {
            None | Some(Value::Null) => {}
            Some(Value::Bool(on)) => drop(access.insert((*name).to_owned(), *on)),
            Some(_) => input.complain("access_settings", format!("{name} must be true or false")),
        }
    }
    access
}

/// The settings that are fields of their own.
pub(super) fn settings(input: &mut Input, names: &[&str]) -> Access {
    names.iter().filter_map(|name| Some(((*name).to_owned(), input.optional(name)?))).collect()
}

pub(super) fn description(input: &mut Input) -> Option<String> {
    let text: String = input.optional("description")?;
    if text.chars().count() > LONGEST_DESCRIPTION {
        input.complain("description", format!("must have at most {LONGEST_DESCRIPTION} characters"));
    }
    Some(text)
}
