use crate::world::{World, names};
use rehearsal::Clock;
use serde_json::{Value, json};

fn volumes(count: u64) -> World {
    // All of them are made at the same moment.
    let world = World::with(|config| config.clock = Clock::Virtual { auto: false });
    for n in 1..=count {
        let body = json!({"name": format!("v{n:02}"), "size": 10, "location": "hel1", "labels": {"n": n.to_string()}});
        world.post("/v1/volumes", body);
    }
    world
}

#[test]
fn lists_come_in_pages_with_links() {
    let world = volumes(7);
    let reply = world.ask("GET", "/v1/volumes?per_page=3&page=2&label_selector=n%20notin%20(99)", None);
    assert_eq!(names(&reply.body, "volumes"), "v04 v05 v06");
    let expected = json!({"page": 2, "per_page": 3, "previous_page": 1, "next_page": 3, "last_page": 3, "total_entries": 7});
    assert_eq!(reply.body["meta"]["pagination"], expected);
    let link = reply.header("link").unwrap();
    assert!(link.contains("page=3>; rel=next") && link.contains("page=1>; rel=prev"), "{link}");
    assert!(link.contains("label_selector=n%20notin%20%2899%29"), "{link}");
    assert_eq!(names(&world.get("/v1/volumes?per_page=3&page=3"), "volumes"), "v07");
    assert_eq!(names(&world.get("/v1/volumes?page=9"), "volumes"), "");
    let clamped = world.get("/v1/volumes?per_page=1000");
    assert_eq!(clamped["meta"]["pagination"]["per_page"], 50);
    world.refused(422, "invalid_input", "GET", "/v1/volumes?page=0", Value::Null);
    world.refused(422, "invalid_input", "GET", "/v1/volumes?per_page=x", Value::Null);
}

#[test]
fn lists_are_sorted_and_filtered() {
    let world = volumes(3);
    let table = [
        ("", "v01 v02 v03"),
        ("?sort=id%3Adesc", "v03 v02 v01"),
        ("?sort=name:desc", "v03 v02 v01"),
        ("?sort=created&sort=id:desc", "v03 v02 v01"),
        ("?name=v02", "v02"),
        ("?name=nothing", ""),
        ("?label_selector=", "v01 v02 v03"),
        ("?label_selector=n=1", "v01"),
        ("?label_selector=n%20in%20(1,3)", "v01 v03"),
        ("?label_selector=n!=1,n!=2", "v03"),
        ("?status=available&status=creating", "v01 v02 v03"),
    ];
    for (query, expected) in table {
        assert_eq!(names(&world.get(&format!("/v1/volumes{query}")), "volumes"), expected, "{query}");
    }
    world.refused(422, "invalid_input", "GET", "/v1/volumes?sort=size", Value::Null);
    world.refused(422, "invalid_input", "GET", "/v1/volumes?label_selector=a=b=c", Value::Null);
}

#[test]
fn images_are_chosen_by_architecture() {
    let world = World::new();
    assert_eq!(names(&world.get("/v1/images?name=debian-13"), "images"), "debian-13 debian-13");
    let arm = world.get("/v1/images?name=debian-13&architecture=arm&type=system&label_selector=build=1");
    assert_eq!(arm["images"].as_array().unwrap().len(), 1);
    let path = format!("/v1/images/{}", arm["images"][0]["id"]);
    assert_eq!(world.get(&path)["image"]["architecture"], "arm");
    assert_eq!(names(&world.get("/v1/images?type=snapshot"), "images"), "");
}

#[test]
fn what_is_on_sale_is_listed() {
    let world = World::new();
    let kind = &world.get("/v1/server_types?name=cax31")["server_types"][0];
    assert_eq!((&kind["id"], &kind["architecture"], &kind["cores"]), (&json!(94), &json!("arm"), &json!(8)));
    assert_eq!(kind["prices"][0]["price_monthly"]["net"], "20.9900");
    assert_eq!(kind["locations"][0]["available"], true);
    world.get("/v1/server_types/109");
    world.get("/v1/pricing");
    assert_eq!(world.get("/v1/locations?name=hel1")["locations"][0]["id"], 3);
    world.get("/v1/locations/1");
    world.refused(404, "not_found", "GET", "/v1/locations/99", Value::Null);
    for plural in [
        "load_balancers",
        "load_balancer_types",
        "floating_ips",
        "networks",
        "placement_groups",
        "certificates",
        "isos",
    ] {
        assert_eq!(world.get(&format!("/v1/{plural}"))[plural], json!([]));
        let below = ["", "/1", "/1/actions", "/1/actions/change_protection", "/actions/1"];
        for (method, below) in ["POST", "PUT", "DELETE", "GET"].iter().flat_map(|m| below.map(|b| (m, b))) {
            if (*method, below) != ("GET", "") {
                let path = format!("/v1/{plural}{below}");
                let error = world.refused(422, "unsupported_error", method, &path, Value::Null);
                assert!(error["message"].as_str().unwrap().contains("the rehearsal cloud has no"), "{error}");
            }
        }
    }
    world.refused(410, "deprecated_api_endpoint", "GET", "/v1/datacenters", Value::Null);
}

#[test]
fn what_is_deprecated_says_where_and_cannot_be_ordered_there() {
    let world = World::new();
    let gone = json!({"announced": "2025-10-16T06:00:00Z", "unavailable_after": "2025-12-31T23:59:59Z"});
    let kind = world.get("/v1/server_types?name=cpx11&architecture=x86")["server_types"][0].clone();
    assert_eq!(
        (&kind["id"], &kind["deprecated"], &kind["deprecation"]),
        (&json!(22), &json!(false), &Value::Null)
    );
    let place = |name: &str| {
        let all = kind["locations"].as_array().unwrap();
        all.iter().find(|place| place["name"] == name).unwrap().clone()
    };
    assert_eq!((&place("fsn1")["deprecation"], &place("fsn1")["available"]), (&gone, &json!(false)));
    assert_eq!((&place("ash")["deprecation"], &place("ash")["available"]), (&Value::Null, &json!(true)));
    assert_eq!(kind["prices"].as_array().unwrap().len(), 6, "an older server still has its price");

    assert_eq!(world.get("/v1/server_types?name=cx22")["server_types"], json!([]), "it is over everywhere");
    let kind = world.get("/v1/server_types/104")["server_type"].clone();
    assert_eq!(
        (&kind["name"], &kind["deprecated"], &kind["deprecation"]),
        (&json!("cx22"), &json!(true), &gone)
    );
    assert!(kind["locations"].as_array().unwrap().iter().all(|place| place["deprecation"] == gone));

    let refused = |kind: Value, place: &str, says: &str| {
        let order = json!({"name": "a", "server_type": kind, "image": "debian-13", "location": place});
        let error = world.refused(422, "invalid_input", "POST", "/v1/servers", order);
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    };
    refused(json!("cpx11"), "fsn1", "unsupported location for server type");
    refused(json!("cx22"), "fsn1", "server type 104 is deprecated");
    refused(json!(104), "ash", "server type 104 is deprecated");
    let order = json!({"name": "a", "server_type": "cpx11", "image": "debian-13"});
    let server = world.done("/v1/servers", order)["server"].clone();
    assert_eq!(server["location"]["name"], "ash");
    let off = format!("/v1/servers/{}/actions/poweroff", server["id"]);
    world.done(&off, Value::Null);
    let change = format!("/v1/servers/{}/actions/change_type", server["id"]);
    world.refused(
        422,
        "invalid_input",
        "POST",
        &change,
        json!({"server_type": "cx22", "upgrade_disk": false}),
    );
}
