//! What is tried against a cloud that may be the real one: everything it makes is leased, cheap and removed.

use anyhow::{Context as _, Result, ensure};
use provisioner::api::Client;
use provisioner::apply::{Inputs, UserData, apply};
use provisioner::destroy::{Also, destroy, fates};
use provisioner::journal::Journal;
use provisioner::lease::{self, Ceiling};
use provisioner::money::Money;
use provisioner::observe::{World, observe, observe_settled};
use provisioner::plan::{Plan, Wish, plan};
use provisioner::project::{Folder, Lease, Project};
use provisioner::report::Silent;
use std::time::Duration;

/// A lease long enough for the slowest day, and short enough to cost little where nothing removes it.
const TTL: Duration = Duration::from_secs(3600);
/// The most one run may cost, net, and how many throw-away servers there may be at once.
pub const MOST: (&str, usize) = ("0.50", 3);

/// A leased project with a volume, of whatever small type is in stock.
struct Live<'a> {
    client: &'a Client,
    project: Project,
    folder: Folder,
    public_key: String,
}

impl Live<'_> {
    async fn plan(&self, wish: Wish) -> Result<(World, Plan)> {
        let world = observe_settled(self.client, &self.project).await?;
        let plan = plan(&self.project, &self.public_key, &world, wish);
        ensure!(plan.obstacles.is_empty(), "{plan}");
        Ok((world, plan))
    }

    async fn run(&self, wish: Wish) -> Result<World> {
        let (world, plan) = self.plan(wish).await?;
        let nonce = Journal::load(&self.folder)?.volume_nonce(&self.folder)?;
        let text = || "#cloud-config\n{}\n".to_owned();
        let inputs = Inputs {
            folder: &self.folder,
            project: &self.project,
            public_key: &self.public_key,
            user_data: UserData { baked: text(), stock: text() },
            format_nonce: &nonce,
        };
        apply(self.client, &plan, world, &inputs, &Silent).await
    }
}

/// Makes a leased server with a volume, finds nothing to do, grows the volume, overwrites the root disk in place, and
/// removes it all; also when something on the way fails.
pub async fn full_cycle(client: &Client, folders: &std::path::Path) -> Result<()> {
    let name = lease::new_name()?;
    let text = "[cloud]\nrehearsal = true\nlocation = [\"fsn1\", \"nbg1\", \"hel1\"]\n[server]\ntype = [\"cax11\", \"cx23\", \"cpx22\"]\n[volume]\nsize_gb = 10\n[escrow]\nthrowaway_identity = true\n";
    let like = Project::parse("live", text)?;
    let lease = Lease::new("sovereign-tests", lease::time(client).await?, TTL);
    let project = lease::project(&like, &name, lease, true);
    let folder = Folder::new(folders, &name);
    let (_, public_key) = provisioner::keys::project_key(&folder)?;
    let mut live = Live { client, project, folder, public_key };
    let outcome = cycle(&mut live).await;
    let world = observe_settled(client, &live.project).await?;
    destroy(client, &live.folder, &fates(&live.project, &world, Also::ALL)?, &Silent).await?;
    outcome?;
    let left = lease::leased(client).await?;
    ensure!(!left.iter().any(|found| found.name.starts_with(&name)), "something is left: {left:?}");
    Ok(())
}

async fn cycle(live: &mut Live<'_>) -> Result<()> {
    let (world, plan) = live.plan(Wish::default()).await?;
    let cost = Money::parse(MOST.0).context("an amount")?;
    let ceiling = Ceiling { servers: MOST.1, cost };
    let cost = lease::check_ceiling(live.client, ceiling, &world, &plan, TTL).await?;
    eprintln!("making {} for at most {cost} {}", live.project.name, plan.currency);
    let world = live.run(Wish::default()).await?;
    let (_, rest) = live.plan(Wish::default()).await?;
    ensure!(rest.is_empty(), "after everything was made there is still\n{rest}");

    live.project.volume_gb = Some(11);
    live.run(Wish::default()).await?;
    let grown = observe(live.client, &live.project).await?;
    ensure!(grown.volume.as_ref().is_some_and(|volume| volume.size == 11), "the volume did not grow");

    live.run(Wish { rebuild: true }).await?;
    let rebuilt = observe(live.client, &live.project).await?;
    let same = |world: &World| {
        let server = world.server.as_ref();
        (
            server.map(|server| server.id),
            server.and_then(|server| server.public_net.ipv4.as_ref()).map(|address| address.ip.clone()),
            world.volume.as_ref().map(|volume| volume.id),
        )
    };
    ensure!(same(&rebuilt) == same(&world), "the rebuild changed the server, its address or its volume");
    Ok(())
}
