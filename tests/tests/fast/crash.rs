//! Plan and apply against the rehearsal cloud on its worst days: every call struck, before and after it took effect.

use anyhow::{Context as _, Result, ensure};
use provisioner::api::Client;
use provisioner::apply::{Inputs, UserData, apply};
use provisioner::destroy::{Also, destroy, fates};
use provisioner::journal::Journal;
use provisioner::observe::{World, observe};
use provisioner::plan::{Wish, plan};
use provisioner::project::{Folder, Project};
use provisioner::report::Silent;
use rehearsal::{Architecture, Config, ImageSource, Machines, Running};
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;

/// A real line of `authorized_keys`; its private half was never kept.
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9f0sP0mGk2v7x0w1l1yJ8o1f3Kk0w9c3J4mYq0b7uE fixture";

/// A cloud without machines, and a project that talks to it.
struct Scene {
    dir: TempDir,
    running: Running,
    client: Client,
    project: Project,
}

impl Scene {
    async fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut config = Config::new(dir.path().join("cloud"));
        config.machines = Machines::None;
        config.rate_limit = 1_000_000;
        config.images.push(ImageSource {
            name: "debian-13".into(),
            description: "Debian 13".into(),
            architecture: Architecture::Arm,
            os_flavor: "debian".into(),
            os_version: None,
            disk: "".into(),
            kernel: None,
            initrd: None,
            cmdline: String::new(),
            labels: std::collections::BTreeMap::new(),
        });
        let running = rehearsal::start(config).await?;
        let client = Client::new(&running.url(), running.token(), Arc::new(|_: &str| {}))?;
        let text = "[cloud]\nrehearsal = true\nprotect = false\n[server]\ntype = \"cax11\"\n[volume]\nsize_gb = 10\n[escrow]\nthrowaway_identity = true\n";
        let project = Project::parse("demo", text)?;
        Ok(Self { dir, running, client, project })
    }

    fn folder(&self) -> Folder {
        Folder::new(self.dir.path(), "demo")
    }

    async fn admin(&self, method: &str, what: &str, body: Option<Value>) -> Result<Value> {
        let base = self.running.url();
        let base = base.trim_end_matches("/v1");
        let admin = Client::new(&format!("{base}/_rehearsal"), self.running.token(), Arc::new(|_: &str| {}))?;
        let method = method.parse().context("a method")?;
        Ok(admin.change("ordering a bad day", method, &format!("/{what}"), body.as_ref()).await?)
    }

    async fn strike(&self, nth: u64, kind: Value) -> Result<()> {
        let mut fault = kind;
        fault["path"] = json!("/v1/");
        fault["nth"] = json!(nth);
        self.admin("POST", "faults", Some(fault)).await.map(drop)
    }

    async fn requests(&self) -> Result<u64> {
        let counted = self.admin("GET", "requests", None).await?;
        let requests = counted["requests"].as_object().context("no count")?;
        Ok(requests.iter().filter(|(name, _)| name.contains("/v1/")).filter_map(|(_, n)| n.as_u64()).sum())
    }

    async fn run(&self) -> Result<World> {
        let folder = self.folder();
        let world = observe(&self.client, &self.project).await?;
        let plan = plan(&self.project, KEY, &world, Wish::default());
        ensure!(plan.obstacles.is_empty(), "{plan}");
        let nonce = Journal::load(&folder)?.volume_nonce(&folder)?;
        let inputs = Inputs {
            project: &self.project,
            public_key: KEY,
            user_data: UserData { baked: "#cloud-config\n{}\n".into(), stock: "#cloud-config\n{}\n".into() },
            format_nonce: &nonce,
        };
        apply(&self.client, &plan, world, &inputs, &Silent).await
    }

    /// What there is, by kind and name, without ids: what two runs must agree on.
    async fn inventory(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for kind in ["servers", "volumes", "firewalls", "ssh_keys", "primary_ips"] {
            let all: Vec<Value> = self.client.list("taking stock", &format!("/{kind}"), kind, &[]).await?;
            for one in all {
                let attached = !one["server"].is_null() || !one["assignee_id"].is_null();
                found.push(format!("{kind} {} status {} attached {attached}", one["name"], one["status"]));
            }
        }
        found.sort();
        Ok(found)
    }
}

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(future)
}

/// For every call i of an undisturbed run: the i-th call is refused, or done and its answer lost. The run ends in an
/// error or gets over it; the next one converges to what the undisturbed run made.
pub(crate) fn at_every_call() -> Result<()> {
    block_on(async {
        let undisturbed = Scene::new().await?;
        undisturbed.run().await?;
        let calls = undisturbed.requests().await?;
        let wanted = undisturbed.inventory().await?;
        ensure!(calls > 10 && wanted.len() == 6, "{calls} calls, {wanted:?}");
        let kinds =
            [json!({ "kind": "lose" }), json!({ "kind": "refuse", "status": 500, "code": "server_error" })];
        let (mut converged, mut over) = (0, 0);
        for nth in 1..=calls {
            for kind in &kinds {
                let scene = Scene::new().await?;
                scene.strike(nth, kind.clone()).await?;
                if scene.run().await.is_ok() {
                    over += 1;
                }
                scene.admin("DELETE", "faults", None).await?;
                scene
                    .run()
                    .await
                    .with_context(|| format!("the run after call {nth} was struck by {kind}"))?;
                let found = scene.inventory().await?;
                ensure!(found == wanted, "call {nth} struck by {kind}: {found:#?} instead of {wanted:#?}");
                converged += 1;
            }
        }
        println!(
            "{calls} calls, each struck two ways: {converged} converged, {over} of them without a second run"
        );
        Ok(())
    })
}

pub(crate) fn refusals_stop() -> Result<()> {
    block_on(async {
        let rows = [
            (401, "unauthorized", "HCLOUD_TOKEN"),
            (403, "resource_limit_exceeded", "raise the account's limit"),
            (412, "resource_unavailable", "out of stock"),
            (422, "invalid_input", "invalid_input"),
        ];
        for (status, code, sentence) in rows {
            let scene = Scene::new().await?;
            let fault = json!({ "method": "POST", "path": "/v1/servers", "kind": "refuse", "status": status, "code": code });
            scene.admin("POST", "faults", Some(fault)).await?;
            let error = scene.run().await.err().with_context(|| format!("{code} was passed over"))?;
            ensure!(format!("{error:#}").contains(sentence), "{code}: {error:#}");
            let expected = if code == "invalid_input" { 1 } else { 4 };
            ensure!(
                provisioner::exit_code(&error) == expected,
                "{code} ends with {}",
                provisioner::exit_code(&error)
            );
            let asked = scene.admin("GET", "requests", None).await?;
            ensure!(asked["requests"]["POST /v1/servers"] == 1, "{code} was tried again: {asked}");
        }
        Ok(())
    })
}

pub(crate) fn out_of_stock() -> Result<()> {
    block_on(async {
        let scene = Scene::new().await?;
        let body = json!({ "server_type": "cax11", "location": "fsn1", "available": false });
        scene.admin("PUT", "stock", Some(body)).await?;
        let error = scene.run().await.err().context("it went on")?;
        ensure!(format!("{error:#}").contains("out of stock"), "{error:#}");
        ensure!(scene.inventory().await?.is_empty(), "something was made");
        Ok(())
    })
}

pub(crate) fn a_strangers_name() -> Result<()> {
    block_on(async {
        let scene = Scene::new().await?;
        let body = json!({ "name": "demo-data", "size": 10, "location": "fsn1" });
        scene.client.create("making a stranger's volume", "/volumes", &body).await?;
        let error = scene.run().await.err().context("it went on")?;
        ensure!(format!("{error:#}").contains("not its labels"), "{error:#}");
        ensure!(scene.inventory().await?.len() == 1, "something was made");
        Ok(())
    })
}

pub(crate) fn destroy_keeps_data() -> Result<()> {
    block_on(async {
        let scene = Scene::new().await?;
        scene.run().await?;
        let world = observe(&scene.client, &scene.project).await?;
        destroy(&scene.client, &scene.folder(), &fates(&scene.project, &world, Also::default()), &Silent)
            .await?;
        let left = scene.inventory().await?;
        ensure!(left.len() == 3 && left.iter().any(|l| l.contains("demo-data")), "{left:?}");

        let volume = |world: &World| world.volume.as_ref().map(|v| v.id);
        let again = scene.run().await?;
        ensure!(volume(&again) == volume(&world), "the volume was not taken up again");

        let world = observe(&scene.client, &scene.project).await?;
        let all = Also::ALL;
        destroy(&scene.client, &scene.folder(), &fates(&scene.project, &world, all), &Silent).await?;
        ensure!(scene.inventory().await?.is_empty(), "something is left");
        ensure!(
            Journal::load(&scene.folder())?.format_nonce.is_none(),
            "leave to format outlived its volume"
        );
        Ok(())
    })
}
