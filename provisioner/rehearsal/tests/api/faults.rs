use crate::common::ask;
use crate::world::{World, names};
use serde_json::{Value, json};
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
            json!({"method": "ACTION", "path": format!("/{command}"), "kind": "refuse", "status": 500, "code": "action_failed"}),
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
