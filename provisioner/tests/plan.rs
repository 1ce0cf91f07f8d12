//! The plan, as a person reads it: a world and a project in, the text out.
#![allow(clippy::unwrap_used, reason = "a test that cannot set up its world should stop")]

use provisioner::api::model::{
    Firewall, Image, Location, Pricing, PrimaryIp, RRSet, Server, ServerType, SshKey, Volume,
};
use provisioner::observe::World;
use provisioner::plan::{Change, Plan, Wish, plan};
use provisioner::project::Project;
use serde_json::{Value, json};

const KEY: &str = "ssh-ed25519 AAAAC3Nz sovereign-demo";
const TOML: &str = "[cloud]\nrehearsal = true\nprotect = false\n[volume]\nsize_gb = 10\n[firewall]\nopen = [\"443/tcp\"]\n[escrow]\nthrowaway_identity = true\n";

fn project() -> Project {
    Project::parse("demo", TOML).unwrap()
}

/// A project that asks for everything there is.
fn whole_project() -> Project {
    let dns = "[dns]\nzone = \"example.org\"\nhost = \"srv\"\nrecords = [\"www CNAME srv\", \"@ MX 10 srv\", \"@ TXT v=spf1 mx -all\"]\n";
    let text = TOML.replace(
        "protect = false\n",
        "protect = true\nlocation = [\"fsn1\", \"hel1\"]\n[server]\ntype = [\"cax31\", \"cpx42\"]\n",
    );
    Project::parse("demo", &format!("{text}{dns}[storage_box]\ntype = \"bx11\"\n")).unwrap()
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// What is on offer, and nothing of the project's.
fn empty() -> World {
    World {
        server_types: vec![
            read(json!({
                "id": 94, "name": "cax31", "architecture": "arm", "cores": 8, "memory": 16.0, "disk": 160,
                "prices": [{ "location": "fsn1", "price_monthly": { "net": "20.9900000000" } }],
                "locations": [{ "name": "fsn1", "available": true }, { "name": "hel1", "available": false }],
            })),
            read(json!({
                "id": 111, "name": "cpx42", "architecture": "x86", "disk": 320,
                "prices": [{ "location": "fsn1", "price_monthly": { "net": "69.4900000000" } }],
                "locations": [{ "name": "fsn1", "available": true }, { "name": "hel1", "available": true }],
            })),
        ],
        images: vec![
            read::<Image>(json!({ "id": 4, "name": "debian-13", "architecture": "x86" })),
            read::<Image>(json!({ "id": 5, "name": "debian-13", "architecture": "arm" })),
        ],
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
    let labels = json!({ "managed-by": "sovereign", "sovereign-project": "demo" });
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
            json!({ "id": 4, "name": "demo-ipv4", "ip": "127.77.0.1", "type": "ipv4", "location": location, "labels": labels, "assignee_id": 1 }),
        )),
        ipv6: Some(read::<PrimaryIp>(
            json!({ "id": 7, "name": "demo-ipv6", "ip": "2001:db8::/64", "type": "ipv6", "location": location, "labels": labels, "assignee_id": 1 }),
        )),
        ..empty()
    }
}

fn planned(world: &World) -> Plan {
    plan(&project(), KEY, world, Wish::default())
}

fn changes(world: &World) -> Vec<String> {
    planned(world).changes.iter().map(|p| p.change.to_string()).collect()
}

fn golden(name: &str, shown: &str) {
    let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, shown).unwrap();
    }
    assert_eq!(shown, std::fs::read_to_string(&path).unwrap());
}

/// The world of [`complete`] without its server: what hung on it hangs loose.
fn serverless() -> World {
    let mut world = World { server: None, ..complete() };
    world.volume.as_mut().unwrap().server = None;
    world.ipv4.as_mut().unwrap().assignee_id = None;
    world.ipv6.as_mut().unwrap().assignee_id = None;
    world
}

#[test]
fn from_nothing_everything_is_made_in_order_with_its_price() {
    golden("from-nothing", &planned(&empty()).to_string());
    golden("everything", &plan(&whole_project(), KEY, &empty(), Wish::default()).to_string());
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
    let changes = planned(&serverless()).changes;
    assert!(matches!(changes[0].change, Change::CreateServer { .. }), "{changes:?}");
    assert!(matches!(changes[1].change, Change::AttachVolume { volume: 2 }), "{changes:?}");
    assert_eq!(changes.len(), 2);
}

#[test]
fn what_cannot_be_changed_in_place_is_left_and_said() {
    let mut world = complete();
    "cpx42".clone_into(&mut world.server.as_mut().unwrap().server_type.name);
    world.server.as_mut().unwrap().image = Some(read(json!({ "id": 9, "name": "ubuntu-24.04" })));
    world.volume.as_mut().unwrap().size = 100;
    let plan = planned(&world);
    assert!(plan.is_empty());
    assert_eq!(plan.kept.len(), 3, "{plan}");
}

#[test]
fn what_stands_in_the_way_is_named() {
    let named = |world: &World, words: &[&str]| {
        let plan = planned(world);
        assert_eq!(plan.obstacles.len(), 1, "{plan}");
        words.iter().for_each(|word| assert!(plan.obstacles[0].contains(word), "{plan}"));
    };
    let mut sold_out = empty();
    sold_out.server_types[0].locations[0].available = Some(false);
    named(&sold_out, &["out of stock", "fsn1", "nothing was changed"]);

    named(&World { server_types: vec![], ..empty() }, &["no server type", "cax31"]);
    named(&World { images: vec![], ..empty() }, &["no image", "debian-13", "arm"]);

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
    world.server_types[0] = unknown;
    assert!(planned(&world).obstacles.is_empty());
}

fn whole(world: &World) -> Plan {
    plan(&whole_project(), KEY, world, Wish::default())
}

fn places(plan: &Plan) -> Vec<String> {
    let places = plan.changes.iter().find_map(|p| match &p.change {
        Change::CreateServer { places, .. } => {
            Some(places.iter().map(|p| format!("{p} {}", p.image)).collect())
        }
        _ => None,
    });
    places.unwrap()
}

#[test]
fn places_are_tried_type_by_type_and_stock_is_looked_at_first() {
    let mut world = empty();
    assert_eq!(places(&whole(&world)), ["cax31 in fsn1 5", "cpx42 in fsn1 4", "cpx42 in hel1 4"]);
    world.server_types[0].locations[0].available = Some(false);
    let plan = whole(&world);
    assert_eq!(places(&plan), ["cpx42 in fsn1 4", "cpx42 in hel1 4"]);
    let reason =
        plan.changes.iter().find(|p| matches!(p.change, Change::CreateServer { .. })).map(|p| &p.reason);
    let reason = reason.unwrap();
    for words in ["cax31 is out of stock in fsn1", "cax31 is out of stock in hel1", "from arm to x86"] {
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn a_volume_or_an_address_binds_the_server_to_its_location() {
    let world = World { volume: None, ipv6: None, ..serverless() };
    assert_eq!(places(&whole(&world)), ["cax31 in fsn1 5", "cpx42 in fsn1 4"]);
    let mut elsewhere = serverless();
    elsewhere.volume.as_mut().unwrap().location = Some(Location { name: "hel1".into() });
    assert_eq!(places(&whole(&elsewhere)), ["cpx42 in hel1 4"]);
}

#[test]
fn addresses_that_came_with_the_server_are_kept() {
    let mut world = complete();
    let ip = world.ipv4.as_mut().unwrap();
    ip.labels.clear();
    ip.auto_delete = true;
    assert_eq!(changes(&world), ["+ primary IP demo-ipv4 (kept beyond the server)"]);
    let mut drifted = complete();
    drifted.ipv6.as_mut().unwrap().auto_delete = true;
    assert_eq!(changes(&drifted), ["+ primary IP demo-ipv6 (kept beyond the server)"]);
}

#[test]
fn a_rebuild_is_asked_for_and_lifts_protection_only_for_itself() {
    let mut world = complete();
    world.server.as_mut().unwrap().protection.delete = true;
    let shown = |project: &Project, rebuild| {
        let plan = plan(project, KEY, &world, Wish { rebuild });
        plan.changes
            .iter()
            .map(|p| p.change.to_string())
            .filter(|c| c.contains("server ") && !c.contains("applied"))
            .collect::<Vec<_>>()
    };
    assert!(shown(&whole_project(), false).is_empty());
    assert_eq!(
        shown(&whole_project(), true),
        [
            "-/+ server rebuilt in place (root disk overwritten; volume and addresses stay)",
            "~ server protected from deletion",
        ]
    );
    let mut bare = project();
    bare.snapshot_before_rebuild = false;
    let plan = plan(&bare, KEY, &world, Wish { rebuild: true });
    assert_eq!(plan.changes.len(), 1, "no snapshot, no protection asked for: {plan}");
    let kept = whole_project();
    let plan = provisioner::plan::plan(&kept, KEY, &world, Wish { rebuild: true });
    let at = |wanted: fn(&Change) -> bool| plan.changes.iter().position(|p| wanted(&p.change)).unwrap();
    let (snapshot, rebuild) =
        (at(|c| matches!(c, Change::Snapshot { .. })), at(|c| matches!(c, Change::RebuildServer { .. })));
    assert!(snapshot < rebuild, "{plan}");
}

#[test]
fn the_type_is_changed_only_within_what_fits() {
    let mut world = complete();
    let other: ServerType = read(json!({ "id": 95, "name": "cax41", "architecture": "arm", "disk": 320,
        "locations": [{ "name": "fsn1", "available": true }] }));
    world.server_types.push(other.clone());
    let mut wants = project();
    wants.server_types = vec!["cax41".into()];
    let up = plan(&wants, KEY, &world, Wish::default());
    assert!(matches!(&up.changes[0].change, Change::ChangeServerType { to, .. } if to == "cax41"), "{up}");
    // Back again the disk would have to shrink, were it that of the larger type.
    world.server.as_mut().unwrap().server_type = other;
    let down = plan(&project(), KEY, &world, Wish::default());
    assert!(down.is_empty() && down.kept[0].contains("no smaller"), "{down}");
}

/// The zone as the whole project wants it.
fn zone() -> World {
    let labels = json!({ "managed-by": "sovereign", "sovereign-project": "demo" });
    let set = |name: &str, kind: &str, value: &str| {
        read(
            json!({ "id": format!("{name}/{kind}"), "name": name, "type": kind, "ttl": 3600, "labels": labels, "records": [{ "value": value }] }),
        )
    };
    let mut world = complete();
    world.zone = Some(read(
        json!({ "id": 8, "name": "example.org", "labels": labels, "protection": { "delete": true } }),
    ));
    world.rrsets = vec![
        set("srv", "A", "127.77.0.1"),
        set("srv", "AAAA", "2001:db8::1"),
        set("www", "CNAME", "srv"),
        set("@", "MX", "10 srv.example.org."),
        set("@", "TXT", "\"v=spf1 \" \"mx -all\""),
        read(
            json!({ "id": "@/NS", "name": "@", "type": "NS", "records": [{ "value": "hydrogen.ns.hetzner.com." }] }),
        ),
        read(json!({ "id": "shop/A", "name": "shop", "type": "A", "records": [{ "value": "192.0.2.9" }] })),
    ];
    for ip in [&mut world.ipv4, &mut world.ipv6].into_iter().flatten() {
        let address = ip.ip.replace("::/64", "::1");
        ip.dns_ptr = vec![read(json!({ "ip": address, "dns_ptr": "srv.example.org" }))];
    }
    world.storage_box = Some(read(json!({ "id": 9, "name": "demo-backup", "labels": labels,
        "storage_box_type": { "id": 1333, "name": "bx11" }, "protection": { "delete": true } })));
    let protect = |on: &mut bool| *on = true;
    protect(&mut world.server.as_mut().unwrap().protection.delete);
    protect(&mut world.volume.as_mut().unwrap().protection.delete);
    protect(&mut world.ipv4.as_mut().unwrap().protection.delete);
    protect(&mut world.ipv6.as_mut().unwrap().protection.delete);
    world
}

fn whole_changes(world: &World) -> Vec<String> {
    let plan = whole(world);
    assert!(plan.obstacles.is_empty(), "{plan}");
    plan.changes.iter().map(|p| p.change.to_string()).collect()
}

#[test]
fn a_zone_as_it_should_be_is_left_alone_and_so_are_others_records() {
    assert!(whole_changes(&zone()).is_empty(), "{}", whole(&zone()));
}

#[test]
fn records_of_ours_are_put_right() {
    let mut world = zone();
    world.rrsets[0].records[0].value = "192.0.2.1".into();
    world.rrsets[1].ttl = Some(60);
    world.rrsets[2].name = "old".into();
    assert_eq!(
        whole_changes(&world),
        [
            "~ record srv AAAA remembered for 3600 s",
            "- record old CNAME",
            "~ record srv A → the server's IPv4",
            "+ record www CNAME → srv.example.org.",
        ]
    );
    let mut reversed = zone();
    reversed.ipv4.as_mut().unwrap().dns_ptr[0].dns_ptr = "static.example.net".into();
    assert_eq!(whole_changes(&reversed), ["~ reverse name of the ipv4 address → srv.example.org"]);
}

#[test]
fn others_values_stay_beside_ours() {
    let mut world = zone();
    let others = |world: &mut World, at: usize, values: Value| {
        world.rrsets[at].labels.clear();
        world.rrsets[at].records = read(values);
    };
    others(&mut world, 4, json!([{ "value": "\"site-verification=1\"" }]));
    assert_eq!(whole_changes(&world), ["~ others' kept, added: record @ TXT → \"v=spf1 mx -all\""]);
    let added = json!([{ "value": "\"site-verification=1\"" }, { "value": "\"v=spf1 mx -all\"" }]);
    others(&mut world, 4, added);
    assert!(whole_changes(&world).is_empty());
    let stale = json!([{ "value": "\"v=spf1 mx -all\"" }, { "value": "\"v=spf1 old\"", "comment": "sovereign demo" }]);
    others(&mut world, 4, stale);
    assert_eq!(whole_changes(&world), ["~ others' kept, 1 removed: record @ TXT"]);

    let mut taken = zone();
    others(&mut taken, 0, json!([{ "value": "192.0.2.77" }]));
    let plan = whole(&taken);
    assert!(plan.obstacles[0].contains("srv A (192.0.2.77)"), "{plan}");
}

#[test]
fn protection_is_put_on_and_never_taken_off() {
    let mut world = zone();
    world.volume.as_mut().unwrap().protection.delete = false;
    assert_eq!(whole_changes(&world), ["~ volume protected from deletion"]);
    let unasked = planned(&zone());
    assert!(
        unasked.changes.is_empty() && unasked.kept.iter().any(|k| k.contains("only `destroy`")),
        "{unasked}"
    );
}

/// A record that somebody else put into the zone.
fn others(name: &str, kind: &str, value: &str) -> RRSet {
    let id = format!("{name}/{kind}");
    read(json!({ "id": id, "name": name, "type": kind, "records": [{ "value": value }] }))
}

#[test]
fn what_cannot_stand_beside_others_records_is_in_the_way() {
    for (ours, theirs, why) in [
        (
            "srv/A",
            others("srv", "CNAME", "other.example.net."),
            "CNAME other.example.net. at \"srv\" beside A",
        ),
        ("www/CNAME", others("www", "TXT", "\"x\""), "CNAME srv.example.org. at \"www\" beside TXT"),
        ("@/TXT", others("@", "TXT", "\"v=spf1 include:example.net -all\""), "2 texts of SPF"),
        ("@/MX", others("@", "MX", "0 ."), "there is none"),
    ] {
        let mut world = zone();
        let (name, _) = ours.split_once('/').unwrap();
        world.rrsets.retain(|set| set.id != ours && (set.name != name || theirs.kind != "CNAME"));
        world.rrsets.push(theirs);
        let plan = whole(&world);
        let named: Vec<_> = plan.obstacles.iter().filter(|obstacle| obstacle.contains(why)).collect();
        assert!(named.len() == 1 && plan.obstacles.len() == 1, "{why}: {plan}");
        assert!(named[0].contains("example.org") && named[0].contains("project.toml"), "{plan}");
    }
}

#[test]
fn what_goes_with_others_records_is_not_in_the_way() {
    let mut world = zone();
    world.rrsets.retain(|set| set.id != "@/TXT");
    world.rrsets.push(others("@", "TXT", "\"site-verification=1\""));
    world.rrsets.push(others("shop", "CNAME", "other.example.net."));
    assert_eq!(whole_changes(&world), ["~ others' kept, added: record @ TXT → \"v=spf1 mx -all\""]);
    // What the project added to others' values earlier, and now wishes otherwise, is no contradiction: it goes first.
    let added = json!([{ "value": "\"v=spf1 old\"", "comment": "sovereign demo" }, { "value": "\"x\"" }]);
    world.rrsets.iter_mut().find(|set| set.id == "@/TXT").unwrap().records = read(added);
    assert_eq!(
        whole_changes(&world),
        [
            "~ others' kept, 1 removed: record @ TXT",
            "~ others' kept, added: record @ TXT → \"v=spf1 mx -all\""
        ]
    );
}

#[test]
fn a_cname_takes_the_place_of_a_record_of_ours_that_goes_first() {
    let mut world = zone();
    let www = world.rrsets.iter_mut().find(|set| set.id == "www/CNAME").unwrap();
    www.kind = "A".into();
    www.records[0].value = "192.0.2.1".into();
    assert_eq!(whole_changes(&world), ["- record www A", "+ record www CNAME → srv.example.org."]);
    let plan = whole(&world);
    assert!(plan.changes[0].change.stage() < plan.changes[1].change.stage(), "{plan}");
}
