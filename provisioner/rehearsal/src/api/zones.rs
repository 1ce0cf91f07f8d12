//! Zones: everything but their RRSets.

mod change;
mod rrsets;

use super::input::Input;
use super::resource::{self, Plan, Resource};
use super::{Reply, Shared, actions, ok};
use crate::cloud::Cloud;
use crate::cloud::dns::record::check_zone_name;
use crate::cloud::dns::{
    DEFAULT_TTL, DelegationStatus, Mode, NAMESERVERS, Nameserver, Zone, ZoneJob, key, zonefile,
};
use crate::cloud::job::Job;
use crate::cloud::state::State;
use crate::error::ApiError;
use axum::Router;
use axum::extract::{Path, State as Extract};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use change::{NewSet, change, check_mode, protected, ttl};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

const TSIG_ALGORITHMS: [&str; 3] = ["hmac-md5", "hmac-sha1", "hmac-sha256"];

pub(super) fn routes() -> Router<Arc<Cloud>> {
    resource::routes::<Zone>().merge(rrsets::routes()).route("/zones/{id}/zonefile", get(export))
}

impl Resource for Zone {
    const FILTERS: &'static [&'static str] = &["name", "mode"];
    const UPDATE_WAITS: bool = true;

    fn unique_name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn render(&self, state: &State, id: u64) -> Value {
        let looked = self.delegation.as_ref();
        let (checked, delegated) =
            (looked.map(|found| &found.checked), looked.map(|found| &found.nameservers));
        let status = looked.map_or(DelegationStatus::Unknown, |found| found.status);
        json!({
            "id": id, "name": self.name, "mode": self.mode, "ttl": self.ttl, "labels": self.labels,
            "created": self.created, "status": state.status_of_zone(id, self), "record_count": self.record_count(),
            "registrar": "other", "protection": {"delete": self.protected},
            "primary_nameservers": self.primary_nameservers,
            "authoritative_nameservers": {
                "assigned": NAMESERVERS, "delegated": delegated.map_or(&[][..], Vec::as_slice),
                "delegation_last_check": checked, "delegation_status": status,
            },
        })
    }

    fn update(&mut self, input: &mut Input) {
        resource::relabel(&mut self.labels, input);
    }

    /// Paths name a zone by its id or its name.
    fn resolve(state: &State, text: &str) -> Result<u64, ApiError> {
        let found = state.zones.iter().find(|(id, zone)| text.parse() == Ok(**id) || zone.name == text);
        found.map(|(id, _)| *id).ok_or_else(|| ApiError::not_found("zone", text))
    }

    fn create(_: &Cloud, state: &mut State, input: &mut Input) -> Result<Value, ApiError> {
        let name: String = input.required("name");
        let mode: Mode = input.required("mode");
        let labels = input.labels().unwrap_or_default();
        let ttl = ttl(input).unwrap_or(DEFAULT_TTL);
        let nameservers = if mode == Mode::Secondary { nameservers(input) } else { Vec::new() };
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
        let id = resource::add(state, zone)?;
        let action = state.begin([Job::Zone { zone: id, job: ZoneJob::CreateZone }])[0];
        let mut body = resource::one::<Zone>(state, id)?;
        body["action"] = actions::render(state, action);
        Ok(body)
    }

    fn is_protected(&self) -> bool {
        self.protected
    }

    fn check_unused(&self, _: u64) -> Result<(), ApiError> {
        check_no_rrset_protected(self)
    }

    fn remove(_: &mut State, id: u64) -> Option<Job> {
        Some(Job::Zone { zone: id, job: ZoneJob::DeleteZone })
    }

    fn plan(state: &mut State, id: u64, action: &str, input: &mut Input) -> Result<Plan, ApiError> {
        let job = match action {
            "change_protection" => change(state, id, ZoneJob::ChangeProtection, |zone| {
                zone.protected = resource::read_protection(input, zone.protected)?;
                Ok(())
            })?,
            "change_ttl" => change(state, id, ZoneJob::ChangeTtl, |zone| {
                check_mode(zone, Mode::Primary)?;
                input.required::<u32>("ttl");
                zone.ttl = ttl(input).unwrap_or(zone.ttl);
                input.done()
            })?,
            "change_primary_nameservers" => change(state, id, ZoneJob::ChangePrimaryNameservers, |zone| {
                check_mode(zone, Mode::Secondary)?;
                zone.primary_nameservers = nameservers(input);
                input.done()
            })?,
            "import_zonefile" => change(state, id, ZoneJob::ImportZonefile, |zone| {
                check_mode(zone, Mode::Primary)?;
                let text: String = input.required("zonefile");
                input.done()?;
                check_no_rrset_protected(zone)?;
                import(zone, &text, true)
            })?,
            _ => return Err(ApiError::not_found("action", action)),
        };
        Ok(job.into())
    }
}

async fn export(Extract(cloud): Shared, Path(zone): Path<String>) -> Reply {
    cloud.read(|state| {
        let zone = resource::find::<Zone>(state, Zone::resolve(state, &zone)?)?;
        check_mode(zone, Mode::Primary)?;
        ok(json!({"zonefile": zonefile::write(zone)}))
    })
}

/// What takes all RRSets away takes none while one of them is protected.
fn check_no_rrset_protected(zone: &Zone) -> Result<(), ApiError> {
    zone.rrsets.iter().find(|(_, set)| set.protected).map_or(Ok(()), |(id, _)| Err(protected(id)))
}

fn import(zone: &mut Zone, text: &str, is_import: bool) -> Result<(), ApiError> {
    let file = zonefile::parse(text, &zone.name).map_err(|why| ApiError::field("zonefile", why))?;
    Ok(zone.replace(file, is_import)?)
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
