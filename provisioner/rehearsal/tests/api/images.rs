use crate::world::{World, names};
use serde_json::{Value, json};

/// A copy of a server's disk, by id.
fn copy(world: &World, server: u64, body: Value) -> u64 {
    let made = world.done(&format!("/v1/servers/{server}/actions/create_image"), body);
    made["image"]["id"].as_u64().unwrap()
}

fn ids(world: &World, query: &str) -> Vec<u64> {
    let list = world.get(&format!("/v1/images?{query}"));
    list["images"].as_array().unwrap().iter().map(|image| image["id"].as_u64().unwrap()).collect()
}

#[test]
fn a_snapshot_outlives_its_server_and_makes_others() {
    let world = World::new();
    let server = world.server("a");
    let create = format!("/v1/servers/{server}/actions/create_image");
    let body = json!({"type": "snapshot", "description": "before", "labels": {"kept": "yes"}});
    let made = world.post(&create, body);
    assert_eq!(
        (&made["image"]["status"], &made["action"]["command"]),
        (&json!("creating"), &json!("create_image"))
    );
    assert_eq!(made["action"]["resources"][1], json!({"id": made["image"]["id"], "type": "image"}));
    world.wait(&made);
    let id = made["image"]["id"].as_u64().unwrap();
    let path = format!("/v1/images/{id}");
    let image = world.get(&path)["image"].clone();
    assert_eq!((&image["status"], &image["type"]), (&json!("available"), &json!("snapshot")));
    assert_eq!((&image["name"], &image["description"]), (&Value::Null, &json!("before")));
    assert_eq!(image["created_from"], json!({"id": server, "name": "a"}));
    assert_eq!((&image["bound_to"], &image["disk_size"]), (&Value::Null, &json!(40)));
    assert_eq!((&image["architecture"], &image["labels"]), (&json!("arm"), &json!({"kept": "yes"})));
    world.delete(&format!("/v1/servers/{server}"));
    let order = |kind: &str| json!({"name": "b", "server_type": kind, "image": id, "location": "fsn1"});
    world.refused(422, "invalid_input", "POST", "/v1/servers", order("cx33"));
    let other = world.done("/v1/servers", order("cax21"))["server"]["id"].as_u64().unwrap();
    world.delete(&path);
    world.refused(404, "not_found", "GET", &path, Value::Null);
    assert_eq!(ids(&world, "type=snapshot"), [0; 0]);
    assert!(world.get(&format!("/v1/servers/{other}"))["server"]["image"].is_null());
    world.refused(422, "invalid_input", "POST", "/v1/servers", order("cax11"));
    world.done(&format!("/v1/servers/{other}/actions/reboot"), Value::Null);
    let again = copy(&world, other, json!({}));
    assert_eq!(world.get(&format!("/v1/images/{again}"))["image"]["disk_size"], 80);
}

#[test]
fn a_snapshot_needs_a_disk_as_large() {
    let world = World::new();
    let body = json!({"name": "big", "server_type": "cax21", "image": "debian-13", "location": "fsn1"});
    let big = world.done("/v1/servers", body)["server"]["id"].as_u64().unwrap();
    let snapshot = copy(&world, big, json!({"type": "snapshot"}));
    let body = json!({"name": "small", "server_type": "cax11", "image": snapshot, "location": "fsn1"});
    let error = world.refused(422, "invalid_input", "POST", "/v1/servers", body);
    assert!(error["message"].as_str().unwrap().contains("needs a disk of 80 GB"), "{error}");
    let small = world.server("small");
    let rebuild = format!("/v1/servers/{small}/actions/rebuild");
    world.refused(422, "invalid_input", "POST", &rebuild, json!({"image": snapshot}));
    world.done(&format!("/v1/servers/{big}/actions/rebuild"), json!({"image": snapshot}));
    assert_eq!(world.get(&format!("/v1/servers/{big}"))["server"]["image"]["id"], snapshot);
}

#[test]
fn backups_die_with_their_server() {
    let world = World::new();
    let server = world.server("a");
    let path = format!("/v1/servers/{server}");
    let act = |action: &str| world.done(&format!("{path}/actions/{action}"), Value::Null);
    let backup = json!({"type": "backup"});
    world.refused(422, "invalid_input", "POST", &format!("{path}/actions/create_image"), backup.clone());
    assert_eq!(act("enable_backup")["action"]["command"], "enable_backup");
    assert_eq!(world.get(&path)["server"]["backup_window"], "22-02");
    let kept = copy(&world, server, backup.clone());
    let bound = format!("type=backup&bound_to={server}");
    assert_eq!(ids(&world, &bound), [kept]);
    let changed =
        world.put(&format!("/v1/images/{kept}"), json!({"type": "snapshot", "description": "kept"}));
    assert_eq!(
        (&changed["image"]["type"], &changed["image"]["bound_to"]),
        (&json!("snapshot"), &Value::Null)
    );
    let eight: Vec<u64> = (0..8).map(|_| copy(&world, server, backup.clone())).collect();
    assert_eq!(ids(&world, &bound), eight[1..], "the oldest made room");
    act("disable_backup");
    assert!(world.get(&path)["server"]["backup_window"].is_null());
    assert_eq!(ids(&world, "type=backup"), [0; 0]);
    act("enable_backup");
    copy(&world, server, backup);
    world.delete(&path);
    assert_eq!(ids(&world, "type=backup&type=snapshot"), [kept]);
}

#[test]
fn images_are_changed_protected_and_deleted() {
    let world = World::new();
    let server = world.server("a");
    let id = copy(&world, server, json!({"labels": {"a": "b"}}));
    let path = format!("/v1/images/{id}");
    assert_eq!(ids(&world, "type=snapshot&status=available&label_selector=a=b&architecture=arm"), [id]);
    assert_eq!(ids(&world, "type=snapshot&architecture=x86"), [0; 0]);
    assert_eq!(
        names(
            &world.get("/v1/images?include_deprecated=true&sort=name:desc&type=system&architecture=arm"),
            "images"
        ),
        "ubuntu-24.04 ubuntu-22.04 debian-13 debian-12"
    );
    let changed = world.put(&path, json!({"labels": {"c": "d"}}));
    assert_eq!(changed["image"]["labels"], json!({"c": "d"}));
    world.refused(422, "invalid_input", "PUT", &path, json!({"type": "backup"}));
    let protect = format!("{path}/actions/change_protection");
    world.done(&protect, json!({"delete": true}));
    assert_eq!(world.get(&path)["image"]["protection"], json!({"delete": true}));
    world.refused(423, "protected", "DELETE", &path, Value::Null);
    world.done(&protect, json!({"delete": false}));
    world.delete(&path);
    let system = ids(&world, "type=system")[0];
    let system = format!("/v1/images/{system}");
    world.refused(422, "unsupported_error", "DELETE", &system, Value::Null);
    world.refused(422, "invalid_input", "PUT", &system, json!({"description": "mine"}));
    world.refused(
        422,
        "unsupported_error",
        "POST",
        &format!("{system}/actions/change_protection"),
        json!({"delete": true}),
    );
}

#[test]
fn an_image_is_locked_until_it_is_there() {
    let world = World::with(|config| config.action_ms = 1000);
    let server = world.server("a");
    let made = world.post(&format!("/v1/servers/{server}/actions/create_image"), json!({}));
    let id = &made["image"]["id"];
    world.refused(423, "locked", "DELETE", &format!("/v1/images/{id}"), Value::Null);
    world.refused(423, "locked", "POST", &format!("/v1/servers/{server}/actions/poweroff"), Value::Null);
    let body = json!({"name": "b", "server_type": "cax11", "image": id, "location": "fsn1"});
    world.refused(423, "locked", "POST", "/v1/servers", body);
    assert_eq!(world.wait(&made)["status"], "success");
}

#[test]
fn a_copy_that_failed_can_be_deleted() {
    let world = World::new();
    let server = world.server("a");
    let fault = json!({"method": "ACTION", "path": "/create_image", "kind": "fail", "code": "action_failed"});
    world.ask("POST", "/_rehearsal/faults", Some(&fault));
    let made = world.post(&format!("/v1/servers/{server}/actions/create_image"), json!({}));
    assert_eq!(world.wait(&made)["status"], "error");
    let path = format!("/v1/images/{}", made["image"]["id"]);
    assert_eq!(world.get(&path)["image"]["status"], "unavailable");
    let body = json!({"name": "b", "server_type": "cax11", "image": made["image"]["id"], "location": "fsn1"});
    world.refused(422, "invalid_input", "POST", "/v1/servers", body);
    world.delete(&path);
    world.until(server, "running");
}

#[test]
fn what_is_only_a_record_is_listed_and_not_booted() {
    let world = World::new();
    for (name, x86, arm) in [
        ("debian-12", 114_690_387, 114_690_389),
        ("ubuntu-22.04", 67_794_396, 103_908_130),
        ("ubuntu-24.04", 161_547_269, 161_547_270),
    ] {
        assert_eq!(ids(&world, &format!("name={name}&architecture=x86")), [x86]);
        assert_eq!(ids(&world, &format!("name={name}&architecture=arm&status=available&type=system")), [arm]);
        let image = world.get(&format!("/v1/images/{arm}"))["image"].clone();
        assert_eq!((&image["name"], &image["disk_size"]), (&json!(name), &json!(5)));
        assert_eq!(image["os_version"], name.split_once('-').unwrap().1);
    }
    let server = world.server("a");
    let before = world.get("/v1/primary_ips")["meta"]["pagination"]["total_entries"].clone();
    let rebuild = format!("/v1/servers/{server}/actions/rebuild");
    for image in [json!("debian-12"), json!(114_690_389)] {
        let order = json!({"name": "b", "server_type": "cax11", "image": image, "location": "fsn1"});
        for (path, body) in [("/v1/servers", order), (&rebuild, json!({"image": image}))] {
            let error = world.refused(422, "unsupported_error", "POST", path, body);
            let expected = "the rehearsal cloud has only a record of image debian-12 for arm; for arm it can boot debian-13";
            assert_eq!(error["message"], expected);
        }
    }
    assert_eq!(
        world.get("/v1/primary_ips")["meta"]["pagination"]["total_entries"],
        before,
        "nothing was left over"
    );
    let other = json!({"name": "b", "server_type": "cx23", "image": 114_690_389, "location": "fsn1"});
    world.refused(422, "invalid_input", "POST", "/v1/servers", other);
    let bare = World::with(|config| config.images.clear());
    let order = json!({"name": "b", "server_type": "cax11", "image": "ubuntu-24.04", "location": "fsn1"});
    let error = bare.refused(422, "unsupported_error", "POST", "/v1/servers", order);
    assert!(error["message"].as_str().unwrap().ends_with("for arm it can boot no image"), "{error}");
}
