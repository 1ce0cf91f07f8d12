use crate::Error;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads JSON that another machine wrote. Whatever it says may end on a terminal, so every text in it is
/// [cleaned](host::clean) first.
pub fn from_outside<T: DeserializeOwned>(document: &'static str, json: &[u8]) -> Result<T, Error> {
    let malformed = |why| Error::Malformed { document, why };
    let value = serde_json::from_slice(json).map_err(malformed)?;
    serde_json::from_value(cleaned(value)).map_err(malformed)
}

/// The same value with every text in it [cleaned](host::clean), keys among them.
pub fn cleaned(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(host::clean(&text)),
        Value::Array(items) => items.into_iter().map(cleaned).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (host::clean(&key), cleaned(value))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Check, EscrowManifest, Event, Keys, Receipt, Status, Verdict};
    use serde::Serialize;
    use serde_json::json;

    /// What a broken-in server would say.
    const NASTY: &str = "x\u{1b}[2J\u{9b}31m\u{202e}\u{7}";

    fn is_clean(text: &str) {
        let written = ["\u{1b}", "\\u001b", "\u{9b}", "\u{202e}", "\u{7}", "\\u0007"];
        assert!(written.iter().all(|steering| !text.contains(steering)), "{text:?}");
    }

    /// The places of a document's texts, as JSON pointers.
    fn texts(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::String(_) | Value::Null => found.push(at.into()),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(n, item)| texts(item, &format!("{at}/{n}"), found));
            }
            Value::Object(map) => {
                map.iter().for_each(|(key, value)| texts(value, &format!("{at}/{key}"), found));
            }
            _ => {}
        }
    }

    /// Puts what is nasty at each place in turn, and beside what is known; read or refused, none of it comes through.
    fn nothing_comes_through<T: Serialize>(sample: &Value, read: impl Fn(&[u8]) -> Result<T, Error>) {
        let mut places = Vec::new();
        texts(sample, "", &mut places);
        assert!(read(sample.to_string().as_bytes()).is_ok(), "{sample}");
        let mut read_all_the_same = 0;
        for place in places {
            let mut turned = sample.clone();
            *turned.pointer_mut(&place).unwrap() = json!(NASTY);
            match read(turned.to_string().as_bytes()) {
                Ok(value) => {
                    read_all_the_same += 1;
                    is_clean(&serde_json::to_string(&value).unwrap());
                }
                Err(error) => is_clean(&error.to_string()),
            }
        }
        assert!(read_all_the_same > 0, "no text of {sample} can be chosen");
        if let Value::Object(map) = sample {
            let mut more = map.clone();
            more.insert(NASTY.into(), json!(1));
            if let Err(error) = read(Value::Object(more).to_string().as_bytes()) {
                is_clean(&error.to_string());
            }
        }
    }

    #[test]
    fn no_document_of_a_servers_brings_anything_that_steers_a_terminal() {
        let hash = "ab";
        let receipt = json!({
            "version": 1, "project": "p", "server_id": 1, "spec_sha256": hash, "firstboot": "0", "starts": 1,
            "steps": [{ "step": "disk", "outcome": "changed", "time": "t", "millis": 1, "program_millis": 1, "gate_millis": 0 }],
            "host_key": "k", "volume": { "id": 1, "luks_uuid": "u", "formatted": true },
            "escrow": { "sha256": hash, "acknowledged": true }, "done": "t",
        });
        nothing_comes_through(&receipt, Receipt::from_json);
        let status = json!({
            "version": 1, "state": "failed", "step": "disk", "steps": ["disk"],
            "gate": { "gate": "host-key", "public_key": "k" }, "gates": [{ "gate": "sshd", "nonce": "n" }],
            "error": "e", "last_seq": 1, "receipt": receipt,
        });
        nothing_comes_through(&status, Status::from_json);
        let keys = json!({ "version": 1, "luks_uuid": "u", "slots": [{ "number": 0, "sha256": hash }], "changing": false });
        nothing_comes_through(&keys, Keys::from_json);
        let manifest = json!({
            "version": 1, "project": "p", "server_id": 1, "volume_id": 1, "luks_uuid": "u", "created": "t", "sha256": hash,
            "size": 1, "recipients": ["age1"], "contents": [{ "name": "secrets/x", "purpose": "x" }], "key_slots": [],
        });
        nothing_comes_through(&manifest, EscrowManifest::from_json);
        for event in [
            json!({ "seq": 1, "time": "t", "event": "started", "firstboot": "0" }),
            json!({ "seq": 1, "time": "t", "event": "progress", "step": "disk", "text": "x" }),
            json!({ "seq": 1, "time": "t", "event": "failed", "step": "disk", "error": "x", "needs_operator": false }),
            json!({ "seq": 1, "time": "t", "event": "gate-waiting", "gate": { "gate": "escrow", "sha256": hash } }),
        ] {
            nothing_comes_through(&event, Event::from_line);
        }
        let about = crate::audit::items().next().unwrap().about();
        let excepted =
            Verdict::Excepted { found: "f".into(), reason: "r".into(), review: "2027-01-01".into() };
        let checks = [Verdict::Fail("x".into()), Verdict::CouldNotLook("x".into()), excepted]
            .map(|verdict| Check { about: Some(about.clone()), ..Check::new("w", verdict) });
        nothing_comes_through(&serde_json::to_value(checks).unwrap(), Check::list_from_json);
    }
}
