//! Random worlds: whatever was done to a cloud, and whatever project comes next, its plan applies and leaves nothing to
//! do; or it names what stands in the way and nothing is changed. What holds data or belongs to others is always kept.

use crate::scene::{Operator, Scene, block_on};
use anyhow::{Context as _, Result, ensure};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use provisioner::api::Client;
use provisioner::destroy::Also;
use provisioner::observe::World;
use provisioner::plan::Wish;
use provisioner::project::Project;
use serde_json::{Value, json};

/// How many worlds are tried, and how long their histories are.
const WORLDS: u32 = 96;
const HISTORY: usize = 8;
/// The same worlds every time, so that a failure is everybody's.
const SEED: [u8; 32] = *b"sovereign: random worlds, ..... ";

/// What a project's file may say.
#[derive(Debug, Clone)]
struct Wanted {
    types: Vec<&'static str>,
    locations: Vec<&'static str>,
    size_gb: u32,
    open: Vec<&'static str>,
    records: Option<Vec<&'static str>>,
    storage_box: bool,
    protect: bool,
}

impl Wanted {
    fn toml(&self) -> String {
        let mut text = format!(
            "[cloud]\nrehearsal = true\nprotect = {}\nlocation = {:?}\n[server]\ntype = {:?}\n[volume]\nsize_gb = {}\n[firewall]\nopen = {:?}\n[escrow]\nthrowaway_identity = true\n",
            self.protect, self.locations, self.types, self.size_gb, self.open
        );
        if let Some(records) = &self.records {
            text.push_str(&format!("[dns]\nzone = \"example.org\"\nhost = \"srv\"\nrecords = {records:?}\n"));
        }
        if self.storage_box {
            text.push_str("[storage_box]\n");
        }
        text
    }
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let some = |all: &'static [&'static str], least| proptest::sample::subsequence(all, least..=all.len());
    let records = some(&["www CNAME srv", "@ MX 10 srv", "@ TXT v=spf1 -all", "@ CAA 0 issue x.org"], 0);
    // The one takes the place of the other.
    let records = (records, any::<bool>()).prop_map(|(records, address)| {
        let www = if address { "www A 192.0.2.5" } else { "www CNAME srv" };
        records.into_iter().map(|record| if record.starts_with("www") { www } else { record }).collect()
    });
    (
        some(&["cax11", "cax21", "cpx22"], 1),
        some(&["fsn1", "nbg1", "hel1"], 1),
        prop_oneof![Just(10), Just(20)],
        some(&["443/tcp", "3478/udp"], 0),
        proptest::option::of(records),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(types, locations, size_gb, open, records, storage_box, protect)| Wanted {
            types,
            locations,
            size_gb,
            open,
            records,
            storage_box,
            protect,
        })
}

/// Something that happens to a cloud: by us, by somebody at its console, or by the cloud itself.
#[derive(Debug, Clone)]
enum Event {
    Run(Wanted, bool),
    Destroy { volume: bool, addresses: bool, snapshots: bool, storage_box: bool, zone: bool },
    SellOut(&'static str, &'static str),
    Console(Console),
}

/// What somebody does at the console, to the first resource of the kind.
#[derive(Debug, Clone, Copy)]
enum Console {
    PowerOff,
    Unprotect,
    DeleteServer,
    DetachVolume,
    DeleteVolume,
    LeaveFirewall,
    OpenEverything,
    DeleteKey,
    DeleteRecord,
    ChangeRecord,
    AddForeignRecord,
    AddForeignSpf,
    TakeOurName,
    AliasOurName,
    TieAddress,
    ResetReverse,
    StrangersVolume,
    StrangersServer,
}

fn event() -> impl Strategy<Value = Event> {
    use Console::*;
    let console = proptest::sample::select(vec![
        PowerOff,
        Unprotect,
        DeleteServer,
        DetachVolume,
        DeleteVolume,
        LeaveFirewall,
        OpenEverything,
        DeleteKey,
        DeleteRecord,
        ChangeRecord,
        AddForeignRecord,
        AddForeignSpf,
        TakeOurName,
        AliasOurName,
        TieAddress,
        ResetReverse,
        StrangersVolume,
        StrangersServer,
    ]);
    let kinds = proptest::sample::select(vec!["cax11", "cax21", "cpx22"]);
    let places = proptest::sample::select(vec!["fsn1", "nbg1", "hel1"]);
    prop_oneof![
        3 => (wanted(), any::<bool>()).prop_map(|(wanted, rebuild)| Event::Run(wanted, rebuild)),
        1 => any::<[bool; 5]>().prop_map(|[volume, addresses, snapshots, storage_box, zone]| Event::Destroy { volume, addresses, snapshots, storage_box, zone }),
        1 => (kinds, places).prop_map(|(kind, place)| Event::SellOut(kind, place)),
        5 => console.prop_map(Event::Console),
    ]
}

/// An operator of the scene's cloud with another project file.
fn operator(scene: &Scene, wanted: &Wanted) -> Result<Operator> {
    let project = Project::parse("demo", &wanted.toml())?;
    Operator::new(&scene.running.url(), scene.running.token(), scene.path(), project)
}

impl Event {
    /// Lets it happen. That the cloud refuses it is one more way for a world to come about.
    async fn happen(&self, scene: &Scene) -> Result<()> {
        match self {
            Self::Run(wanted, rebuild) => {
                let _ = operator(scene, wanted)?.run(Wish { rebuild: *rebuild }).await;
            }
            Self::Destroy { volume, addresses, snapshots, storage_box, zone } => {
                let also = Also {
                    volume: *volume,
                    addresses: *addresses,
                    snapshots: *snapshots,
                    storage_box: *storage_box,
                    zone: *zone,
                };
                let _ = scene.operator.destroy(also).await;
            }
            Self::SellOut(kind, location) => {
                let body = json!({ "server_type": kind, "location": location, "available": false });
                let _ = scene.admin("PUT", "stock", Some(body)).await;
            }
            Self::Console(console) => {
                let _ = console.act(&scene.operator.client).await;
            }
        }
        Ok(())
    }
}

async fn first(client: &Client, kind: &str) -> Result<Value> {
    let all: Vec<Value> = client.list("looking", &format!("/{kind}"), kind, &[]).await?;
    all.into_iter().next().context("there is none")
}

async fn act(client: &Client, path: String, body: Value) -> Result<()> {
    let answer = client.change("at the console", "POST".parse()?, &path, Some(&body)).await?;
    Ok(client.finish("at the console", &answer, std::time::Duration::from_secs(60)).await?)
}

impl Console {
    async fn act(self, client: &Client) -> Result<()> {
        let id = async |kind: &str| anyhow::Ok(first(client, kind).await?["id"].as_u64().context("no id")?);
        let on = async |kind: &str, action: &str, body| {
            act(client, format!("/{kind}/{}/actions/{action}", id(kind).await?), body).await
        };
        let create = async |kind: &str, body: Value| {
            anyhow::Ok(client.create("at the console", &format!("/{kind}"), &body).await.map(drop)?)
        };
        match self {
            Self::PowerOff => on("servers", "poweroff", json!({})).await,
            Self::Unprotect => {
                on("volumes", "change_protection", json!({ "delete": false })).await?;
                on("servers", "change_protection", json!({ "delete": false, "rebuild": false })).await
            }
            Self::DeleteServer => {
                let answer =
                    client.delete("at the console", &format!("/servers/{}", id("servers").await?)).await?;
                Ok(client.finish("at the console", &answer, std::time::Duration::from_secs(60)).await?)
            }
            Self::DetachVolume => on("volumes", "detach", json!({})).await,
            Self::DeleteVolume => {
                let path = format!("/volumes/{}", id("volumes").await?);
                Ok(client.delete("at the console", &path).await.map(drop)?)
            }
            Self::LeaveFirewall => {
                let server = json!([{ "type": "server", "server": { "id": id("servers").await? } }]);
                on("firewalls", "remove_from_resources", json!({ "remove_from": server })).await
            }
            Self::OpenEverything => on("firewalls", "set_rules", json!({ "rules": [] })).await,
            Self::DeleteKey => {
                let path = format!("/ssh_keys/{}", id("ssh_keys").await?);
                Ok(client.delete("at the console", &path).await.map(drop)?)
            }
            Self::DeleteRecord => {
                Ok(client.delete("at the console", "/zones/example.org/rrsets/srv/A").await.map(drop)?)
            }
            Self::ChangeRecord => {
                let path = "/zones/example.org/rrsets/srv/A/actions/set_records";
                act(client, path.into(), json!({ "records": [{ "value": "192.0.2.1" }] })).await
            }
            Self::AddForeignRecord => {
                // The zone may not be there yet; then it becomes a stranger's.
                let _ = create("zones", json!({ "name": "example.org", "mode": "primary" })).await;
                let body = json!({ "name": "@", "type": "TXT", "records": [{ "value": "\"verified\"" }] });
                create("zones/example.org/rrsets", body).await
            }
            Self::AddForeignSpf => {
                let _ = create("zones", json!({ "name": "example.org", "mode": "primary" })).await;
                let path = "/zones/example.org/rrsets/@/TXT/actions/add_records";
                act(
                    client,
                    path.into(),
                    json!({ "records": [{ "value": "\"v=spf1 include:example.net -all\"" }] }),
                )
                .await
            }
            Self::TakeOurName => {
                let body = json!({ "name": "srv", "type": "A", "records": [{ "value": "192.0.2.9" }] });
                create("zones/example.org/rrsets", body).await
            }
            Self::AliasOurName => {
                let _ = create("zones", json!({ "name": "example.org", "mode": "primary" })).await;
                let body =
                    json!({ "name": "www", "type": "CNAME", "records": [{ "value": "example.net." }] });
                create("zones/example.org/rrsets", body).await
            }
            Self::TieAddress => {
                let path = format!("/primary_ips/{}", id("primary_ips").await?);
                let body = json!({ "auto_delete": true });
                Ok(client.change("at the console", "PUT".parse()?, &path, Some(&body)).await.map(drop)?)
            }
            Self::ResetReverse => {
                let ip = first(client, "primary_ips").await?;
                on("primary_ips", "change_dns_ptr", json!({ "ip": ip["ip"], "dns_ptr": null })).await
            }
            Self::StrangersVolume => {
                create("volumes", json!({ "name": "others", "size": 10, "location": "fsn1" })).await
            }
            Self::StrangersServer => {
                let body = json!({ "name": "others", "server_type": "cax11", "image": "debian-13", "location": "hel1", "start_after_create": false });
                create("servers", body).await
            }
        }
    }
}

/// What must still be there afterwards: everything of others', and of ours what holds data or reputation.
async fn precious(client: &Client, world: &World) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for kind in ["servers", "volumes", "primary_ips", "storage_boxes", "zones"] {
        let all: Vec<Value> = client.list("taking stock", &format!("/{kind}"), kind, &[]).await?;
        found.extend(all.iter().map(|one| format!("{kind} {}", one["id"])));
    }
    found.extend(world.snapshots.iter().map(|image| format!("snapshot {}", image.id)));
    // The cloud counts its own serial.
    let foreign = world.rrsets.iter().filter(|set| set.labels.is_empty() && set.kind != "SOA");
    found.extend(foreign.flat_map(|set| {
        let others = set.records.iter().filter(|record| record.comment.is_none());
        others.map(|record| format!("record {} {}", set.id, record.value)).collect::<Vec<_>>()
    }));
    Ok(found)
}

async fn is_put_right(history: &[Event], next: &Wanted) -> Result<&'static str> {
    let scene = Scene::new(crate::scene::WHOLE).await?;
    for event in history {
        event.happen(&scene).await?;
    }
    let operator = operator(&scene, next)?;
    let (world, plan) = operator.plan(Wish::default()).await?;
    let before = precious(&operator.client, &world).await?;
    if !plan.obstacles.is_empty() {
        let stock = scene.inventory().await?;
        ensure!(operator.run(Wish::default()).await.is_err(), "it went on although {:?}", plan.obstacles);
        ensure!(scene.inventory().await? == stock, "something was changed although {:?}", plan.obstacles);
        return Ok("something stood in the way");
    }
    operator.run(Wish::default()).await.with_context(|| format!("applying\n{plan}"))?;
    let (world, rest) = operator.plan(Wish::default()).await?;
    ensure!(rest.is_empty() && rest.obstacles.is_empty(), "after\n{plan}\nthere is still\n{rest}");
    let after = precious(&operator.client, &world).await?;
    let gone: Vec<_> = before.iter().filter(|one| !after.contains(one)).collect();
    ensure!(gone.is_empty(), "gone are {gone:?} after\n{plan}");
    Ok(if plan.is_empty() { "there was nothing to do" } else { "put right" })
}

pub(crate) fn are_put_right() -> Result<()> {
    let config =
        Config { cases: WORLDS, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &SEED));
    let outcomes = std::cell::RefCell::new(std::collections::BTreeMap::<&str, u32>::new());
    let worlds = (proptest::collection::vec(event(), 0..=HISTORY), wanted());
    let held = runner.run(&worlds, |(history, next)| {
        let outcome = block_on(is_put_right(&history, &next));
        let outcome = outcome.map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
        *outcomes.borrow_mut().entry(outcome).or_default() += 1;
        Ok(())
    });
    println!("{WORLDS} random worlds: {:?}", outcomes.borrow());
    held.map_err(|error| anyhow::anyhow!("{error}"))?;
    let put_right = outcomes.borrow().get("put right").copied().unwrap_or_default();
    ensure!(put_right * 3 >= WORLDS, "too few worlds had anything to put right");
    Ok(())
}
