//! Requests of a run that was killed are heard only after the next run has looked: what that one then asks for is so already.

use crate::scene::{PLAIN, Scene, block_on};
use anyhow::{Context as _, Result, ensure};
use provisioner::plan::Wish;
use serde_json::json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn what_is_so_already() -> Result<()> {
    block_on(async {
        let scene = Scene::new(PLAIN).await?;
        let world = scene.operator.run(Wish::default()).await?;
        let wanted = scene.inventory().await?;
        let server = world.server.as_ref().context("no server")?.id;
        let volume = world.volume.as_ref().context("no volume")?.id;
        let firewall = world.firewall.as_ref().context("no firewall")?.id;
        let detach = format!("/volumes/{volume}/actions/detach");
        let attach =
            (format!("/volumes/{volume}/actions/attach"), json!({ "server": server, "automount": false }));
        let server_of = |key: &str| json!({ key: [{ "type": "server", "server": { "id": server } }] });
        let remove = format!("/firewalls/{firewall}/actions/remove_from_resources");
        let apply = format!("/firewalls/{firewall}/actions/apply_to_resources");
        by_hand(&scene, &detach, json!({})).await?;
        by_hand(&scene, &remove, server_of("remove_from")).await?;

        let (looked, plan) = scene.operator.plan(Wish::default()).await?;
        by_hand(&scene, &attach.0, attach.1).await?;
        by_hand(&scene, &apply, server_of("apply_to")).await?;
        scene.operator.apply(looked, &plan).await.context("what the plan asks for is so already")?;
        ensure!(scene.inventory().await? == wanted, "{:#?} became {wanted:#?}", scene.inventory().await?);

        // Attached to another server, it is not as the plan asks.
        by_hand(&scene, &detach, json!({})).await?;
        let (looked, plan) = scene.operator.plan(Wish::default()).await?;
        let other =
            json!({ "name": "other", "server_type": "cax11", "image": "debian-13", "location": "fsn1" });
        let made = scene.operator.client.create("making another server", "/servers", &other).await?;
        scene.operator.client.finish("making another server", &made, LIMIT).await?;
        let other = json!({ "server": made["server"]["id"], "automount": false });
        by_hand(&scene, &attach.0, other).await?;
        let refused = scene.operator.apply(looked, &plan).await.err().context("it went on")?;
        ensure!(format!("{refused:#}").contains("volume_already_attached"), "{refused:#}");
        Ok(())
    })
}

async fn by_hand(scene: &Scene, path: &str, body: serde_json::Value) -> Result<()> {
    let answer = scene.operator.client.create("by hand", path, &body).await?;
    Ok(scene.operator.client.finish("by hand", &answer, LIMIT).await?)
}
