//! What changes of zones and changes of their RRSets have in common.

use crate::api::input::Input;
use crate::api::resource;
use crate::cloud::dns::{Mode, Record, RrSet, TTLS, Wrong, Zone, ZoneJob};
use crate::cloud::job::Job;
use crate::cloud::state::State;
use crate::error::ApiError;
use crate::labels::{self, Labels};
use axum::http::StatusCode;
use serde_json::json;

impl From<Wrong> for ApiError {
    fn from(wrong: Wrong) -> Self {
        Self::field(wrong.field, wrong.why)
    }
}

pub(super) fn check_mode(zone: &Zone, mode: Mode) -> Result<(), ApiError> {
    if zone.mode == mode {
        return Ok(());
    }
    let message = format!("zone {} is in {} mode, where this cannot be done", zone.name, json!(zone.mode));
    Err(ApiError::unprocessable("incorrect_zone_mode", message))
}

/// Changes a zone; gives back the job that publishes it.
pub(super) fn change(
    state: &mut State,
    id: u64,
    job: ZoneJob,
    change: impl FnOnce(&mut Zone) -> Result<(), ApiError>,
) -> Result<Job, ApiError> {
    state.check_unlocked("zone", id)?;
    let zone = resource::find_mut::<Zone>(state, id)?;
    change(zone)?;
    zone.publish();
    Ok(Job::Zone { zone: id, job })
}

/// Why an RRSet is not changed.
pub(super) fn protected(id: &str) -> ApiError {
    let message = format!("RRSet {id} is protected from changes; lift it with change_protection first");
    ApiError::new(StatusCode::LOCKED, "protected", message)
}

/// An RRSet, as it comes in a request.
#[derive(serde::Deserialize)]
pub(super) struct NewSet {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) ttl: Option<u32>,
    pub(super) labels: Option<Labels>,
    pub(super) records: Vec<Record>,
}

impl NewSet {
    /// Adds it to a zone, over the default one where it is the name servers'.
    pub(super) fn add_to(self, zone: &mut Zone) -> Result<(), Wrong> {
        if let Some(why) = self.ttl.and_then(wrong_ttl) {
            return Err(Wrong::new("ttl", why));
        }
        let labels = self.labels.unwrap_or_default();
        labels::validate(&labels).map_err(|why| Wrong::new("labels", why))?;
        zone.put(&self.name, &self.kind, RrSet::new(self.ttl, labels, self.records))
    }
}

/// The field `ttl`, if it is there and right.
pub(super) fn ttl(input: &mut Input) -> Option<u32> {
    let ttl = input.optional("ttl")?;
    if let Some(why) = wrong_ttl(ttl) {
        input.complain("ttl", why);
    }
    Some(ttl)
}

fn wrong_ttl(ttl: u32) -> Option<String> {
    let wrong = !TTLS.contains(&ttl);
    wrong.then(|| format!("must be {} to {} seconds", TTLS.start(), TTLS.end()))
}
