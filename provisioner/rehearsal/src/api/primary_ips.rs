use super::error::ApiError;
use super::input::{Id, Input, Query, Reference};
use super::listing::Listing;
use super::{Reply, Shared, actions, created, no_content, ok, parse_id};
use crate::cloud::catalog::{LOCATIONS, render_location};
use crate::cloud::job::Job;
use crate::cloud::state::{Address, PrimaryIp, State, now};
use crate::cloud::{Cloud, addresses};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use axum::routing::get;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .merge(actions::routes_of("primary_ips", "primary_ip"))
        .route("/primary_ips", get(list).post(create))
        .route("/primary_ips/{id}", get(show).put(update).delete(delete))
        .route("/primary_ips/{id}/actions", actions::list_route("primary_ip"))
        .route("/primary_ips/{id}/actions/{action}", actions::one_route("primary_ip").post(act))
}

fn render(id: u64, ip: &PrimaryIp) -> Value {
    json!({
        "id": id, "name": ip.name, "labels": ip.labels, "created": ip.created, "blocked": false,
        "ip": ip.address.text(), "type": ip.address.kind(), "location": render_location(&ip.location),
        "dns_ptr": render_dns_ptr(ip), "auto_delete": ip.auto_delete, "protection": {"delete": ip.protected},
        "assignee_id": ip.assignee, "assignee_type": if ip.assignee.is_some() { "server" } else { "unassigned" },
    })
}

/// The reverse names of an address, as lists have them.
pub(super) fn render_dns_ptr(ip: &PrimaryIp) -> Value {
    ip.dns_ptr.iter().map(|(address, name)| json!({"ip": address, "dns_ptr": name})).collect()
}

/// A new address.
pub(super) fn new_ip(
    state: &mut State,
    cloud: &Cloud,
    kind: &str,
    name: String,
    location: &str,
) -> PrimaryIp {
    let address = match kind {
        "ipv4" => addresses::new_ipv4(state, &cloud.config.state_dir),
        _ => addresses::new_ipv6(state, &cloud.config.state_dir),
    };
    let dns_ptr = match address {
        Address::Ipv4(address) => BTreeMap::from([(address.to_string(), default_name(address))]),
        Address::Ipv6(_) => BTreeMap::new(),
    };
    PrimaryIp {
        name,
        labels: BTreeMap::new(),
        created: now(),
        address,
        location: location.into(),
        assignee: None,
        auto_delete: false,
        protected: false,
        dns_ptr,
    }
}

fn default_name(address: std::net::Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("static.{d}.{c}.{b}.{a}.clients.your-server.de")
}

fn find(state: &State, id: u64) -> Result<&PrimaryIp, ApiError> {
    state.primary_ips.get(&id).ok_or_else(|| ApiError::not_found("primary_ip", id))
}

async fn list(Extract(cloud): Shared, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let ips: Vec<_> = cloud.read(|state| state.primary_ips.iter().map(|(id, ip)| render(*id, ip)).collect());
    let listing = Listing::new(&query, ips).by("name").by("ip").by("type").by_labels()?;
    listing.sorted(&["id", "name", "created"])?.page("primary_ips")
}

async fn show(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("primary_ip", &id)?;
    cloud.read(|state| ok(json!({"primary_ip": render(id, find(state, id)?)})))
}

async fn create(Extract(cloud): Shared, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let name = input.name();
    let labels = input.labels().unwrap_or_default();
    let kind: String = input.required("type");
    if !["ipv4", "ipv6"].contains(&kind.as_str()) && !input.is_wrong("type") {
        input.complain("type", "must be ipv4 or ipv6");
    }
    let place: Option<Reference> = input.optional("location");
    let assignee: Option<Id> = input.optional("assignee_id");
    let auto_delete = input.optional("auto_delete").unwrap_or(false);
    if input.has("datacenter") {
        input.complain("datacenter", "was removed; give a location");
    }
    if place.is_some() == assignee.is_some() {
        input.complain("location", "give either a location or an assignee");
    }
    let wrong_assignee = input
        .optional::<String>("assignee_type")
        .is_some_and(|kind| !(kind == "server" || kind == "unassigned" && assignee.is_none()));
    if wrong_assignee {
        input.complain("assignee_type", "must be server, or unassigned without an assignee");
    }
    input.done()?;
    let body = cloud.change(|state| {
        check_unique_name(state, &name, None)?;
        let location = match (assignee, &place) {
            (Some(Id(server)), _) => check_assignable(state, server, &kind)?,
            (None, place) => {
                let known = LOCATIONS.iter().find(|l| place.as_ref().is_some_and(|p| p.means(l.id, l.name)));
                known.ok_or_else(|| ApiError::field("location", "there is no such location"))?.name.to_owned()
            }
        };
        let id = state.new_id();
        let ip = new_ip(state, &cloud, &kind, name, &location);
        state.primary_ips.insert(id, PrimaryIp { labels, auto_delete, ..ip });
        let chain = state.begin(assignee.map(|Id(server)| Job::AssignIp { ip: id, server }));
        let mut body = json!({"primary_ip": render(id, find(state, id)?)});
        if let Some(action) = chain.first() {
            body["action"] = actions::render(state, *action);
        }
        Ok(body)
    })?;
    created(body)
}

async fn update(Extract(cloud): Shared, Path(id): Path<String>, body: Bytes) -> Reply {
    let id = parse_id("primary_ip", &id)?;
    let mut input = Input::parse(&body)?;
    let (name, labels) = (input.new_name(), input.labels());
    let auto_delete: Option<bool> = input.optional("auto_delete");
    input.done()?;
    let body = cloud.change(|state| {
        if let Some(name) = &name {
            check_unique_name(state, name, Some(id))?;
        }
        let ip = state.primary_ips.get_mut(&id).ok_or_else(|| ApiError::not_found("primary_ip", id))?;
        ip.name = name.unwrap_or(std::mem::take(&mut ip.name));
        ip.labels = labels.unwrap_or(std::mem::take(&mut ip.labels));
        ip.auto_delete = auto_delete.unwrap_or(ip.auto_delete);
        Ok(json!({"primary_ip": render(id, ip)}))
    })?;
    ok(body)
}

async fn delete(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("primary_ip", &id)?;
    cloud.change(|state| {
        let ip = find(state, id)?;
        if ip.protected {
            return Err(ApiError::protected("primary_ip", id));
        }
        if let Some(server) = ip.assignee {
            let message = format!("primary IP {id} is assigned to server {server}; unassign it first");
            return Err(ApiError::unprocessable("must_be_unassigned", message));
        }
        state.check_unlocked("primary_ip", id)?;
        state.primary_ips.remove(&id);
        Ok(())
    })?;
    no_content()
}

async fn act(Extract(cloud): Shared, Path((id, action)): Path<(String, String)>, body: Bytes) -> Reply {
    let id = parse_id("primary_ip", &id)?;
    let mut input = Input::parse(&body)?;
    let body = cloud.change(|state| {
        let ip = find(state, id)?.clone();
        let job = match action.as_str() {
            "assign" => {
                let Id(server) = input.required("assignee_id");
                input.done()?;
                if ip.assignee.is_some() {
                    let message = format!("primary IP {id} is assigned already; unassign it first");
                    return Err(ApiError::unprocessable("primary_ip_already_assigned", message));
                }
                if check_assignable(state, server, ip.address.kind())? != ip.location {
                    return Err(ApiError::field(
                        "assignee_id",
                        "the server and the address are in different locations",
                    ));
                }
                Job::AssignIp { ip: id, server }
            }
            "unassign" => {
                let Some(server) = ip.assignee else {
                    let message = format!("primary IP {id} is not assigned");
                    return Err(ApiError::unprocessable("primary_ip_not_assigned", message));
                };
                check_off(state, server)?;
                Job::UnassignIp { ip: id, server }
            }
            "change_dns_ptr" => change_dns_ptr(&mut input, id, &ip, None)?,
            "change_protection" => {
                let on: Option<bool> = input.optional("delete");
                input.done()?;
                Job::ProtectIp { ip: id, on: on.unwrap_or(ip.protected) }
            }
            _ => return Err(ApiError::not_found("action", &action)),
        };
        for (kind, resource) in job.resources() {
            if job.holds(kind, resource) {
                state.check_unlocked(kind, resource)?;
            }
        }
        let chain = state.begin([job]);
        Ok(actions::one(state, chain[0]))
    })?;
    created(body)
}

/// The job that sets or resets the reverse name of one of the address's IPs.
pub(super) fn change_dns_ptr(
    input: &mut Input,
    id: u64,
    ip: &PrimaryIp,
    server: Option<u64>,
) -> Result<Job, ApiError> {
    let address: String = input.required("ip");
    let name: Option<String> = input.optional("dns_ptr");
    if !input.has("dns_ptr") {
        input.complain("dns_ptr", "missing data for required field");
    }
    if !input.is_wrong("ip") && !owns(ip, &address) {
        input.complain("ip", format!("'{address}' is not one of {}", ip.address.text()));
    }
    input.done()?;
    let name = match ip.address {
        Address::Ipv4(address) => Some(name.unwrap_or_else(|| default_name(address))),
        Address::Ipv6(_) => name,
    };
    Ok(Job::ChangeDnsPtr { ip: id, server, address, name })
}

/// Whether the address is this one, or inside of it.
pub(super) fn owns(ip: &PrimaryIp, address: &str) -> bool {
    match (ip.address, address.parse()) {
        (Address::Ipv4(own), Ok(IpAddr::V4(asked))) => own == asked,
        (Address::Ipv6(own), Ok(IpAddr::V6(asked))) => own.segments()[..4] == asked.segments()[..4],
        _ => false,
    }
}

/// The location of a server that can be given an address of this kind.
fn check_assignable(state: &State, server: u64, kind: &str) -> Result<String, ApiError> {
    let found = state.servers.get(&server).ok_or_else(|| ApiError::not_found("server", server))?;
    check_off(state, server)?;
    state.check_unlocked("server", server)?;
    if state.ips_of(server).any(|(_, ip)| ip.address.kind() == kind) {
        let message = format!("server {server} has an {kind} address already");
        return Err(ApiError::unprocessable(&format!("server_has_{kind}"), message));
    }
    Ok(found.location.clone())
}

fn check_off(state: &State, server: u64) -> Result<(), ApiError> {
    if state.servers.get(&server).is_some_and(|server| server.status != "off") {
        let message = format!("server {server} must be off to change its addresses; power it off first");
        return Err(ApiError::unprocessable("server_not_stopped", message));
    }
    Ok(())
}

fn check_unique_name(state: &State, name: &str, but: Option<u64>) -> Result<(), ApiError> {
    let taken = state.primary_ips.iter().any(|(id, ip)| ip.name == name && Some(*id) != but);
    if taken {
        Err(ApiError::uniqueness("name", format!("primary IP name '{name}' is already used")))
    } else {
        Ok(())
    }
}
