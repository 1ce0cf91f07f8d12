//! How many resources of a kind a project may have. Hetzner raises its limits on request; the operator does here.

use crate::error::ApiError;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a new project may have, of the order of what Hetzner grants.
const DEFAULTS: [(&str, u64); 6] = [
    ("servers", 25),
    ("primary_ips", 50),
    ("volumes", 50),
    ("firewalls", 50),
    ("ssh_keys", 50),
    ("snapshots", 30),
];

/// The limits that differ from those of a new project.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Limits(BTreeMap<String, u64>);

impl Limits {
    /// Fails when there are as many of a kind as there may be.
    pub(crate) fn check(&self, plural: &str, present: usize) -> Result<(), ApiError> {
        let Some(most) = self.most(plural).filter(|most| present as u64 >= *most) else { return Ok(()) };
        let message = format!(
            "the project has {present} {plural} and may have {most}; delete some or have the limit raised"
        );
        Err(ApiError::new(StatusCode::FORBIDDEN, "resource_limit_exceeded", message))
    }

    /// Changes some limits; those of unknown kinds are refused.
    pub(crate) fn set(&mut self, changes: BTreeMap<String, u64>) -> Result<(), ApiError> {
        if let Some(unknown) = changes.keys().find(|plural| self.most(plural).is_none()) {
            let known = DEFAULTS.map(|(plural, _)| plural).join(", ");
            return Err(ApiError::field(unknown, format!("has no limit; these have: {known}")));
        }
        self.0.extend(changes);
        Ok(())
    }

    pub(crate) fn render(&self) -> Value {
        DEFAULTS.iter().map(|(plural, _)| ((*plural).to_owned(), json!(self.most(plural)))).collect()
    }

    fn most(&self, plural: &str) -> Option<u64> {
        let default = DEFAULTS.iter().find(|(known, _)| *known == plural);
        self.0.get(plural).copied().or(default.map(|(_, most)| *most))
    }
}
