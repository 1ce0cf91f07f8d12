//! A cloud without machines, and a project in it that asks for every kind of resource.

use anyhow::{Context as _, Result, ensure};
use provisioner::api::Client;
use provisioner::apply::{Inputs, UserData, apply};
use provisioner::destroy::{Also, destroy, fates};
use provisioner::journal::Journal;
use provisioner::observe::{World, observe, observe_settled};
use provisioner::plan::{Plan, Wish, plan};
use provisioner::project::{Folder, Project};
use provisioner::report::Silent;
use rehearsal::{Architecture, Clock, Config, Machines, Running};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tests::{Hurried, PUBLIC_KEY as KEY, offered_image};

/// What a person wants who wants everything.
pub(crate) const WHOLE: &str = r#"
[cloud]
rehearsal = true
location = ["fsn1", "nbg1"]
[server]
type = ["cax11", "cax21"]
[volume]
size_gb = 10
[firewall]
open = ["443/tcp"]
[dns]
zone = "example.org"
host = "srv"
records = ["www CNAME srv", "@ MX 10 srv", "@ TXT v=spf1 mx -all", "_sip._tcp SRV 10 5 5060 srv", "@ CAA 0 issue letsencrypt.org"]
[storage_box]
type = "bx11"
[escrow]
throwaway_identity = true
"#;

/// A server, its volume, its addresses and what they need; nothing protected.
pub(crate) const PLAIN: &str = "[cloud]\nrehearsal = true\nprotect = false\n[server]\ntype = \"cax11\"\n[volume]\nsize_gb = 10\n[escrow]\nthrowaway_identity = true\n";

/// Talks to a cloud on behalf of a project whose folder is in `dir`.
pub(crate) struct Operator {
    pub(crate) client: Client,
    pub(crate) project: Project,
    pub(crate) folder: Folder,
}

impl Operator {
    pub(crate) fn new(url: &str, token: &str, dir: &Path, project: Project) -> Result<Self> {
        let client =
            Client::new(url, token, Arc::new(|_: &str| {}))?.with_clock(Arc::new(Hurried::default()));
        let folder = Folder::new(dir, &project.name);
        Ok(Self { client, project, folder })
    }

    /// Looks and plans; changes nothing.
    pub(crate) async fn plan(&self, wish: Wish) -> Result<(World, Plan)> {
        let world = observe(&self.client, &self.project).await?;
        let plan = plan(&self.project, KEY, &world, wish);
        Ok((world, plan))
    }

    /// Does what `provision` does in the cloud.
    pub(crate) async fn run(&self, wish: Wish) -> Result<World> {
        let world = observe_settled(&self.client, &self.project).await?;
        let plan = plan(&self.project, KEY, &world, wish);
        self.apply(world, &plan).await
    }

    /// Makes the changes of a plan.
    pub(crate) async fn apply(&self, world: World, plan: &Plan) -> Result<World> {
        ensure!(plan.obstacles.is_empty(), "{plan}");
        let nonce = Journal::load(&self.folder)?.volume_nonce(&self.folder)?;
        let text = || "#cloud-config\n{}\n".to_owned();
        let inputs = Inputs {
            folder: &self.folder,
            project: &self.project,
            public_key: KEY,
            user_data: UserData { baked: text(), stock: text() },
            format_nonce: &nonce,
        };
        apply(&self.client, plan, world, &inputs, &Silent).await
    }

    /// Does what `destroy` does, once the name was typed.
    pub(crate) async fn destroy(&self, also: Also) -> Result<()> {
        let world = observe_settled(&self.client, &self.project).await?;
        destroy(&self.client, &self.folder, &fates(&self.project, &world, also)?, &Silent).await
    }

    pub(crate) fn journal(&self) -> Result<Journal> {
        Journal::load(&self.folder)
    }
}

/// A cloud that is served in this process, and an operator at it.
pub(crate) struct Scene {
    dir: TempDir,
    toml: String,
    pub(crate) running: Running,
    pub(crate) operator: Operator,
    admin: Client,
}

impl Scene {
    pub(crate) async fn new(toml: &str) -> Result<Self> {
        Self::serve(scratch()?, toml, |_| {}).await
    }

    /// One whose clock only [`pass`](Self::pass) moves.
    pub(crate) async fn by_hand(toml: &str) -> Result<Self> {
        Self::serve(scratch()?, toml, |config| config.clock = Clock::Virtual { auto: false }).await
    }

    /// Lets time pass, for the cloud and for its operator.
    pub(crate) async fn pass(&self, time: Duration) -> Result<()> {
        let body = json!({ "advance_ms": time.as_millis() });
        self.admin("POST", "clock", Some(body)).await?;
        self.operator.client.rest(time).await;
        Ok(())
    }

    /// A scene that begins where another has come to.
    pub(crate) async fn like(&self, toml: &str) -> Result<Self> {
        Self::serve(self.copy()?, toml, |_| {}).await
    }

    /// The same, with an answer that takes its time.
    pub(crate) async fn with_latency(&self, milliseconds: u64) -> Result<Self> {
        let dir = self.copy()?;
        Self::serve(dir, &self.toml, |config| config.latency_ms = milliseconds).await
    }

    fn copy(&self) -> Result<TempDir> {
        let dir = scratch()?;
        for name in ["cloud/state.json", "cloud/token", "demo/journal.json"] {
            if let Some(bytes) = host::files::read(&self.dir.path().join(name))? {
                host::files::write(&dir.path().join(name), &bytes, 0o600)?;
            }
        }
        Ok(dir)
    }

    async fn serve(dir: TempDir, toml: &str, set_up: impl FnOnce(&mut Config)) -> Result<Self> {
        let mut config = Config::new(dir.path().join("cloud"));
        config.machines = Machines::None;
        config.rate_limit = 1_000_000;
        config.images.extend([Architecture::Arm, Architecture::X86].map(offered_image));
        set_up(&mut config);
        let running = rehearsal::start(config).await?;
        let project = Project::parse("demo", toml)?;
        let operator = Operator::new(&running.url(), running.token(), dir.path(), project)?;
        let base = running.url();
        let base = format!("{}/_rehearsal", base.trim_end_matches("/v1"));
        let admin = Client::new(&base, running.token(), Arc::new(|_: &str| {}))?;
        Ok(Self { dir, toml: toml.into(), running, operator, admin })
    }

    /// Where the project folders are.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn admin(&self, method: &str, what: &str, body: Option<Value>) -> Result<Value> {
        let method = method.parse().context("a method")?;
        Ok(self.admin.change("ordering a bad day", method, &format!("/{what}"), body.as_ref()).await?)
    }

    /// Orders a fault.
    pub(crate) async fn strike(&self, fault: Value) -> Result<()> {
        self.admin("POST", "faults", Some(fault)).await.map(drop)
    }

    /// Ends all bad days.
    pub(crate) async fn calm(&self) -> Result<()> {
        self.admin("DELETE", "faults", None).await.map(drop)
    }

    /// How often the API was asked since it was started, by method and shape of path.
    pub(crate) async fn requests(&self) -> Result<Vec<(String, u64)>> {
        let counted = self.admin("GET", "requests", None).await?;
        let requests = counted["requests"].as_object().context("no count")?;
        let all = requests.iter().filter(|(name, _)| name.contains("/v1/"));
        Ok(all.filter_map(|(name, n)| Some((name.clone(), n.as_u64()?))).collect())
    }

    pub(crate) async fn total(&self) -> Result<u64> {
        Ok(self.requests().await?.iter().map(|(_, n)| n).sum())
    }

    /// What there is, by kind and name, without what differs between two runs (ids, addresses, times): what must be
    /// the same however a run was disturbed.
    pub(crate) async fn inventory(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let kinds = ["servers", "volumes", "firewalls", "ssh_keys", "primary_ips", "storage_boxes", "zones"];
        let listing = "taking stock";
        for kind in kinds {
            let all: Vec<Value> = self.operator.client.list(listing, &format!("/{kind}"), kind, &[]).await?;
            for one in all {
                let said = [
                    ("status", &one["status"]),
                    ("protected", &one["protection"]["delete"]),
                    ("size", &one["size"]),
                    ("auto_delete", &one["auto_delete"]),
                    ("rules", &one["rules"]),
                    ("type", &one["server_type"]["name"]),
                    ("image", &one["image"]["name"]),
                ];
                let said = said.iter().filter(|(_, value)| !value.is_null());
                let said: Vec<_> = said.map(|(name, value)| format!("{name} {value}")).collect();
                let attached = !one["server"].is_null() || !one["assignee_id"].is_null();
                let reverse = one["dns_ptr"].as_array().map(|all| {
                    all.iter().filter_map(|ptr| ptr["dns_ptr"].as_str()).collect::<Vec<_>>().join(" ")
                });
                found.push(format!(
                    "{kind} {} labels {} attached {attached} reverse {reverse:?} {}",
                    one["name"],
                    one["labels"].as_object().map_or(0, serde_json::Map::len),
                    said.join(" ")
                ));
                if kind == "zones" {
                    found.extend(self.records(&one["name"]).await?);
                }
            }
        }
        let images: Vec<Value> =
            self.operator.client.list(listing, "/images", "images", &[("type", "snapshot")]).await?;
        found.extend(images.iter().map(|image| format!("snapshot {}", image["description"])));
        found.sort();
        Ok(found)
    }

    async fn records(&self, zone: &Value) -> Result<Vec<String>> {
        let zone = zone.as_str().unwrap_or_default();
        let path = format!("/zones/{zone}/rrsets");
        let sets: Vec<Value> = self.operator.client.list("taking stock", &path, "rrsets", &[]).await?;
        // Addresses differ from run to run, serial numbers, too.
        let shown = |set: &Value| match set["type"].as_str() {
            Some("A" | "AAAA" | "SOA") => set["records"].as_array().map_or(0, Vec::len).to_string(),
            _ => set["records"].to_string(),
        };
        Ok(sets.iter().map(|set| format!("record {} ttl {} {}", set["id"], set["ttl"], shown(set))).collect())
    }
}

/// A directory in memory where there is one: a cloud syncs every change, and here nothing has to outlive a power cut.
fn scratch() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? })
}

/// Runs a trial's future to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(future)
}

/// Runs `case` for every item, some at a time, since most of each case is waiting.
pub(crate) async fn side_by_side<I, T, F>(items: Vec<I>, case: impl Fn(I) -> F) -> Vec<T>
where
    F: Future<Output = T>,
{
    use futures_util::stream::StreamExt as _;
    futures_util::stream::iter(items.into_iter().map(case)).buffered(4).collect().await
}
