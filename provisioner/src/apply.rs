//! Makes the changes of a plan: those of a stage side by side, stage after stage. After a crash nothing is replayed:
//! the next run observes and plans anew, and finds by name and label what the crashed one had made.

mod dns;
mod server;

use crate::api::model::{Firewall, PrimaryIp, Resource, SshKey, StorageBox, Volume};
use crate::api::{Client, Error, Repeat};
use crate::door;
use crate::names::{FORMAT_NONCE, Names};
use crate::plan::{Change, Plan, Planned, Protected, Stage};
use crate::project::{Folder, Project};
use crate::report::{self, Report};
use crate::world::World;
use anyhow::{Result, anyhow};
use futures_util::future::join_all;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long the cloud may take over one action; a server from an image of our own takes longest.
const ACTION_LIMIT: Duration = Duration::from_secs(15 * 60);

/// What the changes need beyond the plan.
pub struct Inputs<'a> {
    /// The project's folder.
    pub folder: &'a Folder,
    /// The project.
    pub project: &'a Project,
    /// The project's public key.
    pub public_key: &'a str,
    /// The user-data of a server that is made or rebuilt.
    pub user_data: UserData,
    /// The nonce a created volume carries.
    pub format_nonce: &'a str,
}

/// The user-data of a server, by what it starts from.
#[derive(Debug, Clone, Default)]
pub struct UserData {
    /// For an image that has everything installed.
    pub baked: String,
    /// For a stock image, which gets its packages first.
    pub stock: String,
}

impl UserData {
    fn of(&self, stock_image: bool) -> &str {
        if stock_image { &self.stock } else { &self.baked }
    }
}

/// Applies a plan to the world it was made from, and gives back the world as it then is. Where changes fail, those
/// beside them are still finished, so that nothing is left half asked for; then the first failure is told.
pub async fn apply(
    client: &Client,
    plan: &Plan,
    world: World,
    inputs: &Inputs<'_>,
    report: &dyn Report,
) -> Result<World> {
    let (placed, _) = watch::channel(false);
    let applier = Applier {
        client,
        inputs,
        names: Names::of(inputs.project),
        report,
        world: Mutex::new(world),
        placed,
    };
    let of = |stages: std::ops::RangeInclusive<Stage>| {
        let changes = plan.changes.iter().filter(move |planned| stages.contains(&planned.change.stage()));
        changes.collect::<Vec<_>>()
    };
    let (server, addresses) = (of(Stage::Before..=Stage::Last), of(Stage::Addresses..=Stage::Names));
    let beside = of(Stage::Beside..=Stage::Beside);
    let (server, addresses, beside) = tokio::join!(
        applier.server_lane(&server),
        applier.address_lane(&addresses),
        applier.one_by_one(&beside)
    );
    server.and(addresses).and(beside)?;
    Ok(applier.world.into_inner().unwrap_or_else(PoisonError::into_inner))
}

struct Applier<'a> {
    client: &'a Client,
    inputs: &'a Inputs<'a>,
    names: Names<'a>,
    report: &'a dyn Report,
    world: Mutex<World>,
    /// Whether the server has its place, and with it its addresses, or will find none.
    placed: watch::Sender<bool>,
}

impl Applier<'_> {
    /// Everything up to the server, the server, and what hangs on it.
    async fn server_lane(&self, changes: &[&Planned]) -> Result<()> {
        let before = changes.partition_point(|planned| planned.change.stage() <= Stage::Before);
        let made = self.in_order(&changes[..before]).await;
        let creates = |planned: &&Planned| matches!(planned.change, Change::CreateServer { .. });
        if made.is_ok() && !changes.iter().any(creates) {
            self.placed.send_replace(true);
        }
        let made = match made {
            Ok(()) => self.in_order(&changes[before..]).await,
            failed => failed,
        };
        // Whoever still waits finds no server then.
        self.placed.send_replace(true);
        made
    }

    /// The addresses and what names them, once the server has its place. Where it finds none there is nothing to do.
    async fn address_lane(&self, changes: &[&Planned]) -> Result<()> {
        let told = self.placed.subscribe().wait_for(|placed| *placed).await.is_ok();
        if !told || self.world().server.is_none() {
            return Ok(());
        }
        self.in_order(changes).await
    }

    /// Stage after stage, the changes of each side by side.
    async fn in_order(&self, changes: &[&Planned]) -> Result<()> {
        for stage in changes.chunk_by(|a, b| a.change.stage() == b.change.stage()) {
            let done = join_all(stage.iter().map(|planned| self.one(&planned.change))).await;
            done.into_iter().collect::<Result<()>>()?;
        }
        Ok(())
    }

    async fn one_by_one(&self, changes: &[&Planned]) -> Result<()> {
        for planned in changes {
            self.one(&planned.change).await?;
        }
        Ok(())
    }

    async fn one(&self, change: &Change) -> Result<()> {
        let stage = report::Stage::begin(self.report, change.to_string());
        let doing = format!("applying \"{change}\"");
        let outcome = Applying { all: self, doing }.apply(change).await?;
        stage.done(&outcome);
        Ok(())
    }

    /// The world, for as long as no request is waited for.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One change being made.
struct Applying<'a> {
    all: &'a Applier<'a>,
    doing: String,
}

impl Applying<'_> {
    /// Makes it, and says what came of it.
    async fn apply(&self, change: &Change) -> Result<String> {
        match change {
            Change::CreateSshKey { name } => {
                let body = json!({ "name": name, "public_key": self.all.inputs.public_key });
                let key = self.create::<SshKey>("/ssh_keys", "ssh_key", name, body).await?;
                self.all.world().ssh_key = Some(key);
            }
            Change::CreateFirewall { name, rules } => {
                let body = json!({ "name": name, "rules": rules });
                let firewall = self.create::<Firewall>("/firewalls", "firewall", name, body).await?;
                self.all.world().firewall = Some(firewall);
            }
            Change::SetFirewallRules { id, rules } => {
                door::set_rules(self.all.client, self.all.inputs.folder, *id, rules).await?;
            }
            Change::ApplyFirewall { server } => {
                let Some(firewall) = self.all.world().firewall.as_ref().map(|f| f.id) else {
                    return Ok("nothing to apply".into());
                };
                let target = json!({ "apply_to": [{ "type": "server", "server": { "id": server } }] });
                let path = format!("/firewalls/{firewall}/actions/apply_to_resources");
                let asked = self.act_once(&path, "apply_firewall", target).await;
                unless_it_is_so(asked, "firewall_already_applied")?;
            }
            Change::CreateServer { name, places } => return self.create_server(name, places).await,
            Change::Snapshot { server, description } => self.snapshot(*server, description).await?,
            Change::RebuildServer { server, image, stock_image, protected } => {
                self.rebuild(*server, *image, *stock_image, *protected).await?;
            }
            Change::ChangeServerType { server, from, to } => self.change_type(*server, from, to).await?,
            Change::PowerOn { server } => self.power_on(*server).await?,
            Change::KeepPrimaryIp { name, family } => self.keep_primary_ip(name, family).await?,
            Change::SetReverse { family, name } => self.set_reverse(family, name).await?,
            Change::CreateVolume { name, size_gb } => self.create_volume(name, *size_gb).await?,
            Change::AttachVolume { volume } => {
                let Some(server) = self.all.world().server.as_ref().map(|s| s.id) else {
                    return Ok("there is no server".into());
                };
                let body = json!({ "server": server, "automount": false });
                let path = format!("/volumes/{volume}/actions/attach");
                let asked = self.act_once(&path, "attach_volume", body).await;
                let refused = unless_it_is_so(asked, "volume_already_attached")?;
                self.reread_volume(*volume).await?;
                let attached = self.all.world().volume.as_ref().and_then(|volume| volume.server);
                if let Some(refused) = refused.filter(|_| attached != Some(server)) {
                    return Err(refused.into());
                }
            }
            Change::GrowVolume { volume, size_gb } => {
                self.act(&format!("/volumes/{volume}/actions/resize"), json!({ "size": size_gb })).await?;
                self.reread_volume(*volume).await?;
            }
            Change::CreateZone { .. }
            | Change::CreateRecords { .. }
            | Change::SetRecords { .. }
            | Change::AddRecords { .. }
            | Change::RemoveRecords { .. }
            | Change::SetTtl { .. }
            | Change::DeleteRecords { .. } => self.apply_dns(change).await?,
            Change::CreateStorageBox { name, kind, location } => {
                return self.create_storage_box(name, kind, location).await;
            }
            Change::AdoptStorageBox { id } => self.adopt_storage_box(*id).await?,
            Change::ChangeStorageBoxType { id, to } => {
                let body = json!({ "storage_box_type": to });
                self.act(&format!("/storage_boxes/{id}/actions/change_type"), body).await?;
            }
            Change::Protect { what } => self.protect(*what).await?,
        }
        Ok("done".into())
    }

    async fn create_volume(&self, name: &str, size_gb: u64) -> Result<(), Error> {
        let server = self.all.world().server.as_ref().map(|s| s.id);
        let mut labels = self.all.names.labels();
        labels.insert(FORMAT_NONCE.into(), self.all.inputs.format_nonce.into());
        // No `format` and no `automount`: the server encrypts it first.
        let body =
            json!({ "name": name, "size": size_gb, "server": server, "labels": labels, "automount": false });
        let mut volume = self.create::<Volume>("/volumes", "volume", name, body).await?;
        // The answer was written before the volume was attached.
        volume.server = server;
        self.all.world().volume = Some(volume);
        Ok(())
    }

    async fn reread_volume(&self, id: u64) -> Result<(), Error> {
        let volume = self.all.client.get(&self.doing, &format!("/volumes/{id}"), "volume").await?;
        self.all.world().volume = Some(volume);
        Ok(())
    }

    /// Keeps an address that came with the server: one request names it, labels it and unties it.
    async fn keep_primary_ip(&self, name: &str, family: &str) -> Result<()> {
        let (id, mut labels) = {
            let world = self.all.world();
            let own = world.ip(family).map(|ip| (ip.id, ip.labels.clone()));
            let of_server = world.server.as_ref().and_then(|server| {
                let net = &server.public_net;
                let address = if family == "ipv4" { &net.ipv4 } else { &net.ipv6 };
                address.as_ref().and_then(|address| address.id)
            });
            match own.or(of_server.map(|id| (id, Default::default()))) {
                Some(found) => found,
                None => return Err(self.missing(&format!("the server has no {family} address"))),
            }
        };
        labels.extend(self.all.names.labels());
        let body = json!({ "name": name, "labels": labels, "auto_delete": false });
        let path = format!("/primary_ips/{id}");
        let answer = self.all.client.change(&self.doing, Method::PUT, &path, Some(&body)).await?;
        let ip: PrimaryIp = self.all.client.field(&self.doing, answer, "primary_ip")?;
        let mut world = self.all.world();
        *(if family == "ipv4" { &mut world.ipv4 } else { &mut world.ipv6 }) = Some(ip);
        Ok(())
    }

    async fn create_storage_box(&self, name: &str, kind: &str, location: &str) -> Result<String> {
        // The box is entered with the project's key. Its password is drawn, sent and forgotten: nobody needs it,
        // and it can be set anew at the cloud.
        let password = password()?;
        let body = json!({
            "name": name, "storage_box_type": kind, "location": location, "password": password,
            "ssh_keys": [self.all.inputs.public_key],
            "access_settings": { "ssh_enabled": true, "reachable_externally": true, "samba_enabled": false,
                "webdav_enabled": false, "zfs_enabled": false },
        });
        let made = self.create::<StorageBox>("/storage_boxes", "storage_box", name, body).await?;
        let path = format!("/storage_boxes/{}", made.id);
        let there: StorageBox = self.all.client.get(&self.doing, &path, "storage_box").await?;
        let host = there.server.clone().unwrap_or_default();
        self.all.world().storage_box = Some(there);
        Ok(format!("done: {host}"))
    }

    async fn adopt_storage_box(&self, id: u64) -> Result<(), Error> {
        let path = format!("/storage_boxes/{id}");
        let found: StorageBox = self.all.client.get(&self.doing, &path, "storage_box").await?;
        let mut labels = found.labels;
        labels.extend(self.all.names.labels());
        let body = json!({ "labels": labels });
        self.all.client.change(&self.doing, Method::PUT, &path, Some(&body)).await.map(drop)
    }

    async fn protect(&self, what: Protected) -> Result<()> {
        let (path, body) = {
            let world = self.all.world();
            let id = |id: Option<u64>| id.ok_or_else(|| self.missing(&format!("there is no {what}")));
            let delete = json!({ "delete": true });
            match what {
                // Both, since Hetzner takes them only together.
                Protected::Server => (
                    format!("/servers/{}", id(world.server.as_ref().map(|s| s.id))?),
                    json!({ "delete": true, "rebuild": true }),
                ),
                Protected::Volume => {
                    (format!("/volumes/{}", id(world.volume.as_ref().map(|v| v.id))?), delete)
                }
                Protected::Ipv4 => {
                    (format!("/primary_ips/{}", id(world.ipv4.as_ref().map(|i| i.id))?), delete)
                }
                Protected::Ipv6 => {
                    (format!("/primary_ips/{}", id(world.ipv6.as_ref().map(|i| i.id))?), delete)
                }
                Protected::Zone => (format!("/zones/{}", id(world.zone.as_ref().map(|z| z.id))?), delete),
                Protected::StorageBox => {
                    (format!("/storage_boxes/{}", id(world.storage_box.as_ref().map(|b| b.id))?), delete)
                }
            }
        };
        Ok(self.act(&format!("{path}/actions/change_protection"), body).await?)
    }

    /// Creates something with the project's labels, or takes up what a lost answer left under its name and labels.
    async fn create<T: DeserializeOwned + Resource>(
        &self,
        path: &str,
        key: &str,
        name: &str,
        body: Value,
    ) -> Result<T, Error> {
        self.create_noted(path, key, name, body, |_| {}).await
    }

    /// The same; `noted` is told of it as soon as it is there, before its actions have ended.
    async fn create_noted<T: DeserializeOwned + Resource>(
        &self,
        path: &str,
        key: &str,
        name: &str,
        mut body: Value,
        noted: impl Fn(&T),
    ) -> Result<T, Error> {
        if body.get("labels").is_none() {
            body["labels"] = json!(self.all.names.labels());
        }
        let client = self.all.client;
        let look = || async {
            let found = client.list::<T>(&self.doing, path, &path[1..], &[("name", name)]).await?;
            Ok(found.into_iter().find(|resource| self.all.names.own(resource.labels())))
        };
        let made =
            client.create_or_adopt_noted(&self.doing, path, key, &body, ACTION_LIMIT, look, noted).await?;
        Ok(made.object)
    }

    async fn act(&self, path: &str, body: Value) -> Result<(), Error> {
        self.all.client.act(&self.doing, path, &body, Repeat::Harmless, ACTION_LIMIT).await.map(drop)
    }

    /// An action that must not be done twice, or that is refused the second time. `command` is what the cloud calls it in its lists.
    async fn act_once(&self, path: &str, command: &str, body: Value) -> Result<(), Error> {
        self.all.client.act(&self.doing, path, &body, Repeat::Never(command), ACTION_LIMIT).await.map(drop)
    }

    /// Something that must be there is not.
    fn missing(&self, what: &str) -> anyhow::Error {
        anyhow!("{}: {what}; somebody changed the cloud meanwhile: run the same command again", self.doing)
    }
}

/// Gives back the cloud's word that it is so already, and fails with every other error: an earlier run may have asked, and
/// was killed before its request was heard.
fn unless_it_is_so(asked: Result<(), Error>, code: &str) -> Result<Option<Error>, Error> {
    match asked {
        Ok(()) => Ok(None),
        Err(error) if error.code() == Some(code) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// 32 characters of every class that Hetzner's password policy asks for.
fn password() -> Result<String> {
    Ok(format!("aA1!{}", crate::journal::random_hex(14)?))
}
