//! `ephemeral`: a leased server for one command, removed whatever happens. `reap`: what leases left behind.

use crate::args::Print;
use crate::made;
use crate::places;
use crate::project::endpoint;
use crate::screen::screen;
use anyhow::Result;
use provisioner::cloud::Endpoint;
use provisioner::lease::{self, Ceiling, Order};
use provisioner::money::Money;
use provisioner::opened::notices;
use provisioner::project::Folder;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    #[command(flatten)]
    print: Print,
}

fn read_money(text: &str) -> Result<Money, String> {
    Money::parse(text).ok_or_else(|| "must be an amount such as 1.00".into())
}

/// Runs it; the exit code is the command's, 124 when the lease ended first, 128 and the number when a signal did.
pub(crate) async fn run(projects: &Path, options: &Options) -> Result<u8> {
    let like = match &options.project {
        Some(name) => Folder::new(projects, name).load()?,
        None => lease::default_project()?,
    };
    let screen = screen();
    let endpoint = if like.rehearsal { made::start_cloud(&like, &screen).await? } else { endpoint(&like)? };
    let user = || std::env::var_os("USER").map(|user| user.to_string_lossy().into_owned());
    let order = Order {
        like,
        whole: options.whole,
        owner: options.owner.clone().or_else(user).unwrap_or_default(),
        ttl: options.ttl,
        ceiling: Ceiling { servers: options.max_servers, cost: options.max_cost },
        command: options.command.clone(),
        aside: options.json,
    };
    // A leased server's stacks are those of the project it is like.
    let folder = Folder::new(projects, options.project.as_deref().unwrap_or(&order.like.name));
    let make =
        async |project: &_, world: &_| Ok(made::make_for(&folder, project, world, &screen).await?.given);
    let ended = lease::run(&order, &leases()?, &endpoint, screen.clone(), make).await?;
    if options.json {
        crate::args::print_json(&ended)?;
    }
    Ok(ended.exit_code)
}

/// Where the folders of leases are.
fn leases() -> Result<PathBuf> {
    Ok(places::state()?.join("leases"))
}

/// `reap`: removes what leases that are over left behind, by their labels alone.
pub(crate) async fn reap(projects: &Path, options: &Reap) -> Result<u8> {
    let screen = screen();
    let endpoint = match &options.project {
        Some(name) => endpoint(&Folder::new(projects, name).load()?)?,
        None => Endpoint::from_environment()?,
    };
    let client = endpoint.client(notices(&screen))?;
    let swept = lease::sweep(&client, &*screen).await?;
    options.print.json(&swept)?;
    if options.plan {
        return Ok(if swept.over.is_empty() { 0 } else { 3 });
    }
    lease::remove(&client, &swept.over, &*screen).await?;
    lease::forget_folders(&leases()?, swept.now)?;
    Ok(0)
}
