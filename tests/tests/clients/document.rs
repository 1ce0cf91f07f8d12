//! Hetzner's published description of the API, cut down to what the cloud has, with its requests led to what is in
//! the cloud: a made-up id would be answered 404 a thousand times. What answers must look like stays as published.

use crate::cloud::Cloud;
use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

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
    *paths = fitted;
    let bodies = bodies(cloud)?;
    let schemas = document["components"]["schemas"].as_object_mut().context("the document has no schemas")?;
    for (_, schema) in schemas.iter_mut().filter(|(name, _)| name.ends_with("_request")) {
        lead_properties(schema, &bodies);
    }
    Ok(())
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

/// What properties of requests may be in this cloud, by their names.
fn bodies(cloud: &Cloud) -> Result<BTreeMap<&'static str, Vec<Value>>> {
    let mut known = BTreeMap::new();
    let all = |path: &str, key: &str| -> Result<Vec<Value>> {
        let entries = if cloud.has(path)? { cloud.list(path)? } else { Vec::new() };
        Ok(entries.iter().map(|entry| entry[key].clone()).filter(|v| !v.is_null()).collect())
    };
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
        known.insert(property, all(path, key)?);
    }
    Ok(known)
}

fn lead_properties(schema: &mut Value, known: &BTreeMap<&str, Vec<Value>>) {
    for key in ["oneOf", "anyOf", "allOf"] {
        let inner = schema.get_mut(key).and_then(Value::as_array_mut);
        inner.into_iter().flatten().for_each(|inner| lead_properties(inner, known));
    }
    if let Some(items) = schema.get_mut("items") {
        lead_properties(items, known);
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
        lead_properties(property, known);
        let values = known.get(name.as_str()).filter(|values| !values.is_empty());
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
