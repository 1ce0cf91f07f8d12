use crate::world::{World, names};
use serde_json::{Value, json};

fn order(changes: Value) -> Value {
    let mut body = json!({"name": "demo", "server_type": "cax11", "image": "debian-13", "location": "fsn1"});
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn a_server_is_made_and_runs() {
    let world = World::new();
    let made = world.post("/v1/servers", order(json!({"labels": {"a": "b"}})));
    assert_eq!(made["server"]["status"], "initializing");
    assert_eq!(made["action"]["command"], "create_server");
    assert_eq!(made["action"]["status"], "running");
    assert_eq!(made["next_actions"][0]["command"], "start_server");
    assert!(made["root_password"].is_string());
    assert_eq!(world.wait(&made)["progress"], 100);
    let server = world.get(&format!("/v1/servers/{}", made["server"]["id"]))["server"].clone();
    assert_eq!((server["status"].as_str(), &server["locked"]), (Some("running"), &json!(false)));
    assert!(server["public_net"]["ipv4"]["ip"].as_str().unwrap().starts_with("127.77."));
    assert!(server["public_net"]["ipv6"]["ip"].as_str().unwrap().ends_with("::/64"));
    assert_eq!(server["image"]["architecture"], "arm");
    assert_eq!(server["location"]["name"], "fsn1");
    assert!(server.get("datacenter").is_none());
}

#[test]
fn ids_may_be_numbers_or_strings() {
    let world = World::new();
    let image = world.get("/v1/images?architecture=arm")["images"][0]["id"].clone();
    let body = json!({"name": "a", "server_type": 45, "image": image, "location": 1});
    world.done("/v1/servers", body);
    let body = json!({"name": "b", "server_type": "45", "image": image.to_string(), "location": "fsn1"});
    world.done("/v1/servers", body);
    assert_eq!(names(&world.get("/v1/servers"), "servers"), "a b");
}

#[test]
fn orders_that_cannot_be_are_refused() {
    let world = World::new();
    let volume = world.volume("v");
    world.server("taken");
    let long = "x".repeat(32_769);
    let table = [
        (json!({"name": "taken"}), 409, "uniqueness_error"),
        (json!({"name": "no_host"}), 422, "invalid_input"),
        (json!({"server_type": "cax99"}), 422, "invalid_input"),
        (json!({"image": "debian-99"}), 422, "invalid_input"),
        (json!({"location": "moon"}), 422, "invalid_input"),
        (json!({"location": "ash"}), 422, "invalid_input"),
        (json!({"location": "hel1", "volumes": [volume]}), 422, "invalid_input"),
        (json!({"volumes": [1]}), 404, "not_found"),
        (json!({"volumes": [volume, volume]}), 422, "invalid_input"),
        (json!({"firewalls": [{"firewall": 1}]}), 404, "not_found"),
        (json!({"ssh_keys": ["nobody"]}), 422, "invalid_input"),
        (json!({"public_net": {"ipv4": 1}}), 404, "not_found"),
        (json!({"user_data": long}), 422, "invalid_input"),
        (json!({"labels": {"a b": "c"}}), 422, "invalid_input"),
        (json!({"datacenter": "fsn1-dc14"}), 422, "invalid_input"),
        (json!({"networks": [1]}), 422, "invalid_input"),
    ];
    for (changes, status, code) in table {
        world.refused(status, code, "POST", "/v1/servers", order(changes));
    }
    assert_eq!(names(&world.get("/v1/servers"), "servers"), "taken", "nothing was left over");
    assert_eq!(world.get("/v1/primary_ips")["meta"]["pagination"]["total_entries"], 2);
    world.done("/v1/servers", order(json!({"user_data": long[1..]})));
}

#[test]
fn images_are_for_an_architecture() {
    let world = World::new();
    let image = world.get("/v1/images?architecture=arm")["images"][0]["id"].clone();
    world.refused(
        422,
        "invalid_input",
        "POST",
        "/v1/servers",
        order(json!({"server_type": "cpx22", "image": image})),
    );
    let made = world.done("/v1/servers", order(json!({"server_type": "cpx22"})));
    assert_eq!(made["server"]["image"]["architecture"], "x86");
}

#[test]
fn stock_runs_out_and_comes_back() {
    let world = World::new();
    let stock = |available: bool| {
        let body = json!({"server_type": "cax11", "location": "fsn1", "available": available});
        assert_eq!(world.ask("PUT", "/_rehearsal/stock", Some(&body)).status, 204);
    };
    stock(false);
    let error = world.refused(412, "resource_unavailable", "POST", "/v1/servers", order(json!({})));
    assert!(error["message"].as_str().unwrap().contains("cax11 is out of stock in fsn1"));
    let kind = world.get("/v1/server_types?name=cax11");
    assert_eq!(kind["server_types"][0]["locations"][0]["available"], false);
    let elsewhere = json!({"name": "b", "server_type": "cax11", "image": "debian-13"});
    assert_eq!(world.done("/v1/servers", elsewhere)["server"]["location"]["name"], "nbg1");
    stock(true);
    world.done("/v1/servers", order(json!({})));
}

#[test]
fn power_goes_off_and_on() {
    let world = World::new();
    let id = world.server("a");
    let act = |action: &str| {
        world.done(&format!("/v1/servers/{id}/actions/{action}"), Value::Null)["action"]["command"].clone()
    };
    assert_eq!(act("poweroff"), "stop_server");
    world.until(id, "off");
    world.refused(
        422,
        "server_not_running",
        "POST",
        &format!("/v1/servers/{id}/actions/reboot"),
        Value::Null,
    );
    assert_eq!(act("poweron"), "start_server");
    world.until(id, "running");
    assert_eq!(act("poweron"), "start_server");
    assert_eq!(act("reset"), "reset_server");
    assert_eq!(act("reboot"), "reboot_server");
    world.until(id, "running");
    assert_eq!(act("shutdown"), "shutdown_server");
    world.until(id, "off");
    act("reset");
    world.until(id, "running");
}

#[test]
fn a_running_action_locks_the_server() {
    let world = World::with(|config| config.action_ms = 1500);
    let made = world.post("/v1/servers", order(json!({})));
    let id = &made["server"]["id"];
    assert_eq!(made["server"]["locked"], true);
    let actions = [
        "poweron",
        "poweroff",
        "reset",
        "reboot",
        "shutdown",
        "rebuild",
        "reset_password",
        "create_image",
        "change_type",
        "enable_rescue",
        "disable_rescue",
        "enable_backup",
        "disable_backup",
        "detach_iso",
    ];
    for action in actions {
        let body = json!({"image": "debian-13"});
        world.refused(423, "locked", "POST", &format!("/v1/servers/{id}/actions/{action}"), body);
    }
    world.refused(423, "locked", "DELETE", &format!("/v1/servers/{id}"), Value::Null);
    world.wait(&made);
    assert_eq!(world.get(&format!("/v1/servers/{id}"))["server"]["locked"], false);
    world.delete(&format!("/v1/servers/{id}"));
}

#[test]
fn protection_holds() {
    let world = World::new();
    let id = world.server("a");
    let path = format!("/v1/servers/{id}");
    let protect = format!("{path}/actions/change_protection");
    world.refused(422, "invalid_input", "POST", &protect, json!({"delete": true, "rebuild": false}));
    world.done(&protect, json!({"delete": true, "rebuild": true}));
    assert_eq!(world.get(&path)["server"]["protection"], json!({"delete": true, "rebuild": true}));
    world.refused(423, "protected", "DELETE", &path, Value::Null);
    world.refused(
        423,
        "protected",
        "POST",
        &format!("{path}/actions/rebuild"),
        json!({"image": "debian-13"}),
    );
    world.done(&protect, json!({"delete": false, "rebuild": false}));
    let rebuild = format!("{path}/actions/rebuild");
    world.refused(422, "invalid_input", "POST", &rebuild, json!({"image": "debian-99"}));
    let long = "x".repeat(32_769);
    world.refused(422, "invalid_input", "POST", &rebuild, json!({"image": "debian-13", "user_data": long}));
    assert_eq!(world.get(&path)["server"]["status"], "running", "a refusal changes nothing");
    world.done(&rebuild, json!({"image": "debian-13", "user_data": "new"}));
    world.delete(&path);
    world.refused(404, "not_found", "GET", &path, Value::Null);
}

#[test]
fn deleting_detaches_and_releases() {
    let world = World::new();
    let volume = world.volume("v");
    let firewall = world.done("/v1/firewalls", json!({"name": "f"}))["firewall"]["id"].clone();
    let body = json!({"name": "kept", "type": "ipv4", "location": "fsn1"});
    let ip = world.post("/v1/primary_ips", body)["primary_ip"]["id"].clone();
    let changes =
        json!({"volumes": [volume], "firewalls": [{"firewall": firewall}], "public_net": {"ipv4": ip}});
    let made = world.done("/v1/servers", order(changes));
    let server = &world.get(&format!("/v1/servers/{}", made["server"]["id"]))["server"];
    assert_eq!(server["volumes"], json!([volume]));
    assert_eq!(server["public_net"]["firewalls"], json!([{"id": firewall, "status": "applied"}]));
    assert_eq!(server["public_net"]["ipv4"]["id"], ip);
    world.delete(&format!("/v1/servers/{}", server["id"]));
    assert!(world.get(&format!("/v1/volumes/{volume}"))["volume"]["server"].is_null());
    assert_eq!(names(&world.get("/v1/primary_ips"), "primary_ips"), "kept");
    assert_eq!(world.get(&format!("/v1/firewalls/{firewall}"))["firewall"]["applied_to"], json!([]));
    world.delete(&format!("/v1/firewalls/{firewall}"));
}

#[test]
fn actions_are_found_again() {
    let world = World::new();
    let id = world.server("a");
    let off = world.done(&format!("/v1/servers/{id}/actions/poweroff"), Value::Null)["action"]["id"].clone();
    let commands = |path: &str| {
        let list = world.get(path)["actions"].as_array().unwrap().clone();
        list.iter().map(|a| a["command"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(commands(&format!("/v1/servers/{id}/actions")), "create_server start_server stop_server");
    assert_eq!(commands("/v1/servers/actions?sort=id:desc"), "stop_server start_server create_server");
    assert_eq!(commands("/v1/servers/actions?status=running"), "");
    assert_eq!(commands(&format!("/v1/actions?id={off}&id=1&page=1")), "stop_server");
    for path in [format!("/v1/servers/{id}/actions/{off}"), format!("/v1/servers/actions/{off}")] {
        assert_eq!(world.get(&path)["action"]["resources"], json!([{"id": id, "type": "server"}]));
    }
    world.refused(404, "not_found", "GET", &format!("/v1/volumes/actions/{off}"), Value::Null);
}

#[test]
fn a_server_is_renamed_and_relabelled() {
    let world = World::new();
    let id = world.server("a");
    world.server("b");
    let path = format!("/v1/servers/{id}");
    world.refused(409, "uniqueness_error", "PUT", &path, json!({"name": "b"}));
    let changed = world.put(&path, json!({"name": "c", "labels": {"x": "y"}}));
    assert_eq!((&changed["server"]["name"], &changed["server"]["labels"]), (&json!("c"), &json!({"x": "y"})));
    assert_eq!(world.put(&path, json!({}))["server"]["name"], "c");
}
