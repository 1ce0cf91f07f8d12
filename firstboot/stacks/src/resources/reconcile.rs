//! All resources of an API, one after another: a later one may rest on an earlier one.

use super::compare::{Change, Request, changes};
use crate::manifest::api::{Api, Token};
use serde_json::Value;
use std::collections::BTreeMap;

/// What is made may still have to be changed once, and then looked at.
const ROUNDS: usize = 3;

/// Whoever speaks to the API.
pub trait Ask {
    /// What is at a path; nothing where it is not found. The error is a sentence for people.
    fn get(&mut self, path: &str) -> Result<Option<Value>, String>;
    /// Sends a change.
    fn send(&mut self, request: &Request) -> Result<(), String>;
}

/// What a token is asked for with, by a POST to its path: the body, which holds the secret and is for stdin alone.
pub fn token_form(token: &Token, secret: &[u8]) -> Vec<u8> {
    let (client, secret) = (super::encoded(token.client.as_bytes()), super::encoded(secret));
    format!("grant_type=client_credentials&client_id={client}&client_secret={secret}").into_bytes()
}

/// All that differs. What is missing only because something before it is, is named too.
pub fn differing(
    api: &Api,
    documents: &BTreeMap<String, Value>,
    ask: &mut impl Ask,
) -> Result<Vec<Change>, String> {
    let mut all = Vec::new();
    for resource in &api.resources {
        let there = ask.get(&resource.path)?.unwrap_or_default();
        all.extend(changes(resource, document(documents, &resource.document)?, &there)?);
    }
    Ok(all)
}

/// Puts right what differs, and says what that was.
pub fn reconcile(
    api: &Api,
    documents: &BTreeMap<String, Value>,
    ask: &mut impl Ask,
) -> Result<Vec<Change>, String> {
    let mut done = Vec::new();
    for resource in &api.resources {
        let document = document(documents, &resource.document)?;
        for round in 1.. {
            let there = ask.get(&resource.path)?.unwrap_or_default();
            let found = changes(resource, document, &there)?;
            if found.is_empty() {
                break;
            }
            if round == ROUNDS {
                let left: Vec<_> = found.iter().map(ToString::to_string).collect();
                return Err(format!("it took the changes and does not hold them: {}", left.join("; ")));
            }
            for change in found {
                let request = change.request.as_ref().ok_or_else(|| change.to_string())?;
                ask.send(request).map_err(|why| format!("{change}: {why}"))?;
                done.push(change);
            }
        }
    }
    Ok(done)
}

fn document<'d>(documents: &'d BTreeMap<String, Value>, name: &str) -> Result<&'d Value, String> {
    documents.get(name).ok_or_else(|| format!("config/{name} is not there"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// An API that holds lists by their paths, each item with its name for an id.
    #[derive(Default)]
    struct Fake {
        lists: BTreeMap<String, Value>,
        sent: Vec<String>,
        deaf: bool,
    }

    impl Ask for Fake {
        fn get(&mut self, path: &str) -> Result<Option<Value>, String> {
            Ok(self.lists.get(path).cloned())
        }

        fn send(&mut self, request: &Request) -> Result<(), String> {
            self.sent.push(format!("{} {}", request.method, request.path));
            if self.deaf {
                return Ok(());
            }
            let (list, name) = match request.method {
                // What is made is not yet as it was asked for.
                "POST" => (request.path.as_str(), None),
                _ => request.path.rsplit_once('/').map(|(list, name)| (list, Some(name))).unwrap(),
            };
            let items = self.lists.entry(list.into()).or_insert(json!([])).as_array_mut().unwrap();
            match name {
                None => items.push(json!({ "name": request.body["name"] })),
                Some(name) => {
                    *items.iter_mut().find(|item| item["name"] == name).ok_or("404")? = request.body.clone();
                }
            }
            Ok(())
        }
    }

    fn api() -> Api {
        let list = |name: &str| json!({ "name": name, "document": "d.json", "part": format!("/{name}"), "path": format!("/{name}"), "key": "name", "item": format!("/{name}/{{name}}"), "create": { "path": format!("/{name}") } });
        serde_json::from_value(json!({
            "service": "x", "port": 1, "token": { "path": "/t", "client": "c", "secret": "s" },
            "resources": [list("a"), list("b")],
        }))
        .unwrap()
    }

    fn documents() -> BTreeMap<String, Value> {
        [("d.json".to_owned(), json!({ "a": [{ "name": "one", "on": true }], "b": [{ "name": "two" }] }))]
            .into()
    }

    #[test]
    fn what_is_missing_is_made_and_then_changed_and_then_there_is_nothing_left() {
        let mut fake = Fake::default();
        assert_eq!(differing(&api(), &documents(), &mut fake).unwrap().len(), 2);
        assert_eq!(fake.sent, Vec::<String>::new(), "looking changes nothing");
        let done = reconcile(&api(), &documents(), &mut fake).unwrap();
        assert_eq!(fake.sent, ["POST /a", "PUT /a/one", "POST /b"]);
        assert_eq!(done.len(), 3);
        fake.sent.clear();
        assert_eq!(reconcile(&api(), &documents(), &mut fake).unwrap(), []);
        assert_eq!(fake.sent, Vec::<String>::new());
    }

    #[test]
    fn an_api_that_says_yes_and_does_nothing_is_found_out() {
        let mut fake = Fake { deaf: true, ..Fake::default() };
        let error = reconcile(&api(), &documents(), &mut fake).unwrap_err();
        assert!(error.contains("does not hold them: a, one: is missing"), "{error}");
        assert_eq!(fake.sent.len(), ROUNDS - 1);
    }

    #[test]
    fn what_cannot_be_made_or_is_not_there_is_said() {
        let mut without = api();
        without.resources[0].create = None;
        let error = reconcile(&without, &documents(), &mut Fake::default()).unwrap_err();
        assert_eq!(error, "a, one: is missing, and is not made by itself");
        let error = reconcile(&api(), &BTreeMap::new(), &mut Fake::default()).unwrap_err();
        assert_eq!(error, "config/d.json is not there");
    }

    #[test]
    fn a_form_says_a_secret_whatever_is_in_it() {
        let form = token_form(&api().token, b"a&b=c d%\xff\n");
        assert_eq!(form, b"grant_type=client_credentials&client_id=c&client_secret=a%26b%3Dc%20d%25%FF%0A");
    }
}
