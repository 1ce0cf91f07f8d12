//! The metadata service, one Unix socket a server: what cloud-init's Hetzner data source asks at 169.254.169.254.
//!
//! The relay (see [`relay`](crate::relay)) carries the guest's connections there.

use super::state::{Server, State};
use super::{Cloud, catalog};
use crate::Error;
use crate::machine::mac_address;
use axum::Router;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// What vendor data says at Hetzner as far as images ask for it: keys are for root.
const VENDOR_DATA: &str = "#cloud-config\ndisable_root: false\n";

/// Serves a server's metadata until the task is aborted.
pub(crate) fn listen(cloud: Arc<Cloud>, server: u64) -> Result<JoinHandle<()>, Error> {
    let path = cloud.files.metadata(server);
    let failed = |e| host::Error::io("listening on", &path, e);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    // What lies there is a dead daemon's: the lock says that no other lives.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(failed)?;
    let shared = Service { cloud, server };
    let router = Router::new()
        .route("/hetzner/v1/metadata", get(document))
        .route("/hetzner/v1/metadata/{leaf}", get(leaf))
        .route("/hetzner/v1/userdata", get(user_data))
        .with_state(shared);
    Ok(tokio::spawn(async move {
        if let Err(e) = axum::serve(listener, router).await {
            host::say::err(format_args!("rehearsal: serving the metadata of server {server}: {e}"));
        }
    }))
}

#[derive(Clone)]
struct Service {
    cloud: Arc<Cloud>,
    server: u64,
}

impl Service {
    fn read(&self, look: impl FnOnce(&State, &Server) -> Response) -> Response {
        self.cloud.read(|state| match state.servers.get(&self.server) {
            Some(server) => look(state, server),
            None => StatusCode::NOT_FOUND.into_response(),
        })
    }
}

async fn document(Extract(service): Extract<Service>) -> Response {
    service.read(|state, server| render(state, service.server, server).into_response())
}

async fn user_data(Extract(service): Extract<Service>) -> Response {
    service.read(|_, server| match &server.user_data {
        Some(text) if server.rescued.is_none() => text.clone().into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
}

async fn leaf(Extract(service): Extract<Service>, Path(leaf): Path<String>) -> Response {
    service.read(|state, server| {
        let text = match leaf.as_str() {
            "hostname" => host_name(server).into(),
            "instance-id" => service.server.to_string(),
            "public-ipv4" => ipv4(state, service.server),
            "private-networks" => "[]".into(),
            "region" => zone(server).into(),
            "availability-zone" => availability_zone(server),
            _ => return StatusCode::NOT_FOUND.into_response(),
        };
        text.into_response()
    })
}

/// A rescue system is not taken for the server it repairs.
fn host_name(server: &Server) -> &str {
    if server.rescued.is_some() { "rescue" } else { &server.name }
}

fn ipv4(state: &State, server: u64) -> String {
    state.ipv4_of(server).map(|address| address.to_string()).unwrap_or_default()
}

fn zone(server: &Server) -> &'static str {
    catalog::location(&server.location).map_or("", catalog::Location::zone)
}

fn availability_zone(server: &Server) -> String {
    format!("{}-dc1", server.location)
}

/// The document in YAML. Strings are quoted as in JSON, which YAML reads.
fn render(state: &State, id: u64, server: &Server) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let keys = server.rescued.as_ref().unwrap_or(&server.public_keys);
    let keys: String = keys.iter().map(|key| format!("- {}\n", quoted(key))).collect();
    let keys = if keys.is_empty() { "public-keys: []\n".to_owned() } else { format!("public-keys:\n{keys}") };
    format!(
        "availability-zone: {zone}\n\
         hostname: {name}\n\
         instance-id: {id}\n\
         local-ipv4: ''\n\
         network-config:\n\
         \x20 version: 1\n\
         \x20 config:\n\
         \x20 - type: physical\n\
         \x20   name: eth0\n\
         \x20   mac_address: '{mac}'\n\
         \x20   subnets:\n\
         \x20   - type: dhcp\n\
         \x20     ipv4: true\n\
         public-ipv4: {ipv4}\n\
         {keys}\
         region: {region}\n\
         vendor_data: {vendor}\n",
        zone = availability_zone(server),
        name = quoted(host_name(server)),
        mac = mac_address(id),
        ipv4 = quoted(&ipv4(state, id)),
        region = zone(server),
        vendor = quoted(VENDOR_DATA),
    )
}
