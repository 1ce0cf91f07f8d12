//! A canary for the API's changes: every model reads what Hetzner's OpenAPI document promises, and still reads it
//! when a field goes, a word is new, or something is added.
#![allow(clippy::unwrap_used, reason = "a test that cannot read the document should stop")]

mod instances;

use instances::{Words, build, examples, paths, unknown_everywhere, without};
use provisioner::api::model::{
    Action, Firewall, Image, Location, Pricing, PrimaryIp, RRSet, Server, ServerType, SshKey, StorageBox,
    Volume, Zone,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;

/// A model and what it is called in the document.
struct Kind {
    /// The schema of an answer that has one of it ...
    schema: &'static str,
    /// ... below this key,
    key: &'static str,
    /// and in lists below this one.
    plural: &'static str,
    /// The fields without which it is not read; what is in no such list may go.
    required: &'static [&'static str],
    read: fn(&Value) -> Result<(), String>,
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<(), String> {
    serde_json::from_value::<T>(value.clone()).map(drop).map_err(|e| e.to_string())
}

/// Everything that is required of anything. An id and a name are what a thing is found by; an address, a family, a size
/// and a record's value have no default that could not be taken for another one.
fn kinds() -> [Kind; 13] {
    let kind = |schema, key, plural, required, read| Kind { schema, key, plural, required, read };
    [
        kind(
            "get_server_response",
            "server",
            "servers",
            &[
                "id",
                "name",
                "image.created_from.id",
                "image.id",
                "location.name",
                "public_net.firewalls[].id",
                "public_net.ipv4.ip",
                "public_net.ipv6.ip",
                "server_type.id",
                "server_type.locations[].name",
                "server_type.name",
            ],
            read::<Server>,
        ),
        kind(
            "get_server_type_response",
            "server_type",
            "server_types",
            &["id", "name", "locations[].name"],
            read::<ServerType>,
        ),
        kind(
            "get_volume_response",
            "volume",
            "volumes",
            &["id", "name", "size", "location.name"],
            read::<Volume>,
        ),
        kind("get_firewall_response", "firewall", "firewalls", &["id", "name"], read::<Firewall>),
        kind("get_ssh_key_response", "ssh_key", "ssh_keys", &["id", "name"], read::<SshKey>),
        kind(
            "get_primary_ip_response",
            "primary_ip",
            "primary_ips",
            &["id", "name", "ip", "type", "location.name"],
            read::<PrimaryIp>,
        ),
        kind("get_image_response", "image", "images", &["id", "created_from.id"], read::<Image>),
        kind("get_location_response", "location", "locations", &["name"], read::<Location>),
        kind("list_prices_response", "pricing", "pricings", &[], read::<Pricing>),
        kind("get_action_response", "action", "actions", &["id", "resources[].id"], read::<Action>),
        kind("get_zone_response", "zone", "zones", &["id", "name"], read::<Zone>),
        kind(
            "get_rrset_response",
            "rrset",
            "rrsets",
            &["id", "name", "type", "records[].value"],
            read::<RRSet>,
        ),
        kind(
            "get_storage_box_response",
            "storage_box",
            "storage_boxes",
            &["id", "name", "location.name", "storage_box_type.id", "storage_box_type.name"],
            read::<StorageBox>,
        ),
    ]
}

/// The document, or `None` after saying so: it is kept beside the repository, not in it.
fn document(test: &str) -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/hetzner/openapi.json");
    let Some(bytes) = host::files::read(&path).unwrap() else {
        // The handle itself, since the test runner swallows what the macros print.
        let said = format!("SKIPPED {test}: there is no {}\n", path.display());
        std::io::stderr().write_all(said.as_bytes()).unwrap();
        return None;
    };
    Some(serde_json::from_slice(&bytes).unwrap())
}

fn built(document: &Value, kind: &Kind, words: Words) -> Value {
    let schema = json!({ "$ref": format!("#/components/schemas/{}", kind.schema) });
    let mut whole = build(document, &schema, words);
    let built = whole[kind.key].take();
    assert!(built.is_object(), "{} has no {}", kind.schema, kind.key);
    built
}

#[test]
fn what_the_document_promises_is_read() {
    let Some(document) = document("what_the_document_promises_is_read") else { return };
    for kind in kinds() {
        let whole = built(&document, &kind, Words::Known);
        (kind.read)(&whole).unwrap_or_else(|e| panic!("{}: {e}\n{whole:#}", kind.key));
    }
}

#[test]
fn words_and_fields_nobody_knows_are_read() {
    let Some(document) = document("words_and_fields_nobody_knows_are_read") else { return };
    for kind in kinds() {
        let mut odd = built(&document, &kind, Words::New);
        unknown_everywhere(&mut odd);
        (kind.read)(&odd).unwrap_or_else(|e| panic!("{}: {e}\n{odd:#}", kind.key));
    }
}

#[test]
fn every_field_but_the_required_may_go_or_be_null() {
    let Some(document) = document("every_field_but_the_required_may_go_or_be_null") else { return };
    for kind in kinds() {
        let whole = built(&document, &kind, Words::Known);
        let paths = paths(&whole);
        for required in kind.required {
            assert!(paths.iter().any(|path| path == required), "{} has no field {required}", kind.key);
        }
        for path in &paths {
            let required = kind.required.contains(&path.as_str());
            for replacement in [None, Some(Value::Null)] {
                let lacking = without(&whole, path, replacement.as_ref());
                let outcome = (kind.read)(&lacking);
                assert_eq!(
                    outcome.is_err(),
                    required,
                    "{} with {path} {replacement:?}: {outcome:?}",
                    kind.key
                );
            }
        }
    }
}

#[test]
fn every_example_is_read() {
    let Some(document) = document("every_example_is_read") else { return };
    let mut count = 0;
    for (place, example) in examples(&document) {
        for kind in kinds() {
            let listed = example.get(kind.plural).and_then(Value::as_array).into_iter().flatten();
            for one in example.get(kind.key).into_iter().chain(listed).filter(|one| one.is_object()) {
                (kind.read)(one).unwrap_or_else(|e| panic!("{place}: {}: {e}\n{one:#}", kind.key));
                count += 1;
            }
        }
    }
    assert!(count > 100, "only {count} examples were found");
}
