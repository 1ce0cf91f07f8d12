//! What the engine is told, by its version: a key that an engine does not know stops it from starting.
//!
//! The first version of each key is read off moby's source at the release tags; Debian's 20.10 and 26.1 were asked too.

use super::{CONTAINERD_ROOT, DATA_ROOT};
use serde_json::{Map, Value, json};

/// The oldest engine that is known to do all this: 20.10.
const OLDEST: (u32, u32) = (20, 10);

/// The first engine whose rules for IPv6 are no experiment.
const IP6TABLES: u32 = 27;

/// An engine's version, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// Reads one such as `26.1.5+dfsg1`; `None` where it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(Self { major, minor })
    }

    /// Whether this program knows how to configure it.
    pub(crate) fn is_known(self) -> bool {
        (self.major, self.minor) >= OLDEST
    }

    /// Whether it has IPv6 rules only with its experimental features on.
    pub(crate) fn is_experimental(self) -> bool {
        self.major < IP6TABLES
    }

    /// Whether `dockerd --validate` judges a file without starting anything.
    pub(crate) fn validates(self) -> bool {
        self.major >= 23
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Each setting, and the first major version that takes it.
fn settings() -> [(&'static str, u32, Value); 15] {
    [
        ("data-root", 20, json!(DATA_ROOT)),
        // Networks that compose files leave to Docker; away from 172.20 to 172.23, mailcow's among them, and from the
        // private network's 100.64.0.0/10. Up to 26 a network has IPv6 addresses only where a pool of them is named.
        (
            "default-address-pools",
            20,
            json!([{ "base": "172.30.0.0/16", "size": 24 }, { "base": "fd5a:9c1e:7b30::/56", "size": 64 }]),
        ),
        ("default-ulimits", 20, json!({ "nofile": { "Name": "nofile", "Hard": 65536, "Soft": 65536 } })),
        // The one with chains of its own for nftables has no DOCKER-USER, which our rules stand in.
        ("firewall-backend", 29, json!("iptables")),
        // What recognises a torn pull after a power cut knows the graph driver's files.
        ("features", 29, json!({ "containerd-snapshotter": false })),
        ("icc", 20, json!(false)),
        // Networks that publish have IPv6 by their compose files; this is about Docker's default one, and up to 27 the
        // daemon does not start with it unless a subnet is named.
        ("ipv6", 20, json!(false)),
        // With them a container sees who asked; without, nobody is let in over IPv6.
        ("ip6tables", 20, json!(true)),
        ("live-restore", 20, json!(true)),
        ("log-driver", 20, json!("local")),
        ("log-opts", 20, json!({ "max-file": "3", "max-size": "10m" })),
        ("no-new-privileges", 20, json!(true)),
        // 20.10 takes the word for the name of a file.
        ("seccomp-profile", 23, json!("builtin")),
        ("storage-driver", 20, json!("overlay2")),
        ("userland-proxy", 20, json!(false)),
    ]
}

/// `daemon.json` for an engine. The same bytes for the same version.
pub(crate) fn daemon(version: Version) -> String {
    let taken = settings().into_iter().filter(|(_, since, _)| version.major >= *since);
    // So they call their rules for IPv6, and take them only with it.
    let experimental = version.is_experimental().then(|| ("experimental", 20, json!(true)));
    let taken = taken.chain(experimental);
    let mut sorted: Vec<_> = taken.map(|(key, _, value)| (key.to_owned(), value)).collect();
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    format!("{:#}\n", Value::Object(Map::from_iter(sorted)))
}

/// containerd's configuration; it is of one form in all versions there are.
pub(crate) fn containerd() -> String {
    format!(
        "# Written by firstboot.\nversion = 2\nroot = \"{CONTAINERD_ROOT}\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\n[plugins.\"io.containerd.internal.v1.opt\"]\n  \
         path = \"{CONTAINERD_ROOT}/opt\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(version: &str) -> Vec<String> {
        let text = daemon(Version::parse(version).unwrap());
        let value: Value = serde_json::from_str(&text).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn versions_are_read_as_engines_print_them() {
        for (text, shown) in [("26.1.5+dfsg1", "26.1"), ("20.10.24+dfsg1", "20.10"), ("29.7.2", "29.7")] {
            assert_eq!(Version::parse(text).unwrap().to_string(), shown);
        }
        for nonsense in ["", "dev", "library-import"] {
            assert_eq!(Version::parse(nonsense), None);
        }
        assert!(!Version::parse("19.3.15").unwrap().is_known());
        assert!(Version::parse("20.10.0").unwrap().is_known());
    }

    #[test]
    fn no_engine_is_told_what_it_does_not_know() {
        let has = |version: &str, key: &str| keys(version).iter().any(|k| k == key);
        assert!(!has("20.10.24", "seccomp-profile") && has("23.0.1", "seccomp-profile"));
        assert!(!has("28.5.0", "firewall-backend") && has("29.0.0", "firewall-backend"));
        assert!(has("26.1.5", "experimental") && !has("27.0.0", "experimental"));
        assert!(!has("28.5.0", "features") && has("29.0.0", "features"));
    }

    #[test]
    fn what_every_engine_is_told_is_as_written_down() {
        for (version, golden) in [
            ("20.10.24", include_str!("golden/20.10.json")),
            ("26.1.5", include_str!("golden/23-26.json")),
            ("28.5.2", include_str!("golden/27-28.json")),
            ("29.7.2", include_str!("golden/29.json")),
        ] {
            assert_eq!(daemon(Version::parse(version).unwrap()), golden, "{version}");
        }
        for version in ["23.0.6", "24.0.9", "25.0.5"] {
            assert_eq!(daemon(Version::parse(version).unwrap()), include_str!("golden/23-26.json"));
        }
        assert_eq!(daemon(Version::parse("27.5.1").unwrap()), include_str!("golden/27-28.json"));
    }

    #[test]
    fn networks_of_dockers_own_choice_keep_clear_of_those_that_are_taken() {
        let value: Value = serde_json::from_str(&daemon(Version::parse("26.1").unwrap())).unwrap();
        for pool in value["default-address-pools"].as_array().unwrap() {
            let base = pool["base"].as_str().unwrap();
            if base.contains(':') {
                assert!(base.starts_with("fd") && !base.starts_with("fd7a:115c:a1e0"), "{base}");
                continue;
            }
            let second: u8 = base.split('.').nth(1).unwrap().parse().unwrap();
            assert!(base.starts_with("172.") && !(20..=23).contains(&second), "{base}");
        }
    }
}
