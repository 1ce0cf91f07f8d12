mod act;
mod create;

use super::error::ApiError;
use super::input::{Input, Query};
use super::listing::Listing;
use super::{Reply, Shared, actions, images, ok, parse_id, primary_ips};
use crate::cloud::Cloud;
use crate::cloud::catalog::{render_location, server_type};
use crate::cloud::job::Job;
use crate::cloud::state::{Address, Server, State};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .merge(actions::routes_of("servers", "server"))
        .route("/servers", get(list).post(create::create))
        .route("/servers/{id}", get(show).put(update).delete(delete))
        .route("/servers/{id}/actions", actions::list_route("server"))
        .route("/servers/{id}/actions/{action}", actions::one_route("server").post(act::act))
}

fn render(state: &State, id: u64, server: &Server) -> Value {
    let kind = server_type(&server.server_type);
    let firewalls: Vec<_> =
        state.firewalls_of(id).iter().map(|id| json!({"id": id, "status": "applied"})).collect();
    json!({
        "id": id, "name": server.name, "status": server.status, "created": server.created,
        "public_net": {"ipv4": render_ip(state, id, "ipv4"), "ipv6": render_ip(state, id, "ipv6"),
            "floating_ips": [], "firewalls": firewalls},
        "private_net": [],
        "server_type": kind.map(|kind| kind.render(state)),
        "location": render_location(&server.location),
        "image": state.images.get(&server.image).map(|image| images::render(server.image, image)),
        "iso": null, "rescue_enabled": false, "locked": state.is_locked("server", id), "backup_window": null,
        "outgoing_traffic": 0, "ingoing_traffic": 0,
        "included_traffic": kind.map(|kind| kind.included_traffic(&server.location)),
        "protection": {"delete": server.protected, "rebuild": server.protected},
        "labels": server.labels, "volumes": state.volumes_of(id), "load_balancers": [],
        "primary_disk_size": kind.map(|kind| kind.disk), "placement_group": null,
    })
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

fn find(state: &State, id: u64) -> Result<&Server, ApiError> {
    state.servers.get(&id).ok_or_else(|| ApiError::not_found("server", id))
}

async fn list(Extract(cloud): Shared, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let servers: Vec<_> =
        cloud.read(|state| state.servers.iter().map(|(id, s)| render(state, *id, s)).collect());
    let listing = Listing::new(&query, servers).by("name").by("status").by_labels()?;
    listing.sorted(&["id", "name", "created"])?.page("servers")
}

async fn show(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("server", &id)?;
    cloud.read(|state| ok(json!({"server": render(state, id, find(state, id)?)})))
}

async fn update(Extract(cloud): Shared, Path(id): Path<String>, body: Bytes) -> Reply {
    let id = parse_id("server", &id)?;
    let mut input = Input::parse(&body)?;
    let (name, labels) = (input.new_name(), input.labels());
    check_host_name(&mut input, name.as_deref());
    input.done()?;
    let body = cloud.change(|state| {
        if let Some(name) = &name {
            check_unique_name(state, name, Some(id))?;
        }
        let server = state.servers.get_mut(&id).ok_or_else(|| ApiError::not_found("server", id))?;
        server.name = name.unwrap_or(std::mem::take(&mut server.name));
        server.labels = labels.unwrap_or(std::mem::take(&mut server.labels));
        Ok(json!({"server": render(state, id, find(state, id)?)}))
    })?;
    ok(body)
}

async fn delete(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("server", &id)?;
    let body = cloud.change(|state| {
        if find(state, id)?.protected {
            return Err(ApiError::protected("server", id));
        }
        state.check_unlocked("server", id)?;
        state.servers.entry(id).and_modify(|server| server.status = "deleting".into());
        let chain = state.begin([Job::DeleteServer { server: id }]);
        Ok(actions::one(state, chain[0]))
    })?;
    ok(body)
}

fn check_unique_name(state: &State, name: &str, but: Option<u64>) -> Result<(), ApiError> {
    let taken = state.servers.iter().any(|(id, server)| server.name == name && Some(*id) != but);
    if taken {
        Err(ApiError::uniqueness("name", format!("server name '{name}' is already used")))
    } else {
        Ok(())
    }
}

/// Complains about a name that is no host name as of RFC 1123.
fn check_host_name(input: &mut Input, name: Option<&str>) {
    let part = |part: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&part.len())
            && part.chars().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let Some(name) = name else { return };
    if !input.is_wrong("name") && (name.len() > 253 || !name.split('.').all(part)) {
        input.complain("name", "must be a host name: letters, digits, '-' and '.'");
    }
}
