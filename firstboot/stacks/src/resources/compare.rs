//! A document compared with what is there. What it does not state is left as it is.

use crate::manifest::api::{Create, Resource};
use serde_json::{Map, Value};
use std::fmt;

/// What has to be sent so that one object is as its document says.
#[derive(PartialEq)]
pub struct Change {
    /// Which object, for people.
    pub what: String,
    /// In what it differs, a line each; nothing where it is not there at all. No secret is in it.
    pub differences: Vec<String>,
    /// What to send; nothing can be where it is missing and its manifest does not say how it is made.
    pub request: Option<Request>,
}

/// A request; its body may hold secrets, and is for stdin alone.
#[derive(PartialEq)]
pub struct Request {
    /// `POST` or `PUT`.
    pub method: &'static str,
    /// The path at the API.
    pub path: String,
    /// JSON.
    pub body: Value,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.request, self.differences.as_slice()) {
            (None, _) => write!(f, "{}: is missing, and is not made by itself", self.what),
            (Some(_), []) => write!(f, "{}: is missing", self.what),
            (Some(_), lines) => write!(f, "{}: {}", self.what, lines.join("; ")),
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Change({self})")
    }
}

/// What differs between a document and what is there: an object, a list of them, or nothing (`null`). The error says what of
/// the two cannot be understood.
pub fn changes(resource: &Resource, document: &Value, there: &Value) -> Result<Vec<Change>, String> {
    let wanted = wanted(resource, document)?;
    let mut changes = Vec::new();
    for want in wanted {
        let (what, found) = match &resource.key {
            None => (resource.name.clone(), Some(there).filter(|there| there.is_object())),
            Some(key) => {
                let is_it = |item: &&Value| item[key] == want[key];
                let found = there.as_array().into_iter().flatten().find(is_it);
                (format!("{}, {}", resource.name, plain(&want[key])), found)
            }
        };
        changes.extend(match found {
            None => Some(missing(resource, what, want)),
            Some(found) => changed(resource, what, &want, found)?,
        });
    }
    Ok(changes)
}

/// The objects that the document states.
pub(crate) fn wanted(resource: &Resource, document: &Value) -> Result<Vec<Value>, String> {
    let no = |why: &str| format!("{}: {:?} {why}", resource.name, resource.part);
    let part = document.pointer(&resource.part).ok_or_else(|| no("is not there"))?;
    let Some(key) = &resource.key else {
        let mut object = part.as_object().cloned().ok_or_else(|| no("is no object"))?;
        object.retain(|field, _| !resource.without.contains(field));
        return Ok(vec![object.into()]);
    };
    let list = part.as_array().ok_or_else(|| no("is no list"))?;
    if list.iter().any(|item| !item[key].is_string()) {
        return Err(no(&format!("has an item without {key}")));
    }
    Ok(list.clone())
}

fn missing(resource: &Resource, what: String, want: Value) -> Change {
    let request = resource.create.as_ref().map(|create| Request {
        method: "POST",
        path: create.path.clone(),
        body: made_of(create, want),
    });
    Change { what, differences: Vec::new(), request }
}

fn made_of(create: &Create, want: Value) -> Value {
    if create.with.is_empty() && create.list.is_none() {
        return want;
    }
    let mut body: Map<String, Value> =
        create.with.iter().map(|(field, text)| (field.clone(), text.as_str().into())).collect();
    if let Some(list) = &create.list {
        body.insert(list.clone(), vec![want].into());
    }
    body.into()
}

fn changed(resource: &Resource, what: String, want: &Value, found: &Value) -> Result<Option<Change>, String> {
    let mut want = want.clone();
    if let Some(fields) = want.as_object_mut() {
        fields.retain(|field, _| !resource.once.contains(field));
    }
    let mut differences = Vec::new();
    compare(&mut Vec::new(), &want, found, &resource.hidden, &mut differences);
    if differences.is_empty() {
        return Ok(None);
    }
    let path = match &resource.item {
        None => resource.path.clone(),
        Some(item) => filled(item, found).map_err(|why| format!("{what}: {why}"))?,
    };
    let request = Request { method: "PUT", path, body: merged(&want, found) };
    Ok(Some(Change { what, differences, request: Some(request) }))
}

/// Puts fields of what is there into a path.
fn filled(path: &str, found: &Value) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (field, after) = after.split_once('}').ok_or_else(|| format!("{path:?} has a {{ and no }}"))?;
        let value =
            found[field].as_str().ok_or_else(|| format!("what is there has no {field} for {path:?}"))?;
        text += before;
        text += &super::encoded(value.as_bytes());
        rest = after;
    }
    Ok(text + rest)
}

/// Whether what is there holds all that is wanted.
fn holds(want: &Value, have: &Value) -> bool {
    let mut differences = Vec::new();
    compare(&mut Vec::new(), want, have, &[], &mut differences);
    differences.is_empty()
}

fn compare(
    at: &mut Vec<String>,
    want: &Value,
    have: &Value,
    hidden: &[String],
    differences: &mut Vec<String>,
) {
    match (want, have) {
        (Value::Object(want), Value::Object(_)) => {
            for (field, want) in want {
                at.push(field.clone());
                if hidden.contains(field) {
                    if *want != have[field] {
                        differences.push(format!("{}: is another", at.join(".")));
                    }
                } else {
                    compare(at, want, &have[field], hidden, differences);
                }
                at.pop();
            }
        }
        (Value::Array(want), Value::Array(have)) if named(want) && same_names(want, have) => {
            for item in want {
                at.push(plain(&item["name"]));
                let found = have.iter().find(|other| other["name"] == item["name"]);
                compare(at, item, found.unwrap_or(&Value::Null), hidden, differences);
                at.pop();
            }
        }
        // The order of a list means nothing to these APIs.
        (Value::Array(list), Value::Array(there))
            if list.len() == there.len()
                && list.iter().all(|item| there.iter().any(|other| holds(item, other))) => {}
        (want, have) if want == have => {}
        (want, have) => {
            let (have, want) = (shown(have, hidden), shown(want, hidden));
            differences.push(format!("{}: {have} → {want}", at.join(".")));
        }
    }
}

/// What is there, with what is wanted put into it: what is not stated goes back as it came.
fn merged(want: &Value, have: &Value) -> Value {
    match (want, have) {
        (Value::Object(want), Value::Object(have)) => {
            let mut all = have.clone();
            for (field, want) in want {
                all.insert(field.clone(), merged(want, &have.get(field).cloned().unwrap_or_default()));
            }
            all.into()
        }
        (Value::Array(want), Value::Array(have)) if named(want) => {
            let merge = |item: &Value| {
                let found = have.iter().find(|other| other["name"] == item["name"]);
                merged(item, found.unwrap_or(&Value::Null))
            };
            want.iter().map(merge).collect()
        }
        _ => want.clone(),
    }
}

/// A list of objects that each have a name.
fn named(list: &[Value]) -> bool {
    !list.is_empty() && list.iter().all(|item| item["name"].is_string())
}

fn same_names(one: &[Value], other: &[Value]) -> bool {
    one.len() == other.len() && one.iter().all(|item| other.iter().any(|there| there["name"] == item["name"]))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A value for people, without what nobody is shown.
fn shown(value: &Value, hidden: &[String]) -> String {
    fn without(value: &Value, hidden: &[String]) -> Value {
        match value {
            Value::Object(map) => {
                let field = |(name, value): (&String, &Value)| {
                    let value = if hidden.contains(name) { "…".into() } else { without(value, hidden) };
                    (name.clone(), value)
                };
                map.iter().map(field).collect::<Map<_, _>>().into()
            }
            Value::Array(items) => items.iter().map(|item| without(item, hidden)).collect(),
            other => other.clone(),
        }
    }
    if value.is_null() { "nothing".into() } else { without(value, hidden).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resource(more: &Value) -> Resource {
        let mut all = json!({ "name": "clients", "document": "d.json", "path": "/clients", "key": "clientId", "item": "/clients/{id}", "create": { "path": "/clients" } });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn lines(resource: &Resource, document: &Value, there: &Value) -> Vec<String> {
        changes(resource, document, there).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_holds_all_that_is_stated_needs_nothing_whatever_else_it_holds() {
        let document = json!([{ "clientId": "a", "uris": ["x", "y"], "attributes": { "p": "1" }, "mappers": [{ "name": "m", "config": { "c": "1" } }] }]);
        let there = json!([
            { "id": "1", "clientId": "b" },
            { "id": "2", "clientId": "a", "uris": ["y", "x"], "attributes": { "p": "1", "q": "2" }, "mappers": [{ "id": "3", "name": "m", "config": { "c": "1", "d": "2" } }] },
        ]);
        assert_eq!(lines(&resource(&json!({})), &document, &there), Vec::<String>::new());
    }

    #[test]
    fn what_differs_is_said_and_put_into_what_is_there() {
        let document = json!([{ "clientId": "a", "enabled": true, "uris": ["x"], "mappers": [{ "name": "m", "config": { "c": "1" } }] }]);
        let there = json!([{ "id": "é/1", "clientId": "a", "enabled": false, "uris": ["x", "evil"], "kept": 7, "mappers": [{ "id": "3", "name": "m", "config": { "c": "2", "d": "k" } }] }]);
        let found = changes(&resource(&json!({})), &document, &there).unwrap();
        assert_eq!(
            found[0].to_string(),
            "clients, a: enabled: false → true; uris: [\"x\",\"evil\"] → [\"x\"]; mappers.m.config.c: \"2\" → \"1\""
        );
        let request = found[0].request.as_ref().unwrap();
        assert_eq!((request.method, request.path.as_str()), ("PUT", "/clients/%C3%A9%2F1"));
        assert_eq!(
            request.body,
            json!({ "id": "é/1", "clientId": "a", "enabled": true, "uris": ["x"], "kept": 7, "mappers": [{ "id": "3", "name": "m", "config": { "c": "1", "d": "k" } }] })
        );
        // What was sent is what is there now: nothing is left to do.
        assert_eq!(changes(&resource(&json!({})), &document, &json!([request.body])).unwrap(), []);
    }

    #[test]
    fn a_mapper_that_somebody_added_is_taken_away() {
        let document = json!([{ "clientId": "a", "mappers": [{ "name": "m" }] }]);
        let there = json!([{ "id": "1", "clientId": "a", "mappers": [{ "name": "m" }, { "name": "evil" }] }]);
        let found = changes(&resource(&json!({})), &document, &there).unwrap();
        assert_eq!(found[0].request.as_ref().unwrap().body["mappers"], json!([{ "name": "m" }]));
    }

    #[test]
    fn a_secret_is_compared_and_never_shown() {
        let hidden = resource(&json!({ "hidden": ["secret"] }));
        let document = json!([{ "clientId": "a", "secret": "s3cret", "more": [{ "secret": "s3cret" }] }]);
        let there = json!([{ "id": "1", "clientId": "a", "secret": "0ther", "more": [] }]);
        let found = changes(&hidden, &document, &there).unwrap();
        assert_eq!(found[0].to_string(), "clients, a: secret: is another; more: [] → [{\"secret\":\"…\"}]");
        assert!(!format!("{found:?}").contains("s3cret"));
        assert_eq!(found[0].request.as_ref().unwrap().body["secret"], "s3cret");
        let made = changes(&hidden, &document, &Value::Null).unwrap();
        assert!(!format!("{made:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_missing_is_made_as_the_manifest_says() {
        let document = json!([{ "clientId": "a", "password": "p" }]);
        let made = |create: Value| {
            let found = changes(&resource(&json!({ "create": create })), &document, &json!([])).unwrap();
            assert!(found[0].to_string().starts_with("clients, a: is missing"), "{found:?}");
            found.into_iter().next().unwrap().request.map(|request| (request.path, request.body))
        };
        let item = document[0].clone();
        assert_eq!(made(json!({ "path": "/new" })), Some(("/new".into(), item.clone())));
        let around = json!({ "path": "/new", "with": { "ifThere": "SKIP" }, "list": "users" });
        assert_eq!(made(around), Some(("/new".into(), json!({ "ifThere": "SKIP", "users": [item] }))));
        let instead = json!({ "path": "/copy", "with": { "newName": "n" } });
        assert_eq!(made(instead), Some(("/copy".into(), json!({ "newName": "n" }))));
        assert_eq!(made(Value::Null), None);
    }

    #[test]
    fn what_is_said_once_is_not_compared() {
        let once = resource(&json!({ "once": ["password"] }));
        let document = json!([{ "clientId": "a", "password": "p", "enabled": true }]);
        let there = json!([{ "id": "1", "clientId": "a", "enabled": false }]);
        let found = changes(&once, &document, &there).unwrap();
        assert_eq!(found[0].differences, ["enabled: false → true"]);
        assert_eq!(
            found[0].request.as_ref().unwrap().body,
            json!({ "id": "1", "clientId": "a", "enabled": true })
        );
    }

    #[test]
    fn an_object_is_a_part_of_its_document_without_what_is_listed_elsewhere() {
        let realm = resource(&json!({ "key": null, "item": null, "part": "/realm", "without": ["clients"] }));
        let document = json!({ "realm": { "enabled": true, "clients": [1] } });
        let found = changes(&realm, &document, &json!({ "enabled": false, "id": "1" })).unwrap();
        let request = found[0].request.as_ref().unwrap();
        assert_eq!(
            (request.path.as_str(), &request.body),
            ("/clients", &json!({ "enabled": true, "id": "1" }))
        );
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (more, document, there, why) in [
            (json!({ "part": "/x" }), json!({}), json!([]), "\"/x\" is not there"),
            (json!({}), json!({}), json!([]), "is no list"),
            (json!({}), json!([{ "a": 1 }]), json!([]), "without clientId"),
            (json!({ "key": null }), json!([]), json!({}), "is no object"),
            (json!({}), json!([{ "clientId": "a", "b": 1 }]), json!([{ "clientId": "a" }]), "has no id"),
            (
                json!({ "item": "/{id" }),
                json!([{ "clientId": "a", "b": 1 }]),
                json!([{ "clientId": "a" }]),
                "no }",
            ),
        ] {
            let error = changes(&resource(&more), &document, &there).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
