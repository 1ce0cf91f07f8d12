//! The main job, as a list.

use crate::apply::{self, Inputs, UserData};
use crate::confirm::{Depth, Names, Outside, confirm};
use crate::context::Context;
use crate::dns::Addresses;
use crate::door;
use crate::errors::NeedsOperator;
use crate::first_boot::{Binary, Observed, Server};
use crate::journal::Journal;
use crate::keys;
use crate::known_hosts::KnownHosts;
use crate::node::{ImageLock, node_spec, user_data};
use crate::observe::{observe, observe_settled};
use crate::plan::{Change, Plan, Wish, plan, taken_out};
use crate::report::Stage;
use crate::ssh::Session;
use crate::timeline::Timeline;
use crate::world::{World, kind};
use crate::{receipt, recipients};
use anyhow::{Context as _, Result, bail};
use escrow::Expected;
use serde::Serialize;
use spec::{Check, NodeSpec, Receipt};

/// What is on this side before anything is asked of the cloud.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The project's private ssh key.
    pub key: std::path::PathBuf,
    /// Its public half.
    pub public_key: String,
    /// The offline keys the escrow is sealed to.
    pub recipients: Vec<String>,
}

/// What was made on this side for a server to be given.
#[derive(Debug, Clone)]
pub struct Made {
    /// The static binary.
    pub binary: Binary,
    /// The container images its stacks run.
    pub lock: ImageLock,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Provisioned {
    /// Whether anything was changed, in the cloud or on the server.
    pub changed: bool,
    /// The server's address.
    pub address: String,
    /// The server's id.
    pub server: u64,
    /// The volume's id.
    pub volume: u64,
    /// What was looked at from outside, where anything had changed.
    pub checks: Vec<Check>,
    /// The server's receipt.
    pub receipt: Receipt,
    /// Where the time of first boot went, where there was one.
    pub timeline: Option<Timeline>,
}

impl Context<'_> {
    /// Makes the keys that are missing and checks that the offline keys are proved. Needs no cloud.
    pub fn prepare(&self) -> Result<Prepared> {
        let (key, public_key) = keys::project_key(self.folder)?;
        let recipients = recipients::recipients(self.folder, self.project, |text| self.report.note(text))?;
        recipients::need_proof(self.folder, self.project, &recipients)?;
        Ok(Prepared { key, public_key, recipients })
    }

    /// Looks at the cloud and plans; changes nothing there.
    pub async fn plan(&self, public_key: &str, wish: Wish) -> Result<(World, Plan)> {
        self.plan_for(observe(self.client, self.project).await?, public_key, wish)
    }

    /// The same, once what an earlier run began has come to its end.
    pub async fn plan_settled(&self, public_key: &str, wish: Wish) -> Result<(World, Plan)> {
        self.plan_for(observe_settled(self.client, self.project).await?, public_key, wish)
    }

    fn plan_for(&self, world: World, public_key: &str, wish: Wish) -> Result<(World, Plan)> {
        let mut plan = plan(self.project, public_key, &world, wish);
        plan.on_server = taken_out(&self.project.stacks, receipt::filed(self.folder)?.as_ref());
        let made_anew = plan.changes.iter().any(|planned| is_rebuild(&planned.change));
        if world.server.is_some() && !made_anew {
            plan.obstacles.extend(Journal::load(self.folder)?.moved_ssh(self.project.ssh_port));
        }
        Ok((world, plan))
    }

    /// Follows first boot, takes the escrow, confirms from outside. `changed`: whether the cloud was changed before.
    /// It blocks: ssh is waited for, not polled, since nothing else is left to do meanwhile.
    pub fn bring_up(
        &self,
        prepared: &Prepared,
        world: &World,
        changed: bool,
        made: &Made,
    ) -> Result<Provisioned> {
        let node = self.describe(prepared, world, &made.lock)?;
        let (receipt, timeline) = self.first_boot(prepared, world, &node, &made.binary)?;
        let checks = self.confirm_and_file(prepared, world, &receipt, changed)?;
        Ok(Provisioned {
            changed: changed || checks.is_some(),
            address: address(world)?.to_owned(),
            server: node.server.id,
            volume: node.disk.volume_id,
            checks: checks.unwrap_or_default(),
            receipt,
            timeline,
        })
    }

    /// Confirms a server that is done, unless nothing was `changed` and its receipt is the one on file: that is of what
    /// was confirmed last.
    pub(crate) fn confirm_and_file(
        &self,
        prepared: &Prepared,
        world: &World,
        receipt: &Receipt,
        changed: bool,
    ) -> Result<Option<Vec<Check>>> {
        let confirmed = !changed && receipt::is_filed(self.folder, receipt)?;
        let checks = if confirmed { None } else { Some(self.confirm(prepared, world)?) };
        receipt::file(self.folder, receipt)?;
        Ok(checks)
    }

    /// Applies the plan, or says what stands in its way.
    pub async fn apply(&self, prepared: &Prepared, world: World, plan: &Plan) -> Result<World> {
        NeedsOperator::unless_clear("applying the plan", &plan.obstacles)?;
        let wants = |change: fn(&Change) -> bool| plan.changes.iter().any(|planned| change(&planned.change));
        let rebuilt = world.server.as_ref().map(|server| server.id).filter(|_| wants(is_rebuild));
        let user_data = if rebuilt.is_some() || wants(|c| matches!(c, Change::CreateServer { .. })) {
            Journal::load(self.folder)?.note_ssh_port(self.folder, self.project.ssh_port)?;
            self.user_data(prepared)?
        } else {
            UserData::default()
        };
        let nonce = if wants(|c| matches!(c, Change::CreateVolume { .. })) {
            Journal::load(self.folder)?.volume_nonce(self.folder)?
        } else {
            String::new()
        };
        if let Some(server) = rebuilt {
            // Until the disk is overwritten the old key answers, afterwards the throw-away one.
            KnownHosts::new(self.folder, server).add(&keys::first_contact(self.folder)?.ed25519_public)?;
        }
        let inputs = Inputs {
            folder: self.folder,
            project: self.project,
            public_key: &prepared.public_key,
            user_data,
            format_nonce: &nonce,
        };
        let world = apply::apply(self.client, plan, world, &inputs, self.report).await?;
        if let Some(server) = rebuilt {
            KnownHosts::new(self.folder, server).only(&keys::first_contact(self.folder)?.ed25519_public)?;
        }
        Ok(world)
    }

    fn user_data(&self, prepared: &Prepared) -> Result<UserData> {
        let text = |stock_image| -> Result<String> {
            let host_key = keys::first_contact(self.folder)?;
            Ok(user_data(self.project, &prepared.public_key, host_key, stock_image)?.text)
        };
        Ok(UserData { baked: text(false)?, stock: text(true)? })
    }

    pub(crate) fn describe(&self, prepared: &Prepared, world: &World, lock: &ImageLock) -> Result<NodeSpec> {
        world.need_one(kind::VOLUME, "handing the server its description")?;
        let server = world.server.as_ref().context("describing the server: it is not there")?;
        let volume = world.volume.as_ref().context("describing the server: its volume is not there")?;
        node_spec(self.folder, self.project, &prepared.recipients, server, volume, lock)
    }

    /// Brings firstboot to its end.
    fn first_boot(
        &self,
        prepared: &Prepared,
        world: &World,
        node: &NodeSpec,
        binary: &Binary,
    ) -> Result<(Receipt, Option<Timeline>)> {
        let known_hosts = KnownHosts::new(self.folder, node.server.id);
        let session = self.session(prepared, world)?;
        let server =
            Server { folder: self.folder, session: &session, known_hosts: &known_hosts, report: self.report };
        let there = server.connect_awake()?;
        self.refuse_locked(&there)?;
        let expected = Expected {
            project: &self.project.name,
            volume_id: node.disk.volume_id,
            recipients: &prepared.recipients,
        };
        let Some(from) = server.hand_over(node, binary, &there)? else {
            // A rebuild that did not come about has pinned a key beside this server's.
            server.keep_lasting_host_key()?;
            let receipt = there.receipt().context("reading the receipt: the server is done but has none")?;
            return Ok((receipt.clone(), None));
        };
        let timeline = Timeline::of(&self.project.name, &server.follow(from, &expected)?);
        let there = server.observe(|_| {})?;
        let receipt =
            there.receipt().context("reading the receipt: firstboot is done but left none")?.clone();
        match timeline.and_then(|timeline| timeline.file(self.folder).map(|()| timeline)) {
            Ok(timeline) => Ok((receipt, Some(timeline))),
            Err(error) => {
                // The server is none the worse for it.
                self.report.note(&format!("there is no timeline of this first boot: {error:#}"));
                Ok((receipt, None))
            }
        }
    }

    fn refuse_locked(&self, there: &Observed) -> Result<()> {
        if there.is_settled() && there.is_locked() {
            let name = self.folder.name();
            return Err(NeedsOperator(format!(
                "the server's volume is locked, as after every reboot: open it with `cargo xtask unlock --project {name} --identity FILE`"
            ))
            .into());
        }
        Ok(())
    }

    /// What holds of the server and what does not, looked at from outside and on it, as deep as that.
    pub fn inspect(&self, prepared: &Prepared, world: &World, depth: Depth) -> Result<Vec<Check>> {
        let session = self.session(prepared, world)?;
        let names = self.project.names_over_ipv6();
        let Addresses { ipv4, ipv6 } = world.addresses();
        // A rehearsal's machines have no IPv6 of their own.
        let both = ipv4.zip(ipv6).filter(|_| !names.is_empty() && !self.project.rehearsal);
        let outside = Outside {
            address: address(world)?,
            ssh_port: self.project.ssh_port,
            open: &self.project.open,
            names: both.map(|(ipv4, ipv6)| Names { names: &names, ipv4, ipv6 }),
        };
        confirm(&session, outside, depth)
    }

    fn confirm(&self, prepared: &Prepared, world: &World) -> Result<Vec<Check>> {
        let stage = Stage::begin(self.report, "confirming from outside");
        let checks = self.inspect(prepared, world, Depth::Ready)?;
        let complaints: String =
            checks.iter().filter_map(Check::complaint).map(|c| format!("\n  {c}")).collect();
        if !complaints.is_empty() {
            bail!("confirming from outside: the server is up but not as it must be:{complaints}");
        }
        stage.done(&format!("{} checks passed", checks.len()));
        Ok(checks)
    }

    /// Does what needs ssh with the door open, where the project keeps it shut; see [`door::through`].
    pub async fn through_the_door<T>(
        &self,
        world: &World,
        verb: &str,
        work: impl AsyncFnOnce() -> Result<T>,
    ) -> Result<T> {
        door::through(self, world, verb, work).await
    }

    /// The connection to the project's server.
    pub fn session(&self, prepared: &Prepared, world: &World) -> Result<Session> {
        let server = world.server.as_ref().with_context(|| {
            let name = self.folder.name();
            format!("connecting: there is no server; `cargo xtask provision --project {name}` makes one")
        })?;
        let known_hosts = KnownHosts::new(self.folder, server.id);
        Ok(Session::new(address(world)?, self.project.ssh_port, &prepared.key, &known_hosts))
    }
}

/// The address the server is reached at.
pub fn address(world: &World) -> Result<&str> {
    let server = world.server.as_ref().context("looking for the server's address: there is no server")?;
    let ipv4 = server
        .public_net
        .ipv4
        .as_ref()
        .context("looking for the server's address: it has no IPv4 address")?;
    Ok(&ipv4.ip)
}

fn is_rebuild(change: &Change) -> bool {
    matches!(change, Change::RebuildServer { .. })
}
