use super::input::Input;
use super::resource::{self, Resource};
use crate::cloud::Cloud;
use crate::cloud::clock::now_text;
use crate::cloud::state::{SshKey, State};
use crate::error::ApiError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

impl Resource for SshKey {
    const FILTERS: &'static [&'static str] = &["name", "fingerprint"];
    const HAS_ACTIONS: bool = false;

    fn unique_name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn render(&self, _: &State, id: u64) -> Value {
        json!({"id": id, "name": self.name, "fingerprint": self.fingerprint, "public_key": self.public_key,
            "labels": self.labels, "created": self.created})
    }

    fn update(&mut self, input: &mut Input) {
        resource::rename(&mut self.name, &mut self.labels, input);
    }

    fn create(_: &Cloud, state: &mut State, input: &mut Input) -> Result<Value, ApiError> {
        let name = input.name();
        let public_key: String = input.required("public_key");
        let public_key = public_key.trim().to_owned();
        let labels = input.labels().unwrap_or_default();
        let fingerprint = fingerprint(&public_key);
        if fingerprint.is_none() && !public_key.is_empty() {
            input.complain("public_key", "is not a public key in OpenSSH's format");
        }
        input.done()?;
        let fingerprint = fingerprint.unwrap_or_default();
        if state.ssh_keys.values().any(|other| other.fingerprint == fingerprint) {
            let message = "SSH key not unique: another one has this fingerprint";
            return Err(ApiError::uniqueness("public_key", message));
        }
        let id = resource::add(state, SshKey { name, fingerprint, public_key, labels, created: now_text() })?;
        resource::one::<SshKey>(state, id)
    }
}

/// The MD5 fingerprint of a public key, or `None` where it is none.
fn fingerprint(public_key: &str) -> Option<String> {
    let digest = Md5::digest(public_key_blob(public_key)?);
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

/// What a public key in OpenSSH's format encodes, or `None` where it is none: one line, and of the kind it says.
pub(super) fn public_key_blob(public_key: &str) -> Option<Vec<u8>> {
    let mut words = public_key.split_whitespace();
    let (kind, text) = (words.next()?, words.next()?);
    let blob = STANDARD.decode(text).ok()?;
    // The blob begins with the length and name of the key's kind, as the first word has it.
    let length = u32::from_be_bytes(blob.get(..4)?.try_into().ok()?) as usize;
    let is_line = !public_key.trim().chars().any(char::is_control);
    (is_line && blob.get(4..4 + length)? == kind.as_bytes()).then_some(blob)
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
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH/7Z5hRMP6r++D6O1GxTZHGmWdlvT+bOLKRrTwvelmL";
        assert!(fingerprint(key).is_some());
        for text in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 ???",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA",
            "ssh-ed25519 AAAA",
            &format!("{key} x\n{key}"),
            &format!("{key} x\r{key}"),
        ] {
            assert_eq!(fingerprint(text), None, "{text}");
        }
    }
}
