use crate::world::World;
use rehearsal::Clock;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn world(auto: bool) -> World {
    World::with(|config| {
        config.clock = Clock::Virtual { auto };
        config.action_ms = 1000;
        config.action_durations =
            [("create_server".to_owned(), 60_000), ("start_server".to_owned(), 5000)].into();
    })
}

fn advance(world: &World, millis: u64) -> Value {
    let reply = world.ask("POST", "/_rehearsal/clock", Some(&json!({"advance_ms": millis})));
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

fn make_server(world: &World) -> (Value, Value, u64) {
    let order = json!({"name": "a", "server_type": "cax11", "image": "debian-13", "location": "fsn1"});
    let made = world.post("/v1/servers", order);
    let id = made["server"]["id"].as_u64().unwrap();
    (made["action"]["id"].clone(), made["next_actions"][0]["id"].clone(), id)
}

fn action(world: &World, id: &Value) -> Value {
    world.get(&format!("/v1/actions/{id}"))["action"].clone()
}

fn seconds(action: &Value) -> i64 {
    let at = |field: &str| OffsetDateTime::parse(action[field].as_str().unwrap(), &Rfc3339).unwrap();
    (at("finished") - at("started")).whole_seconds()
}

#[test]
fn actions_end_when_the_clock_says_so() {
    let world = world(false);
    let (create, start, id) = make_server(&world);
    advance(&world, 59_999);
    assert_eq!(action(&world, &create)["status"], "running");
    advance(&world, 1);
    assert_eq!(action(&world, &create)["status"], "success");
    assert_eq!(action(&world, &start)["status"], "running");
    advance(&world, 5000);
    assert_eq!(action(&world, &start)["status"], "success");
    assert_eq!(world.get(&format!("/v1/servers/{id}"))["server"]["status"], "running");
}

#[test]
fn one_great_leap_passes_every_moment_on_its_way() {
    let world = world(false);
    let (create, start, _) = make_server(&world);
    let before = advance(&world, 0)["unix_ms"].as_u64().unwrap();
    assert_eq!(advance(&world, 3_600_000)["unix_ms"].as_u64().unwrap(), before + 3_600_000);
    assert_eq!(seconds(&action(&world, &create)), 60);
    // Both belong to one chain, so the second was asked for when the first was.
    assert_eq!(seconds(&action(&world, &start)), 65);
}

#[test]
fn polling_moves_the_clock_where_it_is_to() {
    let world = world(true);
    let begin = Instant::now();
    let (create, start, id) = make_server(&world);
    assert_eq!(action(&world, &create)["status"], "success");
    assert_eq!(action(&world, &start)["status"], "success");
    let off = world.post(&format!("/v1/servers/{id}/actions/shutdown"), Value::Null);
    assert_eq!(world.wait(&off)["status"], "success");
    world.until(id, "off");
    assert!(begin.elapsed() < Duration::from_secs(60), "nothing waits in real time");
    let now = || world.get("/_rehearsal/clock")["unix_ms"].as_u64().unwrap();
    let before = now();
    world.get("/v1/servers");
    assert_eq!(now(), before + 500);
    let stop = world.ask("POST", "/_rehearsal/clock", Some(&json!({"auto": false})));
    assert_eq!((stop.status, &stop.body["auto"]), (200, &json!(false)));
    world.get("/v1/servers");
    assert_eq!(now(), before + 500);
}

#[test]
fn a_shut_down_server_is_off_a_moment_after_its_action() {
    let world = world(false);
    let (_, _, id) = make_server(&world);
    advance(&world, 65_000);
    let status = || world.get(&format!("/v1/servers/{id}"))["server"]["status"].clone();
    let shutdown = world.post(&format!("/v1/servers/{id}/actions/shutdown"), Value::Null);
    assert_eq!(status(), "running");
    advance(&world, 1000);
    assert_eq!(action(&world, &shutdown["action"]["id"])["status"], "success");
    advance(&world, 1);
    assert_eq!(status(), "off");
}

#[test]
fn late_and_stuck_actions_keep_to_the_clock() {
    let world = world(false);
    let slow = json!({"method": "ACTION", "path": "/create_volume", "kind": "delay", "ms": 30_000});
    let stuck = json!({"method": "ACTION", "path": "/create_volume", "nth": 2, "kind": "stuck"});
    for fault in [slow, stuck] {
        assert_eq!(world.ask("POST", "/_rehearsal/faults", Some(&fault)).status, 204);
    }
    let order = |name: &str| {
        world.post("/v1/volumes", json!({"name": name, "size": 10, "location": "fsn1"}))["action"]["id"]
            .clone()
    };
    let first = order("a");
    advance(&world, 30_999);
    assert_eq!(action(&world, &first)["status"], "running");
    advance(&world, 1);
    assert_eq!(action(&world, &first)["status"], "success");
    let second = order("b");
    advance(&world, 86_400_000);
    assert_eq!(action(&world, &second)["status"], "running");
    assert_eq!(world.ask("DELETE", "/_rehearsal/faults", None).status, 204);
    advance(&world, 1000);
    assert_eq!(action(&world, &second)["status"], "success");
}

#[test]
fn the_budget_refills_on_the_cloud_s_clock() {
    let world = World::with(|config| {
        config.clock = Clock::Virtual { auto: false };
        config.rate_limit = 2;
    });
    world.get("/v1/servers");
    world.get("/v1/servers");
    let refused = world.ask("GET", "/v1/servers", None);
    assert_eq!((refused.status, refused.header("ratelimit-remaining")), (429, Some("0")));
    let full: u64 = refused.header("ratelimit-reset").unwrap().parse().unwrap();
    let now = world.get("/_rehearsal/clock")["unix_ms"].as_u64().unwrap();
    assert_eq!(full, (now + 3_600_000).div_ceil(1000));
    advance(&world, 1_800_000);
    world.get("/v1/servers");
    world.refused(429, "rate_limit_exceeded", "GET", "/v1/servers", Value::Null);
}

#[test]
fn the_clock_never_goes_back() {
    let mut world = world(false);
    advance(&world, 86_400_000);
    let order = world.post("/v1/volumes", json!({"name": "v", "size": 10, "location": "fsn1"}));
    let before = world.get("/_rehearsal/clock")["unix_ms"].as_u64().unwrap();
    world.restart();
    assert_eq!(world.get("/_rehearsal/clock")["unix_ms"].as_u64().unwrap(), before);
    advance(&world, 1000);
    assert_eq!(seconds(&action(&world, &order["action"]["id"])), 1);
}

#[test]
fn the_real_clock_is_not_moved() {
    let world = World::new();
    let clock = world.get("/_rehearsal/clock");
    assert_eq!((&clock["clock"], &clock["auto"]), (&json!("real"), &Value::Null));
    world.refused(422, "invalid_input", "POST", "/_rehearsal/clock", json!({"advance_ms": 1}));
}

#[test]
fn every_request_waits_as_long_as_is_configured() {
    let world = World::with(|config| config.latency_ms = 100);
    let start = Instant::now();
    world.get("/v1/servers");
    assert!(start.elapsed() >= Duration::from_millis(100));
}
