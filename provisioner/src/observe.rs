//! Looks at the cloud: what carries this project's labels, what else has its names, what is on offer.

use crate::api::model::{Firewall, Image, Pricing, PrimaryIp, Resource, Server, ServerType, SshKey, Volume};
use crate::api::{Client, Error};
use crate::names::Names;
use crate::project::Project;

/// What there is. Made by [`observe`]; read by [`plan`](crate::plan::plan).
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The project's server.
    pub server: Option<Server>,
    /// The project's volume.
    pub volume: Option<Volume>,
    /// The project's firewall.
    pub firewall: Option<Firewall>,
    /// The project's ssh key.
    pub ssh_key: Option<SshKey>,
    /// The project's primary IPv4.
    pub ipv4: Option<PrimaryIp>,
    /// The project's primary IPv6.
    pub ipv6: Option<PrimaryIp>,
    /// What stands in the way: a second resource with our labels, or a foreign one with our names.
    pub obstacles: Vec<String>,
    /// The server type wanted, if it is sold at all.
    pub server_type: Option<ServerType>,
    /// The image wanted, of the type's architecture.
    pub image: Option<Image>,
    /// The price list.
    pub pricing: Option<Pricing>,
}

impl World {
    /// Whether nothing of the project's is left in the cloud.
    pub fn is_empty(&self) -> bool {
        self.server.is_none()
            && self.volume.is_none()
            && self.firewall.is_none()
            && self.ssh_key.is_none()
            && self.ipv4.is_none()
            && self.ipv6.is_none()
    }
}

/// Looks, with all requests side by side; changes nothing.
pub async fn observe(client: &Client, project: &Project) -> Result<World, Error> {
    let names = Names(&project.name);
    let listing = "listing what there is";
    let by_type = [("name", project.server_type.as_str())];
    let by_image = [("name", project.image.as_str())];
    let (servers, volumes, firewalls, ssh_keys, ips, types, images, pricing) = tokio::try_join!(
        client.list::<Server>(listing, "/servers", "servers", &[]),
        client.list::<Volume>(listing, "/volumes", "volumes", &[]),
        client.list::<Firewall>(listing, "/firewalls", "firewalls", &[]),
        client.list::<SshKey>(listing, "/ssh_keys", "ssh_keys", &[]),
        client.list::<PrimaryIp>(listing, "/primary_ips", "primary_ips", &[]),
        client.list::<ServerType>(listing, "/server_types", "server_types", &by_type),
        client.list::<Image>(listing, "/images", "images", &by_image),
        client.get::<Pricing>("reading the prices", "/pricing", "pricing"),
    )?;
    let mut world = World { pricing: Some(pricing), ..World::default() };
    let obstacles = &mut world.obstacles;
    world.server = pick("server", servers, &[names.server()], &names, obstacles).pop();
    world.volume = pick("volume", volumes, &[names.volume()], &names, obstacles).pop();
    world.firewall = pick("firewall", firewalls, &[names.firewall()], &names, obstacles).pop();
    world.ssh_key = pick("ssh key", ssh_keys, &[names.ssh_key()], &names, obstacles).pop();
    let (ipv4, ipv6) = ips.into_iter().partition(|ip| ip.family == "ipv4");
    world.ipv4 = pick("primary IP", ipv4, &[names.primary_ip("ipv4")], &names, obstacles).pop();
    world.ipv6 = pick("primary IP", ipv6, &[names.primary_ip("ipv6")], &names, obstacles).pop();
    world.server_type = types.into_iter().find(|t| t.name == project.server_type);
    // Image names are shared by both architectures, so the name alone would pick the wrong one.
    let architecture = world.server_type.as_ref().map(|t| t.architecture.clone()).unwrap_or_default();
    world.image = images
        .into_iter()
        .find(|i| i.name.as_deref() == Some(&project.image) && i.architecture == architecture);
    Ok(world)
}

/// The one resource that carries the project's labels; what else there is of it goes to the obstacles.
fn pick<T: Resource>(
    kind: &str,
    all: Vec<T>,
    wanted: &[String],
    names: &Names<'_>,
    obstacles: &mut Vec<String>,
) -> Vec<T> {
    let (mut ours, foreign): (Vec<T>, Vec<T>) = all.into_iter().partition(|resource| names.own(resource));
    for resource in foreign.iter().filter(|r| wanted.iter().any(|name| name == r.name())) {
        obstacles.push(format!(
            "the {kind} {:?} (id {}) has this project's name but not its labels: rename it, or give it the labels {} if it is this project's",
            resource.name(),
            resource.id(),
            names.selector()
        ));
    }
    if ours.len() > 1 {
        let ids: Vec<_> = ours.iter().map(|r| r.id().to_string()).collect();
        obstacles.push(format!(
            "{} {kind}s carry this project's labels (ids {}): take the labels off all but one",
            ours.len(),
            ids.join(", ")
        ));
    }
    ours.truncate(1);
    ours
}
