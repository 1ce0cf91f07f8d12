//! What plan, apply and destroy do and leave alone, against the rehearsal cloud.

use crate::scene::{PLAIN, Scene, WHOLE, block_on};
use anyhow::{Context as _, Result, ensure};
use provisioner::destroy::Also;
use provisioner::plan::Wish;
use serde_json::{Value, json};

async fn sell_out(scene: &Scene, kind: &str, location: &str) -> Result<()> {
    let body = json!({ "server_type": kind, "location": location, "available": false });
    scene.admin("PUT", "stock", Some(body)).await.map(drop)
}

pub(crate) fn out_of_stock() -> Result<()> {
    block_on(async {
        // Known beforehand: nothing is made.
        let scene = Scene::new(PLAIN).await?;
        sell_out(&scene, "cax11", "fsn1").await?;
        let error = scene.operator.run(Wish::default()).await.err().context("it went on")?;
        ensure!(format!("{error:#}").contains("cax11 is out of stock in fsn1"), "{error:#}");
        ensure!(scene.inventory().await?.is_empty(), "something was made");

        // Sold out between the look and the order: the next place is tried, in the project's order.
        let scene = Scene::new(WHOLE).await?;
        let refused = json!({ "method": "POST", "path": "/{version}/servers", "times": 3, "kind": "refuse", "status": 412, "code": "resource_unavailable" });
        scene.strike(refused.clone()).await?;
        let world = scene.operator.run(Wish::default()).await?;
        let server = world.server.context("no server")?;
        let place = (server.server_type.name.as_str(), server.location.as_ref().map(|l| l.name.as_str()));
        ensure!(place == ("cax21", Some("nbg1")), "{place:?}");
        ensure!(
            world.volume.context("no volume")?.location.is_some_and(|l| l.name == "nbg1"),
            "the volume is elsewhere"
        );

        // Sold out everywhere: what was tried is named, and what there was is still there.
        let scene = Scene::new(WHOLE).await?;
        let mut always = refused;
        always["times"] = json!(1000);
        scene.strike(always).await?;
        let error = scene.operator.run(Wish::default()).await.err().context("it went on")?;
        let said = format!("{error:#}");
        for words in ["cax11 in fsn1, cax11 in nbg1, cax21 in fsn1, cax21 in nbg1", "nothing was destroyed"] {
            ensure!(said.contains(words), "{said}");
        }
        ensure!(provisioner::exit_code(&error) == 4, "{said}");

        // A lost server: its volume and addresses stay as they are while none can be had.
        let scene = Scene::new(PLAIN).await?;
        scene.operator.run(Wish::default()).await?;
        scene.operator.destroy(Also::default()).await?;
        let before = scene.inventory().await?;
        sell_out(&scene, "cax11", "fsn1").await?;
        ensure!(scene.operator.run(Wish::default()).await.is_err(), "it went on");
        ensure!(scene.inventory().await? == before, "something was taken away");
        Ok(())
    })
}

/// A type that is sold out when the server has been switched off for it: it goes on as what it was.
pub(crate) fn type_out_of_stock() -> Result<()> {
    block_on(async {
        let scene = Scene::new(PLAIN).await?;
        scene.operator.run(Wish::default()).await?;
        let before = scene.inventory().await?;
        let larger = scene.like(&PLAIN.replace("cax11", "cax21")).await?;
        larger
            .strike(json!({ "path": "/v1/servers/{id}/actions/change_type", "kind": "refuse", "status": 412, "code": "resource_unavailable" }))
            .await?;
        let error = larger.operator.run(Wish::default()).await.err().context("it went on")?;
        ensure!(provisioner::exit_code(&error) == 4, "{error:#}");
        ensure!(larger.inventory().await? == before, "the server is not as it was");
        larger.operator.run(Wish::default()).await?;
        ensure!(
            larger.inventory().await?.iter().any(|line| line.contains("cax21")),
            "the type was not changed"
        );
        Ok(())
    })
}

pub(crate) fn a_strangers_name() -> Result<()> {
    block_on(async {
        let scene = Scene::new(PLAIN).await?;
        let body = json!({ "name": "demo-data", "size": 10, "location": "fsn1" });
        scene.operator.client.create("making a stranger's volume", "/volumes", &body).await?;
        let error = scene.operator.run(Wish::default()).await.err().context("it went on")?;
        ensure!(format!("{error:#}").contains("not its labels"), "{error:#}");
        ensure!(scene.inventory().await?.len() == 1, "something was made");
        Ok(())
    })
}

/// Two of a kind carry the project's labels, or a stranger's server uses what is the project's: nothing is chosen between
/// them where that changes something. The server is reached all the same, with a warning, while it is clear which it is.
pub(crate) fn obstacles_stop_changes_and_not_the_way_in() -> Result<()> {
    let rig = tests::Rig::new()?;
    rig.demo("demo")?;
    rig.xtask(&["cloud", "serve", "--without-machines"])?.expect(0)?;
    let labels = json!({ "managed-by": "sovereign", "sovereign-project": "demo" });
    let server = |name: &str| json!({ "name": name, "server_type": "cax11", "image": "debian-13", "location": "fsn1", "labels": labels });
    let volumes = block_on(async {
        let client = rig.client()?;
        client.create("making the server", "/servers", &server("demo")).await?;
        for name in ["demo-data", "copy-of-demo-data"] {
            let body = json!({ "name": name, "size": 10, "location": "fsn1", "labels": labels });
            client.create("making a volume", "/volumes", &body).await?;
        }
        Ok(client.list::<Value>("looking", "/volumes", "volumes", &[]).await?)
    })?;
    let identity = rig.path().join("identity.txt");
    host::files::write(&identity, escrow::Identity::generate().to_file_contents().expose(), 0o600)?;
    let identity = identity.to_string_lossy();
    let said = |verb: &[&str], code| {
        let ended = rig.xtask(&[verb, &["--project", "demo"]].concat())?.expect(code)?;
        anyhow::Ok(format!("{}{}", ended.stdout, ended.stderr))
    };
    let changing: [&[&str]; 4] = [
        &["destroy", "--volume", "--yes"],
        &["keys", "rotate", "--slot", "recovery", "--yes"],
        &["vpn", "renew", "laptop"],
        &["provision", "--plan"],
    ];
    for verb in changing {
        let said = said(verb, 4)?;
        ensure!(said.contains("2 volumes carry this project's labels"), "{verb:?} said\n{said}");
    }
    // There is no machine to answer and no escrow to open, which is how far each of them comes.
    let reaching: [(&[&str], i32); 4] = [
        (&["ssh"], 255),
        (&["drift", "list"], 255),
        (&["drift", "restore", "/etc/docker/daemon.json"], 255),
        (&["unlock", "--identity", &identity], 1),
    ];
    for (verb, code) in reaching {
        let said = said(verb, code)?;
        ensure!(said.contains("warning: 2 volumes carry this project's labels"), "{verb:?} said\n{said}");
    }
    let status = said(&["status"], 0)?;
    ensure!(status.contains("unreachable") && status.contains("in the way: 2 volumes"), "{status}");
    let left = block_on(async {
        let client = rig.client()?;
        ensure!(client.list::<Value>("looking", "/servers", "servers", &[]).await?.len() == 1, "no server");
        Ok(client.list::<Value>("looking", "/volumes", "volumes", &[]).await?)
    })?;
    ensure!(left == volumes, "{left:?}");

    block_on(async {
        rig.client()?.create("making it twice", "/servers", &server("demo-2")).await?;
        Ok(())
    })?;
    for (verb, _) in reaching.into_iter().chain([(&["status"][..], 0), (&["verify"], 0)]) {
        let said = said(verb, 4)?;
        ensure!(said.contains("2 servers carry this project's labels"), "{verb:?} said\n{said}");
    }

    block_on(async {
        let scene = Scene::new(PLAIN).await?;
        let world = scene.operator.run(Wish::default()).await?;
        scene.operator.destroy(Also::default()).await?;
        let other = json!({ "name": "others", "server_type": "cax11", "image": "debian-13", "location": "fsn1", "volumes": [world.volume.context("no volume")?.id] });
        let doing = "making a stranger's server";
        let made = scene.operator.client.create(doing, "/servers", &other).await?;
        scene.operator.client.finish(doing, &made, std::time::Duration::from_secs(60)).await?;
        let before = scene.inventory().await?;
        let refused = scene.operator.destroy(Also::ALL).await.err().context("it went on")?;
        ensure!(provisioner::exit_code(&refused) == 4, "{refused:#}");
        ensure!(format!("{refused:#}").contains("detach it there first"), "{refused:#}");
        ensure!(scene.inventory().await? == before, "something was taken away");
        Ok(())
    })
}

pub(crate) fn destroy_keeps_data() -> Result<()> {
    block_on(async {
        let scene = Scene::new(WHOLE).await?;
        let world = scene.operator.run(Wish::default()).await?;
        scene.operator.run(Wish { rebuild: true }).await?;
        scene.operator.destroy(Also::default()).await?;
        let left = scene.inventory().await?;
        let count = |kind: &str| left.iter().filter(|line| line.starts_with(kind)).count();
        let stays = ["volumes", "primary_ips", "snapshot", "storage_boxes", "zones"].map(count);
        ensure!(stays == [1, 2, 1, 1, 1] && count("servers") + count("firewalls") == 0, "{left:#?}");

        let again = scene.operator.run(Wish::default()).await?;
        let ids = |world: &provisioner::observe::World| {
            (
                world.volume.as_ref().map(|v| v.id),
                world.ipv4.as_ref().map(|i| i.id),
                world.ipv6.as_ref().map(|i| i.id),
            )
        };
        ensure!(ids(&again) == ids(&world), "the volume and the addresses were not taken up again");

        scene.operator.destroy(Also::ALL).await?;
        ensure!(scene.inventory().await?.is_empty(), "something is left");
        ensure!(scene.operator.journal()?.format_nonce.is_none(), "leave to format outlived its volume");
        Ok(())
    })
}

/// Protection is no obstacle that a run lifts by itself: deleting behind it is refused, and said.
pub(crate) fn protection_holds() -> Result<()> {
    block_on(async {
        let scene = Scene::new(WHOLE).await?;
        let world = scene.operator.run(Wish::default()).await?;
        let volume = world.volume.context("no volume")?.id;
        let refused = scene
            .operator
            .client
            .delete("deleting behind the protection", &format!("/volumes/{volume}"))
            .await;
        let error = refused.err().context("the volume was not protected")?;
        ensure!(error.code() == Some("protected"), "{error}");
        ensure!(error.to_string().contains("typed name"), "{error}");
        Ok(())
    })
}

/// Records of others in the same zone outlive everything a project does.
pub(crate) fn foreign_records() -> Result<()> {
    block_on(async {
        let scene = Scene::new(WHOLE).await?;
        let client = &scene.operator.client;
        client
            .create("making a zone", "/zones", &json!({ "name": "example.org", "mode": "primary" }))
            .await?;
        let rrset = |name: &str, kind: &str, value: &str| json!({ "name": name, "type": kind, "records": [{ "value": value }] });
        for body in [rrset("shop", "A", "192.0.2.9"), rrset("@", "TXT", "\"site-verification=1\"")] {
            client.create("making a stranger's record", "/zones/example.org/rrsets", &body).await?;
        }
        scene.operator.run(Wish::default()).await?;
        let txt = |found: &[String]| found.iter().find(|l| l.contains("@/TXT")).cloned().unwrap_or_default();
        let shared = txt(&scene.inventory().await?);
        ensure!(shared.contains("site-verification") && shared.contains("v=spf1"), "{shared}");
        let (_, plan) = scene.operator.plan(Wish::default()).await?;
        ensure!(plan.is_empty(), "{plan}");

        scene.operator.destroy(Also::ALL).await?;
        let left = scene.inventory().await?;
        let shared = txt(&left);
        ensure!(shared.contains("site-verification") && !shared.contains("v=spf1"), "{left:#?}");
        ensure!(left.iter().any(|line| line.contains("shop/A")), "{left:#?}");
        ensure!(!left.iter().any(|line| line.contains("srv/A")), "{left:#?}");

        let body = rrset("srv", "A", "192.0.2.77");
        client.create("taking the server's name", "/zones/example.org/rrsets", &body).await?;
        let error = scene.operator.run(Wish::default()).await.err().context("it went on")?;
        ensure!(format!("{error:#}").contains("not this project's"), "{error:#}");

        // What the cloud would refuse, and what it would take and nobody could use, is known before anything is changed.
        for (body, why) in [
            (rrset("srv", "CNAME", "other.example.net."), "a CNAME must stand alone"),
            (rrset("www", "TXT", "\"a stranger's\""), "a CNAME must stand alone"),
            (rrset("@", "TXT", "\"v=spf1 -all\""), "2 texts of SPF"),
        ] {
            let scene = Scene::new(WHOLE).await?;
            let client = &scene.operator.client;
            let zone = json!({ "name": "example.org", "mode": "primary" });
            client.create("making a zone", "/zones", &zone).await?;
            client.create("making a stranger's record", "/zones/example.org/rrsets", &body).await?;
            let before = scene.inventory().await?;
            let error = scene.operator.run(Wish::default()).await.err().context("it went on")?;
            ensure!(format!("{error:#}").contains(why), "{error:#}");
            ensure!(scene.inventory().await? == before, "something was changed although {why}");
        }
        Ok(())
    })
}

/// A record of every type, in whatever way it is written, is published once and then left as it is.
pub(crate) fn every_type_of_record() -> Result<()> {
    block_on(async {
        let digest = "0B".repeat(32);
        let (ds, tlsa) = (format!("sub DS 60485 8 2 {digest}"), format!("_25._tcp.a TLSA 3 1 1 {digest}"));
        let records = [
            "a A 192.0.2.1",
            "a AAAA 2001:0db8::1",
            "b CNAME A",
            "@ MX 0 .",
            r#"@ TXT ( "say \"hi\"; " "\195\164 \010" )"#,
            r"k._domainkey TXT v=DKIM1\; k=rsa\; p=MIIB",
            "_imap._tcp SRV 0 0 0 .",
            r#"@ CAA 0 issue ";""#,
            "sub NS ns1.example.net.",
            &ds,
            &tlsa,
            r#"@ HTTPS 1 . ipv4hint=192.0.2.1 alpn="h3,h2""#,
            "_dns SVCB 0 a",
            "host PTR a",
            "@ RP admin.example.net. .",
            "@ HINFO ARM Linux",
        ];
        let quoted: Vec<_> = records.iter().map(|record| format!("'{record}'")).collect();
        let zone =
            format!("[dns]\nzone = \"example.org\"\nhost = \"srv\"\nrecords = [{}]\n", quoted.join(", "));
        let scene = Scene::new(&format!("{PLAIN}{zone}")).await?;
        scene.operator.run(Wish::default()).await?;
        let (world, plan) = scene.operator.plan(Wish::default()).await?;
        ensure!(plan.is_empty() && plan.obstacles.is_empty(), "{plan}");
        let published = |id: &str| {
            let set = world.rrsets.iter().find(|set| set.id == id);
            set.map(|set| set.records[0].value.as_str()).unwrap_or_default()
        };
        ensure!(
            published("k._domainkey/TXT") == "\"v=DKIM1; k=rsa; p=MIIB\"",
            "{}",
            published("k._domainkey/TXT")
        );
        ensure!(published("@/TXT") == r#""say \"hi\"; ä \010""#, "{}", published("@/TXT"));
        Ok(())
    })
}

/// A zone is not seen by anybody until its registrar names the right name servers, and is said to be so.
pub(crate) fn unseen_zone() -> Result<()> {
    block_on(async {
        let scene = Scene::new(WHOLE).await?;
        scene.operator.run(Wish::default()).await?;
        for (status, words) in [
            (None, &["perhaps nobody sees", "hydrogen.ns.hetzner.com, oxygen.ns.hetzner.com"][..]),
            (Some("lame"), &["nobody sees", "do not know it", "Enter these at the registrar"]),
            (Some("unregistered"), &["nobody sees", "not registered"]),
            (Some("partially-valid"), &["not everybody sees"]),
            (Some("valid"), &[]),
        ] {
            if let Some(status) = status {
                let body = json!({ "status": status, "nameservers": ["ns1.example.net."] });
                scene.admin("PUT", "zones/example.org/delegation", Some(body)).await?;
            }
            let (world, _) = scene.operator.plan(Wish::default()).await?;
            let said = provisioner::dns::unseen(&world.zone.context("no zone")?);
            let right = said.as_ref().map_or(words.is_empty(), |said| {
                !words.is_empty() && words.iter().all(|words| said.contains(words))
            });
            ensure!(right, "{status:?}: {said:?}");
        }
        Ok(())
    })
}

/// How many requests a plan of what is as it should be takes, and that they are made side by side.
pub(crate) fn few_requests() -> Result<()> {
    block_on(async {
        let scene = Scene::new(WHOLE).await?;
        scene.operator.run(Wish::default()).await?;
        // So late that all have begun before the first is answered, if none waits for another.
        let scene = scene.with_latency(300).await?;
        let (_, plan) = scene.operator.plan(Wish::default()).await?;
        ensure!(plan.is_empty(), "{plan}");
        let log = scene.admin("GET", "log", None).await?;
        let requests: Vec<_> = log["log"]
            .as_array()
            .context("no log")?
            .iter()
            .filter(|r| r["path"].as_str().is_some_and(|p| p.starts_with("/v1/")))
            .cloned()
            .collect();
        println!("a plan of an up-to-date project: {} requests", requests.len());
        ensure!(requests.len() <= 12, "{} requests", requests.len());
        // Side by side: every one of them began before the first had ended.
        let time = |request: &Value, key: &str| request[key].as_f64().unwrap_or(f64::MAX);
        let first_end = requests.iter().map(|r| time(r, "end_ms")).fold(f64::MAX, f64::min);
        let later = requests.iter().filter(|r| time(r, "start_ms") > first_end).count();
        ensure!(later == 0, "{later} requests waited for others");
        Ok(())
    })
}

/// What the real Hetzner is tried with, tried here first.
pub(crate) fn the_live_cycle() -> Result<()> {
    block_on(async {
        let scene = Scene::new(PLAIN).await?;
        tests::live::full_cycle(&scene.operator.client, scene.path()).await?;
        ensure!(scene.inventory().await?.is_empty(), "something is left");
        Ok(())
    })
}
