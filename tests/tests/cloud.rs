//! The real Hetzner, only with a token: small leased servers, a ceiling on their cost, swept before and after.

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Arguments;
use provisioner::api::Client;
use provisioner::cloud::Endpoint;
use provisioner::lease;
use provisioner::observe::observe;
use provisioner::plan::{Wish, plan};
use provisioner::project::Project;
use std::sync::Arc;
use tests::{Rig, live, trial};

fn main() {
    let mut arguments = Arguments::from_args();
    // One after the other: the ceiling on servers is for all of them.
    arguments.test_threads = Some(1);
    if std::env::var_os("HCLOUD_TOKEN").is_none() {
        eprintln!("SKIPPED cloud: HCLOUD_TOKEN is not set; these tests make servers that cost money");
        return;
    }
    let trials = vec![
        trial("cloud_what_the_api_answers_today_is_understood", todays_answers),
        trial("cloud_a_leased_server_is_made_changed_and_removed", full_cycle),
        trial("cloud_a_command_runs_beside_a_leased_server", a_command),
        trial("cloud_sweep", sweep),
    ];
    tests::run(&arguments, trials).exit();
}

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future)
}

fn client() -> Result<Client> {
    Endpoint::from_environment()?.client(Arc::new(|text: &str| eprintln!("      {text}")))
}

/// Only looks: whether every list still decodes, and the plan of an ordinary project has prices and places.
fn todays_answers() -> Result<()> {
    block_on(async {
        let text = "[cloud]\nrehearsal = true\nlocation = [\"fsn1\", \"nbg1\", \"hel1\"]\n[server]\ntype = [\"cax31\", \"cpx42\"]\n[escrow]\nthrowaway_identity = true\n";
        let project = Project::parse("sovereign-canary", text)?;
        let world = observe(&client()?, &project).await?;
        ensure!(world.server_types.len() > 3, "only {} server types", world.server_types.len());
        ensure!(world.images.len() >= 2, "debian-13 is not there for both architectures");
        let plan = plan(&project, "ssh-ed25519 AAAA canary", &world, Wish::default());
        eprintln!("{plan}");
        let stated =
            world.server_types.iter().flat_map(|kind| &kind.locations).any(|place| place.available.is_some());
        ensure!(stated, "no server type says any more where it is in stock");
        Ok(())
    })
}

fn full_cycle() -> Result<()> {
    let folders = tempfile::tempdir()?;
    block_on(async { live::full_cycle(&client()?, folders.path()).await })
}

fn a_command() -> Result<()> {
    let rig = Rig::new()?;
    let command = "ssh -F \"$SOVEREIGN_SSH_CONFIG\" server true && exit 7";
    let most = ["--max-cost", live::MOST.0, "--ttl", "1h", "--owner", "sovereign-tests"];
    rig.xtask(&[&["ephemeral"], most.as_slice(), &["--", "sh", "-c", command]].concat())?.expect(7)?;
    Ok(())
}

/// Removes what earlier runs left, and fails when something of these tests is still there.
fn sweep() -> Result<()> {
    Rig::new()?.xtask(&["reap"])?.expect(0)?;
    block_on(async {
        let left = lease::leased(&client()?).await?;
        let ours: Vec<_> = left.iter().filter(|found| found.owner == "sovereign-tests").collect();
        ensure!(ours.is_empty(), "still there: {ours:?}");
        Ok(())
    })
    .context("sweeping")
}
