//! The RRSets of zones in primary mode.

use super::change::{NewSet, change, check_mode, protected, ttl};
use crate::api::input::{Input, Query};
use crate::api::listing::Listing;
use crate::api::resource::{self, Resource as _};
use crate::api::{Reply, Shared, actions, created, ok};
use crate::cloud::Cloud;
use crate::cloud::dns::{Mode, Record, RrSet, Zone, ZoneJob, check_distinct, key};
use crate::cloud::state::State;
use crate::error::ApiError;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::sync::Arc;

/// How many RRSets a page may have; more than of anything else.
const MOST_PER_PAGE: u64 = 100;
/// How many records one request may name.
const MOST_RECORDS: usize = 50;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/zones/{id}/rrsets", get(list).post(create))
        .route("/zones/{id}/rrsets/{name}/{type}", get(show).put(update).delete(delete))
        .route("/zones/{id}/rrsets/{name}/{type}/actions/{action}", post(act))
}

/// The zone, the name and the type in a path.
type Names = Path<(String, String, String)>;

fn render(zone: u64, id: &str, set: &RrSet) -> Value {
    let (name, kind) = id.split_once('/').unwrap_or((id, ""));
    json!({
        "id": id, "name": name, "type": kind, "ttl": set.ttl, "labels": set.labels, "records": set.records,
        "protection": {"change": set.protected}, "zone": zone,
    })
}

/// The zone in primary mode that a path names.
fn primary_zone<'a>(state: &'a State, text: &str) -> Result<(u64, &'a Zone), ApiError> {
    let id = Zone::resolve(state, text)?;
    let zone = resource::find::<Zone>(state, id)?;
    primary(zone)?;
    Ok((id, zone))
}

fn primary(zone: &Zone) -> Result<(), ApiError> {
    check_mode(zone, Mode::Primary)
}

fn find<'a>(zone: &'a mut Zone, id: &str) -> Result<&'a mut RrSet, ApiError> {
    primary(zone)?;
    zone.rrsets.get_mut(id).ok_or_else(|| ApiError::not_found("rrset", id))
}

fn find_unprotected<'a>(zone: &'a mut Zone, id: &str) -> Result<&'a mut RrSet, ApiError> {
    let set = find(zone, id)?;
    if set.protected { Err(protected(id)) } else { Ok(set) }
}

async fn list(Extract(cloud): Shared, Path(zone): Path<String>, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let sets: Vec<_> = cloud.read(|state| {
        let (zone, found) = primary_zone(state, &zone)?;
        let dated = found.rrsets.iter().map(|(id, set)| {
            let mut entry = render(zone, id, set);
            entry["created"] = json!(set.created);
            entry
        });
        Ok::<_, ApiError>(dated.collect())
    })?;
    let listing = Listing::new(&query, sets).by("name").by("type").by_labels()?;
    let listing = listing.sorted(&["id", "name", "created"])?.without("created");
    listing.page_of_at_most(MOST_PER_PAGE, "rrsets")
}

async fn show(Extract(cloud): Shared, Path((zone, name, kind)): Names) -> Reply {
    cloud.read(|state| {
        let (zone, found) = primary_zone(state, &zone)?;
        let id = key(&name, &kind);
        let set = found.rrsets.get(&id).ok_or_else(|| ApiError::not_found("rrset", &id))?;
        ok(json!({"rrset": render(zone, &id, set)}))
    })
}

async fn create(Extract(cloud): Shared, Path(zone): Path<String>, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let set = NewSet {
        name: input.required("name"),
        kind: input.required("type"),
        ttl: ttl(&mut input),
        labels: input.labels(),
        records: input.required("records"),
    };
    let body = cloud.change(|state| {
        let id = key(&set.name, &set.kind);
        let zone = Zone::resolve(state, &zone)?;
        let job = change(state, zone, ZoneJob::CreateRrset, |zone| {
            primary(zone)?;
            input.done()?;
            if zone.rrsets.contains_key(&id) {
                let message = format!("there is an RRSet {id} already; set or add its records");
                return Err(ApiError::uniqueness("name", message));
            }
            Ok(set.add_to(zone)?)
        })?;
        let action = state.begin([job])[0];
        let set = state.zones.get(&zone).and_then(|zone| zone.rrsets.get(&id));
        let rendered = set.map(|set| render(zone, &id, set));
        Ok(json!({"rrset": rendered, "action": actions::render(state, action)}))
    })?;
    created(body)
}

async fn update(Extract(cloud): Shared, Path((zone, name, kind)): Names, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let labels = input.labels();
    input.done()?;
    let body = cloud.change(|state| {
        let zone = Zone::resolve(state, &zone)?;
        state.check_unlocked("zone", zone)?;
        let record = resource::find_mut::<Zone>(state, zone)?;
        let id = key(&name, &kind);
        let set = find(record, &id)?;
        set.labels = labels.unwrap_or(std::mem::take(&mut set.labels));
        Ok(json!({"rrset": render(zone, &id, set)}))
    })?;
    ok(body)
}

async fn delete(Extract(cloud): Shared, Path((zone, name, kind)): Names) -> Reply {
    let body = cloud.change(|state| {
        let zone = Zone::resolve(state, &zone)?;
        let job = change(state, zone, ZoneJob::DeleteRrset, |zone| {
            let id = key(&name, &kind);
            find_unprotected(zone, &id)?;
            remove(zone, &id)
        })?;
        let action = state.begin([job])[0];
        Ok(actions::one(state, action))
    })?;
    created(body)
}

fn remove(zone: &mut Zone, id: &str) -> Result<(), ApiError> {
    if id == "@/SOA" {
        return Err(ApiError::field("type", "a zone always has its SOA record; it cannot be deleted"));
    }
    zone.rrsets.remove(id);
    Ok(())
}

async fn act(
    Extract(cloud): Shared,
    Path((zone, name, kind, action)): Path<(String, String, String, String)>,
    body: Bytes,
) -> Reply {
    let mut input = Input::parse(&body)?;
    let status = if action == "update_records" { StatusCode::OK } else { StatusCode::CREATED };
    let body = cloud.change(|state| {
        let job = match action.as_str() {
            "change_protection" => ZoneJob::ChangeRrsetProtection,
            "change_ttl" => ZoneJob::ChangeRrsetTtl,
            "set_records" => ZoneJob::SetRrsetRecords,
            "add_records" => ZoneJob::AddRrsetRecords,
            "remove_records" => ZoneJob::RemoveRrsetRecords,
            "update_records" => ZoneJob::UpdateRrsetRecords,
            _ => return Err(ApiError::not_found("action", &action)),
        };
        let zone = Zone::resolve(state, &zone)?;
        let job = change(state, zone, job, |zone| {
            primary(zone)?;
            let id = key(&name, &kind);
            match job {
                ZoneJob::ChangeRrsetProtection => {
                    let on: bool = input.required("change");
                    input.done()?;
                    find(zone, &id)?.protected = on;
                    Ok(())
                }
                ZoneJob::ChangeRrsetTtl => {
                    let set = find_unprotected(zone, &id)?;
                    set.ttl = ttl(&mut input);
                    if !input.has("ttl") {
                        input.complain("ttl", "missing data for required field");
                    }
                    input.done()
                }
                ZoneJob::AddRrsetRecords => add(zone, &name, &kind, &mut input),
                ZoneJob::RemoveRrsetRecords => take(zone, &id, &records(&mut input)?),
                ZoneJob::UpdateRrsetRecords => comment(zone, &id, records(&mut input)?),
                _ => {
                    let set = RrSet { records: records(&mut input)?, ..find_unprotected(zone, &id)?.clone() };
                    Ok(zone.put(&name, &kind, set)?)
                }
            }
        })?;
        let action = state.begin([job])[0];
        Ok(actions::one(state, action))
    })?;
    let mut reply = created(body)?;
    *reply.status_mut() = status;
    Ok(reply)
}

/// The records in a request: one or more, and no value twice.
fn records(input: &mut Input) -> Result<Vec<Record>, ApiError> {
    let records: Vec<Record> = input.required("records");
    if !input.is_wrong("records") && !(1..=MOST_RECORDS).contains(&records.len()) {
        input.complain("records", format!("must be 1 to {MOST_RECORDS}"));
    }
    input.done()?;
    check_distinct(&records)?;
    Ok(records)
}

/// Adds records to an RRSet, or makes it of them.
fn add(zone: &mut Zone, name: &str, kind: &str, input: &mut Input) -> Result<(), ApiError> {
    let ttl = ttl(input);
    let mut added = records(input)?;
    let id = key(name, kind);
    let set = if zone.rrsets.contains_key(&id) {
        let mut set = find_unprotected(zone, &id)?.clone();
        if let (Some(has), Some(wanted)) = (set.ttl, ttl)
            && has != wanted
        {
            let why = format!("the RRSet's TTL is {has}; give the same or none, or use change_ttl");
            return Err(ApiError::field("ttl", why));
        }
        set.ttl = set.ttl.or(ttl);
        set.records.append(&mut added);
        set
    } else {
        RrSet::new(ttl, crate::labels::Labels::new(), added)
    };
    Ok(zone.put(name, kind, set)?)
}

fn no_record(id: &str, value: &str) -> ApiError {
    ApiError::field("records", format!("RRSet {id} has no record '{value}'"))
}

/// Removes records, and the RRSet with its last.
fn take(zone: &mut Zone, id: &str, gone: &[Record]) -> Result<(), ApiError> {
    let set = find_unprotected(zone, id)?;
    for record in gone {
        let place = set.records.iter().position(|other| other.value == record.value);
        set.records.remove(place.ok_or_else(|| no_record(id, &record.value))?);
    }
    if set.records.is_empty() { remove(zone, id) } else { Ok(()) }
}

/// Gives records new comments; an empty one takes the comment away.
fn comment(zone: &mut Zone, id: &str, changed: Vec<Record>) -> Result<(), ApiError> {
    let set = find_unprotected(zone, id)?;
    for record in changed {
        let Some(comment) = record.comment else {
            return Err(ApiError::field("records", format!("'{}': the comment is missing", record.value)));
        };
        let known = set.records.iter_mut().find(|other| other.value == record.value);
        known.ok_or_else(|| no_record(id, &record.value))?.comment = Some(comment);
    }
    let (name, kind) = id.split_once('/').unwrap_or((id, ""));
    let set = set.clone();
    Ok(zone.put(name, kind, set)?)
}
