use crate::common::{ask, parse, send};
use crate::world::{World, names};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn volume(name: &str) -> Value {
    json!({"name": name, "size": 10, "location": "fsn1"})
}

fn order(world: &World, fault: Value) {
    assert_eq!(world.ask("POST", "/_rehearsal/faults", Some(&fault)).status, 204);
}

#[test]
fn a_request_is_refused_before_it_is_done() {
    let world = World::new();
    order(
        &world,
        json!({"method": "POST", "path": "/v1/volumes", "kind": "refuse", "status": 409, "code": "conflict", "times": 2}),
    );
    world.refused(409, "conflict", "POST", "/v1/volumes", volume("v"));
    world.refused(409, "conflict", "POST", "/v1/volumes", volume("v"));
    world.post("/v1/volumes", volume("v"));
}

#[test]
fn a_reply_is_lost_after_the_request_was_done() {
    let world = World::new();
    order(&world, json!({"method": "POST", "path": "/v1/volumes", "kind": "lose"}));
    let body = volume("v").to_string();
    let lost = ask(&world.url(), &world.token(), "POST", "/v1/volumes", Some(&body));
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(names(&world.get("/v1/volumes"), "volumes"), "v");
    order(&world, json!({"path": "/v1/volumes", "nth": 2, "kind": "answer", "status": 504}));
    world.get("/v1/volumes");
    let reply =
        ask(&world.url(), &world.token(), "POST", "/v1/volumes", Some(&volume("w").to_string())).unwrap();
    assert_eq!(reply.status, 504);
    assert_eq!(names(&world.get("/v1/volumes"), "volumes"), "v w");
}

#[test]
fn a_request_is_delayed() {
    let world = World::new();
    order(&world, json!({"path": "/v1/", "kind": "delay", "ms": 200}));
    let start = Instant::now();
    world.get("/v1/servers");
    assert!(start.elapsed() >= Duration::from_millis(200));
    order(&world, json!({"path": "/v1/", "kind": "delay", "ms": 60_000}));
    assert_eq!(world.get("/_rehearsal/faults")["faults"].as_array().unwrap().len(), 2);
    assert_eq!(world.ask("DELETE", "/_rehearsal/faults", None).status, 204);
    world.get("/v1/servers");
}

#[test]
fn an_action_fails_and_what_follows_it_is_not_begun() {
    let world = World::new();
    let fail = |command: &str| {
        order(
            &world,
            json!({"method": "ACTION", "path": format!("/{command}"), "kind": "fail", "code": "action_failed"}),
        );
    };
    let server =
        |name: &str| json!({"name": name, "server_type": "cax11", "image": "debian-13", "location": "fsn1"});
    fail("create_server");
    let made = world.post("/v1/servers", server("a"));
    let start = world.wait(&made);
    assert_eq!((&start["status"], &start["error"]["code"]), (&json!("error"), &json!("action_failed")));
    assert!(start["error"]["message"].as_str().unwrap().starts_with("not begun, because"), "{start}");
    let id = made["server"]["id"].as_u64().unwrap();
    world.until(id, "off");
    fail("start_server");
    let again = world.post(&format!("/v1/servers/{id}/actions/poweron"), Value::Null);
    assert_eq!(world.wait(&again)["status"], "error");
    world.until(id, "off");
    world.done(&format!("/v1/servers/{id}/actions/poweron"), Value::Null);
    world.until(id, "running");
}

#[test]
fn an_action_is_stuck_until_it_is_released() {
    let world = World::new();
    let id = world.server("a");
    order(&world, json!({"method": "ACTION", "path": "/stop_server", "kind": "stuck"}));
    let stuck = world.post(&format!("/v1/servers/{id}/actions/poweroff"), Value::Null);
    assert_eq!(world.get("/_rehearsal/faults?wait_struck=20")["struck"], 1);
    let action = world.get(&format!("/v1/actions/{}", stuck["action"]["id"]));
    assert_eq!(action["action"]["status"], "running");
    world.refused(423, "locked", "DELETE", &format!("/v1/servers/{id}"), Value::Null);
    release(&world);
    assert_eq!(world.wait(&stuck)["status"], "success");
    world.until(id, "off");
}

fn release(world: &World) {
    assert_eq!(world.ask("POST", "/_rehearsal/faults/release", None).status, 204);
}

/// Orders a volume of a fault's kind and waits until the fault strikes; the client is still there.
fn struck(world: &World, name: &str, kind: &str) -> TcpStream {
    assert_eq!(world.ask("DELETE", "/_rehearsal/faults", None).status, 204);
    order(world, json!({"method": "POST", "path": "/v1/volumes", "kind": kind}));
    let body = volume(name).to_string();
    let client = send(&world.url(), &world.token(), "POST", "/v1/volumes", Some(&body)).unwrap();
    assert_eq!(world.get("/_rehearsal/faults?wait_struck=20")["struck"], 1);
    client
}

/// The status in the log of the request that ordered a volume last, once it has ended.
fn ended(world: &World) -> Value {
    let start = Instant::now();
    loop {
        let log = world.get("/_rehearsal/log")["log"].as_array().unwrap().clone();
        let order = log.iter().rfind(|entry| entry["method"] == "POST").unwrap();
        if order["end_ms"].is_number() {
            return order["status"].clone();
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{order} does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_held_request_is_done_when_it_is_released() {
    let world = World::new();
    for (name, kind, meanwhile) in [("a", "hold_before", ""), ("b", "hold_after", "a b")] {
        let client = struck(&world, name, kind);
        assert_eq!(names(&world.get("/v1/volumes"), "volumes"), meanwhile, "{kind}");
        release(&world);
        assert_eq!(parse(client).unwrap().status, 201);
        assert_eq!(ended(&world), 201);
    }
}

#[test]
fn a_held_request_ends_with_its_client() {
    let world = World::new();
    for (name, kind) in [("a", "hold_before"), ("b", "hold_after")] {
        drop(struck(&world, name, kind));
        assert!(ended(&world).is_null());
        release(&world);
    }
    assert_eq!(names(&world.get("/v1/volumes"), "volumes"), "b", "only what was done before it was held");
}

#[test]
fn a_strike_is_told_inside_the_process_too() {
    let world = World::new();
    let unanswered = || ask(&world.url(), &world.token(), "GET", "/v1/servers", None).is_err();
    order(&world, json!({"path": "/v1/", "kind": "lose", "times": 2}));
    assert!(unanswered() && unanswered());
    world.block_on(|running| async move {
        running.struck().await;
        running.struck().await;
        let third = tokio::time::timeout(Duration::from_millis(50), running.struck());
        assert!(third.await.is_err(), "there were two strikes");
    });
}

#[test]
fn a_refusal_says_what_it_is_told_to_say() {
    let world = World::new();
    let details = json!({"fields": [{"name": "size", "messages": ["is odd"]}]});
    order(
        &world,
        json!({"path": "/v1/volumes", "kind": "refuse", "status": 422, "code": "invalid_input",
            "message": "size is odd", "details": details}),
    );
    let error = world.refused(422, "invalid_input", "POST", "/v1/volumes", volume("v"));
    assert_eq!((&error["message"], &error["details"]), (&json!("size is odd"), &details));
    order(&world, json!({"path": "/v1/", "kind": "refuse", "status": 502, "body": "<html>"}));
    let bare = ask(&world.url(), &world.token(), "GET", "/v1/servers", None).unwrap();
    assert_eq!((bare.status, bare.body.as_str(), bare.header("content-type")), (502, Some("<html>"), None));
    order(&world, json!({"path": "/v1/", "kind": "refuse", "status": 429, "code": "rate_limit_exceeded"}));
    let limited = world.ask("GET", "/v1/servers", None);
    assert_eq!((limited.status, limited.header("ratelimit-remaining")), (429, Some("0")));
    let typo = json!({"path": "/v1/", "kind": "lose", "tmies": 2});
    world.refused(422, "invalid_input", "POST", "/_rehearsal/faults", typo);
}

#[test]
fn a_seed_decides_which_requests_are_struck() {
    let strikes = |seed: u64| -> Vec<u16> {
        let world = World::new();
        order(
            &world,
            json!({"path": "/v1/servers/{id}", "probability": 0.5, "seed": seed,
                "kind": "refuse", "status": 503, "code": "unavailable"}),
        );
        (0..20).map(|_| world.ask("GET", "/v1/servers/1", None).status).collect()
    };
    let first = strikes(1);
    assert!(first.contains(&503) && first.contains(&404), "{first:?}");
    assert_eq!(first, strikes(1));
    assert_ne!(first, strikes(2));
}

#[test]
fn requests_are_logged_in_order() {
    let world = World::new();
    world.get("/v1/servers?name=a");
    let first = struck(&world, "v", "hold_after");
    world.refused(404, "not_found", "GET", "/v1/volumes/1", Value::Null);
    release(&world);
    assert_eq!(parse(first).unwrap().status, 201);
    assert_eq!(ended(&world), 201);
    let log = world.get("/_rehearsal/log")["log"].as_array().unwrap().clone();
    let lines: Vec<_> = log
        .iter()
        .map(|e| format!("{} {} {}", e["method"], e["path"], e["status"]).replace('"', ""))
        .collect();
    assert_eq!(lines, ["GET /v1/servers?name=a 200", "POST /v1/volumes 201", "GET /v1/volumes/1 404"]);
    let ms = |entry: usize, field: &str| log[entry][field].as_f64().unwrap();
    assert!(ms(0, "end_ms") <= ms(1, "start_ms"));
    assert!(ms(1, "start_ms") <= ms(2, "start_ms") && ms(2, "end_ms") <= ms(1, "end_ms"), "they overlap");
    assert_eq!(world.ask("DELETE", "/_rehearsal/log", None).status, 204);
    assert_eq!(world.get("/_rehearsal/log")["log"], json!([]));
}

#[test]
fn requests_are_counted() {
    let world = World::new();
    world.get("/v1/servers");
    world.get("/v1/servers?name=a");
    world.volume("v");
    let counted = world.get("/_rehearsal/requests");
    assert_eq!(counted["requests"]["GET /v1/servers"], 2);
    assert_eq!(counted["requests"]["POST /v1/volumes"], 1);
    assert_eq!(world.ask("DELETE", "/_rehearsal/requests", None).status, 204);
    assert_eq!(world.get("/_rehearsal/requests")["total"], 0);
}
