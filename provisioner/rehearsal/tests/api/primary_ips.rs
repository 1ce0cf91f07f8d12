use crate::world::World;
use serde_json::{Value, json};

#[test]
fn an_address_is_assigned_to_a_server_that_is_off() {
    let world = World::new();
    let made = world.post(
        "/v1/primary_ips",
        json!({"name": "ip", "type": "ipv4", "location": "fsn1", "auto_delete": false}),
    );
    let ip = &made["primary_ip"];
    assert_eq!((&ip["assignee_type"], &ip["assignee_id"]), (&json!("unassigned"), &Value::Null));
    assert!(made.get("action").is_none());
    let path = format!("/v1/primary_ips/{}", ip["id"]);
    let assign = format!("{path}/actions/assign");
    let server = world.server("a");
    let to = json!({"assignee_id": server, "assignee_type": "server"});
    world.refused(422, "server_not_stopped", "POST", &assign, to.clone());
    world.done(&format!("/v1/servers/{server}/actions/poweroff"), Value::Null);
    world.refused(422, "server_has_ipv4", "POST", &assign, to.clone());
    let first = world.get(&format!("/v1/servers/{server}"))["server"]["public_net"]["ipv4"]["id"].clone();
    world.refused(422, "must_be_unassigned", "DELETE", &format!("/v1/primary_ips/{first}"), Value::Null);
    world.done(&format!("/v1/primary_ips/{first}/actions/unassign"), Value::Null);
    world.done(&assign, to);
    assert_eq!(world.get(&path)["primary_ip"]["assignee_type"], "server");
    world.delete(&format!("/v1/primary_ips/{first}"));
    world.done(&format!("{path}/actions/change_protection"), json!({"delete": true}));
    world.delete(&format!("/v1/servers/{server}"));
    assert_eq!(world.get(&path)["primary_ip"]["assignee_type"], "unassigned");
    world.refused(423, "protected", "DELETE", &path, Value::Null);
}

#[test]
fn reverse_names_are_set_and_reset() {
    let world = World::new();
    let server = world.server("a");
    let net = world.get(&format!("/v1/servers/{server}"))["server"]["public_net"].clone();
    let ip = net["ipv4"]["ip"].as_str().unwrap();
    let by_server = format!("/v1/servers/{server}/actions/change_dns_ptr");
    let default = net["ipv4"]["dns_ptr"].clone();
    world.done(&by_server, json!({"ip": ip, "dns_ptr": "a.example.com"}));
    let name =
        || world.get(&format!("/v1/servers/{server}"))["server"]["public_net"]["ipv4"]["dns_ptr"].clone();
    assert_eq!(name(), "a.example.com");
    world.done(&by_server, json!({"ip": ip, "dns_ptr": null}));
    assert_eq!(name(), default);
    let by_ip = format!("/v1/primary_ips/{}/actions/change_dns_ptr", net["ipv6"]["id"]);
    let inside = net["ipv6"]["ip"].as_str().unwrap().replace("::/64", "::1");
    world.done(&by_ip, json!({"ip": inside, "dns_ptr": "six.example.com"}));
    let ptrs = world.get(&format!("/v1/primary_ips/{}", net["ipv6"]["id"]))["primary_ip"]["dns_ptr"].clone();
    assert_eq!(ptrs, json!([{"ip": inside, "dns_ptr": "six.example.com"}]));
    world.refused(
        422,
        "invalid_input",
        "POST",
        &by_ip,
        json!({"ip": "2001:db8:ffff:ffff::1", "dns_ptr": "x"}),
    );
    world.refused(422, "invalid_input", "POST", &by_server, json!({"ip": "192.0.2.1", "dns_ptr": "x"}));
}

#[test]
fn addresses_that_cannot_be_are_refused() {
    let world = World::new();
    world.post("/v1/primary_ips", json!({"name": "taken", "type": "ipv6", "location": "fsn1"}));
    let table = [
        (json!({"name": "taken", "type": "ipv4", "location": "fsn1"}), 409, "uniqueness_error"),
        (json!({"name": "a", "type": "ipv5", "location": "fsn1"}), 422, "invalid_input"),
        (json!({"name": "a", "type": "ipv4"}), 422, "invalid_input"),
        (json!({"name": "a", "type": "ipv4", "datacenter": "fsn1-dc14"}), 422, "invalid_input"),
        (
            json!({"name": "a", "type": "ipv4", "location": "fsn1", "assignee_type": "load_balancer"}),
            422,
            "invalid_input",
        ),
    ];
    for (body, status, code) in table {
        world.refused(status, code, "POST", "/v1/primary_ips", body);
    }
    let ip = world.post("/v1/primary_ips", json!({"name": "far", "type": "ipv4", "location": "hel1"}));
    let body = json!({"name": "s", "server_type": "cax11", "image": "debian-13", "location": "fsn1",
        "public_net": {"ipv4": ip["primary_ip"]["id"]}});
    world.refused(422, "primary_ip_datacenter_mismatch", "POST", "/v1/servers", body);
    let body = json!({"name": "s", "server_type": "cax11", "image": "debian-13",
        "public_net": {"ipv6": ip["primary_ip"]["id"]}});
    world.refused(412, "primary_ip_version_mismatch", "POST", "/v1/servers", body);
}

#[test]
fn an_address_serves_one_server() {
    let world = World::new();
    let server = world.server("a");
    let ip = world.get(&format!("/v1/servers/{server}"))["server"]["public_net"]["ipv4"]["id"].clone();
    let order = json!({"name": "b", "server_type": "cax11", "image": "debian-13", "location": "fsn1",
        "public_net": {"ipv4": ip}});
    world.refused(422, "primary_ip_assigned", "POST", "/v1/servers", order);
    let other = world.server("c");
    world.done(&format!("/v1/servers/{other}/actions/poweroff"), Value::Null);
    let path = format!("/v1/primary_ips/{ip}/actions");
    let to = json!({"assignee_id": other, "assignee_type": "server"});
    world.refused(422, "primary_ip_already_assigned", "POST", &format!("{path}/assign"), to);
    world.refused(422, "server_not_stopped", "POST", &format!("{path}/unassign"), Value::Null);
    let far = world.post("/v1/primary_ips", json!({"name": "far", "type": "ipv4", "location": "hel1"}));
    let path = format!("/v1/primary_ips/{}/actions", far["primary_ip"]["id"]);
    let own = world.get(&format!("/v1/servers/{other}"))["server"]["public_net"]["ipv4"]["id"].clone();
    world.done(&format!("/v1/primary_ips/{own}/actions/unassign"), Value::Null);
    world.refused(422, "invalid_input", "POST", &format!("{path}/assign"), json!({"assignee_id": other}));
    world.refused(404, "not_found", "POST", &format!("{path}/assign"), json!({"assignee_id": 1}));
    world.refused(422, "primary_ip_not_assigned", "POST", &format!("{path}/unassign"), Value::Null);
}

#[test]
fn a_running_action_locks_the_address() {
    let world = World::with(|config| config.action_ms = 700);
    let server = world.server("a");
    world.done(&format!("/v1/servers/{server}/actions/poweroff"), Value::Null);
    let ip = world.get(&format!("/v1/servers/{server}"))["server"]["public_net"]["ipv4"]["id"].clone();
    let path = format!("/v1/primary_ips/{ip}");
    let begun = world.post(&format!("{path}/actions/unassign"), Value::Null);
    world.refused(423, "locked", "POST", &format!("{path}/actions/unassign"), Value::Null);
    world.refused(423, "locked", "DELETE", &path, Value::Null);
    world.refused(423, "locked", "POST", &format!("/v1/servers/{server}/actions/poweron"), Value::Null);
    world.post(
        &format!("{path}/actions/change_dns_ptr"),
        json!({"ip": world.get(&path)["primary_ip"]["ip"], "dns_ptr": "x"}),
    );
    assert_eq!(world.wait(&begun)["status"], "success");
    world.delete(&path);
}
