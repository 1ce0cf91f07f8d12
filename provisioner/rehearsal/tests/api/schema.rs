//! Hetzner's published schema, as an oracle for every answer.

use crate::common::Reply;
use jsonschema::Validator;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

static DOCUMENT: LazyLock<Option<Value>> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/hetzner/openapi.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: comparing answers with Hetzner's schema: there is no {}", path.display());
        return None;
    };
    let mut document: Value = serde_json::from_str(&text).unwrap();
    to_json_schema(&mut document);
    Some(document)
});

static VALIDATORS: LazyLock<Mutex<HashMap<String, Option<Arc<Validator>>>>> = LazyLock::new(Mutex::default);

/// Panics when the answer is not of the schema's form. Paths outside of the schema are not looked at.
pub(crate) fn check(method: &str, path: &str, reply: &Reply) {
    let Some(document) = DOCUMENT.as_ref() else { return };
    let Some(path) = path.split('?').next().and_then(|path| path.strip_prefix("/v1")) else { return };
    let Some(template) = template(document, path) else { return };
    let key = format!("{method} {template} {}", reply.status);
    let mut validators = VALIDATORS.lock().unwrap();
    let entry = validators.entry(key).or_insert_with(|| build(document, &template, method, reply.status));
    let Some(validator) = entry.clone() else {
        assert!(reply.status == 204 || reply.status >= 400, "{method} {path} has no answer {}", reply.status);
        return;
    };
    drop(validators);
    let wrong: Vec<_> =
        validator.iter_errors(&reply.body).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(wrong.is_empty(), "{method} {path} {}: {wrong:#?}\n{}", reply.status, reply.body);
}

/// The schema's path that a request's path is of; literal parts win over parameters.
fn template(document: &Value, path: &str) -> Option<String> {
    let asked: Vec<_> = path.split('/').collect();
    let fits = |template: &&String| {
        let parts: Vec<_> = template.split('/').collect();
        parts.len() == asked.len() && parts.iter().zip(&asked).all(|(p, a)| p.starts_with('{') || p == a)
    };
    let paths = document["paths"].as_object()?;
    paths.keys().filter(fits).min_by_key(|template| template.matches('{').count()).cloned()
}

fn build(document: &Value, template: &str, method: &str, status: u16) -> Option<Arc<Validator>> {
    let escaped = template.replace('~', "~0").replace('/', "~1");
    let class = format!("{}xx", status / 100);
    let method = method.to_lowercase();
    let responses = &document["paths"][template][&method]["responses"];
    let code = [status.to_string(), class].into_iter().find(|code| responses.get(code).is_some())?;
    responses[&code]["content"].get("application/json")?;
    let pointer = format!("#/paths/{escaped}/{method}/responses/{code}/content/application~1json/schema");
    let pointer = pointer.replace('{', "%7B").replace('}', "%7D");
    let schema = json!({"$ref": pointer, "paths": document["paths"], "components": document["components"]});
    let options =
        jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true);
    Some(Arc::new(options.build(&schema).unwrap()))
}

/// OpenAPI 3.0 writes `nullable` where JSON Schema has the type `null`.
fn to_json_schema(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(to_json_schema),
        Value::Object(object) => {
            object.values_mut().for_each(to_json_schema);
            if object.get("nullable") == Some(&Value::Bool(true)) {
                object.remove("nullable");
                let inner = Value::Object(std::mem::take(object));
                *object = Map::from_iter([("anyOf".to_owned(), json!([inner, {"type": "null"}]))]);
            }
        }
        _ => {}
    }
}

#[test]
fn the_oracle_finds_what_is_wrong() {
    if DOCUMENT.is_none() {
        return;
    }
    let body = json!({"ssh_keys": [{"id": "one"}], "meta": {}});
    let reply = Reply { status: 200, head: String::new(), body };
    let found = std::panic::catch_unwind(|| check("GET", "/v1/ssh_keys", &reply));
    assert!(found.is_err());
}
