use crate::world::{World, names};
use serde_json::{Value, json};

const PASSWORD: &str = "Correct-Horse-7";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH/7Z5hRMP6r++D6O1GxTZHGmWdlvT+bOLKRrTwvelmL comment";

fn request() -> Value {
    json!({"name": "backup", "storage_box_type": "bx11", "location": "fsn1", "password": PASSWORD})
}

/// A storage box's path.
fn storage_box(world: &World) -> String {
    format!("/v1/storage_boxes/{}", world.done("/v1/storage_boxes", request())["storage_box"]["id"])
}

fn get(world: &World, path: &str) -> Value {
    world.get(path)["storage_box"].clone()
}

#[test]
fn a_storage_box_lives_and_dies() {
    let mut world = World::slow();
    let mut body = request();
    body["ssh_keys"] = json!([KEY]);
    body["labels"] = json!({"env": "test"});
    body["access_settings"] = json!({"ssh_enabled": true});
    let made = world.post("/v1/storage_boxes", body);
    let made_box = &made["storage_box"];
    assert_eq!(made_box["status"], "initializing");
    assert_eq!([&made_box["username"], &made_box["server"], &made_box["system"]], [&Value::Null; 3]);
    assert_eq!(made["action"]["command"], "create");
    let path = format!("/v1/storage_boxes/{}", made_box["id"]);
    world.refused(423, "locked", "POST", &format!("{path}/snapshots"), json!({}));
    world.refused(423, "locked", "DELETE", &path, Value::Null);
    world.hurry();
    world.wait(&made);
    let found = get(&world, &path);
    let username = format!("u{}", found["id"]);
    assert_eq!((&found["status"], &found["username"]), (&json!("active"), &json!(username)));
    assert_eq!(found["server"], format!("{username}.your-storagebox.de"));
    assert_eq!(found["access_settings"]["ssh_enabled"], true);
    assert_eq!(found["access_settings"]["webdav_enabled"], false);
    assert_eq!(found["storage_box_type"]["size"], 1_u64 << 40);
    let text = format!("{}{}", world.get("/v1/storage_boxes"), world.get("/v1/storage_boxes/actions"));
    assert!(!text.contains("AAAA") && !text.contains(PASSWORD) && !text.contains("ssh_keys"), "{text}");
    let state = std::fs::read_to_string(world.config.state_dir.join("state.json")).unwrap();
    assert!(!state.contains(PASSWORD) && !state.contains("AAAAC3"));
    let renamed = world.put(&path, json!({"name": "other", "labels": {}}));
    assert_eq!(renamed["storage_box"]["name"], "other");
    world.done(&format!("{path}/actions/change_protection"), json!({"delete": true}));
    world.refused(423, "protected", "DELETE", &path, Value::Null);
    world.done(&format!("{path}/actions/change_protection"), json!({"delete": false}));
    let listed = world.get(&format!("{path}/actions"));
    let commands: Vec<_> =
        listed["actions"].as_array().unwrap().iter().map(|a| a["command"].clone()).collect();
    assert_eq!(commands, ["create", "change_protection", "change_protection"]);
    let first = &listed["actions"][0]["id"];
    world.get(&format!("{path}/actions/{first}"));
    world.get(&format!("/v1/storage_boxes/actions/{first}"));
    assert_eq!(world.get(&format!("/v1/storage_boxes/actions?id={first}"))["actions"][0]["id"], *first);
    world.delete(&path);
    world.refused(404, "not_found", "GET", &path, Value::Null);
}

#[test]
fn storage_boxes_that_cannot_be_are_refused() {
    let world = World::new();
    storage_box(&world);
    let with = |field: &str, value: Value| {
        let mut body = request();
        body["name"] = json!("new");
        body[field] = value;
        body
    };
    let table = [
        (with("name", json!("backup")), 409, "uniqueness_error"),
        (with("storage_box_type", json!("bx99")), 422, "invalid_input"),
        (with("location", json!("ash")), 422, "invalid_input"),
        (with("location", json!("moon")), 422, "invalid_input"),
        (with("password", json!("secret")), 422, "invalid_input"),
        (with("password", json!("nouppercase-7")), 422, "invalid_input"),
        (with("password", Value::Null), 422, "invalid_input"),
        (with("ssh_keys", json!(["ssh-ed25519"])), 422, "invalid_input"),
        (with("ssh_keys", json!([42])), 422, "invalid_input"),
        (with("access_settings", json!({"ssh_enabled": "yes"})), 422, "invalid_input"),
    ];
    for (body, status, code) in table {
        let error = world.refused(status, code, "POST", "/v1/storage_boxes", body);
        assert_eq!(error["details"]["fields"].as_array().map(Vec::len), Some(1), "{error}");
    }
    assert_eq!(names(&world.get("/v1/storage_boxes"), "storage_boxes"), "backup");
    assert_eq!(names(&world.get("/v1/storage_boxes?name=new"), "storage_boxes"), "");
    world.get("/v1/storage_boxes?sort=stats.size:desc&sort=name");
}

#[test]
fn types_are_listed() {
    let world = World::new();
    assert_eq!(names(&world.get("/v1/storage_box_types"), "storage_box_types"), "bx11 bx21 bx31 bx41");
    let kind = world.get("/v1/storage_box_types?name=bx21")["storage_box_types"][0].clone();
    assert_eq!(world.get(&format!("/v1/storage_box_types/{}", kind["id"]))["storage_box_type"], kind);
    world.refused(404, "not_found", "GET", "/v1/storage_box_types/1", Value::Null);
    let mut by_id = request();
    by_id["storage_box_type"] = kind["id"].clone();
    by_id["location"] = json!(3);
    let made = world.done("/v1/storage_boxes", by_id);
    assert_eq!(made["storage_box"]["storage_box_type"]["name"], "bx21");
    assert_eq!(made["storage_box"]["location"]["name"], "hel1");
}

#[test]
fn a_storage_box_is_changed() {
    let world = World::new();
    let path = storage_box(&world);
    let act = |action: &str, body: Value| world.done(&format!("{path}/actions/{action}"), body);
    act("change_type", json!({"storage_box_type": "bx21"}));
    act("reset_password", json!({"password": "Another-Horse-8"}));
    act("update_access_settings", json!({"samba_enabled": true, "zfs_enabled": true}));
    act("update_access_settings", json!({"ssh_enabled": true, "samba_enabled": false}));
    let plan = json!({"max_snapshots": 10, "minute": 30, "hour": 6, "day_of_week": null, "day_of_month": 1});
    act("enable_snapshot_plan", plan.clone());
    let found = get(&world, &path);
    assert_eq!(found["storage_box_type"]["name"], "bx21");
    let settings = json!({"reachable_externally": false, "samba_enabled": false, "ssh_enabled": true,
        "webdav_enabled": false, "zfs_enabled": true});
    assert_eq!(found["access_settings"], settings);
    assert_eq!(found["snapshot_plan"], plan);
    act("disable_snapshot_plan", Value::Null);
    assert_eq!(get(&world, &path)["snapshot_plan"], Value::Null);
    let table = [
        ("change_type", json!({"storage_box_type": "bx12"})),
        ("change_type", json!({})),
        ("reset_password", json!({"password": "short"})),
        ("update_access_settings", json!({"ssh_enabled": 1})),
        ("enable_snapshot_plan", json!({"max_snapshots": 0, "minute": 0, "hour": 0})),
        ("enable_snapshot_plan", json!({"max_snapshots": 21, "minute": 0, "hour": 0})),
        ("enable_snapshot_plan", json!({"max_snapshots": 1, "minute": 60, "hour": 0})),
        ("enable_snapshot_plan", json!({"max_snapshots": 1, "minute": 0, "hour": 24})),
        ("enable_snapshot_plan", json!({"max_snapshots": 1, "minute": 0, "hour": 0, "day_of_week": 8})),
        ("enable_snapshot_plan", json!({"max_snapshots": 1, "minute": 0})),
    ];
    for (action, body) in table {
        world.refused(422, "invalid_input", "POST", &format!("{path}/actions/{action}"), body);
    }
    world.refused(404, "not_found", "POST", &format!("{path}/actions/explode"), json!({}));
}

#[test]
fn snapshots_come_and_go() {
    let world = World::new();
    let path = storage_box(&world);
    let snapshots = format!("{path}/snapshots");
    let ids: Vec<Value> = (1..=3)
        .map(|n| {
            let body = json!({"description": format!("number {n}"), "labels": {"n": n.to_string()}});
            let made = world.done(&snapshots, body);
            assert_eq!(made["action"]["resources"][1]["type"], "storage_box_snapshot");
            made["snapshot"]["id"].clone()
        })
        .collect();
    let one = |id: &Value| format!("{snapshots}/{id}");
    let second = world.get(&one(&ids[1]))["snapshot"].clone();
    assert_eq!((&second["description"], &second["is_automatic"]), (&json!("number 2"), &json!(false)));
    let named = world.get(&format!("{snapshots}?name={}", second["name"].as_str().unwrap()));
    assert_eq!(named["snapshots"], json!([second]));
    let count =
        |query: &str| world.get(&format!("{snapshots}{query}"))["snapshots"].as_array().unwrap().len();
    assert_eq!([count(""), count("?label_selector=n=3"), count("?is_automatic=true")], [3, 1, 0]);
    let changed = world.put(&one(&ids[1]), json!({"description": "changed"}));
    assert_eq!(changed["snapshot"]["labels"], json!({"n": "2"}));
    world.refused(422, "invalid_input", "PUT", &one(&ids[1]), json!({"description": "ümlaut"}));
    let rollback = format!("{path}/actions/rollback_snapshot");
    world.done(&rollback, json!({"snapshot": second["name"]}));
    assert_eq!(count(""), 2, "the newer one is gone");
    world.refused(404, "not_found", "POST", &rollback, json!({"snapshot": ids[2].to_string()}));
    world.delete(&one(&ids[0]));
    world.refused(404, "not_found", "GET", &one(&ids[0]), Value::Null);
    world.refused(404, "not_found", "DELETE", &one(&ids[0]), Value::Null);
    for _ in count("")..10 {
        world.done(&snapshots, Value::Null);
    }
    world.refused(403, "resource_limit_exceeded", "POST", &snapshots, json!({}));
}

#[test]
fn subaccounts_come_and_go() {
    let world = World::new();
    let path = storage_box(&world);
    let subaccounts = format!("{path}/subaccounts");
    let body = json!({"home_directory": "hosts/one", "password": PASSWORD, "description": "the first",
        "access_settings": {"ssh_enabled": true, "readonly": true}});
    let made = world.done(&subaccounts, body);
    let one = format!("{subaccounts}/{}", made["subaccount"]["id"]);
    let found = world.get(&one)["subaccount"].clone();
    let username = found["username"].as_str().unwrap();
    assert!(username.ends_with("-sub1"), "{username}");
    assert_eq!(found["name"], username);
    assert_eq!(found["server"], format!("{username}.your-storagebox.de"));
    assert_eq!(
        (&found["access_settings"]["readonly"], &found["storage_box"]),
        (&json!(true), &made["subaccount"]["storage_box"])
    );
    let second = world
        .done(&subaccounts, json!({"name": "second", "home_directory": "/hosts/two/", "password": PASSWORD}));
    assert_eq!(names(&world.get(&format!("{subaccounts}?name=second")), "subaccounts"), "second");
    let by_username = world.get(&format!("{subaccounts}?username={username}"));
    assert_eq!(by_username["subaccounts"], json!([found]));
    let folders = |at: &str| world.get(&format!("{path}/folders{at}"))["folders"].clone();
    assert_eq!(
        [folders(""), folders("?path=hosts"), folders("?path=/hosts/one/")],
        [json!(["hosts"]), json!(["one", "two"]), json!([])]
    );
    world.refused(404, "not_found", "GET", &format!("{path}/folders?path=none"), Value::Null);
    let renamed = world.put(&one, json!({"name": "first", "labels": {"a": "b"}}));
    assert_eq!(renamed["subaccount"]["description"], "the first");
    let act = |action: &str, body: Value| world.done(&format!("{one}/actions/{action}"), body);
    act("change_home_directory", json!({"home_directory": "elsewhere"}));
    act("update_access_settings", json!({"readonly": false}));
    let reset = act("reset_subaccount_password", json!({"password": "Another-Horse-8"}));
    assert_eq!(
        reset["action"]["resources"][1],
        json!({"id": made["subaccount"]["id"], "type": "storage_box_subaccount"})
    );
    let changed = world.get(&one)["subaccount"].clone();
    assert_eq!(
        (&changed["home_directory"], &changed["access_settings"]["readonly"]),
        (&json!("elsewhere"), &json!(false))
    );
    assert_eq!(folders(""), json!(["elsewhere", "hosts"]));
    let table = [
        json!({"home_directory": "a", "password": "weak"}),
        json!({"home_directory": "", "password": PASSWORD}),
        json!({"home_directory": "a:b", "password": PASSWORD}),
        json!({"password": PASSWORD}),
        json!({"home_directory": "a", "password": PASSWORD, "name": "x".repeat(51)}),
    ];
    for body in table {
        world.refused(422, "invalid_input", "POST", &subaccounts, body);
    }
    let weak = json!({"password": "weak"});
    world.refused(422, "invalid_input", "POST", &format!("{one}/actions/reset_subaccount_password"), weak);
    world.delete(&one);
    world.refused(404, "not_found", "GET", &one, Value::Null);
    world.refused(404, "not_found", "POST", &format!("{one}/actions/update_access_settings"), json!({}));
    world.delete(&format!("{subaccounts}/{}", second["subaccount"]["id"]));
    assert_eq!(world.get(&subaccounts)["subaccounts"], json!([]));
}

#[test]
fn storage_boxes_outlive_the_daemon() {
    let mut world = World::new();
    let path = storage_box(&world);
    world.config.action_ms = 3_600_000;
    world.restart();
    let snapshot = world.post(&format!("{path}/snapshots"), json!({}));
    let one = format!("{path}/snapshots/{}", snapshot["snapshot"]["id"]);
    world.refused(404, "not_found", "GET", &one, Value::Null);
    world.hurry();
    assert_eq!(world.wait(&snapshot)["status"], "success");
    assert_eq!(world.get(&one)["snapshot"]["id"], snapshot["snapshot"]["id"]);
}
