//! Leases begin and end by the cloud's clock: a machine whose own is wrong neither makes nor removes anything.

use crate::scene::{PLAIN, Scene, block_on};
use anyhow::{Context as _, Result, ensure};
use provisioner::api::model::Rule;
use provisioner::lease;
use provisioner::names::{EPHEMERAL, EXPIRES, OWNER};
use provisioner::observe::observe;
use provisioner::plan::Wish;
use provisioner::report::Silent;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tests::Hurried;

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn by_the_clouds_clock() -> Result<()> {
    block_on(async {
        // A clock that stands still is one that is moved by hand.
        let scene = Scene::by_hand(PLAIN).await?;
        let client = &scene.operator.client;
        let now = lease::time(client).await?;
        for (name, expires) in [("over", now - 10), ("running", now + 3600)] {
            let labels = json!({ "managed-by": "sovereign", EPHEMERAL: name, OWNER: "ci", EXPIRES: expires.to_string() });
            client.create("leasing", "/firewalls", &json!({ "name": name, "labels": labels })).await?;
        }
        let names = |all: &[lease::Leased]| all.iter().map(|found| found.name.clone()).collect::<Vec<_>>();

        for ahead in [DAY, Duration::from_secs(301)] {
            let wrong = client.clone().with_clock(Arc::new(Hurried::ahead(ahead)));
            let refused = lease::sweep(&wrong, &Silent).await.err().context("it believed its own clock")?;
            ensure!(provisioner::exit_code(&refused) == 4, "{refused:#}");
            let said = refused.to_string();
            // The cloud says whole seconds, and this one's clock went on since it did.
            let seconds = ahead.as_secs()..=ahead.as_secs() + 2;
            ensure!(seconds.into_iter().any(|s| said.contains(&format!("{s} s ahead of"))), "{said}");
            ensure!(lease::time(&wrong).await.is_err(), "a lease began by a wrong clock");
        }

        let swept = lease::sweep(client, &Silent).await?;
        ensure!(names(&swept.over).is_empty(), "{:?} is taken from under its holder", swept.over);
        scene.pass(Duration::from_secs(120)).await?;
        let swept = lease::sweep(client, &Silent).await?;
        ensure!((names(&swept.over), names(&swept.others)) == (vec!["over".into()], vec!["running".into()]));
        lease::remove(client, &swept.over, &Silent).await?;
        ensure!(names(&lease::leased(client).await?) == ["running"], "the wrong one went");
        Ok(())
    })
}

/// How long a door of another machine has been open is told by the cloud's clock, too.
pub(crate) fn a_door_of_another_machine() -> Result<()> {
    block_on(async {
        let scene = Scene::new(PLAIN).await?;
        let operator = &scene.operator;
        let firewall = operator.run(Wish::default()).await?.firewall.context("no firewall")?;
        let opened = operator.client.cloud_time()?.as_secs() - 3600;
        let door = format!("sovereign door: ssh process=1 began=1 on=elsewhere/1 since={opened}");
        let rule = Rule { description: Some(door), ..firewall.rules[0].clone() };
        let rules = [firewall.rules.clone(), vec![rule]].concat();
        let body = json!({ "rules": rules });
        let path = format!("/firewalls/{}/actions/set_rules", firewall.id);
        operator.client.change("opening a door elsewhere", "POST".parse()?, &path, Some(&body)).await?;
        let wrong = operator.client.clone().with_clock(Arc::new(Hurried::ahead(DAY)));
        let world = observe(&wrong, &operator.project).await?;
        ensure!(world.doors_left_behind.is_empty(), "{:?}", world.doors_left_behind);
        Ok(())
    })
}
