use crate::world::World;
use serde_json::{Value, json};

fn ssh() -> Value {
    json!({"direction": "in", "protocol": "tcp", "port": "22", "source_ips": ["0.0.0.0/0", "::/0"], "description": "ssh"})
}

#[test]
fn a_firewall_in_use_stays() {
    let world = World::new();
    let server = world.server("a");
    let target = json!({"type": "server", "server": {"id": server}});
    let made = world.done("/v1/firewalls", json!({"name": "f", "rules": [ssh()], "apply_to": [target]}));
    let path = format!("/v1/firewalls/{}", made["firewall"]["id"]);
    assert_eq!(world.get(&path)["firewall"]["applied_to"], json!([target]));
    assert_eq!(world.get(&path)["firewall"]["rules"][0]["destination_ips"], json!([]));
    world.refused(422, "resource_in_use", "DELETE", &path, Value::Null);
    world.refused(
        422,
        "firewall_already_applied",
        "POST",
        &format!("{path}/actions/apply_to_resources"),
        json!({"apply_to": [target]}),
    );
    world.done(&format!("{path}/actions/remove_from_resources"), json!({"remove_from": [target]}));
    world.done(&format!("{path}/actions/remove_from_resources"), json!({"remove_from": [target]}));
    world.delete(&path);
}

#[test]
fn label_selectors_apply_to_servers_to_come() {
    let world = World::new();
    let target = json!({"type": "label_selector", "label_selector": {"selector": "env=prod"}});
    let made = world.done("/v1/firewalls", json!({"name": "f", "apply_to": [target]}));
    let id = &made["firewall"]["id"];
    let server = world.server("a");
    world.put(&format!("/v1/servers/{server}"), json!({"labels": {"env": "prod"}}));
    let applied = world.get(&format!("/v1/firewalls/{id}"))["firewall"]["applied_to"][0].clone();
    assert_eq!(applied["applied_to_resources"][0]["server"]["id"], server);
    let net = world.get(&format!("/v1/servers/{server}"))["server"]["public_net"].clone();
    assert_eq!(net["firewalls"][0]["id"], *id);
    let by_hand = json!({"remove_from": [{"type": "server", "server": {"id": server}}]});
    let remove = format!("/v1/firewalls/{id}/actions/remove_from_resources");
    world.refused(422, "firewall_managed_by_label_selector", "POST", &remove, by_hand);
    world.refused(422, "resource_in_use", "DELETE", &format!("/v1/firewalls/{id}"), Value::Null);
    world.done(&remove, json!({"remove_from": [target]}));
    world.delete(&format!("/v1/firewalls/{id}"));
}

#[test]
fn a_firewall_needs_a_server_with_a_public_address() {
    let world = World::new();
    let net = json!({"enable_ipv4": false, "enable_ipv6": false});
    let body = json!({"name": "a", "server_type": "cax11", "image": "debian-13", "location": "fsn1", "public_net": net});
    let hidden = world.done("/v1/servers", body)["server"]["id"].clone();
    let made = world.done("/v1/firewalls", json!({"name": "f"}));
    let path = format!("/v1/firewalls/{}/actions", made["firewall"]["id"]);
    let targets = |id: &Value| json!([{"type": "server", "server": {"id": id}}]);
    let (to, from) = (format!("{path}/apply_to_resources"), format!("{path}/remove_from_resources"));
    world.refused(422, "private_net_only_server", "POST", &to, json!({"apply_to": targets(&hidden)}));
    world.refused(404, "firewall_resource_not_found", "POST", &to, json!({"apply_to": targets(&json!(1))}));
    world.refused(
        404,
        "firewall_resource_not_found",
        "POST",
        &from,
        json!({"remove_from": targets(&json!(1))}),
    );
    let server = world.server("b");
    let twice = json!({"name": "g", "apply_to": [targets(&json!(server))[0], targets(&json!(server))[0]]});
    world.refused(422, "server_already_added", "POST", "/v1/firewalls", twice);
}

#[test]
fn rules_are_replaced_whole() {
    let world = World::new();
    let made = world.done("/v1/firewalls", json!({"name": "f", "rules": [ssh(), ssh()]}));
    let path = format!("/v1/firewalls/{}", made["firewall"]["id"]);
    let set = format!("{path}/actions/set_rules");
    let ping = json!({"direction": "in", "protocol": "icmp", "source_ips": ["10.0.0.0/8"]});
    world.done(&set, json!({"rules": [ping]}));
    let rules = world.get(&path)["firewall"]["rules"].clone();
    assert_eq!((rules.as_array().unwrap().len(), &rules[0]["port"]), (1, &Value::Null));
    world.refused(422, "invalid_input", "POST", &set, json!({}));
    world.refused(422, "invalid_input", "POST", &set, json!({"rules": vec![ssh(); 51]}));
    let mut broken = ssh();
    broken["source_ips"] = json!(["10.0.0.1/8"]);
    let error = world.refused(422, "invalid_input", "POST", &set, json!({"rules": [ssh(), broken]}));
    assert_eq!(error["details"]["fields"][0]["name"], "rules[1]");
    world.done(&set, json!({"rules": []}));
}

#[test]
fn a_server_has_at_most_five() {
    let world = World::new();
    let server = world.server("a");
    let target = json!([{"type": "server", "server": {"id": server}}]);
    for n in 0..5 {
        world.done("/v1/firewalls", json!({"name": format!("f{n}"), "apply_to": target}));
    }
    world.refused(
        422,
        "resource_limit_exceeded",
        "POST",
        "/v1/firewalls",
        json!({"name": "f5", "apply_to": target}),
    );
    world.refused(409, "uniqueness_error", "POST", "/v1/firewalls", json!({"name": "f1"}));
    let unknown = json!([{"type": "server", "server": {"id": 1}}]);
    world.refused(
        422,
        "firewall_resource_not_found",
        "POST",
        "/v1/firewalls",
        json!({"name": "f6", "apply_to": unknown}),
    );
}
