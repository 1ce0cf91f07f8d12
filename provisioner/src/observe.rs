//! Looks at the cloud: what carries this project's labels, what else has its names, what is on offer.
//!
//! Something may stand in the way there: two of a kind carry the labels, a stranger has a name or uses what is the
//! project's. This is what it stops:
//!
//! * Whatever makes, changes or removes something in the cloud refuses, whichever `Obstacle` it is
//!   ([`World::refuse_obstacles`]): a plan is not applied, nothing is destroyed.
//! * What reaches the server goes on and shows the obstacle, since the server proves by its pinned host
//!   key that it is the right one: a company that is locked out is let in whatever lies beside its server. Only where it
//!   is not clear which server is meant does it refuse.
//! * Opening the door for ssh changes the firewall, and refuses where that is in doubt. What describes the volume to the
//!   server, or takes an escrow for it, refuses where that is.

use crate::api::model::{
    Firewall, Image, Pricing, PrimaryIp, RRSet, Resource, Server, ServerType, SshKey, StorageBox, Volume,
    Zone,
};
use crate::api::{Client, Error};
use crate::door;
use crate::names::Names;
use crate::project::Project;
pub use crate::world::World;
use crate::world::{Obstacle, kind};
use std::time::Duration;

/// How long what a crashed run began may take to end.
const ACTIONS_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Looks, with all requests side by side; changes nothing.
pub async fn observe(client: &Client, project: &Project) -> Result<World, Error> {
    let names = Names::of(project);
    let listing = "listing what there is";
    let by_image = [("name", project.image.as_str())];
    let selector = names.selector();
    let snapshots = [("type", "snapshot"), ("label_selector", selector.as_str())];
    let (servers, volumes, firewalls, ssh_keys, ips, server_types, images, snapshots, pricing, dns, boxes) =
        tokio::try_join!(
            client.list::<Server>(listing, "/servers", "servers", &[]),
            client.list::<Volume>(listing, "/volumes", "volumes", &[]),
            client.list::<Firewall>(listing, "/firewalls", "firewalls", &[]),
            client.list::<SshKey>(listing, "/ssh_keys", "ssh_keys", &[]),
            client.list::<PrimaryIp>(listing, "/primary_ips", "primary_ips", &[]),
            client.list::<ServerType>(listing, "/server_types", "server_types", &[]),
            client.list::<Image>(listing, "/images", "images", &by_image),
            client.list::<Image>(listing, "/images", "images", &snapshots),
            client.get::<Pricing>("reading the prices", "/pricing", "pricing"),
            observe_dns(client, project),
            observe_boxes(client, project),
        )?;
    let mut world = World { pricing: Some(pricing), server_types, images, snapshots, ..World::default() };
    (world.zone, world.rrsets) = dns;
    let mut look = Look { names, obstacles: Vec::new() };
    world.server = look.ours(kind::SERVER, servers, &names.server());
    world.volume = look.ours(kind::VOLUME, volumes, &names.volume());
    world.firewall = look.ours(kind::FIREWALL, firewalls, &names.firewall());
    if let Some(firewall) = &world.firewall {
        world.doors_left_behind = door::left_behind(&firewall.rules, client.cloud_time()?.as_secs());
    }
    world.ssh_key = look.ours("ssh key", ssh_keys, &names.ssh_key());
    let (ipv4, ipv6) = ips.into_iter().partition(|ip| ip.family == "ipv4");
    let server = world.server.as_ref().map(|server| server.id);
    world.ipv4 = look.address("ipv4", ipv4, server);
    world.ipv6 = look.address("ipv6", ipv6, server);
    world.storage_box = look.storage_box(project, boxes);
    world.obstacles = look.obstacles;
    Ok(world)
}

/// Looks, and where the server is in between two states, waits for what it is doing and looks again.
pub async fn observe_settled(client: &Client, project: &Project) -> Result<World, Error> {
    let world = observe(client, project).await?;
    let mut waited = false;
    if let Some(server) = &world.server
        && !matches!(server.status.as_str(), "running" | "off")
    {
        waited = await_actions(client, &format!("server, which is {}", server.status), "servers", server.id)
            .await?;
    }
    if let Some(volume) = &world.volume
        && volume.status == "creating"
    {
        waited |= await_actions(client, "volume, which is being made", "volumes", volume.id).await?;
    }
    if waited { observe(client, project).await } else { Ok(world) }
}

/// Waits for what a resource is doing. How that ends is looked at afterwards, not here.
async fn await_actions(client: &Client, what: &str, plural: &str, id: u64) -> Result<bool, Error> {
    let (doing, actions) = (format!("waiting for the {what}"), format!("/{plural}/{id}/actions"));
    match client.finish_running(&doing, &actions, ACTIONS_LIMIT).await {
        Err(Error::ActionFailed { .. }) => Ok(true),
        waited => waited,
    }
}

/// The project's zone and its RRSets, where it has one at Hetzner.
async fn observe_dns(client: &Client, project: &Project) -> Result<(Option<Zone>, Vec<RRSet>), Error> {
    let Some(dns) = project.dns.as_ref().filter(|dns| dns.at_hetzner) else {
        return Ok((None, Vec::new()));
    };
    let path = format!("/zones/{}", dns.zone);
    let rrsets = format!("{path}/rrsets");
    let (zone, rrsets) = tokio::join!(
        client.get::<Zone>("looking for the zone", &path, "zone"),
        client.list::<RRSet>("listing the zone's records", &rrsets, "rrsets", &[]),
    );
    match zone {
        Err(error) if error.code() == Some("not_found") => Ok((None, Vec::new())),
        zone => Ok((Some(zone?), rrsets?)),
    }
}

async fn observe_boxes(client: &Client, project: &Project) -> Result<Vec<StorageBox>, Error> {
    if project.storage_box.is_none() {
        return Ok(Vec::new());
    }
    client.list("listing the storage boxes", "/storage_boxes", "storage_boxes", &[]).await
}

/// Tells ours from others', and notes what stands in the way.
struct Look<'a> {
    names: Names<'a>,
    obstacles: Vec<Obstacle>,
}

impl Look<'_> {
    /// The one resource that carries the project's labels.
    fn ours<T: Resource>(&mut self, kind: &'static str, all: Vec<T>, wanted: &str) -> Option<T> {
        let (mut ours, foreign): (Vec<T>, Vec<T>) =
            all.into_iter().partition(|resource| self.names.own(resource.labels()));
        for resource in foreign.iter().filter(|resource| resource.name() == wanted) {
            self.obstacles.push(Obstacle::from(format!(
                "the {kind} {wanted:?} (id {}) has this project's name but not its labels: rename it, or give it the labels {} if it is this project's",
                resource.id(),
                self.names.selector()
            )));
        }
        if ours.len() > 1 {
            let ids: Vec<_> = ours.iter().map(|resource| resource.id().to_string()).collect();
            let said = format!(
                "{} {kind}s carry this project's labels (ids {}): take the labels off all but one",
                ours.len(),
                ids.join(", ")
            );
            self.obstacles.push(Obstacle { doubt: Some(kind), said });
        }
        (!ours.is_empty()).then(|| ours.swap_remove(0))
    }

    /// The address that carries the project's labels, else the one its server was made with.
    fn address(&mut self, family: &str, all: Vec<PrimaryIp>, server: Option<u64>) -> Option<PrimaryIp> {
        let of_server = all.iter().find(|ip| server.is_some() && ip.assignee_id == server).cloned();
        let ours = self.ours("primary IP", all, &self.names.primary_ip(family));
        ours.or(of_server.filter(|ip| !ip.labels.contains_key("managed-by")))
    }

    fn storage_box(&mut self, project: &Project, all: Vec<StorageBox>) -> Option<StorageBox> {
        let wish = project.storage_box.as_ref()?;
        let adopted = wish.adopt.and_then(|id| all.iter().find(|one| one.id == id).cloned());
        if let (Some(id), None) = (wish.adopt, &adopted) {
            self.obstacles.push(Obstacle::from(format!(
                "project.toml adopts the storage box {id}, which is not there: correct the id, or take the line out to have one made"
            )));
        }
        let others = all
            .into_iter()
            .filter(|one| Some(one.id) != adopted.as_ref().map(|a| a.id) || self.names.own(&one.labels));
        let ours = self.ours("storage box", others.collect(), &self.names.storage_box());
        match (&ours, adopted) {
            (Some(ours), Some(adopted)) if ours.id != adopted.id => {
                self.obstacles.push(Obstacle::from(format!(
                    "project.toml adopts the storage box {}, but the box {} carries this project's labels: take them off it",
                    adopted.id, ours.id
                )));
                Some(adopted)
            }
            (Some(_), _) => ours,
            (None, adopted) => adopted,
        }
    }
}
