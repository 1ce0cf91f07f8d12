mod act;
mod create;
mod maintenance;
mod metrics;
mod power;

use super::input::Input;
use super::primary_ips;
use super::resource::{self, Plan, Resource};
use crate::cloud::Cloud;
use crate::cloud::catalog::{disk_of, render_location, server_type};
use crate::cloud::job::Job;
use crate::cloud::state::{Address, Image, Server, State};
use crate::error::ApiError;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    resource::routes::<Server>().route("/servers/{id}/metrics", get(metrics::show))
}

impl Resource for Server {
    const FILTERS: &'static [&'static str] = &["name", "status"];
    const DELETED: StatusCode = StatusCode::OK;

    fn unique_name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn render(&self, state: &State, id: u64) -> Value {
        let kind = server_type(&self.server_type);
        let firewalls: Vec<_> =
            state.firewalls_of(id).iter().map(|id| json!({"id": id, "status": "applied"})).collect();
        json!({
            "id": id, "name": self.name, "status": self.status, "created": self.created,
            "public_net": {"ipv4": render_ip(state, id, "ipv4"), "ipv6": render_ip(state, id, "ipv6"),
                "floating_ips": [], "firewalls": firewalls},
            "private_net": [],
            "server_type": kind.map(|kind| kind.render(state)),
            "location": render_location(&self.location),
            "image": resource::find::<Image>(state, self.image).ok().map(|image| image.render(state, self.image)),
            "iso": null, "rescue_enabled": self.due_rescue().is_some(), "locked": state.is_locked("server", id), "backup_window": self.backup_window,
            "outgoing_traffic": 0, "ingoing_traffic": 0,
            "included_traffic": kind.map(|kind| kind.included_traffic(&self.location)),
            "protection": {"delete": self.protected, "rebuild": self.protected},
            "labels": self.labels, "volumes": state.volumes_of(id), "load_balancers": [],
            "primary_disk_size": disk_of(self), "placement_group": null,
        })
    }

    fn update(&mut self, input: &mut Input) {
        resource::rename(&mut self.name, &mut self.labels, input);
        check_host_name(input, &self.name);
    }

    fn create(cloud: &Cloud, state: &mut State, input: &mut Input) -> Result<Value, ApiError> {
        create::place(cloud, state, create::read(input)?)
    }

    fn is_protected(&self) -> bool {
        self.protected
    }

    fn remove(state: &mut State, id: u64) -> Option<Job> {
        state.servers.entry(id).and_modify(|server| server.status = "deleting".into());
        Some(Job::DeleteServer { server: id })
    }

    fn plan(state: &mut State, id: u64, action: &str, input: &mut Input) -> Result<Plan, ApiError> {
        act::plan(state, id, action, input)
    }
}

/// A root password. Nothing takes it: it only has the form that clients expect.
fn password(seed: u64) -> String {
    format!("rehearsal{seed}")
}

fn render_ip(state: &State, server: u64, kind: &str) -> Value {
    let found = state.ips_of(server).find(|(_, ip)| ip.address.kind() == kind);
    found.map_or(Value::Null, |(id, ip)| {
        let dns_ptr = match ip.address {
            Address::Ipv4(address) => {
                json!(ip.dns_ptr.get(&address.to_string()).cloned().unwrap_or_default())
            }
            Address::Ipv6(_) => primary_ips::render_dns_ptr(ip),
        };
        json!({"id": id, "ip": ip.address.text(), "blocked": false, "dns_ptr": dns_ptr})
    })
}

/// Complains about a name that is no host name as of RFC 1123.
fn check_host_name(input: &mut Input, name: &str) {
    let part = |part: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&part.len())
            && part.chars().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if !input.is_wrong("name") && (name.len() > 253 || !name.split('.').all(part)) {
        input.complain("name", "must be a host name: letters, digits, '-' and '.'");
    }
}
