//! A leased server for one command, removed whatever happens.
//!
//! The lease is in the labels of everything that is made, so that even if this process is killed, or the machine it
//! runs on is lost, [`sweep`](super::sweep) finds what is left by its labels alone once the lease is over.

use super::command::command;
use super::reap::EXPIRES_FILE;
use super::{Ceiling, End, check_ceiling, guarded, new_name, project, time};
use crate::cloud::Endpoint;
use crate::destroy::{Also, destroy, fates};
use crate::known_hosts::KnownHosts;
use crate::observe::{observe, observe_settled};
use crate::opened::{Opened, notices};
use crate::plan::Wish;
use crate::project::{Folder, Lease, Project};
use crate::provision::{Made, Prepared, address};
use crate::report::{Report, Stage};
use crate::ssh::Session;
use crate::world::World;
use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long a new server may take until it lets us in.
const CONNECT_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How often the cloud is looked at until nothing of the lease is left: a request that was on its way when the work
/// was broken off may still be done after the first look.
const ROUNDS: u32 = 4;
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What is leased, and for what.
#[derive(Debug, Clone)]
pub struct Order {
    /// What the server is like; [`default_project`] where no project says it.
    pub like: Project,
    /// Whether it is brought all the way up, with volume and stacks, before the command runs.
    pub whole: bool,
    /// Who holds the lease.
    pub owner: String,
    /// How long it lasts at the most.
    pub ttl: Duration,
    /// What it may come to.
    pub ceiling: Ceiling,
    /// The command, run on this machine; it finds the server in `SOVEREIGN_ADDRESS` and
    /// `ssh -F "$SOVEREIGN_SSH_CONFIG" server`.
    pub command: Vec<OsString>,
    /// Whether what the command says on stdout goes to stderr.
    pub aside: bool,
}

/// How it ended.
#[derive(Debug, Serialize)]
pub struct Ended {
    /// The server's name.
    pub server: String,
    /// Its address, where the command ended by itself.
    pub address: Option<String>,
    /// The command's, 124 when the lease ended first, 128 and the number when a signal did.
    pub exit_code: u8,
    /// How long all of it took.
    pub seconds: f64,
}

/// Leases a server at a cloud, runs the command, and removes what was made however that ends. Keys and the like lie
/// below `leases` meanwhile. `make` gives what a whole server is handed.
pub async fn run(
    order: &Order,
    leases: &Path,
    endpoint: &Endpoint,
    report: Arc<dyn Report>,
    make: impl AsyncFn(&Project, &World) -> Result<Made>,
) -> Result<Ended> {
    let start = Instant::now();
    let leased = Leasing::begin(order, leases, endpoint, report).await?;
    // From here on something may be there that costs money, so that every way out leads over its removal.
    let broken = broken_off(order.ttl, &*leased.opened.report);
    let (ended, removed) = guarded(leased.work(make), broken, || leased.remove_all()).await;
    let ended = match ended {
        End::Done(done) => done.map(|(code, address)| (code, Some(address))),
        End::Broken(broken) => broken.map(|broken| (broken.exit_code(), None)),
    };
    if let (Err(_), Err(left)) = (&ended, &removed) {
        leased.opened.report.note(&format!("error: {left:#}"));
    }
    let (exit_code, address) = ended?;
    removed?;
    let server = leased.opened.folder.name().to_owned();
    Ok(Ended { server, address, exit_code, seconds: start.elapsed().as_secs_f64() })
}

/// What a throw-away server is like where no project says it: project.toml's own defaults, at Hetzner.
pub fn default_project() -> Result<Project> {
    let text = "[cloud]\nrehearsal = true\n[escrow]\nthrowaway_identity = true\n";
    Ok(Project { rehearsal: false, ..Project::parse("ephemeral", text)? })
}

/// Why the work ended before the command did.
enum Broken {
    Signal(i32),
    LeaseOver,
}

impl Broken {
    fn sentence(&self) -> &'static str {
        match self {
            Self::Signal(_) => "interrupted: removing the server",
            Self::LeaseOver => "the lease is over: removing the server",
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Signal(number) => u8::try_from(128 + number).unwrap_or(1),
            Self::LeaseOver => 124,
        }
    }
}

/// A lease, and what is needed to fill it.
struct Leasing<'a> {
    order: &'a Order,
    opened: Arc<Opened>,
    prepared: Prepared,
}

impl<'a> Leasing<'a> {
    /// Settles everything that costs nothing: the name, the labels, the keys.
    async fn begin(
        order: &'a Order,
        leases: &Path,
        endpoint: &Endpoint,
        report: Arc<dyn Report>,
    ) -> Result<Self> {
        let client = endpoint.client(notices(&report))?;
        let lease = Lease::new(&order.owner, time(&client).await?, order.ttl);
        // A folder for the lease's keys, under a name that nothing else has.
        let folder = Folder::new(leases, &new_name()?);
        host::files::write(&folder.file(EXPIRES_FILE), lease.expires.to_string().as_bytes(), 0o644)?;
        let project = project(&order.like, folder.name(), lease, order.whole);
        let opened = Arc::new(Opened::at(folder, project, endpoint, report)?);
        let prepared = opened.context().prepare()?;
        Ok(Self { order, opened, prepared })
    }

    /// Makes the server and runs the command; gives its exit code and the server's address.
    async fn work(&self, make: impl AsyncFn(&Project, &World) -> Result<Made>) -> Result<(u8, String)> {
        let (order, opened) = (self.order, &self.opened);
        let context = opened.context();
        let (world, plan) = context.plan(&self.prepared.public_key, Wish::default()).await?;
        let cost = check_ceiling(&opened.client, order.ceiling, &world, &plan, order.ttl).await?;
        context.report.note(&format!(
            "leasing {} for {} s, at most {cost} {}; `cargo xtask reap` removes it should this be killed",
            opened.folder.name(),
            order.ttl.as_secs(),
            plan.currency
        ));
        let world = context.apply(&self.prepared, world, &plan).await?;
        let made = if order.whole { Some(make(&opened.project, &world).await?) } else { None };
        let session = self.bring_up(world.clone(), made).await?;
        let config = opened.folder.file("ssh_config");
        host::files::write(&config, &session.config("server"), 0o600)?;
        let address = address(&world)?.to_owned();
        let port = opened.project.ssh_port.to_string();
        let expires = opened.project.lease.as_ref().map_or(0, |lease| lease.expires).to_string();
        let variables = [
            ("SOVEREIGN_SERVER", opened.folder.name().into()),
            ("SOVEREIGN_ADDRESS", address.as_str().into()),
            ("SOVEREIGN_SSH_PORT", port.into()),
            ("SOVEREIGN_EXPIRES", expires.into()),
            ("SOVEREIGN_SSH_CONFIG", config.into_os_string()),
        ];
        Ok((command(&order.command, variables, order.aside).await?, address))
    }

    /// Waits for the way in, and for a whole server follows its first boot. What blocks runs beside, so that a signal
    /// is heard meanwhile.
    async fn bring_up(&self, world: World, made: Option<Made>) -> Result<Session> {
        let (opened, prepared) = (Arc::clone(&self.opened), self.prepared.clone());
        tokio::task::spawn_blocking(move || {
            let context = opened.context();
            let server = world.server.as_ref().context("bringing the server up: it is not there")?;
            let known_hosts = KnownHosts::new(context.folder, server.id);
            known_hosts.pin_first_contact()?;
            let session = context.session(&prepared, &world)?;
            match made {
                Some(made) => drop(context.bring_up(&prepared, &world, true, &made)?),
                None => {
                    let stage = Stage::begin(context.report, "connecting, against the pinned host key");
                    session.wait("true", CONNECT_LIMIT, |said| stage.detail(said))?;
                    stage.done("connected");
                }
            }
            Ok(session)
        })
        .await
        .context("bringing the server up: it panicked")?
    }

    /// Removes everything of the lease, and looks until nothing is left.
    async fn remove_all(&self) -> Result<()> {
        let mut last = Ok(());
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            let world = if round == 0 {
                observe_settled(&self.opened.client, &self.opened.project).await
            } else {
                observe(&self.opened.client, &self.opened.project).await
            };
            let world = match world {
                Ok(world) => world,
                Err(error) => {
                    last = Err(error.into());
                    continue;
                }
            };
            let fates = fates(&self.opened.project, &world, Also::ALL)?;
            // The first look may have come before a request that was still on its way.
            if fates.is_empty() && (round > 0 || last.is_err()) {
                let path = self.opened.folder.path();
                return std::fs::remove_dir_all(path).with_context(|| format!("removing {}", path.display()));
            }
            last = destroy(&self.opened.client, &self.opened.folder, &fates, &*self.opened.report).await;
        }
        last.and_then(|()| bail!("something was still there after {ROUNDS} looks"))
            .with_context(|| format!(
                "removing the throw-away server {}: not everything went; `cargo xtask reap` removes it when its lease is over",
                self.opened.folder.name()
            ))
    }
}

/// Ends when the process is told to end, or when the lease is over, and says so.
async fn broken_off(ttl: Duration, report: &dyn Report) -> Result<Broken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for signals")?;
    let mut hang_up = signal(SignalKind::hangup()).context("listening for signals")?;
    let broken = tokio::select! {
        _ = interrupt.recv() => Broken::Signal(SignalKind::interrupt().as_raw_value()),
        _ = terminate.recv() => Broken::Signal(SignalKind::terminate().as_raw_value()),
        _ = hang_up.recv() => Broken::Signal(SignalKind::hangup().as_raw_value()),
        () = tokio::time::sleep(ttl) => Broken::LeaseOver,
    };
    report.note(broken.sentence());
    Ok(broken)
}
