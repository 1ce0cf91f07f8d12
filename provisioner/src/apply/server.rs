//! Changes of the server itself.

use super::Applying;
use crate::api::model::{PrimaryIp, Server};
use crate::api::{Error, Step};
use crate::errors::NeedsOperator;
use crate::plan::Place;
use anyhow::Result;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the system may take to shut down when its button is pressed, before its power is cut.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Applying<'_> {
    /// Makes the server at the first place that takes it.
    pub(super) async fn create_server(&self, name: &str, places: &[Place]) -> Result<String> {
        let mut tried = Vec::new();
        for place in places {
            let body = self.server_body(name, place);
            // Its addresses are there as soon as it is, so that they need not wait until it runs.
            let noted = |server: &Server| {
                self.all.world().server = Some(server.clone());
                self.all.placed.send_replace(true);
            };
            match self.create_noted::<Server>("/servers", "server", name, body, noted).await {
                Ok(server) => {
                    self.all.world().server = Some(server);
                    let bytes = self.all.inputs.user_data.of(place.stock_image).len();
                    return Ok(format!("{place}, with {bytes} bytes of user-data"));
                }
                Err(error) if error.next_step() == Step::OtherPlace => {
                    self.all.report.note(&format!("{place}: {error}"));
                    tried.push(place.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(NeedsOperator(format!(
            "{}: out of stock everywhere it was tried: {}; nothing was destroyed; name another type or location in project.toml, or run the same command again later",
            self.doing,
            tried.join(", ")
        ))
        .into())
    }

    fn server_body(&self, name: &str, place: &Place) -> Value {
        let world = self.all.world();
        let mut public_net = json!({ "enable_ipv4": true, "enable_ipv6": true });
        // An address that stayed from an earlier server is used again; where there is none, one is made with the server.
        let unused =
            |ip: &Option<PrimaryIp>| ip.as_ref().filter(|ip| ip.assignee_id.is_none()).map(|ip| ip.id);
        for (family, ip) in [("ipv4", unused(&world.ipv4)), ("ipv6", unused(&world.ipv6))] {
            if let Some(id) = ip {
                public_net[family] = json!(id);
            }
        }
        // The firewall is in the create call, so that there is no moment without it.
        let firewalls: Vec<_> = world.firewall.iter().map(|f| json!({ "firewall": f.id })).collect();
        json!({
            "name": name, "server_type": place.server_type, "image": place.image, "location": place.location,
            "ssh_keys": world.ssh_key.iter().map(|k| k.id).collect::<Vec<_>>(),
            "firewalls": firewalls, "public_net": public_net,
            "user_data": self.all.inputs.user_data.of(place.stock_image), "start_after_create": true,
        })
    }

    pub(super) async fn snapshot(&self, server: u64, description: &str) -> Result<(), Error> {
        let labels = self.all.names.labels();
        let body = json!({ "type": "snapshot", "description": description, "labels": labels });
        self.act_once(&format!("/servers/{server}/actions/create_image"), "create_image", body).await
    }

    /// Overwrites the root disk. Protection that was lifted for it is put back by a change of its own.
    pub(super) async fn rebuild(
        &self,
        server: u64,
        image: u64,
        stock_image: bool,
        protected: bool,
    ) -> Result<(), Error> {
        if protected {
            let lifted = json!({ "delete": false, "rebuild": false });
            self.act(&format!("/servers/{server}/actions/change_protection"), lifted).await?;
        }
        let user_data = self.all.inputs.user_data.of(stock_image);
        let body = json!({ "image": image, "user_data": user_data });
        self.act_once(&format!("/servers/{server}/actions/rebuild"), "rebuild_server", body).await?;
        self.reread_server(server).await.map(drop)
    }

    /// Changes the type; the disk stays as it is, so that the type can be changed back.
    pub(super) async fn change_type(&self, server: u64, from: &str, to: &str) -> Result<(), Error> {
        self.shut_down(server).await?;
        let body = json!({ "server_type": to, "upgrade_disk": false });
        let path = format!("/servers/{server}/actions/change_type");
        let changed = self.act_once(&path, "change_server_type", body).await;
        // Whatever came of it, the server goes on.
        self.power_on(server).await?;
        if let Err(error) = &changed
            && error.next_step() == Step::OtherPlace
        {
            self.all.report.note(&format!("the server goes on as a {from}: {to} is out of stock"));
        }
        changed
    }

    async fn shut_down(&self, server: u64) -> Result<(), Error> {
        if self.reread_server(server).await?.status == "off" {
            return Ok(());
        }
        self.act(&format!("/servers/{server}/actions/shutdown"), json!({})).await?;
        let (client, start) = (self.all.client, self.all.client.now());
        while self.reread_server(server).await?.status != "off" {
            if client.now().saturating_sub(start) > SHUTDOWN_LIMIT {
                return self.act(&format!("/servers/{server}/actions/poweroff"), json!({})).await;
            }
            client.rest(LOOK_AGAIN).await;
        }
        Ok(())
    }

    pub(super) async fn power_on(&self, server: u64) -> Result<(), Error> {
        self.act(&format!("/servers/{server}/actions/poweron"), json!({})).await?;
        self.reread_server(server).await.map(drop)
    }

    async fn reread_server(&self, id: u64) -> Result<Server, Error> {
        let server: Server = self.all.client.get(&self.doing, &format!("/servers/{id}"), "server").await?;
        self.all.world().server = Some(server.clone());
        Ok(server)
    }
}
