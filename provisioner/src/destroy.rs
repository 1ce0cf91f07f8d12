//! Takes a project's server away. What holds data or reputation stays unless it is named.

use crate::api::model::{Record, Resource};
use crate::api::{Client, Error, Repeat};
use crate::dns::added;
use crate::errors::NeedsOperator;
use crate::journal::Journal;
use crate::names::Names;
use crate::project::{Folder, Project};
use crate::report::{Report, Stage};
use crate::world::World;
use anyhow::Result;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5 * 60);

/// What goes besides the server, its firewall and its ssh key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Also {
    /// The volume, and with it all data.
    pub volume: bool,
    /// The addresses and the records that name them, and with them their reputation.
    pub addresses: bool,
    /// The snapshots of the server's root disk.
    pub snapshots: bool,
    /// The storage box, and with it all backups in it.
    pub storage_box: bool,
    /// The zone, where the project made it, and with it every record in it.
    pub zone: bool,
}

impl Also {
    /// Everything: for what never held anything that counts.
    pub const ALL: Self =
        Self { volume: true, addresses: true, snapshots: true, storage_box: true, zone: true };
}

/// One resource and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fate {
    /// What it is.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: u64,
    /// Whether it goes.
    pub goes: bool,
    /// Whether its protection has to be lifted for that.
    pub protected: bool,
    /// Where it is at the API.
    #[serde(skip)]
    path: String,
    /// The values that go, where it is an RRSet that others keep values in.
    #[serde(skip)]
    values: Vec<Record>,
}

impl Fate {
    /// A resource that goes and is not protected. `plural` is its kind's path at the API.
    pub(crate) fn of(kind: &'static str, plural: &str, name: &str, id: u64) -> Self {
        let path = format!("/{plural}/{id}");
        Self { kind, name: name.into(), id, goes: true, protected: false, path, values: Vec::new() }
    }
}

/// What goes and what stays, in the order things go. Pure.
///
/// # Errors
/// Where it is not clear what is the project's. Of a lease everything goes that carries its labels, however much it is.
pub fn fates(project: &Project, world: &World, also: Also) -> Result<Vec<Fate>, NeedsOperator> {
    if project.lease.is_none() {
        world.refuse_obstacles(project, "choosing what is removed")?;
    }
    let names = Names::of(project);
    let fate = |kind, plural: &str, resource: &dyn Resource, goes, protected| Fate {
        goes,
        protected,
        ..Fate::of(kind, plural, resource.name(), resource.id())
    };
    let mut fates = Vec::new();
    if let Some(server) = &world.server {
        fates.push(fate("server", "servers", server, true, server.protection.delete));
    }
    if let Some(volume) = &world.volume {
        fates.push(fate("volume", "volumes", volume, also.volume, volume.protection.delete));
    }
    // One without the project's labels came with the server and goes with it.
    for ip in [&world.ipv4, &world.ipv6].into_iter().flatten().filter(|ip| names.own(&ip.labels)) {
        fates.push(fate("primary IP", "primary_ips", ip, also.addresses, ip.protection.delete));
    }
    if let Some(zone) = &world.zone {
        let whole = also.zone && names.own(&zone.labels);
        for set in world.rrsets.iter().filter(|_| !whole) {
            let own = names.own(&set.labels);
            let values = added(&project.name, set);
            if own || !values.is_empty() {
                fates.push(Fate {
                    kind: if own { "record" } else { "added record" },
                    name: format!("{} {}", set.name, set.kind),
                    id: zone.id,
                    goes: also.addresses,
                    protected: false,
                    path: format!("/zones/{}/rrsets/{}/{}", zone.id, set.name, set.kind),
                    values: if own { Vec::new() } else { values },
                });
            }
        }
        if names.own(&zone.labels) {
            fates.push(fate("zone", "zones", zone, also.zone, zone.protection.delete));
        }
    }
    for image in &world.snapshots {
        let (goes, protected) = (also.snapshots, image.protection.delete);
        fates.push(Fate { goes, protected, ..Fate::of("snapshot", "images", &image.description, image.id) });
    }
    if let Some(found) = world.storage_box.as_ref().filter(|found| names.own(&found.labels)) {
        fates.push(fate("storage box", "storage_boxes", found, also.storage_box, found.protection.delete));
    }
    if let Some(firewall) = &world.firewall {
        fates.push(fate("firewall", "firewalls", firewall, true, false));
    }
    if let Some(key) = &world.ssh_key {
        fates.push(fate("ssh key", "ssh_keys", key, true, false));
    }
    Ok(fates)
}

/// Takes away what goes: the server first, since most of the rest hangs on it, and then that, side by side.
/// Protection is lifted here, so the caller must have had the name typed.
pub async fn destroy(client: &Client, folder: &Folder, fates: &[Fate], report: &dyn Report) -> Result<()> {
    let (first, rest): (Vec<_>, Vec<_>) =
        fates.iter().filter(|fate| fate.goes).partition(|fate| matches!(fate.kind, "server" | "ssh key"));
    let lifted = rest.iter().filter(|fate| fate.protected).map(|fate| lift(client, fate));
    let (first, lifted) =
        tokio::join!(join_all(first.iter().map(|fate| remove(client, fate, report))), join_all(lifted));
    first.into_iter().chain(lifted).collect::<Result<(), Error>>()?;
    let done = join_all(rest.into_iter().map(async |fate| {
        remove(client, &Fate { protected: false, ..fate.clone() }, report).await?;
        if fate.kind == "volume" {
            Journal::load(folder)?.forget_volume(folder)?;
        }
        Ok(())
    }));
    done.await.into_iter().collect()
}

/// Takes one resource away.
pub(crate) async fn remove(client: &Client, fate: &Fate, report: &dyn Report) -> Result<(), Error> {
    let stage = Stage::begin(report, format!("- {} {}", fate.kind, fate.name));
    let doing = format!("removing the {} {}", fate.kind, fate.name);
    if fate.protected {
        lift(client, fate).await?;
    }
    if !fate.values.is_empty() {
        act(client, &doing, fate, "remove_records", json!({ "records": fate.values })).await?;
        stage.done("gone, what others keep there stays");
        return Ok(());
    }
    let answer = client.delete(&doing, &fate.path).await?;
    client.finish(&doing, &answer, LIMIT).await?;
    stage.done("gone");
    Ok(())
}

async fn lift(client: &Client, fate: &Fate) -> Result<(), Error> {
    let doing = format!("lifting the protection of the {} {}", fate.kind, fate.name);
    let mut body = json!({ "delete": false });
    if fate.kind == "server" {
        body["rebuild"] = json!(false);
    }
    act(client, &doing, fate, "change_protection", body).await
}

async fn act(
    client: &Client,
    doing: &str,
    fate: &Fate,
    action: &str,
    body: serde_json::Value,
) -> Result<(), Error> {
    let path = format!("{}/actions/{action}", fate.path);
    client.act(doing, &path, &body, Repeat::Harmless, LIMIT).await.map(drop)
}
