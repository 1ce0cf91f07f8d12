use crate::world::{World, names};
use serde_json::{Value, json};

fn limit(world: &World, limits: &Value) {
    assert_eq!(world.ask("PUT", "/_rehearsal/limits", Some(limits)).status, 204);
}

#[test]
fn no_kind_exceeds_its_limit() {
    let mut world = World::new();
    let server = world.server("a");
    limit(
        &world,
        &json!({"servers": 1, "primary_ips": 2, "volumes": 0, "firewalls": 0, "ssh_keys": 0, "snapshots": 1}),
    );
    world.restart();
    let order = json!({"name": "b", "server_type": "cax11", "image": "debian-13", "location": "fsn1"});
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH/7Z5hRMP6r++D6O1GxTZHGmWdlvT+bOLKRrTwvelmL";
    let snapshot = format!("/v1/servers/{server}/actions/create_image");
    world.done(&snapshot, json!({}));
    let table = [
        ("/v1/servers", order.clone()),
        ("/v1/primary_ips", json!({"name": "ip", "type": "ipv4", "location": "fsn1"})),
        ("/v1/volumes", json!({"name": "v", "size": 10, "location": "fsn1"})),
        ("/v1/firewalls", json!({"name": "f"})),
        ("/v1/ssh_keys", json!({"name": "k", "public_key": key})),
        (&snapshot, json!({})),
    ];
    for (path, body) in table {
        world.refused(403, "resource_limit_exceeded", "POST", path, body);
    }
    limit(&world, &json!({"servers": 2}));
    world.refused(403, "resource_limit_exceeded", "POST", "/v1/servers", order.clone());
    assert_eq!(names(&world.get("/v1/servers"), "servers"), "a", "a server without its addresses is none");
    limit(&world, &json!({"primary_ips": 4}));
    world.done("/v1/servers", order);
}

#[test]
fn limits_are_told_and_checked() {
    let world = World::new();
    limit(&world, &json!({"volumes": 3}));
    let told = world.get("/_rehearsal/limits")["limits"].clone();
    assert_eq!((&told["volumes"], &told["snapshots"]), (&json!(3), &json!(30)));
    for wrong in [json!({"volumes": 1, "clouds": 1}), json!({"volumes": -1}), json!([])] {
        world.refused(422, "invalid_input", "PUT", "/_rehearsal/limits", wrong);
    }
    assert_eq!(world.get("/_rehearsal/limits")["limits"]["volumes"], 3);
}
