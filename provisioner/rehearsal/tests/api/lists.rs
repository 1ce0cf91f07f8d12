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
