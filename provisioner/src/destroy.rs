//! Takes a project's server away. What holds data or reputation stays unless it is named.

use crate::api::model::Resource;
use crate::api::{Client, Error};
use crate::journal::Journal;
use crate::observe::World;
use crate::project::Folder;
use crate::report::{Report, Stage};
use anyhow::Result;
use reqwest::Method;
use serde::Serialize;
use serde_json::json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5 * 60);

/// What goes besides the server, its firewall and its ssh key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Also {
    /// The volume, and with it all data.
    pub volume: bool,
    /// The addresses, and with them their reputation.
    pub addresses: bool,
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
}

/// What goes and what stays, in the order things go. Pure.
pub fn fates(world: &World, also: Also) -> Vec<Fate> {
    let fate = |kind, resource: &dyn Resource, goes, protected| Fate {
        kind,
        name: resource.name().to_owned(),
        id: resource.id(),
        goes,
        protected,
    };
    let mut fates = Vec::new();
    if let Some(server) = &world.server {
        fates.push(fate("server", server, true, server.protection.delete));
    }
    if let Some(volume) = &world.volume {
        fates.push(fate("volume", volume, also.volume, volume.protection.delete));
    }
    for ip in [&world.ipv4, &world.ipv6].into_iter().flatten() {
        fates.push(fate("primary IP", ip, also.addresses, false));
    }
    if let Some(firewall) = &world.firewall {
        fates.push(fate("firewall", firewall, true, false));
    }
    if let Some(key) = &world.ssh_key {
        fates.push(fate("ssh key", key, true, false));
    }
    fates
}

/// Takes away what goes. Protection is lifted here, so the caller must have had the name typed.
pub async fn destroy(client: &Client, folder: &Folder, fates: &[Fate], report: &dyn Report) -> Result<()> {
    for fate in fates.iter().filter(|fate| fate.goes) {
        let stage = Stage::begin(report, format!("- {} {}", fate.kind, fate.name));
        remove(client, fate).await?;
        if fate.kind == "volume" {
            Journal::load(folder)?.forget_volume(folder)?;
        }
        stage.done("gone");
    }
    Ok(())
}

async fn remove(client: &Client, fate: &Fate) -> Result<(), Error> {
    let doing = format!("removing the {} {}", fate.kind, fate.name);
    let path = match fate.kind {
        "server" => format!("/servers/{}", fate.id),
        "volume" => format!("/volumes/{}", fate.id),
        "primary IP" => format!("/primary_ips/{}", fate.id),
        "firewall" => format!("/firewalls/{}", fate.id),
        _ => format!("/ssh_keys/{}", fate.id),
    };
    let act = async |action: &str, body: serde_json::Value| {
        let answer =
            client.change(&doing, Method::POST, &format!("{path}/actions/{action}"), Some(&body)).await?;
        client.finish(&doing, &answer, LIMIT).await
    };
    if fate.protected {
        let body = if fate.kind == "server" {
            json!({ "delete": false, "rebuild": false })
        } else {
            json!({ "delete": false })
        };
        act("change_protection", body).await?;
    }
    if fate.kind == "volume" {
        // A volume has to be off every server before it can go; one that is off already says so.
        match act("detach", json!({})).await {
            Err(Error::Refused { .. }) | Ok(()) => {}
            Err(error) => return Err(error),
        }
    }
    let answer = client.delete(&doing, &path).await?;
    client.finish(&doing, &answer, LIMIT).await
}
