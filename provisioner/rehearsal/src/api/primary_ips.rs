use super::actions;
use super::catalog::locate;
use super::input::{Id, Input, Reference};
use super::resource::{self, Plan, Resource};
use crate::cloud::catalog::render_location;
use crate::cloud::clock::now_text;
use crate::cloud::job::Job;
use crate::cloud::state::{Address, PrimaryIp, Server, State};
use crate::cloud::{Cloud, addresses};
use crate::error::ApiError;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

impl Resource for PrimaryIp {
    const FILTERS: &'static [&'static str] = &["name", "ip", "type"];

    fn unique_name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn render(&self, _: &State, id: u64) -> Value {
        json!({
            "id": id, "name": self.name, "labels": self.labels, "created": self.created, "blocked": false,
            "ip": self.address.text(), "type": self.address.kind(), "location": render_location(&self.location),
            "dns_ptr": render_dns_ptr(self), "auto_delete": self.auto_delete,
            "protection": {"delete": self.protected}, "assignee_id": self.assignee,
            "assignee_type": if self.assignee.is_some() { "server" } else { "unassigned" },
        })
    }

    fn update(&mut self, input: &mut Input) {
        resource::rename(&mut self.name, &mut self.labels, input);
        self.auto_delete = input.optional("auto_delete").unwrap_or(self.auto_delete);
    }

    fn create(cloud: &Cloud, state: &mut State, input: &mut Input) -> Result<Value, ApiError> {
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
        let location = match assignee {
            Some(Id(server)) => check_assignable(state, server, &kind)?,
            None => locate(place.as_ref())?.name.to_owned(),
        };
        let ip = new_ip(state, cloud, &kind, name, &location);
        let id = resource::add(state, PrimaryIp { labels, auto_delete, ..ip })?;
        let chain = state.begin(assignee.map(|Id(server)| Job::AssignIp { ip: id, server }));
        let mut body = resource::one::<PrimaryIp>(state, id)?;
        if let Some(action) = chain.first() {
            body["action"] = actions::render(state, *action);
        }
        Ok(body)
    }

    fn is_protected(&self) -> bool {
        self.protected
    }

    fn check_unused(&self, id: u64) -> Result<(), ApiError> {
        let Some(server) = self.assignee else { return Ok(()) };
        let message = format!("primary IP {id} is assigned to server {server}; unassign it first");
        Err(ApiError::unprocessable("must_be_unassigned", message))
    }

    fn plan(state: &mut State, id: u64, action: &str, input: &mut Input) -> Result<Plan, ApiError> {
        let ip = resource::find::<PrimaryIp>(state, id)?;
        let job = match action {
            "assign" => assign(state, id, ip, input)?,
            "unassign" => {
                let Some(server) = ip.assignee else {
                    let message = format!("primary IP {id} is not assigned");
                    return Err(ApiError::unprocessable("primary_ip_not_assigned", message));
                };
                check_off(state, server)?;
                Job::UnassignIp { ip: id, server }
            }
            "change_dns_ptr" => change_dns_ptr(input, id, ip, None)?,
            "change_protection" => {
                Job::ProtectIp { ip: id, on: resource::read_protection(input, ip.protected)? }
            }
            _ => return Err(ApiError::not_found("action", action)),
        };
        Ok(job.into())
    }
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
        created: now_text(),
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

fn assign(state: &State, id: u64, ip: &PrimaryIp, input: &mut Input) -> Result<Job, ApiError> {
    let Id(server) = input.required("assignee_id");
    input.done()?;
    if ip.assignee.is_some() {
        let message = format!("primary IP {id} is assigned already; unassign it first");
        return Err(ApiError::unprocessable("primary_ip_already_assigned", message));
    }
    if check_assignable(state, server, ip.address.kind())? != ip.location {
        return Err(ApiError::field("assignee_id", "the server and the address are in different locations"));
    }
    Ok(Job::AssignIp { ip: id, server })
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
    let found = resource::find::<Server>(state, server)?;
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
