use crate::world::{World, names};
use rehearsal::Clock;
use serde_json::{Value, json};

const NAMESERVERS: [&str; 3] =
    ["hydrogen.ns.hetzner.com.", "oxygen.ns.hetzner.com.", "helium.ns.hetzner.de."];

/// A world with the zone example.com in it.
fn with_zone() -> World {
    let world = World::new();
    world.done("/v1/zones", json!({"name": "example.com", "mode": "primary"}));
    world
}

fn set(world: &World, name: &str, kind: &str, values: &[&str]) -> Value {
    let records: Vec<_> = values.iter().map(|value| json!({"value": value})).collect();
    let body = json!({"name": name, "type": kind, "records": records});
    world.done("/v1/zones/example.com/rrsets", body)["rrset"].clone()
}

fn rrset(world: &World, id: &str) -> Value {
    world.get(&format!("/v1/zones/example.com/rrsets/{id}"))["rrset"].clone()
}

fn values(set: &Value) -> Vec<&str> {
    set["records"].as_array().unwrap().iter().map(|record| record["value"].as_str().unwrap()).collect()
}

fn serial(world: &World) -> u64 {
    let soa = rrset(world, "@/SOA");
    values(&soa)[0].split(' ').nth(2).unwrap().parse().unwrap()
}

#[test]
fn a_zone_lives_and_dies() {
    let world = World::new();
    let body = json!({"name": "example.com", "mode": "primary", "ttl": 600, "labels": {"env": "test"}});
    let made = world.done("/v1/zones", body);
    assert_eq!(made["action"]["command"], "create_zone");
    assert_eq!(made["action"]["resources"], json!([{"id": made["zone"]["id"], "type": "zone"}]));
    let by_id = world.get(&format!("/v1/zones/{}", made["zone"]["id"]))["zone"].clone();
    let zone = world.get("/v1/zones/example.com")["zone"].clone();
    assert_eq!(zone, by_id);
    assert_eq!(
        (&zone["status"], &zone["ttl"], &zone["record_count"]),
        (&json!("ok"), &json!(600), &json!(4))
    );
    assert_eq!(zone["authoritative_nameservers"]["assigned"], json!(NAMESERVERS));
    assert_eq!(values(&rrset(&world, "@/NS")), NAMESERVERS);
    let soa = rrset(&world, "@/SOA");
    assert!(values(&soa)[0].starts_with("hydrogen.ns.hetzner.com. dns.hetzner.com. 20"), "{soa}");
    let relabelled = world.put("/v1/zones/example.com", json!({"labels": {"env": "prod"}}));
    assert_eq!(relabelled["zone"]["labels"], json!({"env": "prod"}));
    world.done("/v1/zones/example.com/actions/change_ttl", json!({"ttl": 7200}));
    world.done("/v1/zones/example.com/actions/change_protection", json!({"delete": true}));
    let changed = world.get("/v1/zones/example.com")["zone"].clone();
    assert_eq!((&changed["ttl"], &changed["protection"]["delete"]), (&json!(7200), &json!(true)));
    world.refused(423, "protected", "DELETE", "/v1/zones/example.com", Value::Null);
    world.done("/v1/zones/example.com/actions/change_protection", json!({"delete": false}));
    let listed = world.get("/v1/zones/example.com/actions?sort=id:desc");
    assert_eq!(listed["actions"][3]["command"], "create_zone");
    let first = &listed["actions"][3]["id"];
    assert_eq!(world.get(&format!("/v1/zones/example.com/actions/{first}"))["action"], listed["actions"][3]);
    assert_eq!(world.get("/v1/zones/actions")["actions"].as_array().unwrap().len(), 4);
    world.get(&format!("/v1/zones/actions/{first}"));
    world.delete("/v1/zones/example.com");
    world.refused(404, "not_found", "GET", "/v1/zones/example.com", Value::Null);
    world.refused(404, "not_found", "GET", "/v1/zones/example.com/rrsets", Value::Null);
}

#[test]
fn what_the_registrar_says_is_not_known_until_it_is_looked_at() {
    let mut world = with_zone();
    let servers =
        |world: &World| world.get("/v1/zones/example.com")["zone"]["authoritative_nameservers"].clone();
    let fresh = json!({
        "assigned": NAMESERVERS, "delegated": [], "delegation_last_check": null, "delegation_status": "unknown",
    });
    assert_eq!(servers(&world), fresh);
    let stage = |world: &World, body: Value| {
        let reply = world.ask("PUT", "/_rehearsal/zones/example.com/delegation", Some(&body));
        (reply.status, reply.body)
    };
    let others = json!(["ns1.example.net."]);
    for status in ["invalid", "lame", "unregistered", "partially-valid"] {
        assert_eq!(stage(&world, json!({"status": status, "nameservers": others})).0, 204);
        let found = servers(&world);
        assert_eq!((&found["delegation_status"], &found["delegated"]), (&json!(status), &others));
        assert!(found["delegation_last_check"].is_string(), "{found}");
    }
    assert_eq!(stage(&world, json!({"status": "valid"})).0, 204);
    world.restart();
    let found = servers(&world);
    assert_eq!((&found["delegation_status"], &found["delegated"]), (&json!("valid"), &json!(NAMESERVERS)));
    assert_eq!(stage(&world, json!({"status": "unknown"})).0, 204);
    assert_eq!(servers(&world), fresh);
    for (path, body, status) in [
        ("example.com", json!({"status": "fine"}), 422),
        ("example.com", json!({}), 422),
        ("example.net", json!({"status": "valid"}), 404),
    ] {
        let path = format!("/_rehearsal/zones/{path}/delegation");
        assert_eq!(world.ask("PUT", &path, Some(&body)).status, status, "{path} {body}");
    }
}

#[test]
fn zones_are_found_and_sorted() {
    // All of them are made at the same moment.
    let world = World::with(|config| config.clock = Clock::Virtual { auto: false });
    for (name, mode) in [("b.example", "primary"), ("a.example", "secondary"), ("c.example", "primary")] {
        let nameservers = json!([{"address": "192.0.2.1"}]);
        let body =
            json!({"name": name, "mode": mode, "labels": {"is": mode}, "primary_nameservers": nameservers});
        world.post("/v1/zones", body);
    }
    let table = [
        ("", "b.example a.example c.example"),
        ("?name=a.example", "a.example"),
        ("?mode=primary", "b.example c.example"),
        ("?label_selector=is=secondary", "a.example"),
        ("?sort=name", "a.example b.example c.example"),
        ("?sort=created&sort=id:desc", "c.example a.example b.example"),
    ];
    for (query, expected) in table {
        assert_eq!(names(&world.get(&format!("/v1/zones{query}")), "zones"), expected, "{query}");
    }
    world.refused(422, "invalid_input", "GET", "/v1/zones?sort=mode", Value::Null);
}

#[test]
fn zones_that_cannot_be_are_refused() {
    let world = with_zone();
    let with = |extra: Value| {
        let mut body = json!({"name": "new.example", "mode": "primary"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let www = json!({"name": "www", "type": "A", "records": [{"value": "192.0.2.1"}]});
    let table = [
        (with(json!({"name": "example.com"})), 409, "uniqueness_error"),
        (with(json!({"name": "com"})), 422, "invalid_input"),
        (with(json!({"name": "Example.org"})), 422, "invalid_input"),
        (with(json!({"name": "example.org."})), 422, "invalid_input"),
        (with(json!({"mode": "tertiary"})), 422, "invalid_input"),
        (json!({"name": "example.org"}), 422, "invalid_input"),
        (with(json!({"ttl": 59})), 422, "invalid_input"),
        (with(json!({"ttl": 2_147_483_648_u64})), 422, "invalid_input"),
        (with(json!({"mode": "secondary"})), 422, "invalid_input"),
        (
            with(json!({"mode": "secondary", "primary_nameservers": [{"address": "ns1"}]})),
            422,
            "invalid_input",
        ),
        (
            with(
                json!({"mode": "secondary", "primary_nameservers": [{"address": "::1", "tsig_key": "aGV5"}]}),
            ),
            422,
            "invalid_input",
        ),
        (with(json!({"rrsets": [www, www]})), 422, "invalid_input"),
        (with(json!({"rrsets": [{"name": "www", "type": "A", "records": []}]})), 422, "invalid_input"),
        (with(json!({"rrsets": [www], "zonefile": "www A 192.0.2.1"})), 422, "invalid_input"),
        (with(json!({"zonefile": "www A"})), 422, "invalid_input"),
    ];
    for (body, status, code) in table {
        world.refused(status, code, "POST", "/v1/zones", body);
    }
    assert_eq!(names(&world.get("/v1/zones"), "zones"), "example.com");
}

#[test]
fn a_zone_is_made_with_its_records() {
    let world = World::new();
    let www = json!({"name": "www", "type": "A", "ttl": 60, "labels": {"a": "b"},
        "records": [{"value": "192.0.2.1", "comment": "web"}]});
    world.done("/v1/zones", json!({"name": "example.com", "mode": "primary", "rrsets": [www]}));
    let made = rrset(&world, "www/A");
    assert_eq!(
        (&made["ttl"], &made["records"], &made["labels"]),
        (&json!(60), &www["records"], &www["labels"])
    );
    assert_eq!(world.get("/v1/zones/example.com")["zone"]["record_count"], 5);
    let file = "$ORIGIN\texample.org.\n$TTL\t10800\n\n@\tIN\tA\t198.51.100.1 ; My web server.\n";
    let body = json!({"name": "example.org", "mode": "primary", "zonefile": file});
    let made = world.done("/v1/zones", body);
    assert_eq!((&made["zone"]["ttl"], &made["zone"]["record_count"]), (&json!(10800), &json!(5)));
    let apex = world.get("/v1/zones/example.org/rrsets/@/A")["rrset"].clone();
    assert_eq!(apex["records"], json!([{"value": "198.51.100.1", "comment": "My web server."}]));
}

#[test]
fn records_are_set_added_removed_and_commented() {
    let world = with_zone();
    let before = serial(&world);
    let made = set(&world, "www", "A", &["192.0.2.1"]);
    assert_eq!((&made["id"], &made["ttl"]), (&json!("www/A"), &Value::Null));
    assert!(serial(&world) > before);
    let path = "/v1/zones/example.com/rrsets/www/A";
    let act = |action: &str, body: Value| world.done(&format!("{path}/actions/{action}"), body);
    let added = act("add_records", json!({"records": [{"value": "192.0.2.2", "comment": "two"}]}));
    assert_eq!(added["action"]["command"], "add_rrset_records");
    assert_eq!(values(&rrset(&world, "www/A")), ["192.0.2.1", "192.0.2.2"]);
    let body =
        json!({"records": [{"value": "192.0.2.1", "comment": "one"}, {"value": "192.0.2.2", "comment": ""}]});
    let reply = world.ask("POST", &format!("{path}/actions/update_records"), Some(&body));
    assert_eq!((reply.status, &reply.body["action"]["command"]), (200, &json!("update_rrset_records")));
    let commented = json!([{"value": "192.0.2.1", "comment": "one"}, {"value": "192.0.2.2"}]);
    assert_eq!(rrset(&world, "www/A")["records"], commented);
    act("change_ttl", json!({"ttl": 300}));
    let wrong = json!({"ttl": 60, "records": [{"value": "192.0.2.3"}]});
    let error = world.refused(422, "invalid_input", "POST", &format!("{path}/actions/add_records"), wrong);
    assert_eq!(error["details"]["fields"][0]["name"], "ttl");
    act("add_records", json!({"ttl": 300, "records": [{"value": "192.0.2.3"}]}));
    act("change_ttl", json!({"ttl": null}));
    assert_eq!(rrset(&world, "www/A")["ttl"], Value::Null);
    act("set_records", json!({"records": [{"value": "192.0.2.9"}]}));
    assert_eq!(values(&rrset(&world, "www/A")), ["192.0.2.9"]);
    assert_eq!(world.put(path, json!({"labels": {"x": "y"}}))["rrset"]["labels"], json!({"x": "y"}));
    act("remove_records", json!({"records": [{"value": "192.0.2.9"}]}));
    world.refused(404, "not_found", "GET", path, Value::Null);
    act("add_records", json!({"ttl": 120, "records": [{"value": "192.0.2.1"}]}));
    assert_eq!(rrset(&world, "www/A")["ttl"], 120);
    world.delete(path);
    world.refused(404, "not_found", "DELETE", path, Value::Null);
}

#[test]
fn records_that_cannot_be_are_refused() {
    let world = with_zone();
    set(&world, "www", "A", &["192.0.2.1"]);
    set(&world, "alias", "CNAME", &["www"]);
    let table = [
        ("www", "A", json!(["192.0.2.2"]), 409, "uniqueness_error"),
        ("www", "CNAME", json!(["example.org."]), 422, "invalid_input"),
        ("alias", "TXT", json!(["\"x\""]), 422, "invalid_input"),
        ("alias", "A", json!(["192.0.2.1"]), 422, "invalid_input"),
        ("@", "CNAME", json!(["www"]), 422, "invalid_input"),
        ("a", "A", json!(["192.0.2.300"]), 422, "invalid_input"),
        ("a", "AAAA", json!(["192.0.2.1"]), 422, "invalid_input"),
        ("a", "MX", json!(["mail"]), 422, "invalid_input"),
        ("a", "TXT", json!(["bare words"]), 422, "invalid_input"),
        ("a", "A", json!(["192.0.2.1", "192.0.2.1"]), 422, "invalid_input"),
        ("a", "A", json!([]), 422, "invalid_input"),
        ("A", "A", json!(["192.0.2.1"]), 422, "invalid_input"),
        ("a.example.com", "A", json!(["192.0.2.1"]), 422, "invalid_input"),
        ("a.", "A", json!(["192.0.2.1"]), 422, "invalid_input"),
        ("a", "SPF", json!(["\"x\""]), 422, "invalid_input"),
        ("a", "SOA", json!(["a. b. 1 2 3 4 5"]), 422, "invalid_input"),
    ];
    for (name, kind, values, status, code) in table {
        let records: Vec<_> = values.as_array().unwrap().iter().map(|v| json!({"value": v})).collect();
        let body = json!({"name": name, "type": kind, "records": records});
        world.refused(status, code, "POST", "/v1/zones/example.com/rrsets", body);
    }
    let table = [
        ("DELETE", "@/SOA", json!(null)),
        ("POST", "www/A/actions/remove_records", json!({"records": [{"value": "192.0.2.77"}]})),
        ("POST", "www/A/actions/add_records", json!({"records": [{"value": "192.0.2.1"}]})),
        ("POST", "www/A/actions/add_records", json!({"records": []})),
        ("POST", "www/CNAME/actions/add_records", json!({"records": [{"value": "example.org."}]})),
        ("POST", "alias/TXT/actions/add_records", json!({"records": [{"value": "\"x\""}]})),
        ("POST", "alias/CNAME/actions/add_records", json!({"records": [{"value": "example.org."}]})),
        ("POST", "www/A/actions/change_ttl", json!({})),
        ("POST", "www/A/actions/change_ttl", json!({"ttl": 1})),
        ("POST", "www/A/actions/update_records", json!({"records": [{"value": "192.0.2.1"}]})),
        (
            "POST",
            "www/A/actions/update_records",
            json!({"records": [{"value": "192.0.2.1", "comment": "a\nb"}]}),
        ),
        ("POST", "www/A/actions/change_protection", json!({})),
        ("POST", "new/BOGUS/actions/add_records", json!({"records": [{"value": "192.0.2.1"}]})),
    ];
    for (method, path, body) in table {
        world.refused(422, "invalid_input", method, &format!("/v1/zones/example.com/rrsets/{path}"), body);
    }
    let missing = "/v1/zones/example.com/rrsets/none/A/actions/set_records";
    world.refused(404, "not_found", "POST", missing, json!({"records": [{"value": "192.0.2.1"}]}));
    assert_eq!(world.get("/v1/zones/example.com")["zone"]["record_count"], 6);
}

#[test]
fn a_protected_rrset_stays() {
    let world = with_zone();
    set(&world, "www", "A", &["192.0.2.1"]);
    let path = "/v1/zones/example.com/rrsets/www/A";
    world.done(&format!("{path}/actions/change_protection"), json!({"change": true}));
    assert_eq!(rrset(&world, "www/A")["protection"]["change"], true);
    let records = json!({"records": [{"value": "192.0.2.1", "comment": "x"}], "ttl": 60});
    for action in ["set_records", "add_records", "remove_records", "update_records", "change_ttl"] {
        world.refused(423, "protected", "POST", &format!("{path}/actions/{action}"), records.clone());
    }
    world.refused(423, "protected", "DELETE", path, Value::Null);
    let file = world.get("/v1/zones/example.com/zonefile");
    world.refused(423, "protected", "POST", "/v1/zones/example.com/actions/import_zonefile", file);
    world.refused(423, "protected", "DELETE", "/v1/zones/example.com", Value::Null);
    assert_eq!(values(&rrset(&world, "www/A")), ["192.0.2.1"]);
    world.done(&format!("{path}/actions/change_protection"), json!({"change": false}));
    world.delete(path);
}

#[test]
fn rrsets_are_listed() {
    let world = with_zone();
    set(&world, "www", "A", &["192.0.2.1"]);
    set(&world, "www", "AAAA", &["2001:db8::1"]);
    set(&world, "*", "A", &["192.0.2.2"]);
    world.put("/v1/zones/example.com/rrsets/www/A", json!({"labels": {"role": "web"}}));
    let ids = |query: &str| {
        let body = world.get(&format!("/v1/zones/example.com/rrsets{query}"));
        let sets = body["rrsets"].as_array().unwrap().clone();
        assert!(sets.iter().all(|set| set.get("created").is_none()), "{body}");
        sets.iter().map(|set| set["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(""), "*/A @/NS @/SOA www/A www/AAAA");
    assert_eq!(ids("?name=www"), "www/A www/AAAA");
    assert_eq!(ids("?type=A&type=SOA"), "*/A @/SOA www/A");
    assert_eq!(ids("?label_selector=role"), "www/A");
    assert_eq!(ids("?sort=name:desc&sort=id:desc"), "www/AAAA www/A @/SOA @/NS */A");
    assert_eq!(ids("?sort=created&per_page=2&page=2").split(' ').count(), 2);
    let clamped = world.get("/v1/zones/example.com/rrsets?per_page=1000");
    assert_eq!(clamped["meta"]["pagination"]["per_page"], 100);
}

#[test]
fn a_zone_file_goes_out_and_in() {
    let world = with_zone();
    set(&world, "mail", "MX", &["10 mail", "20 mail2.example.org."]);
    set(&world, "@", "TXT", &["\"v=spf1 mx -all\""]);
    let file = world.get("/v1/zones/example.com/zonefile")["zonefile"].as_str().unwrap().to_owned();
    assert!(file.contains("mail\tIN\tMX\t20 mail2.example.org.\n"), "{file}");
    let import = "/v1/zones/example.com/actions/import_zonefile";
    let more = format!("{file}\n$TTL 2h\nnew 60 IN A 192.0.2.7 ; a comment\n");
    world.done(import, json!({"zonefile": more}));
    let made = rrset(&world, "new/A");
    assert_eq!((&made["ttl"], &made["records"][0]["comment"]), (&json!(60), &json!("a comment")));
    assert_eq!(world.get("/v1/zones/example.com")["zone"]["ttl"], 7200);
    assert_eq!(values(&rrset(&world, "@/TXT")), ["\"v=spf1 mx -all\""]);
    let soa = file.lines().find(|line| line.contains("SOA")).unwrap();
    for broken in ["", "@ A 192.0.2.1", soa, "www A nonsense", &format!("{file}\nwww MX 10")] {
        world.refused(422, "invalid_input", "POST", import, json!({"zonefile": broken}));
    }
    assert_eq!(rrset(&world, "new/A"), made, "a file that is refused changes nothing");
}

#[test]
fn a_secondary_zone_has_no_rrsets_of_its_own() {
    let world = World::new();
    let key =
        json!({"address": "2001:db8::53", "port": 5353, "tsig_algorithm": "hmac-sha256", "tsig_key": "aGV5"});
    let nameservers = json!([{"address": "192.0.2.53"}, key]);
    let body = json!({"name": "example.com", "mode": "secondary", "primary_nameservers": nameservers});
    let made = world.done("/v1/zones", body);
    assert_eq!(made["zone"]["primary_nameservers"], json!([{"address": "192.0.2.53", "port": 53}, key]));
    assert_eq!(made["zone"]["record_count"], 0);
    let change = "/v1/zones/example.com/actions/change_primary_nameservers";
    world.done(change, json!({"primary_nameservers": [{"address": "192.0.2.54"}]}));
    assert_eq!(
        world.get("/v1/zones/example.com")["zone"]["primary_nameservers"],
        json!([{"address": "192.0.2.54", "port": 53}])
    );
    world.refused(422, "invalid_input", "POST", change, json!({"primary_nameservers": []}));
    let records = json!({"records": [{"value": "192.0.2.1", "comment": ""}]});
    let table = [
        ("GET", "/rrsets", json!(null)),
        ("POST", "/rrsets", json!({"name": "www", "type": "A", "records": [{"value": "192.0.2.1"}]})),
        ("GET", "/rrsets/www/A", json!(null)),
        ("PUT", "/rrsets/www/A", json!({"labels": {}})),
        ("DELETE", "/rrsets/www/A", json!(null)),
        ("POST", "/rrsets/www/A/actions/add_records", records.clone()),
        ("POST", "/rrsets/www/A/actions/set_records", records.clone()),
        ("POST", "/rrsets/www/A/actions/remove_records", records.clone()),
        ("POST", "/rrsets/www/A/actions/update_records", records),
        ("POST", "/rrsets/www/A/actions/change_ttl", json!({"ttl": 60})),
        ("POST", "/rrsets/www/A/actions/change_protection", json!({"change": true})),
        ("POST", "/actions/change_ttl", json!({"ttl": 60})),
        ("POST", "/actions/import_zonefile", json!({"zonefile": ""})),
        ("GET", "/zonefile", json!(null)),
    ];
    for (method, path, body) in table {
        world.refused(422, "incorrect_zone_mode", method, &format!("/v1/zones/example.com{path}"), body);
    }
    let primary = with_zone();
    let body = json!({"primary_nameservers": [{"address": "192.0.2.54"}]});
    primary.refused(422, "incorrect_zone_mode", "POST", change, body);
}

#[test]
fn a_zone_is_updating_until_it_is_published() {
    let mut world = World::slow();
    let made = world.post("/v1/zones", json!({"name": "example.com", "mode": "primary"}));
    assert_eq!(made["zone"]["status"], "updating");
    assert_eq!(made["zone"]["authoritative_nameservers"]["delegation_status"], "unknown");
    // Changes need not wait for each other; only a deletion locks.
    let add = "/v1/zones/example.com/rrsets/www/A/actions/add_records";
    world.post(add, json!({"records": [{"value": "192.0.2.1"}]}));
    world.post(add, json!({"records": [{"value": "192.0.2.2"}]}));
    assert_eq!(values(&rrset(&world, "www/A")), ["192.0.2.1", "192.0.2.2"]);
    let gone = world.ask("DELETE", "/v1/zones/example.com", None);
    world.refused(423, "locked", "POST", add, json!({"records": [{"value": "192.0.2.3"}]}));
    world.refused(423, "locked", "PUT", "/v1/zones/example.com", json!({"labels": {}}));
    world.hurry();
    assert_eq!(world.wait(&gone.body)["status"], "success");
    world.refused(404, "not_found", "GET", "/v1/zones/example.com", Value::Null);
}

#[test]
fn a_failed_publication_shows() {
    let world = with_zone();
    let fault =
        json!({"method": "ACTION", "path": "/set_rrset_records", "kind": "fail", "code": "action_failed"});
    let ordered = world.ask("POST", "/_rehearsal/faults", Some(&fault));
    assert_eq!(ordered.status, 204, "{}", ordered.body);
    set(&world, "www", "A", &["192.0.2.1"]);
    let path = "/v1/zones/example.com/rrsets/www/A/actions/set_records";
    let body = json!({"records": [{"value": "192.0.2.2"}]});
    assert_eq!(world.wait(&world.post(path, body.clone()))["error"]["code"], "action_failed");
    assert_eq!(world.get("/v1/zones/example.com")["zone"]["status"], "error");
    world.done(path, body);
    assert_eq!(world.get("/v1/zones/example.com")["zone"]["status"], "ok");
}
