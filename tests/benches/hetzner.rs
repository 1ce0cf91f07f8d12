//! Calls and wall time of making and removing a whole server, beside a shell script that does the same with Debian's
//! hcloud CLI, against one rehearsal cloud with a fixed latency. Run it with `cargo bench --profile dev --package tests --bench hetzner`.

use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local};
use provisioner::api::Client;
use provisioner::apply::{Inputs, UserData, apply};
use provisioner::destroy::{Also, destroy, fates};
use provisioner::journal::Journal;
use provisioner::observe::observe;
use provisioner::plan::{Wish, plan};
use provisioner::project::{Folder, Project};
use provisioner::report::Silent;
use rehearsal::{Config, Machines, Running};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::{PUBLIC_KEY as KEY, cache, offered_image};

/// Tells this executable to be our side of a run.
const CHILD: &str = "SOVEREIGN_BENCH_RUN";
const RUNS: usize = 3;
/// What every request waits: from a machine beside Hetzner's, from a European line, from another continent, about.
const LATENCIES_MS: [u64; 3] = [20, 60, 150];
/// How long actions take: as at Hetzner relative to each other, and short enough to wait for.
const ACTIONS_MS: [(&str, u64); 4] =
    [("create_server", 3000), ("start_server", 1500), ("create_volume", 700), ("attach_volume", 700)];
const OTHER_ACTIONS_MS: u64 = 200;
const PROJECT: &str = "[cloud]\nrehearsal = true\n[server]\ntype = \"cax11\"\n[volume]\nsize_gb = 10\n[dns]\nzone = \"example.org\"\nheld = \"elsewhere\"\nhost = \"srv\"\n[escrow]\nthrowaway_identity = true\n";

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    if let Ok(order) = std::env::var(CHILD) {
        return runtime.block_on(our_run(&order));
    }
    println!(
        "making and removing a server, a volume, addresses, reverse names and protection, {RUNS} runs each"
    );
    println!(
        "| a request waits | | calls | wall time, least | median | most |\n| --- | --- | --- | --- | --- | --- |"
    );
    LATENCIES_MS.into_iter().try_for_each(|latency| runtime.block_on(compare(latency)))
}

/// What one run took.
struct Took {
    calls: u64,
    wall: Duration,
}

async fn compare(latency: u64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut config = Config::new(dir.path().join("cloud"));
    config.machines = Machines::None;
    config.rate_limit = 1_000_000;
    config.latency_ms = latency;
    config.action_ms = OTHER_ACTIONS_MS;
    config.action_durations = ACTIONS_MS.map(|(command, ms)| (command.to_owned(), ms)).into();
    config.images.push(offered_image(rehearsal::Architecture::Arm));
    let running = rehearsal::start(config).await?;
    let hcloud = images::unpacked_package(&cache()?, "trixie", "hcloud-cli", &images::Silent)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(measure(&running, || run_ours(&running, dir.path())).await?);
        theirs.push(measure(&running, || run_script(&running, dir.path(), &hcloud.root)).await?);
    }
    let (ours, theirs) = (
        row(latency, "provision and destroy", &mut ours),
        row(latency, &format!("script with hcloud {}", hcloud.version), &mut theirs),
    );
    println!(
        "| {latency} ms | ratio of the medians | {:.2} | | {:.2} | |",
        ours.calls as f64 / theirs.calls as f64,
        ours.wall.as_secs_f64() / theirs.wall.as_secs_f64()
    );
    Ok(())
}

fn row(latency: u64, what: &str, runs: &mut [Took]) -> Took {
    runs.sort_by_key(|took| took.wall);
    let seconds = |at: usize| runs[at].wall.as_secs_f64();
    let median = runs.len() / 2;
    println!(
        "| {latency} ms | {what} | {} | {:.2} s | {:.2} s | {:.2} s |",
        runs[median].calls,
        seconds(0),
        seconds(median),
        seconds(runs.len() - 1)
    );
    Took { calls: runs[median].calls, wall: runs[median].wall }
}

async fn measure(running: &Running, run: impl FnOnce() -> Result<()> + Send) -> Result<Took> {
    let url = running.url();
    let admin = Client::new(
        &format!("{}/_rehearsal", url.trim_end_matches("/v1")),
        running.token(),
        Arc::new(|_: &str| {}),
    )?;
    admin.delete("forgetting", "/requests").await?;
    let start = Instant::now();
    tokio::task::block_in_place(run)?;
    let wall = start.elapsed();
    let counted: Value = admin.change("counting", "GET".parse()?, "/requests", None).await?;
    let requests = counted["requests"].as_object().context("no count")?;
    let calls =
        requests.iter().filter(|(name, _)| name.contains("/v1/")).filter_map(|(_, n)| n.as_u64()).sum();
    let client = Client::new(&url, running.token(), Arc::new(|_: &str| {}))?;
    for kind in ["servers", "volumes", "primary_ips", "firewalls", "ssh_keys"] {
        let left: Vec<Value> = client.list("taking stock", &format!("/{kind}"), kind, &[]).await?;
        ensure!(left.is_empty(), "left behind: {left:?}");
    }
    Ok(Took { calls, wall })
}

/// A process of its own, as the script's side is many.
fn run_ours(running: &Running, dir: &Path) -> Result<()> {
    let order = json!({ "url": running.url(), "token": running.token(), "dir": dir });
    let exe = std::env::current_exe().context("finding this program")?;
    Local.run(&Cmd::new(exe).env(CHILD, order.to_string()).timeout(Duration::from_secs(300)))?;
    Ok(())
}

async fn our_run(order: &str) -> Result<()> {
    let order: Value = serde_json::from_str(order)?;
    let text = |key: &str| order[key].as_str().context("an incomplete order");
    let client = Client::new(text("url")?, text("token")?, Arc::new(|_: &str| {}))?;
    let project = Project::parse("ours", PROJECT)?;
    let folder = Folder::new(Path::new(text("dir")?), "ours");
    let world = observe(&client, &project).await?;
    let plan = plan(&project, KEY, &world, Wish::default());
    let nonce = Journal::load(&folder)?.volume_nonce(&folder)?;
    let text = || "#cloud-config\n{}\n".to_owned();
    let user_data = UserData { baked: text(), stock: text() };
    let inputs =
        Inputs { folder: &folder, project: &project, public_key: KEY, user_data, format_nonce: &nonce };
    apply(&client, &plan, world, &inputs, &Silent).await?;
    let world = observe(&client, &project).await?;
    destroy(&client, &folder, &fates(&project, &world, Also::ALL)?, &Silent).await
}

fn run_script(running: &Running, dir: &Path, root: &Path) -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/hetzner.sh");
    let rule = json!([{ "direction": "in", "protocol": "tcp", "port": "22", "source_ips": ["0.0.0.0/0", "::/0"] },
        { "direction": "in", "protocol": "icmp", "source_ips": ["0.0.0.0/0", "::/0"] }]);
    for (name, text) in [
        ("key.pub", KEY.to_owned()),
        ("rules.json", rule.to_string()),
        ("user-data.yaml", "#cloud-config\n{}\n".to_owned()),
    ] {
        host::files::write(&dir.join(name), text.as_bytes(), 0o644)?;
    }
    let path = format!("{}:/usr/bin:/bin", root.join("usr/bin").display());
    let script = Cmd::new("bash")
        .path(&here)
        .env("PATH", path)
        .env("HOME", dir)
        .env("HCLOUD_ENDPOINT", running.url())
        .env("HCLOUD_TOKEN", running.token())
        .env("IMAGE", "debian-13")
        .current_dir(dir)
        .timeout(Duration::from_secs(600));
    Local.run(&script)?;
    Ok(())
}
