use super::error::ApiError;
use super::input::{Input, Query};
use super::listing::Listing;
use super::{Reply, Shared, created, no_content, ok, parse_id};
use crate::cloud::Cloud;
use crate::cloud::state::{SshKey, State, now};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .route("/ssh_keys", get(list).post(create))
        .route("/ssh_keys/{id}", get(show).put(update).delete(delete))
}

fn render(id: u64, key: &SshKey) -> Value {
    json!({"id": id, "name": key.name, "fingerprint": key.fingerprint, "public_key": key.public_key,
        "labels": key.labels, "created": key.created})
}

async fn list(Extract(cloud): Shared, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let keys: Vec<_> = cloud.read(|state| state.ssh_keys.iter().map(|(id, key)| render(*id, key)).collect());
    let listing = Listing::new(&query, keys).by("name").by("fingerprint").by_labels()?;
    listing.sorted(&["id", "name", "created"])?.page("ssh_keys")
}

async fn create(Extract(cloud): Shared, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let name = input.name();
    let public_key: String = input.required("public_key");
    let public_key = public_key.trim().to_owned();
    let labels = input.labels().unwrap_or_default();
    let fingerprint = fingerprint(&public_key);
    if fingerprint.is_none() && !public_key.is_empty() {
        input.complain("public_key", "is not a public key in OpenSSH's format");
    }
    input.done()?;
    let key =
        SshKey { name, fingerprint: fingerprint.unwrap_or_default(), public_key, labels, created: now() };
    let body = cloud.change(|state| {
        check_unique_name(state, &key.name, None)?;
        if state.ssh_keys.values().any(|other| other.fingerprint == key.fingerprint) {
            return Err(ApiError::uniqueness(
                "public_key",
                "SSH key not unique: another one has this fingerprint",
            ));
        }
        let id = state.new_id();
        let body = json!({"ssh_key": render(id, &key)});
        state.ssh_keys.insert(id, key);
        Ok(body)
    })?;
    created(body)
}

async fn show(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("ssh_key", &id)?;
    cloud.read(|state| match state.ssh_keys.get(&id) {
        Some(key) => ok(json!({"ssh_key": render(id, key)})),
        None => Err(ApiError::not_found("ssh_key", id)),
    })
}

async fn update(Extract(cloud): Shared, Path(id): Path<String>, body: Bytes) -> Reply {
    let id = parse_id("ssh_key", &id)?;
    let mut input = Input::parse(&body)?;
    let (name, labels) = (input.new_name(), input.labels());
    input.done()?;
    let body = cloud.change(|state| {
        if let Some(name) = &name {
            check_unique_name(state, name, Some(id))?;
        }
        let key = state.ssh_keys.get_mut(&id).ok_or_else(|| ApiError::not_found("ssh_key", id))?;
        key.name = name.unwrap_or(std::mem::take(&mut key.name));
        key.labels = labels.unwrap_or(std::mem::take(&mut key.labels));
        Ok(json!({"ssh_key": render(id, key)}))
    })?;
    ok(body)
}

async fn delete(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("ssh_key", &id)?;
    cloud.change(|state| state.ssh_keys.remove(&id).ok_or_else(|| ApiError::not_found("ssh_key", id)))?;
    no_content()
}

fn check_unique_name(state: &State, name: &str, but: Option<u64>) -> Result<(), ApiError> {
    let taken = state.ssh_keys.iter().any(|(id, key)| key.name == name && Some(*id) != but);
    if taken {
        Err(ApiError::uniqueness("name", format!("SSH key name '{name}' is already used")))
    } else {
        Ok(())
    }
}

/// The MD5 fingerprint of a public key, or `None` where it is none.
fn fingerprint(public_key: &str) -> Option<String> {
    let mut words = public_key.split_whitespace();
    let (kind, text) = (words.next()?, words.next()?);
    let blob = STANDARD.decode(text).ok()?;
    // The blob begins with the length and name of the key's kind, as the first word has it.
    let length = u32::from_be_bytes(blob.get(..4)?.try_into().ok()?) as usize;
    if blob.get(4..4 + length)? != kind.as_bytes() || public_key.contains('\n') {
        return None;
    }
    let digest = Md5::digest(&blob);
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_ssh_keygen() {
        // ssh-keygen -l -E md5
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH/7Z5hRMP6r++D6O1GxTZHGmWdlvT+bOLKRrTwvelmL comment";
        assert_eq!(fingerprint(key).as_deref(), Some("22:31:91:96:44:1a:94:2a:96:93:33:26:77:60:52:0b"));
    }

    #[test]
    fn what_is_no_key_has_none() {
        for text in
            ["", "ssh-ed25519", "ssh-ed25519 ???", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA", "ssh-ed25519 AAAA"]
        {
            assert_eq!(fingerprint(text), None, "{text}");
        }
    }
}
