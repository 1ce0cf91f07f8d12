//! Hetzner's published description of the API, cut down to what the cloud has, with its requests led to what is in
//! the cloud: a made-up id would be answered 404 a thousand times. What answers must look like stays as published.

use crate::cloud::Cloud;
use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// As storage boxes want it.
pub(crate) const PASSWORD: &str = "Long-enough-4-You!";

/// The published document, where it was put beside the repository.
pub(crate) fn published() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/hetzner/openapi.json")
}

/// Leaves the paths that the cloud has, and adds to what requests may carry what this cloud knows.
pub(crate) fn fit(document: &mut Value, cloud: &Cloud) -> Result<()> {
    let paths = document["paths"].as_object_mut().context("the document has no paths")?;
    let mut fitted = Map::new();
    let mut known = BTreeMap::new();
    for (turn, (path, mut operations)) in std::mem::take(paths).into_iter().enumerate() {
        if cloud.has(&fill(&path, |_| Some("1".into())))? {
            let found = parameters(cloud, &path, &mut known);
            lead_parameters(&mut operations, &found, turn);
            fitted.insert(path, operations);
        }
    }
    let bodies = bodies(cloud)?;
    let schemas = &document["components"]["schemas"];
    for (path, operations) in &mut fitted {
        for (_, operation) in operations.as_object_mut().into_iter().flatten() {
            let Some(schema) = operation.pointer_mut("/requestBody/content/application~1json/schema") else {
                continue;
            };
            // A schema that answers refer to as well must stay as it is.
            *schema = inline(schema, schemas);
            lead_properties(schema, path.split('/').nth(1).unwrap_or_default(), &bodies);
        }
    }
    document["paths"] = Value::Object(fitted);
    Ok(())
}

/// A copy without references to other schemas; none of a request's refers to itself.
fn inline(schema: &Value, schemas: &Value) -> Value {
    let named = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/components/schemas/"));
    match (named, schema) {
        (Some(name), _) => inline(&schemas[name], schemas),
        (None, Value::Object(fields)) => {
            Value::Object(fields.iter().map(|(name, field)| (name.clone(), inline(field, schemas))).collect())
        }
        (None, Value::Array(items)) => items.iter().map(|item| inline(item, schemas)).collect(),
        (None, other) => other.clone(),
    }
}

/// A path with its parameters replaced; one without a value stays.
fn fill(path: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let part = |part: &str| {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        name.and_then(&value).unwrap_or_else(|| part.to_owned())
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// For each parameter of the path the values that are in the cloud: those of the list that the path goes through.
/// `known` keeps what was asked already, by the path of the list.
fn parameters(
    cloud: &Cloud,
    path: &str,
    known: &mut BTreeMap<String, Vec<Value>>,
) -> BTreeMap<String, Vec<Value>> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut list = String::new();
    for part in path.split('/').skip(1) {
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            list = format!("{list}/{part}");
            continue;
        };
        let concrete = fill(&list, |name| found.get(name)?.first().map(text));
        let entries = known.entry(concrete.clone()).or_insert_with(|| {
            // There is no list of all actions; those of servers are some of them.
            let path = if concrete == "/actions" { "/servers/actions" } else { &concrete };
            cloud.list(path).unwrap_or_default()
        });
        let key = match name {
            "rr_name" => "name",
            "rr_type" => "type",
            _ => "id",
        };
        let values = entries.iter().map(|entry| entry[key].clone()).filter(|value| !value.is_null());
        found.insert(name.to_owned(), values.collect());
        // Name and type of a record set come one after the other and mean one entry.
        if name != "rr_name" {
            list = format!("{list}/{part}");
        }
    }
    found
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What is deleted is of the second half of what there is, so that the first half stays for the others; of that each
/// path begins with another one, so that one request's lock or protection is not in everybody's way.
fn lead_parameters(operations: &mut Value, found: &BTreeMap<String, Vec<Value>>, turn: usize) {
    for (method, operation) in operations.as_object_mut().into_iter().flatten() {
        // A path has its servers beside its operations.
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten().filter(|parameter| parameter["in"] == "path") {
            let values = parameter["name"].as_str().and_then(|name| found.get(name));
            let Some(values) = values.filter(|values| !values.is_empty()) else { continue };
            let (stay, go) = values.split_at(values.len().div_ceil(2));
            let mut values = if method == "delete" && !go.is_empty() { go.to_vec() } else { stay.to_vec() };
            let first = turn % values.len();
            values.rotate_left(first);
            lead(&mut parameter["schema"], &values);
            if let Some(parameter) = parameter.as_object_mut() {
                parameter.remove("example");
            }
        }
    }
}

/// The values that properties of requests may have, by `resources.property` where one kind of resources takes other
/// values than the rest, else by the property alone.
type Known = BTreeMap<&'static str, Vec<Value>>;

fn bodies(cloud: &Cloud) -> Result<Known> {
    let mut known = Known::from([
        ("dns_ptr", vec![json!("a.example.com"), Value::Null]),
        ("home_directory", vec![json!("backup/a"), json!("backup/b")]),
        ("password", vec![json!(PASSWORD)]),
        ("public_key", (10..20).map(|number| json!(public_key(number))).collect()),
        ("storage_boxes.ssh_keys", vec![json!(public_key(20))]),
        ("ttl", vec![json!(60), json!(86400)]),
        ("zones.name", ["a.com", "b.com", "www", "@"].map(Value::from).into()),
        ("zones.value", ["192.0.2.1", "192.0.2.2"].map(Value::from).into()),
    ]);
    for (property, path, key) in [
        ("assignee_id", "/servers", "id"),
        ("firewall", "/firewalls", "id"),
        ("image", "/images", "name"),
        ("ip", "/primary_ips", "ip"),
        ("location", "/locations", "name"),
        ("server", "/servers", "id"),
        ("server_type", "/server_types", "name"),
        ("ssh_keys", "/ssh_keys", "name"),
        ("storage_box_type", "/storage_box_types", "name"),
        ("volumes", "/volumes", "id"),
    ] {
        let entries = cloud.list(path)?;
        let values = entries.iter().map(|entry| entry[key].clone()).filter(|value| !value.is_null());
        known.insert(property, values.collect());
    }
    Ok(known)
}

/// A line of `authorized_keys`; its private half is nobody's.
pub(crate) fn public_key(number: u8) -> String {
    format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9f0sP0mGk2v7x0w1l1yJ8o1f3Kk0w9c3J4mYq0b{number:03}")
}

fn lead_properties(schema: &mut Value, resources: &str, known: &Known) {
    for key in ["oneOf", "anyOf", "allOf"] {
        let inner = schema.get_mut(key).and_then(Value::as_array_mut);
        inner.into_iter().flatten().for_each(|inner| lead_properties(inner, resources, known));
    }
    if let Some(items) = schema.get_mut("items") {
        lead_properties(items, resources, known);
    }
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    // This cloud has none of what these name, nor does Hetzner have data centers any more.
    for gone in ["datacenter", "networks", "placement_group"] {
        properties.remove(gone);
    }
    // Both are refused, and one that gives all properties is what is tried most.
    if properties.contains_key("location") {
        properties.remove("server");
        properties.remove("assignee_id");
    }
    for (name, property) in properties {
        lead_properties(property, resources, known);
        let values = known.get(format!("{resources}.{name}").as_str()).or_else(|| known.get(name.as_str()));
        let values = values.filter(|values| !values.is_empty());
        match (name.as_str(), values) {
            (_, Some(values)) if property["type"] == "array" => {
                lead(&mut property["items"], values);
                property["example"] = json!([values[0]]);
            }
            (_, Some(values)) => lead(property, values),
            ("name", None) => *property = json!({"type": "string", "pattern": "^[a-z]{6,12}$"}),
            _ => {}
        }
    }
}

/// Puts known values in the place of a schema. What they leave out is still tried, as what must be refused.
fn lead(schema: &mut Value, values: &[Value]) {
    *schema = json!({"enum": values, "example": values[0]});
}
