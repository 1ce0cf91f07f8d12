use crate::metadata::ask;
use crate::world::World;
use serde_json::{Value, json};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH/7Z5hRMP6r++D6O1GxTZHGmWdlvT+bOLKRrTwvelmL";

#[test]
fn a_rescue_system_is_booted_once() {
    let mut world = World::new();
    let key = world.post("/v1/ssh_keys", json!({"name": "op", "public_key": KEY}))["ssh_key"]["id"].clone();
    let body = json!({"name": "a", "server_type": "cax11", "image": "debian-13", "location": "fsn1", "user_data": "#cloud-config\n"});
    let id = world.done("/v1/servers", body)["server"]["id"].as_u64().unwrap();
    let path = format!("/v1/servers/{id}");
    let act = |world: &World, action: &str| world.done(&format!("{path}/actions/{action}"), Value::Null);
    let enabled = |world: &World| world.get(&path)["server"]["rescue_enabled"].clone();
    let in_rescue = |world: &World| {
        let document = ask(world, id, "/hetzner/v1/metadata").body.as_str().unwrap().to_owned();
        let (keyed, user_data) =
            (document.contains(KEY), ask(world, id, "/hetzner/v1/userdata").status == 200);
        assert_ne!(keyed, user_data, "{document}");
        assert_eq!(keyed, document.contains("hostname: \"rescue\""), "{document}");
        keyed
    };
    let enable = format!("{path}/actions/enable_rescue");
    world.refused(422, "invalid_input", "POST", &enable, json!({"type": "freebsd64"}));
    world.refused(422, "invalid_input", "POST", &enable, json!({"ssh_keys": [1]}));
    let order = json!({"type": "linux64", "ssh_keys": [key]});
    let made = world.done(&enable, order.clone());
    assert!(made["root_password"].is_string() && made["action"]["command"] == "enable_rescue");
    assert_eq!(
        (enabled(&world), in_rescue(&world)),
        (json!(true), false),
        "it takes effect on the next boot"
    );
    world.restart();
    act(&world, "reset");
    assert_eq!((enabled(&world), in_rescue(&world)), (json!(false), true));
    world.restart();
    assert!(in_rescue(&world));
    act(&world, "reset");
    assert_eq!(
        (enabled(&world), in_rescue(&world)),
        (json!(false), false),
        "the boot after it is the server's own"
    );
    world.done(&enable, order.clone());
    act(&world, "disable_rescue");
    act(&world, "reboot");
    assert!(!in_rescue(&world));
    act(&world, "poweroff");
    world.done(&enable, order);
    act(&world, "poweron");
    assert!(in_rescue(&world));
}

#[test]
fn a_failed_start_keeps_the_rescue_system_waiting() {
    let world = World::new();
    let id = world.server("a");
    let path = format!("/v1/servers/{id}");
    world.done(&format!("{path}/actions/enable_rescue"), Value::Null);
    let fault = json!({"method": "ACTION", "path": "/reset_server", "kind": "fail", "code": "action_failed"});
    world.ask("POST", "/_rehearsal/faults", Some(&fault));
    let failed = world.post(&format!("{path}/actions/reset"), Value::Null);
    assert_eq!(world.wait(&failed)["status"], "error");
    assert_eq!(world.get(&path)["server"]["rescue_enabled"], true);
}

#[test]
fn a_server_becomes_another_type() {
    let world = World::new();
    let id = world.server("a");
    let path = format!("/v1/servers/{id}");
    let change = format!("{path}/actions/change_type");
    let to = |kind: &str, upgrade: bool| json!({"server_type": kind, "upgrade_disk": upgrade});
    let off = || world.done(&format!("{path}/actions/poweroff"), Value::Null);
    let shape = || {
        let server = world.get(&path)["server"].clone();
        (
            server["server_type"]["name"].as_str().unwrap().to_owned(),
            server["primary_disk_size"].as_u64().unwrap(),
        )
    };
    world.refused(422, "server_not_stopped", "POST", &change, to("cax21", false));
    off();
    world.refused(422, "invalid_input", "POST", &change, json!({"server_type": "cax21"}));
    world.refused(422, "invalid_input", "POST", &change, to("cax99", true));
    world.refused(422, "invalid_server_type", "POST", &change, to("cax11", true));
    world.refused(422, "invalid_server_type", "POST", &change, to("cx33", true));
    let stock = json!({"server_type": "cax21", "location": "fsn1", "available": false});
    world.ask("PUT", "/_rehearsal/stock", Some(&stock));
    world.refused(412, "resource_unavailable", "POST", &change, to("cax21", false));
    let made = world.post(&change, to("cax31", false));
    assert_eq!(made["action"]["command"], "change_server_type");
    assert_eq!(world.wait(&made)["status"], "success");
    assert_eq!(shape(), ("cax31".into(), 40));
    world.until(id, "running");
    off();
    world.done(&change, to("cax11", false));
    assert_eq!(shape(), ("cax11".into(), 40), "a disk that was kept fits the smaller type");
    off();
    world.done(&change, to("cax31", true));
    assert_eq!(shape(), ("cax31".into(), 160));
    off();
    world.refused(422, "invalid_server_type", "POST", &change, to("cax11", false));
}

#[test]
fn passwords_and_consoles_are_given_out() {
    let world = World::new();
    let id = world.server("a");
    let path = format!("/v1/servers/{id}");
    let reset = format!("{path}/actions/reset_password");
    assert!(world.done(&reset, Value::Null)["root_password"].is_string());
    let console = world.done(&format!("{path}/actions/request_console"), Value::Null);
    assert!(console["wss_url"].as_str().unwrap().starts_with("wss://") && console["password"].is_string());
    world.done(&format!("{path}/actions/poweroff"), Value::Null);
    world.refused(422, "server_not_running", "POST", &reset, Value::Null);
}

#[test]
fn there_are_no_isos() {
    let world = World::new();
    let id = world.server("a");
    let path = format!("/v1/servers/{id}/actions");
    world.refused(404, "not_found", "POST", &format!("{path}/attach_iso"), json!({"iso": "debian.iso"}));
    world.refused(422, "invalid_input", "POST", &format!("{path}/attach_iso"), json!({}));
    assert_eq!(world.done(&format!("{path}/detach_iso"), Value::Null)["action"]["command"], "detach_iso");
}

#[test]
fn metrics_have_their_form() {
    let world = World::new();
    let id = world.server("a");
    let get = |query: &str| world.get(&format!("/v1/servers/{id}/metrics?{query}"))["metrics"].clone();
    let hour = "start=2026-11-01T00:00:00Z&end=2026-11-01T01:00:00Z";
    let metrics = get(&format!("type=cpu,disk&type=network&{hour}"));
    assert_eq!(metrics["time_series"].as_object().unwrap().len(), 9);
    assert_eq!(metrics["step"], 18);
    let values = metrics["time_series"]["network.0.pps.in"]["values"].as_array().unwrap().clone();
    assert_eq!((values.len(), &values[0]), (200, &json!([1_793_491_200, "0"])));
    assert_eq!(get(&format!("type=cpu&step=1&{hour}"))["step"], 8, "five hundred values are the most");
    assert_eq!(get(&format!("type=cpu&step=99999999999999999&{hour}"))["step"], 3600);
    let path = format!("/v1/servers/{id}/metrics");
    for query in [
        "",
        "?type=cpu",
        "?type=fan&start=2026-11-01T00:00:00Z&end=2026-11-01T01:00:00Z",
        "?type=cpu&start=monday&end=2026-11-01T01:00:00Z",
        "?type=cpu&start=2026-11-01T01:00:00Z&end=2026-11-01T01:00:00Z",
    ] {
        world.refused(422, "invalid_input", "GET", &format!("{path}{query}"), Value::Null);
    }
}
