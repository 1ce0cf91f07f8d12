use crate::world::{World, names};
use rehearsal::Profile;
use serde_json::{Value, json};

fn world() -> World {
    World::with(|config| config.profile = Profile::Legacy)
}

fn server(changes: Value) -> Value {
    let mut order = json!({"name": "a", "server_type": "cax11", "image": "debian-13"});
    order.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    order
}

#[test]
fn a_data_center_is_taken_and_told() {
    let world = world();
    let made = world.done("/v1/servers", server(json!({"datacenter": "fsn1-dc14"})));
    let shown = &world.get(&format!("/v1/servers/{}", made["server"]["id"]))["server"];
    for server in [&made["server"], shown] {
        assert_eq!((&server["datacenter"]["id"], &server["location"]["name"]), (&json!(4), &json!("fsn1")));
        assert_eq!(server["image"]["deprecated"], Value::Null);
    }
    for (name, datacenter) in [("b", json!(3)), ("c", json!("3")), ("d", json!("hel1-dc2"))] {
        let order = json!({"name": name, "type": "ipv6", "datacenter": datacenter});
        let made = world.post("/v1/primary_ips", order);
        assert_eq!(made["primary_ip"]["location"]["name"], "hel1");
        assert_eq!(made["primary_ip"]["datacenter"]["name"], "hel1-dc2");
        assert_eq!(made["primary_ip"]["assignee_type"], "server");
    }
    let listed = world.get("/v1/primary_ips?name=b");
    assert_eq!(listed["primary_ips"][0]["assignee_type"], "server");
}

#[test]
fn a_wrong_data_center_is_told() {
    let world = world();
    for datacenter in [json!("fsn1-dc1"), json!(99), json!([])] {
        let order = server(json!({ "datacenter": datacenter }));
        let error = world.refused(422, "invalid_input", "POST", "/v1/servers", order);
        assert_eq!(error["details"]["fields"][0]["name"], "datacenter");
    }
    let both = server(json!({"datacenter": "fsn1-dc14", "location": "fsn1"}));
    world.refused(422, "invalid_input", "POST", "/v1/servers", both);
    world.done("/v1/servers", server(json!({"datacenter": null})));
    let broken = crate::common::ask(&world.url(), &world.token(), "POST", "/v1/servers", Some("{"));
    assert_eq!(broken.unwrap().status, 400);
}

#[test]
fn data_centers_are_listed_with_what_they_have() {
    let world = world();
    let sold_out = json!({"server_type": "cax11", "location": "fsn1", "available": false});
    assert_eq!(world.ask("PUT", "/_rehearsal/stock", Some(&sold_out)).status, 204);
    let all = world.get("/v1/datacenters?sort=name:desc");
    assert_eq!(names(&all, "datacenters"), "sin-dc1 nbg1-dc3 hil-dc1 hel1-dc2 fsn1-dc14 ash-dc1");
    let types = &world.get("/v1/datacenters/4")["datacenter"]["server_types"];
    let has = |list: &str| types[list].as_array().unwrap().contains(&json!(45));
    assert!(has("supported") && !has("available"), "{types}");
    assert_eq!(names(&world.get("/v1/datacenters?name=ash-dc1"), "datacenters"), "ash-dc1");
    world.refused(404, "not_found", "GET", "/v1/datacenters/1", Value::Null);
    world.refused(405, "method_not_allowed", "POST", "/v1/datacenters", json!({}));
}

#[test]
fn the_present_knows_no_data_centers() {
    let world = World::new();
    world.refused(410, "deprecated_api_endpoint", "GET", "/v1/datacenters", Value::Null);
    let order = server(json!({"datacenter": "fsn1-dc14"}));
    world.refused(422, "invalid_input", "POST", "/v1/servers", order);
    let order = json!({"name": "b", "type": "ipv6", "datacenter": "hel1-dc2"});
    world.refused(422, "invalid_input", "POST", "/v1/primary_ips", order);
    let order = json!({"name": "b", "type": "ipv6", "location": "hel1"});
    let made = world.post("/v1/primary_ips", order);
    assert_eq!(made["primary_ip"]["assignee_type"], "unassigned");
    assert!(made["primary_ip"].get("datacenter").is_none());
}
