//! Makes the changes of a plan, in order. After a crash nothing is replayed: the next run observes and plans anew,
//! and finds by name and label what the crashed one had made.

use crate::api::model::{Firewall, PrimaryIp, Resource, Server, SshKey, Volume};
use crate::api::{Client, Error};
use crate::names::{FORMAT_NONCE, Names};
use crate::observe::World;
use crate::plan::{Change, Plan};
use crate::report::{Report, Stage};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the cloud may take over one action; a server from an image of our own takes longest.
const ACTION_LIMIT: Duration = Duration::from_secs(15 * 60);

/// What the changes need beyond the plan.
pub struct Inputs<'a> {
    /// The project's name.
    pub project: &'a str,
    /// The project's public key.
    pub public_key: &'a str,
    /// The user-data of a server that is created.
    pub user_data: &'a str,
    /// The nonce a created volume carries.
    pub format_nonce: &'a str,
}

/// Applies a plan to the world it was made from, and gives back the world as it then is.
pub async fn apply(
    client: &Client,
    plan: &Plan,
    mut world: World,
    inputs: &Inputs<'_>,
    report: &dyn Report,
) -> Result<World, Error> {
    let names = Names(inputs.project);
    for planned in &plan.changes {
        let stage = Stage::begin(report, planned.change.to_string());
        let applier =
            Applier { client, inputs, names: &names, doing: format!("applying \"{}\"", planned.change) };
        applier.apply(&planned.change, &mut world).await?;
        stage.done(&match planned.change {
            Change::CreateServer { .. } => {
                format!("done, with {} bytes of user-data", inputs.user_data.len())
            }
            _ => "done".to_owned(),
        });
    }
    Ok(world)
}

struct Applier<'a> {
    client: &'a Client,
    inputs: &'a Inputs<'a>,
    names: &'a Names<'a>,
    doing: String,
}

impl Applier<'_> {
    async fn apply(&self, change: &Change, world: &mut World) -> Result<(), Error> {
        let labels = self.names.labels();
        match change {
            Change::CreateSshKey { name } => {
                let body = json!({ "name": name, "public_key": self.inputs.public_key, "labels": labels });
                world.ssh_key = Some(self.create::<SshKey>("/ssh_keys", "ssh_key", name, &body).await?);
            }
            Change::CreateFirewall { name, rules } => {
                let body = json!({ "name": name, "rules": rules, "labels": labels });
                world.firewall = Some(self.create::<Firewall>("/firewalls", "firewall", name, &body).await?);
            }
            Change::SetFirewallRules { id, rules } => {
                self.act(&format!("/firewalls/{id}/actions/set_rules"), json!({ "rules": rules })).await?;
            }
            Change::ApplyFirewall { server } => {
                let Some(firewall) = &world.firewall else { return Ok(()) };
                let target = json!({ "apply_to": [{ "type": "server", "server": { "id": server } }] });
                self.act(&format!("/firewalls/{}/actions/apply_to_resources", firewall.id), target).await?;
            }
            Change::CreatePrimaryIp { name, family, location } => {
                let body = json!({
                    "name": name, "type": family, "location": location, "assignee_type": "server",
                    "auto_delete": false, "labels": labels,
                });
                let ip = self.create::<PrimaryIp>("/primary_ips", "primary_ip", name, &body).await?;
                *(if *family == "ipv4" { &mut world.ipv4 } else { &mut world.ipv6 }) = Some(ip);
            }
            Change::CreateServer { name, server_type, image, location, .. } => {
                let body = self.server_body(world, name, server_type, *image, location);
                let server = self.create::<Server>("/servers", "server", name, &body).await?;
                world.server = Some(self.reread(&format!("/servers/{}", server.id), "server").await?);
            }
            Change::PowerOn { server } => {
                self.act(&format!("/servers/{server}/actions/poweron"), json!({})).await?;
                world.server = Some(self.reread(&format!("/servers/{server}"), "server").await?);
            }
            Change::CreateVolume { name, size_gb } => {
                let mut labels = labels;
                labels.insert(FORMAT_NONCE.into(), self.inputs.format_nonce.into());
                let server = world.server.as_ref().map(|s| s.id);
                // No `format` and no `automount`: the server encrypts it first.
                let body = json!({ "name": name, "size": size_gb, "server": server, "labels": labels, "automount": false });
                let volume = self.create::<Volume>("/volumes", "volume", name, &body).await?;
                world.volume = Some(self.reread(&format!("/volumes/{}", volume.id), "volume").await?);
            }
            Change::AttachVolume { volume } => {
                let Some(server) = &world.server else { return Ok(()) };
                let body = json!({ "server": server.id, "automount": false });
                self.act(&format!("/volumes/{volume}/actions/attach"), body).await?;
                world.volume = Some(self.reread(&format!("/volumes/{volume}"), "volume").await?);
            }
            Change::GrowVolume { volume, size_gb } => {
                self.act(&format!("/volumes/{volume}/actions/resize"), json!({ "size": size_gb })).await?;
                world.volume = Some(self.reread(&format!("/volumes/{volume}"), "volume").await?);
            }
        }
        Ok(())
    }

    fn server_body(&self, world: &World, name: &str, server_type: &str, image: u64, location: &str) -> Value {
        let id = |ip: &Option<PrimaryIp>| ip.as_ref().map(|ip| ip.id);
        let mut public_net = json!({ "enable_ipv4": true, "enable_ipv6": true });
        if let Some(ipv4) = id(&world.ipv4) {
            public_net["ipv4"] = json!(ipv4);
        }
        if let Some(ipv6) = id(&world.ipv6) {
            public_net["ipv6"] = json!(ipv6);
        }
        // The firewall is in the create call, so that there is no moment without it.
        let firewalls: Vec<_> = world.firewall.iter().map(|f| json!({ "firewall": f.id })).collect();
        json!({
            "name": name, "server_type": server_type, "image": image, "location": location,
            "ssh_keys": world.ssh_key.iter().map(|k| k.id).collect::<Vec<_>>(),
            "firewalls": firewalls, "public_net": public_net, "user_data": self.inputs.user_data,
            "labels": self.names.labels(), "start_after_create": true,
        })
    }

    /// Creates something, or takes up what a lost answer left under its name and labels.
    async fn create<T: DeserializeOwned + Resource>(
        &self,
        path: &str,
        key: &str,
        name: &str,
        body: &Value,
    ) -> Result<T, Error> {
        let look = || async {
            let found = self.client.list::<T>(&self.doing, path, &path[1..], &[("name", name)]).await?;
            Ok(found.into_iter().find(|resource| self.names.own(resource)))
        };
        let made = self.client.create_or_adopt(&self.doing, path, key, body, ACTION_LIMIT, look).await?;
        Ok(made.object)
    }

    async fn act(&self, path: &str, body: Value) -> Result<(), Error> {
        let answer = self.client.change(&self.doing, Method::POST, path, Some(&body)).await?;
        self.client.finish(&self.doing, &answer, ACTION_LIMIT).await
    }

    async fn reread<T: DeserializeOwned>(&self, path: &str, key: &str) -> Result<T, Error> {
        self.client.get(&self.doing, path, key).await
    }
}
