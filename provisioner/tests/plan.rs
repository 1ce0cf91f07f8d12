//! The plan, as a person reads it: a world and a project in, the text out.
#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world should stop")]

use provisioner::api::model::{
    Firewall, Image, Location, Pricing, PrimaryIp, Server, ServerType, SshKey, Volume,
};
use provisioner::observe::World;
use provisioner::plan::{Change, Plan, plan};
use provisioner::project::Project;
use serde_json::{Value, json};

const KEY: &str = "ssh-ed25519 AAAAC3Nz sovereign-demo";
const TOML: &str = "[cloud]\nrehearsal = true\n[volume]\nsize_gb = 10\n[firewall]\nopen = [\"443/tcp\"]\n[escrow]\nthrowaway_identity = true\n";

fn project() -> Project {
    Project::parse("demo", TOML).unwrap()
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// What is on offer, and nothing of the project's.
fn empty() -> World {
    World {
        server_type: Some(read(json!({
            "id": 94, "name": "cax31", "architecture": "arm", "cores": 8, "memory": 16.0,
            "prices": [{ "location": "fsn1", "price_monthly": { "net": "20.9900000000" } }],
            "locations": [{ "name": "fsn1", "available": true }, { "name": "hel1", "available": false }],
        }))),
        image: Some(read::<Image>(json!({ "id": 5, "name": "debian-13", "architecture": "arm" }))),
        pricing: Some(read::<Pricing>(json!({
            "currency": "EUR", "volume": { "price_per_gb_month": { "net": "0.0440" } },
            "primary_ips": [{ "type": "ipv4", "prices": [{ "location": "fsn1", "price_monthly": { "net": "0.5000" } }] }],
        }))),
        ..World::default()
    }
}

/// Everything as the project says.
fn complete() -> World {
    let location = json!({ "name": "fsn1" });
    let anywhere = json!(["::/0", "0.0.0.0/0"]);
    let rule = |protocol: &str, port: Value| json!({ "direction": "in", "protocol": protocol, "port": port, "source_ips": anywhere });
    World {
        server: Some(read::<Server>(json!({
            "id": 1, "name": "demo", "status": "running", "location": location, "volumes": [2],
            "server_type": { "id": 94, "name": "cax31" },
            "public_net": { "ipv4": { "id": 4, "ip": "127.77.0.1" }, "firewalls": [{ "id": 3, "status": "applied" }] },
        }))),
        volume: Some(read::<Volume>(
            json!({ "id": 2, "name": "demo-data", "server": 1, "size": 10, "location": location }),
        )),
        firewall: Some(read::<Firewall>(json!({
            "id": 3, "name": "demo",
            "rules": [rule("tcp", json!("443")), rule("icmp", Value::Null), rule("tcp", json!("22"))],
        }))),
        ssh_key: Some(read::<SshKey>(
            json!({ "id": 6, "name": "demo", "public_key": "ssh-ed25519 AAAAC3Nz other-comment" }),
        )),
        ipv4: Some(read::<PrimaryIp>(
            json!({ "id": 4, "name": "demo-ipv4", "ip": "127.77.0.1", "type": "ipv4", "location": location }),
        )),
        ipv6: Some(read::<PrimaryIp>(
            json!({ "id": 7, "name": "demo-ipv6", "ip": "2001:db8::/64", "type": "ipv6", "location": location }),
        )),
        ..empty()
    }
}

fn planned(world: &World) -> Plan {
    plan(&project(), KEY, world)
}

fn changes(world: &World) -> Vec<String> {
    planned(world).changes.iter().map(|p| p.change.to_string()).collect()
}

#[test]
fn from_nothing_everything_is_made_in_order_with_its_price() {
    let shown = planned(&empty()).to_string();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/from-nothing.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &shown).unwrap();
    }
    assert_eq!(shown, std::fs::read_to_string(golden).unwrap());
}

#[test]
fn the_same_world_gives_the_same_plan() {
    assert_eq!(planned(&empty()), planned(&empty()));
}

#[test]
fn when_all_is_there_nothing_changes() {
    let plan = planned(&complete());
    assert!(plan.is_empty() && plan.obstacles.is_empty() && plan.kept.is_empty(), "{plan}");
}

#[test]
fn each_drift_is_one_change() {
    let mut world = complete();
    world.firewall.as_mut().unwrap().rules.pop();
    assert_eq!(changes(&world), ["~ firewall rules (open: 22/tcp, icmp, 443/tcp)"]);

    let mut world = complete();
    world.server.as_mut().unwrap().public_net.firewalls.clear();
    assert_eq!(changes(&world), ["~ firewall applied to the server"]);

    let mut world = complete();
    "off".clone_into(&mut world.server.as_mut().unwrap().status);
    assert_eq!(changes(&world), ["~ server powered on"]);

    let mut world = complete();
    world.volume.as_mut().unwrap().server = None;
    assert_eq!(changes(&world), ["~ volume attached to the server"]);

    let mut world = complete();
    world.volume.as_mut().unwrap().size = 5;
    assert_eq!(changes(&world), ["~ volume grown to 10 GB"]);
}

#[test]
fn a_lost_server_is_made_again_beside_its_volume_and_addresses() {
    let world = World { server: None, ..complete() };
    let mut detached = world;
    detached.volume.as_mut().unwrap().server = None;
    let changes = planned(&detached).changes;
    assert!(matches!(changes[0].change, Change::CreateServer { .. }), "{changes:?}");
    assert!(matches!(changes[1].change, Change::AttachVolume { volume: 2 }), "{changes:?}");
    assert_eq!(changes.len(), 2);
}

#[test]
fn what_cannot_be_changed_in_place_is_left_and_said() {
    let mut world = complete();
    "cpx42".clone_into(&mut world.server.as_mut().unwrap().server_type.name);
    world.volume.as_mut().unwrap().size = 100;
    let plan = planned(&world);
    assert!(plan.is_empty());
    assert_eq!(plan.kept.len(), 2, "{plan}");
}

#[test]
fn what_stands_in_the_way_is_named() {
    let named = |world: &World, words: &[&str]| {
        let plan = planned(world);
        assert_eq!(plan.obstacles.len(), 1, "{plan}");
        words.iter().for_each(|word| assert!(plan.obstacles[0].contains(word), "{plan}"));
    };
    let mut sold_out = empty();
    sold_out.server_type.as_mut().unwrap().locations[0].available = Some(false);
    named(&sold_out, &["out of stock", "fsn1", "nothing was changed"]);

    named(&World { server_type: None, ..empty() }, &["no server type", "cax31"]);
    named(&World { image: None, ..empty() }, &["no image", "debian-13", "arm"]);

    let mut elsewhere = complete();
    elsewhere.volume.as_mut().unwrap().location = Some(Location { name: "hel1".into() });
    named(&elsewhere, &["demo-data", "hel1", "cannot be moved"]);

    let mut taken = complete();
    taken.volume.as_mut().unwrap().server = Some(99);
    named(&taken, &["server 99", "detach"]);
}

#[test]
fn stock_that_is_not_stated_is_no_obstacle() {
    let mut world = empty();
    let unknown: ServerType = read(json!({ "id": 94, "name": "cax31", "architecture": "arm" }));
    world.server_type = Some(unknown);
    assert!(planned(&world).obstacles.is_empty());
}
