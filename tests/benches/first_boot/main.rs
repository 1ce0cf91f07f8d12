//! First boot's wall time beside a plain shell script and an Ansible playbook that set up the same server from the same
//! files, each on a fresh machine of the same kind; and a run that finds nothing to do beside the playbook's second.
//! Run it with `cargo bench --profile dev --package tests --bench first_boot`.

use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local};
use provisioner::api::Client;
use provisioner::api::model::{Server, Volume};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::Rig;

/// How often we do nothing; the playbook, which takes minutes for it, does so once.
const RUNS: usize = 3;
/// How long a peer may take on an emulated machine.
const LIMIT: Duration = Duration::from_secs(30 * 60);
/// Files of ours that no peer has a use for: the units that start firstboot and put closings back, and what they read.
const OURS: [&str; 3] = ["sovereign-firstboot.service", "sovereign-put-back.service", "/etc/sovereign/"];
const BY_HAND: &str = include_str!("by_hand.sh");
const PLAYBOOK: &str = include_str!("playbook.yaml");
const LOOK: &str = include_str!("look.sh");

fn main() -> Result<()> {
    let args: Vec<String> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["peer", which, dir, cloud] => peer(which, Path::new(dir), Path::new(cloud)),
        _ => compare(),
    }
}

/// Ours first, since its files are what the peers are given; then each of them, with nothing else running.
fn compare() -> Result<()> {
    let rig = Rig::new()?;
    rig.demo("demo")?;
    // Built beforehand: what is measured is a server, not a compiler.
    rig.xtask(&["images", "build", "--project", "demo"])?.expect(0)?;
    let ansible = tests::python_environment(&["ansible"])?;
    let ours = ours(&rig)?;
    let dir = rig.path().join("peers");
    take_files(&rig, &dir)?;
    power_off(&rig)?;
    let run = |which: &str| -> Result<Vec<f64>> {
        let own = std::env::current_exe().context("finding this program")?;
        let (own, dir, cloud) = (own.to_string_lossy(), dir.to_string_lossy(), rig.cloud());
        let lease = ["ephemeral", "--project", "demo", "--ttl", "2h", "--"];
        let peer = [&own, "peer", which, &dir, &cloud.to_string_lossy()];
        let said = rig.xtask(&[&lease[..], &peer].concat())?.expect(0)?.stdout;
        serde_json::from_str(said.lines().last().unwrap_or_default()).context("reading what a peer took")
    };
    host::files::write(&dir.join("ansible"), ansible.to_string_lossy().as_bytes(), 0o644)?;
    let (script, playbook) = (run("script")?, run("playbook")?);
    let median = |runs: &[f64]| {
        let mut runs = runs.to_vec();
        runs.sort_by(f64::total_cmp);
        runs[runs.len() / 2]
    };
    let (again, theirs) = (median(&ours.again), playbook[1]);
    println!(
        "a fresh server set up, from the first connection to the last look, and what we take of a peer's time"
    );
    println!("| | seconds | ours / theirs |\n| --- | --- | --- |");
    println!("| firstboot, its gates and the looks from outside included | {:.1} | |", ours.whole);
    println!("| of it firstboot itself (timeline.json) | {:.1} | |", ours.itself);
    println!(
        "| a shell script, one thing after the other | {:.1} | {:.2} |",
        script[0],
        ours.whole / script[0]
    );
    println!("| an Ansible playbook | {:.1} | {:.2} |", playbook[0], ours.whole / playbook[0]);
    println!(
        "\nnothing to do, whole commands over ssh, ours medians of {RUNS}, and how often ours fits into a peer's"
    );
    println!("| | seconds | theirs / ours |\n| --- | --- | --- |");
    println!("| firstboot run | {again:.2} | |");
    println!("| the same playbook | {theirs:.1} | {:.1} |", theirs / again);
    println!("| cargo xtask provision | {:.2} | |", median(&ours.provision));
    Ok(())
}

/// What ours took, seconds.
struct Ours {
    /// From the first connection to the end of the command.
    whole: f64,
    /// firstboot's own timeline.
    itself: f64,
    /// `firstboot run` on a server that is done.
    again: Vec<f64>,
    /// The operator's command once more.
    provision: Vec<f64>,
}

fn ours(rig: &Rig) -> Result<Ours> {
    let provision = ["provision", "--project", "demo", "--yes"];
    let mut connected = None;
    let (ended, _) = rig.run_until(&provision, |line| {
        if line.contains("connected") && connected.is_none() {
            connected = Some(Instant::now());
        }
        false
    })?;
    ended.expect(0)?;
    let whole = connected.context("it never said that it connected")?.elapsed().as_secs_f64();
    let timeline = std::fs::read(rig.projects().join("demo/timeline.json"))?;
    let timeline: Value = serde_json::from_slice(&timeline)?;
    let itself = timeline["millis"].as_u64().context("the timeline has no length")? as f64 / 1e3;
    let run = ["ssh", "--project", "demo", "--", "/usr/local/lib/sovereign/firstboot run"];
    let times = |args: &[&str]| -> Result<Vec<f64>> {
        (0..RUNS).map(|_| Ok(rig.xtask(args)?.expect(0)?.took.as_secs_f64())).collect()
    };
    Ok(Ours { whole, itself, again: times(&run)?, provision: times(&provision)? })
}

/// The files that make our server what it is, by its own register of what it wrote, for the peers to put in place.
fn take_files(rig: &Rig, dir: &Path) -> Result<()> {
    let there = |line: &str| -> Result<String> {
        Ok(rig.xtask(&["ssh", "--project", "demo", "--", line])?.expect(0)?.stdout)
    };
    let write =
        |name: &str, text: &str| host::files::write(&dir.join("inputs").join(name), text.as_bytes(), 0o644);
    let register = there("cat /var/lib/sovereign/managed/*")?;
    let mut whole = Vec::new();
    for record in serde_json::Deserializer::from_str(&register).into_iter::<Value>() {
        let record = record.context("reading the register")?;
        let path = record["path"].as_str().context("a record names no path")?;
        match record["part"]["kind"].as_str() {
            Some("whole") if path.starts_with("/etc/") && !OURS.iter().any(|ours| path.contains(ours)) => {
                whole.push(path.trim_start_matches('/').to_owned());
            }
            Some("block") if path.starts_with("/etc/ufw/after") => {
                let name = path.rsplit('/').next().unwrap_or_default();
                write(name, record["content"].as_str().context("a block without content")?)?;
            }
            _ => {}
        }
    }
    whole.retain(|path| !path.starts_with("etc/ssh/ssh_host_"));
    write("files.tar", &there(&format!("tar -C / -cf - {}", whole.join(" ")))?)?;
    write("compose.yaml", &there("cat /srv/sovereign/stacks/postgres/compose.yaml")?)?;
    let release = stacks::release::Release::of_image("debian-13").context("no such release")?;
    write("packages", &release.packages().join(" "))?;
    let image = "docker inspect --format '{{.Config.Image}}' postgres-postgres-1";
    let masked = "find /etc/systemd/system -maxdepth 1 -lname /dev/null -printf '%f '";
    for (name, line) in [("image", image), ("masked", masked)] {
        host::files::write(&dir.join(name), there(line)?.trim().as_bytes(), 0o644)?;
    }
    Ok(())
}

/// What is not measured takes nothing from what is.
fn power_off(rig: &Rig) -> Result<()> {
    run_async(async {
        let client = rig.client()?;
        let servers: Vec<Server> = client.list("listing servers", "/servers", "servers", &[]).await?;
        let id = servers.first().context("there is no server")?.id;
        let answer =
            client.create("poweroff", &format!("/servers/{id}/actions/poweroff"), &json!({})).await?;
        Ok(client.finish("poweroff", &answer, LIMIT).await?)
    })
}

fn run_async<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// Runs as the command of a lease: gives its server a volume, and says on stdout what each run of the peer took.
fn peer(which: &str, dir: &Path, cloud: &Path) -> Result<()> {
    let volume = attach_a_volume(cloud)?;
    let work = tempfile::tempdir()?;
    let files = [("by_hand.sh", BY_HAND), ("playbook.yaml", PLAYBOOK), ("look.sh", LOOK)];
    for (name, text) in files {
        host::files::write(&work.path().join(name), text.as_bytes(), 0o644)?;
    }
    let peer = Peer::new(dir, work.path(), volume)?;
    let runs = match which {
        "script" => vec![peer.run(Cmd::new("bash").path(work.path().join("by_hand.sh")))?],
        _ => {
            let inventory = format!(
                "server ansible_ssh_common_args='-F {}' ansible_python_interpreter=/usr/bin/python3\n",
                peer.ssh_config.display()
            );
            host::files::write(&work.path().join("inventory"), inventory.as_bytes(), 0o644)?;
            let ansible = std::fs::read_to_string(dir.join("ansible"))?;
            let play = || {
                let play = Cmd::new(Path::new(&ansible).join("ansible-playbook"));
                let play = play.arg("--inventory").path(work.path().join("inventory"));
                play.path(work.path().join("playbook.yaml"))
            };
            vec![peer.run(play())?, peer.run(play())?]
        }
    };
    println!("{}", serde_json::to_string(&runs)?);
    Ok(())
}

/// What the peers are told, in the environment.
struct Peer {
    ssh_config: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Peer {
    fn new(dir: &Path, work: &Path, volume: u64) -> Result<Self> {
        let ssh_config = PathBuf::from(std::env::var("SOVEREIGN_SSH_CONFIG").context("this is no lease")?);
        let resolved = Local.run(&Cmd::new("ssh").args(["-G", "-F"]).path(&ssh_config).arg("server"))?.text();
        let option = |name: &str| {
            let found = resolved.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            found.with_context(|| format!("ssh has no {name}")).map(str::to_owned)
        };
        let text =
            |name: &str| std::fs::read_to_string(dir.join(name)).with_context(|| format!("reading {name}"));
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        let recipient = escrow::Identity::generate().recipients()[0].to_string();
        let own = [
            ("ALIAS", option("hostkeyalias")?),
            ("KNOWN_HOSTS", option("userknownhostsfile")?),
            ("PORT", option("port")?),
            ("VOLUME", volume.to_string()),
            ("RECIPIENT", recipient),
            ("IMAGE", text("image")?),
            ("MASKED", text("masked")?),
            ("INPUTS", path(dir.join("inputs"))),
            ("LOOK", path(work.join("look.sh"))),
            ("WORK", path(work.to_owned())),
            ("LC_ALL", "C.UTF-8".into()),
            ("ANSIBLE_PIPELINING", "true".into()),
            ("ANSIBLE_HOME", path(work.join("home"))),
            ("ANSIBLE_SSH_ARGS", "-o ControlMaster=auto -o ControlPersist=60s".into()),
        ];
        Ok(Self { ssh_config, environment: own.into() })
    }

    /// Seconds.
    fn run(&self, cmd: Cmd) -> Result<f64> {
        let cmd = cmd.whole_env_from_parent();
        let cmd = self.environment.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value));
        let start = Instant::now();
        let output = Local.probe(&cmd.timeout(LIMIT))?;
        let took = start.elapsed().as_secs_f64();
        eprintln!("{}", output.text());
        ensure!(output.success(), "a peer failed: {}\n{}", output.text(), output.stderr);
        Ok(took)
    }
}

/// Labelled as the lease's server is, so that it goes with it.
fn attach_a_volume(cloud: &Path) -> Result<u64> {
    run_async(async {
        let endpoint = rehearsal::find(cloud)?.context("finding the cloud: it is not running")?;
        let client = Client::new(&endpoint.url, &endpoint.token, Arc::new(|_: &str| {}))?;
        let name = std::env::var("SOVEREIGN_SERVER").context("this is no lease")?;
        let query = [("name", name.as_str())];
        let servers: Vec<Server> = client.list("finding the server", "/servers", "servers", &query).await?;
        let server = servers.first().context("there is no server")?;
        let wanted = json!({ "name": name, "size": 10, "server": server.id, "labels": server.labels, "automount": false });
        let answer = client.create("making a volume", "/volumes", &wanted).await?;
        client.finish("making a volume", &answer, LIMIT).await?;
        let volumes: Vec<Volume> = client.list("finding the volume", "/volumes", "volumes", &query).await?;
        Ok(volumes.first().context("there is no volume")?.id)
    })
}
