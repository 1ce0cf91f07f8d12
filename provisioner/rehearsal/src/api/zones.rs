//! Zones: everything but their RRSets.

mod rrsets;

use super::input::{Input, Query};
use super::listing::Listing;
use super::{Reply, Shared, actions, created, ok};
use crate::cloud::Cloud;
use crate::cloud::dns::record::check_zone_name;
use crate::cloud::dns::{
    DEFAULT_TTL, DelegationStatus, Mode, NAMESERVERS, Nameserver, RrSet, TTLS, Wrong, Zone, ZoneJob, key,
    zonefile,
};
use crate::cloud::job::Job;
use crate::cloud::state::State;
use crate::error::ApiError;
use crate::labels::{self, Labels};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

const TSIG_ALGORITHMS: [&str; 3] = ["hmac-md5", "hmac-sha1", "hmac-sha256"];

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .merge(actions::routes_of("zones", "zone"))
        .merge(rrsets::routes())
        .route("/zones", get(list).post(create))
        .route("/zones/{zone}", get(show).put(update).delete(delete))
        .route("/zones/{zone}/zonefile", get(export))
        .route("/zones/{zone}/actions", actions::list_route("zone"))
        .route("/zones/{zone}/actions/{action}", actions::one_route("zone").post(act))
}

impl From<Wrong> for ApiError {
    fn from(wrong: Wrong) -> Self {
        Self::field(wrong.field, wrong.why)
    }
}

/// The id of the zone that a path names by its id or name.
pub(super) fn find(state: &State, zone: &str) -> Result<u64, ApiError> {
    let known = |id: &u64, found: &Zone| zone.parse() == Ok(*id) || found.name == zone;
    let found = state.zones.iter().find(|(id, record)| known(id, record));
    found.map(|(id, _)| *id).ok_or_else(|| ApiError::not_found("zone", zone))
}

fn get_zone<'a>(state: &'a State, zone: &str) -> Result<(u64, &'a Zone), ApiError> {
    let id = find(state, zone)?;
    state.zones.get(&id).map(|found| (id, found)).ok_or_else(|| ApiError::not_found("zone", zone))
}

fn check_mode(zone: &Zone, mode: Mode) -> Result<(), ApiError> {
    if zone.mode == mode {
        return Ok(());
    }
    let message = format!("zone {} is in {} mode, where this cannot be done", zone.name, json!(zone.mode));
    Err(ApiError::unprocessable("incorrect_zone_mode", message))
}

/// Changes a zone and begins its publication; gives back the action's id.
fn change(
    state: &mut State,
    zone: &str,
    job: ZoneJob,
    change: impl FnOnce(&mut Zone) -> Result<(), ApiError>,
) -> Result<(u64, u64), ApiError> {
    let id = find(state, zone)?;
    state.check_unlocked("zone", id)?;
    let record = state.zones.get_mut(&id).ok_or_else(|| ApiError::not_found("zone", zone))?;
    change(record)?;
    record.publish();
    Ok((id, state.begin([Job::Zone { zone: id, job }])[0]))
}

fn render(id: u64, zone: &Zone, state: &State) -> Value {
    let looked = zone.delegation.as_ref();
    let (checked, delegated) = (looked.map(|found| &found.checked), looked.map(|found| &found.nameservers));
    let status = looked.map_or(DelegationStatus::Unknown, |found| found.status);
    json!({
        "id": id, "name": zone.name, "mode": zone.mode, "ttl": zone.ttl, "labels": zone.labels,
        "created": zone.created, "status": state.status_of_zone(id, zone), "record_count": zone.record_count(),
        "registrar": "other", "protection": {"delete": zone.protected},
        "primary_nameservers": zone.primary_nameservers,
        "authoritative_nameservers": {
            "assigned": NAMESERVERS, "delegated": delegated.map_or(&[][..], Vec::as_slice),
            "delegation_last_check": checked, "delegation_status": status,
        },
    })
}

async fn list(Extract(cloud): Shared, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let zones: Vec<_> =
        cloud.read(|state| state.zones.iter().map(|(id, zone)| render(*id, zone, state)).collect());
    let listing = Listing::new(&query, zones).by("name").by("mode").by_labels()?;
    listing.sorted(&["id", "name", "created"])?.page("zones")
}

async fn show(Extract(cloud): Shared, Path(zone): Path<String>) -> Reply {
    cloud.read(|state| {
        let (id, found) = get_zone(state, &zone)?;
        ok(json!({"zone": render(id, found, state)}))
    })
}

async fn create(Extract(cloud): Shared, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let name: String = input.required("name");
    let mode: Mode = input.required("mode");
    let labels = input.labels().unwrap_or_default();
    let ttl = ttl(&mut input).unwrap_or(DEFAULT_TTL);
    let nameservers = if mode == Mode::Secondary { nameservers(&mut input) } else { Vec::new() };
    let sets: Vec<NewSet> = input.optional("rrsets").unwrap_or_default();
    let file: Option<String> = input.optional("zonefile");
    if let Err(why) = check_zone_name(&name)
        && !input.is_wrong("name")
    {
        input.complain("name", why);
    }
    if file.is_some() && !sets.is_empty() {
        input.complain("zonefile", "give either a zone file or RRSets");
    }
    input.done()?;
    let mut zone = Zone::new(name, mode, ttl, labels);
    zone.primary_nameservers = nameservers;
    if mode == Mode::Primary {
        if let Some(text) = file {
            import(&mut zone, &text, false)?;
        }
        let mut seen = BTreeSet::new();
        for set in sets {
            let id = key(&set.name, &set.kind);
            let wrong = |why: &str| ApiError::field("rrsets", format!("{id}: {why}"));
            if !seen.insert(id.clone()) {
                return Err(wrong("is there twice"));
            }
            set.add_to(&mut zone).map_err(|e| wrong(&e.why))?;
        }
    }
    let body = cloud.change(|state| {
        if state.zones.values().any(|other| other.name == zone.name) {
            let message = format!("there is a zone {} already", zone.name);
            return Err(ApiError::uniqueness("name", message));
        }
        let id = state.new_id();
        state.zones.insert(id, zone.clone());
        let action = state.begin([Job::Zone { zone: id, job: ZoneJob::CreateZone }])[0];
        Ok(json!({"zone": render(id, &zone, state), "action": actions::render(state, action)}))
    })?;
    created(body)
}

/// An RRSet, as it comes in a request.
#[derive(serde::Deserialize)]
struct NewSet {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    ttl: Option<u32>,
    labels: Option<Labels>,
    records: Vec<crate::cloud::dns::Record>,
}

impl NewSet {
    /// Adds it to a zone, over the default one where it is the name servers'.
    fn add_to(self, zone: &mut Zone) -> Result<(), Wrong> {
        if let Some(why) = self.ttl.and_then(wrong_ttl) {
            return Err(Wrong::new("ttl", why));
        }
        let labels = self.labels.unwrap_or_default();
        labels::validate(&labels).map_err(|why| Wrong::new("labels", why))?;
        zone.put(&self.name, &self.kind, RrSet::new(self.ttl, labels, self.records))
    }
}

async fn update(Extract(cloud): Shared, Path(zone): Path<String>, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let labels = input.labels();
    input.done()?;
    let body = cloud.change(|state| {
        let id = find(state, &zone)?;
        state.check_unlocked("zone", id)?;
        if let (Some(record), Some(labels)) = (state.zones.get_mut(&id), labels) {
            record.labels = labels;
        }
        let (id, found) = get_zone(state, &zone)?;
        Ok(json!({"zone": render(id, found, state)}))
    })?;
    ok(body)
}

async fn delete(Extract(cloud): Shared, Path(zone): Path<String>) -> Reply {
    let body = cloud.change(|state| {
        let (id, found) = get_zone(state, &zone)?;
        if found.protected {
            return Err(ApiError::protected("zone", id));
        }
        check_no_rrset_protected(found)?;
        state.check_unlocked("zone", id)?;
        let action = state.begin([Job::Zone { zone: id, job: ZoneJob::DeleteZone }])[0];
        Ok(actions::one(state, action))
    })?;
    created(body)
}

async fn export(Extract(cloud): Shared, Path(zone): Path<String>) -> Reply {
    cloud.read(|state| {
        let (_, found) = get_zone(state, &zone)?;
        check_mode(found, Mode::Primary)?;
        ok(json!({"zonefile": zonefile::write(found)}))
    })
}

async fn act(Extract(cloud): Shared, Path((zone, action)): Path<(String, String)>, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let body = cloud.change(|state| {
        let (_, action) = match action.as_str() {
            "change_protection" => {
                let on: Option<bool> = input.optional("delete");
                change(state, &zone, ZoneJob::ChangeProtection, |zone| {
                    input.done()?;
                    zone.protected = on.unwrap_or(zone.protected);
                    Ok(())
                })?
            }
            "change_ttl" => change(state, &zone, ZoneJob::ChangeTtl, |zone| {
                check_mode(zone, Mode::Primary)?;
                input.required::<u32>("ttl");
                zone.ttl = ttl(&mut input).unwrap_or(zone.ttl);
                input.done()
            })?,
            "change_primary_nameservers" => {
                change(state, &zone, ZoneJob::ChangePrimaryNameservers, |zone| {
                    check_mode(zone, Mode::Secondary)?;
                    zone.primary_nameservers = nameservers(&mut input);
                    input.done()
                })?
            }
            "import_zonefile" => change(state, &zone, ZoneJob::ImportZonefile, |zone| {
                check_mode(zone, Mode::Primary)?;
                let text: String = input.required("zonefile");
                input.done()?;
                check_no_rrset_protected(zone)?;
                import(zone, &text, true)
            })?,
            _ => return Err(ApiError::not_found("action", &action)),
        };
        Ok(actions::one(state, action))
    })?;
    created(body)
}

/// What takes all RRSets away takes none while one of them is protected.
fn check_no_rrset_protected(zone: &Zone) -> Result<(), ApiError> {
    zone.rrsets.iter().find(|(_, set)| set.protected).map_or(Ok(()), |(id, _)| Err(rrsets::protected(id)))
}

fn import(zone: &mut Zone, text: &str, is_import: bool) -> Result<(), ApiError> {
    let file = zonefile::parse(text, &zone.name).map_err(|why| ApiError::field("zonefile", why))?;
    Ok(zone.replace(file, is_import)?)
}

/// The field `ttl`, if it is there and right.
fn ttl(input: &mut Input) -> Option<u32> {
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

fn nameservers(input: &mut Input) -> Vec<Nameserver> {
    let field = "primary_nameservers";
    let servers: Vec<Nameserver> = input.required(field);
    if servers.is_empty() && !input.is_wrong(field) {
        input.complain(field, "a secondary zone needs one to be transferred from");
    }
    for server in &servers {
        let algorithm = server.tsig_algorithm.as_deref();
        let key = server.tsig_key.as_deref();
        let wrong = if server.address.parse::<IpAddr>().is_err() {
            "the address must be an IPv4 or IPv6 address"
        } else if server.port == 0 {
            "the port must be 1 to 65535"
        } else if algorithm.is_some_and(|name| !TSIG_ALGORITHMS.contains(&name)) {
            "the TSIG algorithm must be hmac-md5, hmac-sha1 or hmac-sha256"
        } else if key.is_some_and(|text| text.is_empty() || STANDARD.decode(text).is_err()) {
            "the TSIG key must be in Base64"
        } else if algorithm.is_some() != key.is_some() {
            "a TSIG key and its algorithm go together"
        } else {
            continue;
        };
        input.complain(field, format!("{}: {wrong}", server.address));
    }
    servers
}
