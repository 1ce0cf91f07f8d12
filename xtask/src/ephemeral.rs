//! `ephemeral`: a leased server for one command, removed whatever happens. `reap`: what leases left behind.
//!
//! The lease is in the labels of everything that is made, so that even if this process is killed, or the machine it
//! runs on is lost, `reap` finds what is left by its labels alone once the lease is over.

use crate::places;
use crate::project::{Opened, endpoint};
use crate::provision;
use crate::screen::Screen;
use crate::verbs::print_json;
use anyhow::{Context as _, Result, bail};
use host::Cmd;
use provisioner::cloud::Endpoint;
use provisioner::destroy::{Also, destroy, fates};
use provisioner::known_hosts::KnownHosts;
use provisioner::lease::{self, Ceiling, End};
use provisioner::money::Money;
use provisioner::observe::{World, observe, observe_settled};
use provisioner::plan::Wish;
use provisioner::project::{Folder, Lease, Project};
use provisioner::provision::Prepared;
use provisioner::report::{Report as _, Stage};
use provisioner::ssh::Session;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How long a new server may take until it lets us in.
const CONNECT_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How long the command may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(10);
/// How often the cloud is looked at until nothing of the lease is left: a request that was on its way when the work
/// was broken off may still be done after the first look.
const ROUNDS: u32 = 4;
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The file in a lease's folder that says when it ends.
const EXPIRES: &str = "expires";

/// For `ephemeral`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long the lease lasts at the most: 90s, 30m, 2h, 1d.
    #[arg(long, default_value = "2h", value_parser = lease::parse_ttl)]
    ttl: Duration,
    /// A project whose cloud, types, locations and image are used; without it, project.toml's defaults at Hetzner.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Bring the server all the way up as the project says, with volume and stacks, before the command runs.
    #[arg(long, requires = "project")]
    whole: bool,
    /// Who holds the lease, as a label says it; your user name where it is not given.
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// The most throw-away servers there may be at once.
    #[arg(long, default_value_t = 5, value_name = "N")]
    max_servers: usize,
    /// The most this one may cost for as long as its lease lasts, in the account's currency, net.
    #[arg(long, default_value = "1.00", value_parser = read_money)]
    max_cost: Money,
    /// One JSON document on stdout after the command has ended; the command's own stdout goes to stderr then.
    #[arg(long)]
    json: bool,
    /// What to run, here; it finds the server in SOVEREIGN_ADDRESS and `ssh -F "$SOVEREIGN_SSH_CONFIG" server`.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// For `reap`.
#[derive(clap::Args)]
pub(crate) struct Reap {
    /// A project whose cloud is meant; without it, Hetzner as the environment says.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Only show what would be removed; exit code 3 when there is something.
    #[arg(long)]
    plan: bool,
    /// One JSON document on stdout, nothing else there.
    #[arg(long)]
    json: bool,
}

fn read_money(text: &str) -> Result<Money, String> {
    Money::parse(text).ok_or_else(|| "must be an amount such as 1.00".into())
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

/// Runs it; the exit code is the command's, 124 when the lease ended first, 128 and the number when a signal did.
pub(crate) async fn run(projects: &Path, options: &Options) -> Result<u8> {
    let start = Instant::now();
    let leased = Leasing::begin(projects, options).await?;
    // From here on something may be there that costs money, so that every way out leads over its removal.
    let guarded =
        lease::guarded(leased.work(options), broken_off(options.ttl, &leased.opened.screen), || {
            leased.remove_all()
        });
    let (ended, removed) = guarded.await;
    let ended = match ended {
        End::Done(done) => done,
        End::Broken(broken) => broken.map(|broken| Ended { code: broken.exit_code(), address: None }),
    };
    let ended = match (ended, removed) {
        (Err(error), Err(left)) => {
            leased.opened.screen.note(&format!("error: {left:#}"));
            return Err(error);
        }
        (Err(error), Ok(())) => return Err(error),
        (Ok(_), Err(left)) => return Err(left),
        (Ok(ended), Ok(())) => ended,
    };
    if options.json {
        let seconds = start.elapsed().as_secs_f64();
        let name = leased.opened.folder.name();
        print_json(
            &serde_json::json!({ "server": name, "address": ended.address, "exit_code": ended.code, "seconds": seconds }),
        )?;
    }
    Ok(ended.code)
}

/// How the command ended.
struct Ended {
    code: u8,
    address: Option<String>,
}

/// A lease, and what is needed to fill it.
struct Leasing {
    opened: Arc<Opened>,
    like: Option<Project>,
    prepared: Prepared,
}

impl Leasing {
    /// Settles everything that costs nothing: the name, the labels, the keys, the cloud.
    async fn begin(projects: &Path, options: &Options) -> Result<Self> {
        let like = match &options.project {
            Some(name) => Folder::new(projects, name).load()?,
            None => default_project()?,
        };
        let screen = Arc::new(Screen::new());
        let endpoint =
            if like.rehearsal { provision::start_cloud(&like, &screen).await? } else { endpoint(&like)? };
        let owner = options
            .owner
            .clone()
            .or_else(|| std::env::var_os("USER").map(|user| user.to_string_lossy().into_owned()))
            .unwrap_or_default();
        let notices = Arc::clone(&screen);
        let client = endpoint.client(Arc::new(move |text: &str| notices.note(text)))?;
        let lease = Lease::new(&owner, lease::time(&client).await?, options.ttl);
        let folder = lease_folder()?;
        host::files::write(&folder.file(EXPIRES), lease.expires.to_string().as_bytes(), 0o644)?;
        let project = lease::project(&like, folder.name(), lease, options.whole);
        let opened = Arc::new(Opened::at(folder, project, &endpoint, screen)?);
        let prepared = opened.context().prepare()?;
        Ok(Self { opened, like: Some(like).filter(|_| options.whole), prepared })
    }

    /// Makes the server and runs the command.
    async fn work(&self, options: &Options) -> Result<Ended> {
        let context = self.opened.context();
        let (world, plan) = context.plan(&self.prepared.public_key, Wish::default()).await?;
        let ceiling = Ceiling { servers: options.max_servers, cost: options.max_cost };
        let cost = lease::check_ceiling(&self.opened.client, ceiling, &world, &plan, options.ttl).await?;
        let name = self.opened.folder.name();
        self.opened.screen.note(&format!(
            "leasing {name} for {} s, at most {cost} {}; `cargo xtask reap` removes it should this be killed",
            options.ttl.as_secs(),
            plan.currency
        ));
        let world = context.apply(&self.prepared, world, &plan).await?;
        let session = self.bring_up(world.clone()).await?;
        let config = self.opened.folder.file("ssh_config");
        host::files::write(&config, &session.config("server"), 0o600)?;
        let address = provisioner::provision::address(&world)?.to_owned();
        let status = self.command(options, &address, &config).await?;
        Ok(Ended { code: exit_code(status), address: Some(address) })
    }

    /// Waits for the way in, and for a whole server follows its first boot. What blocks runs beside, so that a signal
    /// is heard meanwhile.
    async fn bring_up(&self, world: World) -> Result<Session> {
        let made = match &self.like {
            Some(_) => Some(provision::make_for(&self.opened.project, &world, &self.opened.screen).await?),
            None => None,
        };
        let (opened, prepared) = (Arc::clone(&self.opened), self.prepared.clone());
        tokio::task::spawn_blocking(move || {
            let context = opened.context();
            let server = world.server.as_ref().context("bringing the server up: it is not there")?;
            let known_hosts = KnownHosts::new(context.folder, server.id);
            known_hosts.pin_first_contact()?;
            let session = context.session(&prepared, &world, &known_hosts)?;
            match made {
                Some(made) => drop(context.bring_up(&prepared, &world, true, &made.lock, &made.binary())?),
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

    /// Runs the command with the caller's environment and terminal.
    async fn command(&self, options: &Options, address: &str, config: &Path) -> Result<ExitStatus> {
        let port = self.opened.project.ssh_port.to_string();
        let expires = self.opened.project.lease.as_ref().map_or(0, |lease| lease.expires).to_string();
        let mut cmd = Cmd::new("env").arg("--").args(options.command.iter().cloned()).whole_env_from_parent();
        let own = [
            ("SOVEREIGN_SERVER", self.opened.folder.name()),
            ("SOVEREIGN_ADDRESS", address),
            ("SOVEREIGN_SSH_PORT", &port),
            ("SOVEREIGN_EXPIRES", &expires),
        ];
        for (name, value) in own {
            cmd = cmd.env(name, value);
        }
        let mut command = cmd.env("SOVEREIGN_SSH_CONFIG", config).to_std()?;
        command.stdin(std::process::Stdio::inherit());
        if options.json {
            command.stdout(std::io::stderr());
        }
        if !std::io::stdin().is_terminal() {
            // Without a terminal nobody else sends signals to the command's children, so they get a group of their own.
            command.process_group(0);
        }
        let mut child =
            Child(tokio::process::Command::from(command).spawn().context("starting the command")?);
        Ok(child.0.wait().await?)
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
            last = destroy(&self.opened.client, &self.opened.folder, &fates, &*self.opened.screen).await;
        }
        last.and_then(|()| bail!("something was still there after {ROUNDS} looks"))
            .with_context(|| format!(
                "removing the throw-away server {}: not everything went; `cargo xtask reap` removes it when its lease is over",
                self.opened.folder.name()
            ))
    }
}

/// The running command; dropped while it runs, it and its children are asked to end, and then made to.
struct Child(tokio::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let Some(pid) =
            self.0.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw)
        else {
            return;
        };
        let signal = |signal| {
            // Its own group where it has one, else the process alone.
            if rustix::process::kill_process_group(pid, signal).is_err() {
                let _ = rustix::process::kill_process(pid, signal);
            }
        };
        signal(rustix::process::Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < GRACE && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        signal(rustix::process::Signal::KILL);
        let _ = self.0.try_wait();
    }
}

/// Ends when the process is told to end, or when the lease is over, and says so.
async fn broken_off(ttl: Duration, screen: &Screen) -> Result<Broken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for signals")?;
    let mut hang_up = signal(SignalKind::hangup()).context("listening for signals")?;
    let broken = tokio::select! {
        _ = interrupt.recv() => Broken::Signal(SignalKind::interrupt().as_raw_value()),
        _ = terminate.recv() => Broken::Signal(SignalKind::terminate().as_raw_value()),
        _ = hang_up.recv() => Broken::Signal(SignalKind::hangup().as_raw_value()),
        () = tokio::time::sleep(ttl) => Broken::LeaseOver,
    };
    screen.note(broken.sentence());
    Ok(broken)
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|number| 128 + number));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// What a throw-away server is like where no project says it: project.toml's own defaults.
fn default_project() -> Result<Project> {
    let text = "[cloud]\nrehearsal = true\n[escrow]\nthrowaway_identity = true\n";
    Ok(Project { rehearsal: false, ..Project::parse("ephemeral", text)? })
}

/// A new folder for the lease's keys, under a name that nothing else has.
fn lease_folder() -> Result<Folder> {
    Ok(Folder::new(&leases()?, &lease::new_name()?))
}

/// Where the folders of leases are.
fn leases() -> Result<PathBuf> {
    Ok(places::state()?.join("leases"))
}

/// `reap`: removes what leases that are over left behind, by their labels alone.
pub(crate) async fn reap(projects: &Path, options: &Reap) -> Result<u8> {
    let screen = Arc::new(Screen::new());
    let endpoint = match &options.project {
        Some(name) => endpoint(&Folder::new(projects, name).load()?)?,
        None => Endpoint::from_environment()?,
    };
    let notices = Arc::clone(&screen);
    let client = endpoint.client(Arc::new(move |text: &str| notices.note(text)))?;
    let swept = lease::sweep(&client, &*screen).await?;
    if options.json {
        print_json(&swept)?;
    }
    if options.plan {
        return Ok(if swept.over.is_empty() { 0 } else { 3 });
    }
    lease::remove(&client, &swept.over, &*screen).await?;
    lease::forget_folders(&leases()?, swept.now)?;
    Ok(0)
}
