//! Instances of the schemas of an OpenAPI document, and instances that lack something.

use serde_json::{Map, Value, json};

/// How deep schemas are followed; nothing of ours is that deep.
const DEEPEST: usize = 24;

/// What stands where the document lists the words that are allowed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Words {
    /// One of them.
    Known,
    /// One that is not among them.
    New,
}

/// An instance with all fields, none of them null.
pub(crate) fn build(document: &Value, schema: &Value, words: Words) -> Value {
    build_at(document, schema, words, DEEPEST)
}

fn build_at(document: &Value, schema: &Value, words: Words, depth: usize) -> Value {
    assert!(depth > 0, "{schema} goes round in circles");
    let build = |schema: &Value| build_at(document, schema, words, depth - 1);
    if let Some(target) = schema["$ref"].as_str() {
        return build(document.pointer(&target[1..]).unwrap_or_else(|| panic!("there is no {target}")));
    }
    if let Some(words_known) = schema["enum"].as_array() {
        return if words == Words::New { json!("brand-new-value") } else { words_known[0].clone() };
    }
    if let Some(alternatives) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        return build(&alternatives[0]);
    }
    let mut fields = Map::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        match build(part) {
            Value::Object(more) => fields.extend(more),
            simple => return simple,
        }
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        fields.insert(name.clone(), build(field));
    }
    if !fields.is_empty() {
        return Value::Object(fields);
    }
    if schema["type"] == "array" {
        return json!([build(&schema["items"])]);
    }
    match (&schema["example"], schema["type"].as_str()) {
        (Value::Null, Some("integer")) => json!(42),
        (Value::Null, Some("number")) => json!(42.0),
        (Value::Null, Some("boolean")) => json!(true),
        (Value::Null, Some("object")) => json!({ "key": "value" }),
        (Value::Null, _) => json!("text"),
        (example, _) => example.clone(),
    }
}

/// The paths of all fields at all depths: `id`, `public_net.ipv4.ip`, `resources[].id`.
pub(crate) fn paths(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, "", &mut found);
    found
}

fn collect(value: &Value, prefix: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                // What is in the labels is the user's, and no field of the document.
                if name != "labels" {
                    collect(field, &path, found);
                }
                found.push(path);
            }
        }
        Value::Array(items) => {
            items.iter().take(1).for_each(|item| collect(item, &format!("{prefix}[]"), found));
        }
        _ => {}
    }
}

/// The same with the field at a path taken out, or replaced.
pub(crate) fn without(value: &Value, path: &str, replacement: Option<&Value>) -> Value {
    let mut copy = value.clone();
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let pointer: String = parent
        .split('.')
        .filter(|part| !part.is_empty())
        .map(|part| format!("/{}", part.replace("[]", "/0")))
        .collect();
    let fields = copy.pointer_mut(&pointer).and_then(Value::as_object_mut).unwrap();
    match replacement {
        None => drop(fields.remove(name)),
        Some(other) => drop(fields.insert(name.into(), other.clone())),
    }
    copy
}

/// Adds fields that nobody knows to every object but the labels, whose keys are the user's.
pub(crate) fn unknown_everywhere(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (_, field) in fields.iter_mut().filter(|(name, _)| *name != "labels") {
                unknown_everywhere(field);
            }
            fields.insert("brand_new_field".into(), json!({ "a": [1, null, "x"] }));
        }
        Value::Array(items) => items.iter_mut().for_each(unknown_everywhere),
        _ => {}
    }
}

/// The examples of all answers, each with its place.
pub(crate) fn examples(document: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(answers) = operation.get("responses").and_then(Value::as_object) else { continue };
            for (status, answer) in answers {
                let content = &answer["content"]["application/json"];
                let named = content["examples"].as_object().into_iter().flatten().map(|(_, e)| &e["value"]);
                for example in named.chain(content.get("example")) {
                    found.push((format!("{method} {path} {status}"), example.clone()));
                }
            }
        }
    }
    found
}
