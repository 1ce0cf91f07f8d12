use crate::world::World;
use serde_json::{Value, json};

#[test]
fn a_volume_is_made_attached_grown_and_deleted() {
    let world = World::new();
    let made =
        world.post("/v1/volumes", json!({"name": "v", "size": 10, "location": "fsn1", "format": "ext4"}));
    let id = &made["volume"]["id"];
    assert_eq!(made["volume"]["status"], "creating");
    assert_eq!(made["volume"]["linux_device"], format!("/dev/disk/by-id/scsi-0HC_Volume_{id}"));
    world.wait(&made);
    let path = format!("/v1/volumes/{id}");
    assert_eq!(world.get(&path)["volume"]["status"], "available");
    let server = world.server("a");
    let act = |action: &str, body: Value| world.done(&format!("{path}/actions/{action}"), body);
    act("attach", json!({"server": server}));
    assert_eq!(world.get(&path)["volume"]["server"], server);
    world.refused(
        422,
        "volume_already_attached",
        "POST",
        &format!("{path}/actions/attach"),
        json!({"server": server}),
    );
    world.refused(422, "service_error", "DELETE", &path, Value::Null);
    act("resize", json!({"size": 20}));
    assert_eq!(world.get(&path)["volume"]["size"], 20);
    world.refused(422, "invalid_input", "POST", &format!("{path}/actions/resize"), json!({"size": 19}));
    act("detach", Value::Null);
    world.refused(422, "service_error", "POST", &format!("{path}/actions/detach"), Value::Null);
    act("change_protection", json!({"delete": true}));
    world.refused(423, "protected", "DELETE", &path, Value::Null);
    act("change_protection", json!({"delete": false}));
    world.delete(&path);
    world.refused(404, "not_found", "GET", &path, Value::Null);
}

#[test]
fn a_volume_is_made_at_a_server() {
    let world = World::new();
    let server = world.server("a");
    let made = world.done("/v1/volumes", json!({"name": "v", "size": 10, "server": server}));
    assert_eq!(made["next_actions"][0]["command"], "attach_volume");
    assert_eq!(
        world.get(&format!("/v1/servers/{server}"))["server"]["volumes"],
        json!([made["volume"]["id"]])
    );
}

#[test]
fn volumes_that_cannot_be_are_refused() {
    let world = World::new();
    world.volume("taken");
    let table = [
        (json!({"name": "-v", "size": 10, "location": "fsn1"}), 422, "invalid_input"),
        (json!({"name": "a b", "size": 10, "location": "fsn1"}), 422, "invalid_input"),
        (json!({"name": "v".repeat(65), "size": 10, "location": "fsn1"}), 422, "invalid_input"),
        (json!({"name": "v", "size": 9, "location": "fsn1"}), 422, "invalid_input"),
        (json!({"name": "v", "size": 10241, "location": "fsn1"}), 422, "invalid_input"),
        (json!({"name": "v", "size": "big", "location": "fsn1"}), 422, "invalid_input"),
        (json!({"name": "v", "size": 10}), 422, "invalid_input"),
        (json!({"name": "v", "size": 10, "location": "moon"}), 422, "invalid_input"),
        (json!({"name": "v", "size": 10, "location": "fsn1", "format": "ntfs"}), 422, "invalid_input"),
        (json!({"name": "v", "size": 10, "server": 1}), 404, "not_found"),
        (json!({"name": "taken", "size": 10, "location": "fsn1"}), 409, "uniqueness_error"),
    ];
    for (body, status, code) in table {
        world.refused(status, code, "POST", "/v1/volumes", body);
    }
    let far = world.done("/v1/volumes", json!({"name": "far", "size": 10, "location": "hel1"}));
    let server = world.server("a");
    let path = format!("/v1/volumes/{}/actions/attach", far["volume"]["id"]);
    world.refused(422, "invalid_input", "POST", &path, json!({"server": server}));
}

#[test]
fn a_running_action_locks_the_volume_and_its_server() {
    let world = World::with(|config| config.action_ms = 700);
    let made = world.post("/v1/volumes", json!({"name": "v", "size": 10, "location": "fsn1"}));
    let path = format!("/v1/volumes/{}", made["volume"]["id"]);
    world.refused(423, "locked", "DELETE", &path, Value::Null);
    world.refused(423, "locked", "POST", &format!("{path}/actions/resize"), json!({"size": 20}));
    let server = world.server("a");
    world.wait(&made);
    let begun = world.post(&format!("{path}/actions/attach"), json!({"server": server}));
    world.refused(423, "locked", "POST", &format!("{path}/actions/attach"), json!({"server": server}));
    world.refused(423, "locked", "POST", &format!("/v1/servers/{server}/actions/poweroff"), Value::Null);
    world.refused(423, "locked", "DELETE", &format!("/v1/servers/{server}"), Value::Null);
    let there = json!({"name": "w", "size": 10, "server": server});
    world.refused(423, "locked", "POST", "/v1/volumes", there);
    let protected = world.post(&format!("{path}/actions/change_protection"), json!({"delete": true}));
    assert_eq!(world.wait(&begun)["status"], "success");
    assert_eq!(world.wait(&protected)["status"], "success");
    world.refused(423, "protected", "DELETE", &path, Value::Null);
}
