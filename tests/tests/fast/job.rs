//! What runs do to a cloud: one job for every kind of change, each from a world of its own.

use crate::scene::{Operator, Scene, WHOLE};
use anyhow::{Context as _, Result, ensure};
use provisioner::destroy::Also;
use provisioner::plan::Wish;
use serde_json::json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    /// Everything from nothing.
    Create,
    /// A world that drifted in every way that can be put right.
    Repair,
    /// The root disk, overwritten.
    Rebuild,
    /// All of it, taken away.
    Destroy,
}

impl Job {
    pub(crate) const ALL: [Self; 4] = [Self::Create, Self::Repair, Self::Rebuild, Self::Destroy];

    /// The project as it is when the run begins.
    pub(crate) fn toml(self) -> String {
        let changed = [
            ("size_gb = 10", "size_gb = 20"),
            (r#"["cax11", "cax21"]"#, r#""cax21""#),
            ("443/tcp", "8443/tcp"),
            ("@ MX 10 srv", "@ MX 20 srv"),
        ];
        match self {
            Self::Repair => changed.iter().fold(WHOLE.to_owned(), |text, (old, new)| text.replace(old, new)),
            _ => WHOLE.to_owned(),
        }
    }

    pub(crate) async fn run(self, operator: &Operator) -> Result<()> {
        match self {
            Self::Create | Self::Repair => operator.run(Wish::default()).await.map(drop),
            Self::Rebuild => operator.run(Wish { rebuild: true }).await.map(drop),
            Self::Destroy => operator.destroy(Also::ALL).await,
        }
    }

    /// What the next run does after one that did not end well. A rebuild that was begun may have been done, so that it
    /// is not asked for twice, as an operator would not.
    pub(crate) async fn run_again(self, operator: &Operator) -> Result<()> {
        match self {
            Self::Rebuild => Self::Create.run(operator).await,
            _ => self.run(operator).await,
        }
    }

    /// A scene whose world is the one the run begins with; the project is as it was before.
    pub(crate) async fn start(self) -> Result<Scene> {
        let scene = Scene::new(WHOLE).await?;
        if self != Self::Create {
            scene.operator.run(Wish::default()).await?;
        }
        if self == Self::Repair {
            drift(&scene).await?;
        }
        Ok(scene)
    }

    /// Compares what there is with what an undisturbed run made, and has nothing left to do.
    pub(crate) async fn converged(self, scene: &Scene, wanted: &[String]) -> Result<()> {
        let mut found = scene.inventory().await?;
        let mut wanted = wanted.to_vec();
        if self == Self::Rebuild {
            // A run that ended before it asked for the rebuild has kept the disk for nothing, or not at all; one that is
            // asked for again keeps it once more.
            let is_snapshot = |line: &String| line.starts_with("snapshot");
            found.retain(|line| !is_snapshot(line));
            wanted.retain(|line| !is_snapshot(line));
        }
        ensure!(found == wanted, "{found:#?}\ninstead of\n{wanted:#?}");
        if self != Self::Destroy {
            let (_, plan) = scene.operator.plan(Wish::default()).await?;
            ensure!(plan.is_empty(), "one more run would still change something:\n{plan}");
        }
        Ok(())
    }
}

/// Changes the cloud behind the project's back.
async fn drift(scene: &Scene) -> Result<()> {
    let client = &scene.operator.client;
    let (world, _) = scene.operator.plan(Wish::default()).await?;
    let server = world.server.as_ref().context("no server")?.id;
    let firewall = world.firewall.as_ref().context("no firewall")?.id;
    let ipv4 = world.ipv4.as_ref().context("no IPv4")?;
    let volume = world.volume.as_ref().context("no volume")?.id;
    let doing = "drifting";
    let act = async |path: String, body| {
        let answer = client.change(doing, "POST".parse().context("a method")?, &path, Some(&body)).await?;
        anyhow::Ok(client.finish(doing, &answer, LIMIT).await?)
    };
    let target = json!([{ "type": "server", "server": { "id": server } }]);
    let remove = json!({ "remove_from": target });
    let reset = json!({ "ip": ipv4.ip, "dns_ptr": null });
    act(format!("/servers/{server}/actions/poweroff"), json!({})).await?;
    act(format!("/firewalls/{firewall}/actions/remove_from_resources"), remove).await?;
    act(format!("/volumes/{volume}/actions/change_protection"), json!({ "delete": false })).await?;
    act(format!("/volumes/{volume}/actions/detach"), json!({})).await?;
    act(format!("/primary_ips/{}/actions/change_dns_ptr", ipv4.id), reset).await?;
    act("/zones/example.org/rrsets/www/CNAME/actions/change_ttl".into(), json!({ "ttl": 60 })).await?;
    client.delete(doing, "/zones/example.org/rrsets/_sip._tcp/SRV").await?;
    Ok(())
}
