use crate::world::{World, names};
use serde_json::{Value, json};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH/7Z5hRMP6r++D6O1GxTZHGmWdlvT+bOLKRrTwvelmL";
const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMoprzOkm7MS9k14DT7RkatTsFZFu6qza6Ek38/fF9Vm";

#[test]
fn keys_are_made_found_renamed_and_deleted() {
    let world = World::new();
    let made = world.post(
        "/v1/ssh_keys",
        json!({"name": "a", "public_key": format!("{KEY} comment\n"), "labels": {"env": "x"}}),
    );
    let key = &made["ssh_key"];
    assert_eq!(key["fingerprint"], "22:31:91:96:44:1a:94:2a:96:93:33:26:77:60:52:0b");
    world.post("/v1/ssh_keys", json!({"name": "b", "public_key": OTHER}));
    assert_eq!(names(&world.get("/v1/ssh_keys?name=a"), "ssh_keys"), "a");
    assert_eq!(
        names(
            &world.get(&format!("/v1/ssh_keys?fingerprint={}", key["fingerprint"].as_str().unwrap())),
            "ssh_keys"
        ),
        "a"
    );
    assert_eq!(names(&world.get("/v1/ssh_keys?label_selector=!env"), "ssh_keys"), "b");
    let path = format!("/v1/ssh_keys/{}", key["id"]);
    let changed = world.put(&path, json!({"name": "c", "labels": {}}));
    assert_eq!((changed["ssh_key"]["name"].as_str(), &changed["ssh_key"]["labels"]), (Some("c"), &json!({})));
    world.delete(&path);
    world.refused(404, "not_found", "GET", &path, Value::Null);
}

#[test]
fn names_and_fingerprints_are_unique() {
    let world = World::new();
    world.post("/v1/ssh_keys", json!({"name": "a", "public_key": KEY}));
    world.refused(409, "uniqueness_error", "POST", "/v1/ssh_keys", json!({"name": "a", "public_key": OTHER}));
    world.refused(409, "uniqueness_error", "POST", "/v1/ssh_keys", json!({"name": "b", "public_key": KEY}));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let world = World::new();
    let body = json!({"public_key": "no key", "labels": {"-": "x"}});
    let error = world.refused(422, "invalid_input", "POST", "/v1/ssh_keys", body);
    let fields: Vec<_> =
        error["details"]["fields"].as_array().unwrap().iter().map(|f| f["name"].clone()).collect();
    assert_eq!(fields, ["labels", "name", "public_key"]);
}
