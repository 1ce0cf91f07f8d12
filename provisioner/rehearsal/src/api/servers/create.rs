use super::{check_host_name, password};
use crate::api::input::{Id, Input, Reference};
use crate::api::resource::Resource as _;
use crate::api::{actions, catalog::locate, firewalls, primary_ips, resource, volumes};
use crate::cloud::catalog::{LOCATIONS, Location, SERVER_TYPES, ServerType};
use crate::cloud::clock::now_text;
use crate::cloud::job::Job;
use crate::cloud::state::{Image, PrimaryIp, Server, State, Target};
use crate::cloud::{Cloud, images};
use crate::error::ApiError;
use crate::labels::Labels;
use serde::Deserialize;
use serde_json::Value;

/// The most user data a server can be given, in bytes.
pub(super) const MOST_USER_DATA: usize = 32_768;

/// An order, its fields read but not yet compared with what there is.
pub(super) struct Order {
    name: String,
    labels: Labels,
    server_type: Reference,
    image: Reference,
    location: Option<Reference>,
    ssh_keys: Vec<Reference>,
    volumes: Vec<Id>,
    firewalls: Vec<FirewallInput>,
    net: PublicNet,
    user_data: Option<String>,
    start: bool,
}

#[derive(Deserialize)]
struct FirewallInput {
    firewall: Id,
}

#[derive(Deserialize)]
struct PublicNet {
    #[serde(default = "yes")]
    enable_ipv4: bool,
    #[serde(default = "yes")]
    enable_ipv6: bool,
    ipv4: Option<Id>,
    ipv6: Option<Id>,
}

fn yes() -> bool {
    true
}

pub(super) fn read(input: &mut Input) -> Result<Order, ApiError> {
    let name = input.name();
    check_host_name(input, &name);
    if input.has("datacenter") {
        input.complain("datacenter", "was removed; give a location");
    }
    let no_network = PublicNet { enable_ipv4: true, enable_ipv6: true, ipv4: None, ipv6: None };
    let order = Order {
        name,
        labels: input.labels().unwrap_or_default(),
        server_type: input.required("server_type"),
        image: input.required("image"),
        location: input.optional("location"),
        ssh_keys: input.optional("ssh_keys").unwrap_or_default(),
        volumes: input.optional("volumes").unwrap_or_default(),
        firewalls: input.optional("firewalls").unwrap_or_default(),
        net: input.optional("public_net").unwrap_or(no_network),
        user_data: input.optional::<String>("user_data").filter(|text| !text.is_empty()),
        start: input.optional("start_after_create").unwrap_or(true),
    };
    check_user_data(input, order.user_data.as_deref());
    if (1..order.volumes.len()).any(|n| order.volumes[..n].contains(&order.volumes[n])) {
        input.complain("volumes", "names a volume twice");
    }
    let networks: Vec<Id> = input.optional("networks").unwrap_or_default();
    if !networks.is_empty() {
        input.complain("networks", "the rehearsal cloud has no private networks; Hetzner does");
    }
    if input.optional::<Id>("placement_group").is_some() {
        input.complain("placement_group", "the rehearsal cloud has no placement groups; Hetzner does");
    }
    input.done()?;
    Ok(order)
}

pub(super) fn check_user_data(input: &mut Input, user_data: Option<&str>) {
    let bytes = user_data.map_or(0, str::len);
    if bytes > MOST_USER_DATA {
        input.complain("user_data", format!("has {bytes} bytes; {MOST_USER_DATA} is the most"));
    }
}

/// Compares the order with what there is and takes it in, or refuses it whole.
pub(super) fn place(cloud: &Cloud, state: &mut State, order: Order) -> Result<Value, ApiError> {
    let kind = find_type(&order.server_type)?;
    let image = find_image(state, &order.image, kind, kind.disk)?;
    let location = choose_location(state, &order, kind)?;
    let public_keys = find_keys(state, &order.ssh_keys)?;
    for Id(volume) in &order.volumes {
        volumes::check_attachable(*volume, resource::find(state, *volume)?, location.name)?;
        state.check_unlocked("volume", *volume)?;
    }
    check_stock(state, kind, location)?;
    let no_keys = public_keys.is_empty();
    let server = Server {
        name: order.name,
        labels: order.labels,
        created: now_text(),
        status: "initializing".into(),
        server_type: kind.name.into(),
        location: location.name.into(),
        image,
        user_data: order.user_data,
        public_keys,
        protected: false,
        forwards: Vec::new(),
        kept_disk: None,
        backup_window: None,
        rescue: None,
        rescued: None,
    };
    let id = resource::add(state, server)?;
    take_ip(cloud, state, id, "ipv4", order.net.enable_ipv4, order.net.ipv4, location)?;
    take_ip(cloud, state, id, "ipv6", order.net.enable_ipv6, order.net.ipv6, location)?;
    for FirewallInput { firewall: Id(firewall) } in &order.firewalls {
        // The machine starts with the right ports, so the jobs that would change them are not needed.
        firewalls::apply(state, *firewall, vec![Target::Server(id)])?;
    }
    let mut jobs = vec![Job::CreateServer { server: id }];
    jobs.extend(order.volumes.iter().map(|Id(volume)| Job::AttachVolume { volume: *volume, server: id }));
    if order.start {
        jobs.push(Job::StartServer { server: id });
    }
    let chain = state.begin(jobs);
    let mut body = resource::one::<Server>(state, id)?;
    body["action"] = actions::render(state, chain[0]);
    body["next_actions"] = state.render_actions(&chain[1..]).into();
    body["root_password"] = no_keys.then(|| password(id)).into();
    Ok(body)
}

/// The server type that is meant. It must be one that can still be ordered.
pub(super) fn find_type(wanted: &Reference) -> Result<&'static ServerType, ApiError> {
    let kind = SERVER_TYPES.iter().find(|kind| wanted.means(kind.id, kind.name));
    let wrong = |why: String| ApiError::field("server_type", why);
    let kind = kind.ok_or_else(|| wrong(format!("there is no server type '{}'", wanted.text())))?;
    if kind.is_withdrawn() {
        let (id, name) = (kind.id, kind.name);
        return Err(wrong(format!("server type {id} is deprecated: {name} can no longer be ordered")));
    }
    Ok(kind)
}

/// The image that is meant. It must be for the server type's architecture and fit on the disk.
pub(super) fn find_image(
    state: &State,
    image: &Reference,
    kind: &ServerType,
    disk_gb: u64,
) -> Result<u64, ApiError> {
    let by_id = image.id().filter(|id| resource::find::<Image>(state, *id).is_ok());
    let named = |i: &Image| i.name.as_deref() == Some(image.text()) && i.is_listed();
    let found: Vec<u64> = match by_id {
        Some(id) => vec![id],
        None => state.images.iter().filter(|(_, i)| named(i)).map(|(id, _)| *id).collect(),
    };
    if found.is_empty() {
        return Err(ApiError::field("image", format!("there is no image '{}'", image.text())));
    }
    let fits = |id: &&u64| state.images.get(id).is_some_and(|i| i.architecture == kind.architecture);
    let id = found.iter().find(fits).copied().ok_or_else(|| {
        let (text, name, architecture) = (image.text(), kind.name, kind.architecture.name());
        ApiError::field(
            "image",
            format!("image '{text}' is not for {architecture}, which server type {name} needs"),
        )
    })?;
    state.check_unlocked("image", id)?;
    let found = resource::find::<Image>(state, id)?;
    if found.record_only {
        return Err(only_a_record(state, found));
    }
    if found.status != "available" {
        return Err(ApiError::field("image", format!("image {id} is {}", found.status)));
    }
    if found.disk_size() > disk_gb {
        let message =
            format!("image {id} needs a disk of {} GB; the server's has {disk_gb} GB", found.disk_size());
        return Err(ApiError::field("image", message));
    }
    Ok(id)
}

/// Hetzner could make a server from this image.
fn only_a_record(state: &State, image: &Image) -> ApiError {
    let (name, architecture) = (image.name.as_deref().unwrap_or_default(), image.architecture);
    let bootable: Vec<_> = images::bootable(state, architecture).filter_map(|i| i.name.as_deref()).collect();
    let instead = match bootable.is_empty() {
        true => "no image".to_owned(),
        false => bootable.join(", "),
    };
    let message = format!(
        "the rehearsal cloud has only a record of image {name} for {0}; for {0} it can boot {instead}",
        architecture.name()
    );
    ApiError::unprocessable("unsupported_error", message)
}

/// The location that is asked for; where none is, that of the volumes and addresses, else the first with stock.
fn choose_location(state: &State, order: &Order, kind: &ServerType) -> Result<&'static Location, ApiError> {
    if let Some(wanted) = &order.location {
        return locate(Some(wanted));
    }
    let volume = order.volumes.iter().find_map(|Id(id)| state.volumes.get(id)).map(|v| v.location.as_str());
    let ip =
        [order.net.ipv4, order.net.ipv6].into_iter().flatten().find_map(|Id(id)| state.primary_ips.get(&id));
    let pinned = volume.or(ip.map(|ip| ip.location.as_str()));
    let fits = |location: &&Location| match pinned {
        Some(name) => location.name == name,
        None => kind.is_in_stock(state, location.name),
    };
    LOCATIONS.iter().find(fits).ok_or_else(|| {
        ApiError::unavailable(format!("error during placement: {} is out of stock everywhere", kind.name))
    })
}

pub(super) fn check_stock(state: &State, kind: &ServerType, location: &Location) -> Result<(), ApiError> {
    if !kind.is_sold_in(location.name) {
        let message =
            format!("unsupported location for server type: {} is not sold in {}", kind.name, location.name);
        return Err(ApiError::field("location", message));
    }
    if !kind.is_in_stock(state, location.name) {
        let message = format!("error during placement: {} is out of stock in {}", kind.name, location.name);
        return Err(ApiError::unavailable(message));
    }
    Ok(())
}

pub(super) fn find_keys(state: &State, wanted: &[Reference]) -> Result<Vec<String>, ApiError> {
    wanted
        .iter()
        .map(|reference| {
            let found = state.ssh_keys.iter().find(|(id, key)| reference.means(**id, &key.name));
            found.map(|(_, key)| key.public_key.clone()).ok_or_else(|| {
                ApiError::field("ssh_keys", format!("there is no SSH key '{}'", reference.text()))
            })
        })
        .collect()
}

/// Gives the server the address that was asked for, or a new one that dies with it.
fn take_ip(
    cloud: &Cloud,
    state: &mut State,
    server: u64,
    kind: &str,
    enabled: bool,
    wanted: Option<Id>,
    location: &Location,
) -> Result<(), ApiError> {
    if !enabled {
        return Ok(());
    }
    let Some(Id(id)) = wanted else {
        resource::check_limit::<PrimaryIp>(state)?;
        let id = state.new_id();
        let name = format!("primary_ip-{id}");
        let ip = primary_ips::new_ip(state, cloud, kind, name, location.name);
        state.primary_ips.insert(id, PrimaryIp { auto_delete: true, assignee: Some(server), ..ip });
        return Ok(());
    };
    let locked = state.check_unlocked("primary_ip", id);
    let ip = resource::find_mut::<PrimaryIp>(state, id)?;
    if ip.address.kind() != kind {
        let message = format!("primary IP {id} is not an {kind} address");
        let status = axum::http::StatusCode::PRECONDITION_FAILED;
        return Err(ApiError::new(status, "primary_ip_version_mismatch", message));
    }
    if ip.assignee.is_some() {
        let message = format!("primary IP {id} is assigned to another server");
        return Err(ApiError::unprocessable("primary_ip_assigned", message));
    }
    if ip.location != location.name {
        let message = format!("primary IP {id} is in {}, the server in {}", ip.location, location.name);
        return Err(ApiError::unprocessable("primary_ip_datacenter_mismatch", message));
    }
    locked?;
    ip.assignee = Some(server);
    Ok(())
}
