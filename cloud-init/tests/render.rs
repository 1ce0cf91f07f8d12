//! Golden user-data, its limits, and what is refused.
#![allow(clippy::unwrap_used, reason = "a fixture that cannot be made should stop the test")]

use base64::Engine as _;
use cloud_init::{CloudConfig, Encoding, HostKey, Invalid, LIMIT, WriteFile};
use std::io::Read;

fn host_key() -> HostKey {
    HostKey {
        ed25519_private: "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
            .into(),
        ed25519_public: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhvc3Q first-contact".into(),
    }
}

fn config() -> CloudConfig {
    let operator = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG9wZXI operator".to_owned();
    CloudConfig::new("demo", &[operator], host_key()).unwrap()
}

fn noise(size: usize) -> Vec<u8> {
    let mut state = 1_u32;
    (0..size)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

#[test]
fn the_golden_file_is_what_is_rendered() {
    let drop_in = WriteFile::new("/etc/ssh/sshd_config.d/10-sovereign.conf", 0o644, b"Port 2222\n").unwrap();
    let yaml = config().file(drop_in).packages(&["ufw", "docker.io"]).unwrap().to_yaml();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/user-data.yaml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &yaml).unwrap();
    }
    assert_eq!(yaml, std::fs::read_to_string(golden).unwrap());
}

#[test]
fn the_same_config_gives_the_same_bytes_compressed_or_not() {
    for size in [10, 9_000] {
        let file = || WriteFile::new("/a", 0o600, &noise(size)).unwrap();
        let once = config().file(file()).render().unwrap();
        assert_eq!(once, config().file(file()).render().unwrap());
    }
}

#[test]
fn what_is_large_is_compressed_and_unpacks_to_the_yaml() {
    let config = config().file(WriteFile::new("/a", 0o600, "line\n".repeat(4_000).as_bytes()).unwrap());
    let data = config.render().unwrap();
    assert_eq!(data.encoding, Encoding::GzipBase64);
    assert!(data.text.len() < 8_192);
    let packed = base64::engine::general_purpose::STANDARD.decode(&data.text).unwrap();
    let mut yaml = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut yaml).unwrap();
    assert_eq!(yaml, config.to_yaml());
}

#[test]
fn what_does_not_fit_names_its_largest_parts() {
    let config = config()
        .file(WriteFile::new("/etc/large", 0o600, &noise(40_000)).unwrap())
        .file(WriteFile::new("/etc/small", 0o600, b"x").unwrap());
    let error = config.render().unwrap_err();
    assert!(error.size > LIMIT);
    assert!(error.largest[0].0.contains("/etc/large"), "{error}");
    assert!(error.to_string().contains("/etc/large"), "{error}");
}

#[test]
fn values_that_would_break_the_document_are_refused() {
    let keys = ["ssh-ed25519 AAAAC3 x".to_owned()];
    for name in ["", "-a", "a-", "a.b", "A", "a\nroot: x", &"a".repeat(64)] {
        assert!(matches!(CloudConfig::new(name, &keys, host_key()), Err(Invalid::HostName(_))), "{name:?}");
    }
    for key in
        ["", "ssh-ed25519", "rubbish AAAA", "ssh-ed25519 AAAA\nssh-rsa AAAA", "ssh-ed25519 AAAA\u{1b}[2J x"]
    {
        assert!(
            matches!(CloudConfig::new("a", &[key.to_owned()], host_key()), Err(Invalid::PublicKey(_))),
            "{key:?}"
        );
    }
    for path in ["etc/x", "/etc/../x", "/etc/"] {
        assert!(WriteFile::new(path, 0o600, b"").is_err(), "{path:?}");
    }
    assert!(config().packages(&["ufw; reboot"]).is_err());
}

#[test]
fn text_that_looks_like_yaml_stays_text() {
    let tricky = "yes: {no: [1, 0o7, null]}\n# not a comment\n--- !!str\n\ttab\n";
    let yaml = config().file(WriteFile::new("/a", 0o644, tricky.as_bytes()).unwrap()).to_yaml();
    let back: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(back["write_files"][0]["content"], tricky);
    assert_eq!(back["write_files"][0]["permissions"], "0644");
    assert_eq!(back["ssh_keys"]["ed25519_private"].as_str().unwrap(), host_key().ed25519_private);
}
