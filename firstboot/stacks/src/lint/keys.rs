//! The keys that a compose file may use: those of the Compose Specification that a confined stack has a use for. All
//! others are refused by their names, also those that a later version of Compose may bring.

use serde_json::Value;

/// What may stand below a key. A list is as its items are.
#[derive(Debug)]
pub(super) enum Shape {
    /// Words and numbers.
    Plain,
    /// These keys.
    Keys(&'static [(&'static str, Shape)]),
    /// Names of the file's own, the same below each.
    Named(&'static Shape),
}

use Shape::{Keys, Named, Plain};

/// A whole compose file.
pub(super) const FILE: Shape = Keys(&[
    ("services", Named(&Keys(SERVICE))),
    ("networks", Named(&Keys(NETWORK))),
    ("volumes", Named(&Keys(&[]))),
    ("secrets", Named(&Keys(&[("file", Plain)]))),
    ("configs", Named(&Keys(&[("file", Plain)]))),
]);

const SERVICE: &[(&str, Shape)] = &[
    ("cap_drop", Plain),
    ("command", Plain),
    ("configs", Keys(GRANT)),
    ("cpus", Plain),
    ("depends_on", Named(&Keys(&[("condition", Plain), ("required", Plain), ("restart", Plain)]))),
    ("entrypoint", Plain),
    ("environment", Named(&Plain)),
    ("expose", Plain),
    ("healthcheck", Keys(HEALTHCHECK)),
    ("hostname", Plain),
    ("image", Plain),
    ("init", Plain),
    ("logging", Keys(&[("driver", Plain), ("options", Keys(&[("max-file", Plain), ("max-size", Plain)]))])),
    ("mem_limit", Plain),
    ("mem_reservation", Plain),
    ("memswap_limit", Plain),
    ("networks", Named(&Keys(&[("aliases", Plain), ("ipv4_address", Plain), ("ipv6_address", Plain)]))),
    ("pids_limit", Plain),
    ("ports", Keys(&[("host_ip", Plain), ("protocol", Plain), ("published", Plain), ("target", Plain)])),
    ("read_only", Plain),
    ("restart", Plain),
    ("secrets", Keys(GRANT)),
    ("security_opt", Plain),
    ("shm_size", Plain),
    ("stop_grace_period", Plain),
    ("stop_signal", Plain),
    ("tmpfs", Plain),
    ("user", Plain),
    ("volumes", Keys(MOUNT)),
    ("working_dir", Plain),
];

/// A secret or a configuration file, given to a service.
const GRANT: &[(&str, Shape)] =
    &[("gid", Plain), ("mode", Plain), ("source", Plain), ("target", Plain), ("uid", Plain)];

const HEALTHCHECK: &[(&str, Shape)] = &[
    ("interval", Plain),
    ("retries", Plain),
    ("start_interval", Plain),
    ("start_period", Plain),
    ("test", Plain),
    ("timeout", Plain),
];

const MOUNT: &[(&str, Shape)] = &[
    ("bind", Keys(&[("create_host_path", Plain)])),
    ("read_only", Plain),
    ("source", Plain),
    ("target", Plain),
    ("tmpfs", Keys(&[("mode", Plain), ("size", Plain)])),
    ("type", Plain),
    ("volume", Keys(&[("nocopy", Plain)])),
];

/// What a network is, the plan says.
const NETWORK: &[(&str, Shape)] = &[("external", Plain), ("name", Plain)];

/// Where a value has a key that its shape has not: the path to each.
pub(super) fn surplus(value: &Value, shape: &Shape) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    walk(value, shape, &mut Vec::new(), &mut found);
    found
}

fn walk(value: &Value, shape: &Shape, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, shape, path, found)),
        Value::Object(map) => {
            for (key, below) in map {
                path.push(key.clone());
                let known = match shape {
                    Plain => None,
                    Keys(keys) => keys.iter().find(|(name, _)| name == key).map(|(_, shape)| shape),
                    Named(each) => Some(*each),
                };
                match known {
                    Some(shape) => walk(below, shape, path, found),
                    None => found.push(path.clone()),
                }
                path.pop();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Section → its keys, as the Compose Specification's schema has them.
    const SPECIFIED: &str = include_str!("../../tests/fixtures/compose-spec-keys.txt");

    fn specified() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
        let lines = SPECIFIED.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(s, keys)| (s, keys.split(' ').collect()))
            .collect()
    }

    fn collect(section: &str, shape: &Shape, all: &mut Vec<(String, String)>) {
        match shape {
            Plain => {}
            Named(each) => collect(section, each, all),
            Keys(keys) => {
                for (key, below) in *keys {
                    all.push((section.to_owned(), (*key).to_owned()));
                    let inner =
                        if section.is_empty() { (*key).to_owned() } else { format!("{section}.{key}") };
                    collect(&inner, below, all);
                }
            }
        }
    }

    #[test]
    fn every_key_is_one_of_the_specifications_for_its_section() {
        let mut all = Vec::new();
        collect("", &FILE, &mut all);
        assert!(all.len() > 60);
        let specified = specified();
        for (section, key) in all {
            // Log drivers' options are the engine's.
            if section == "services.logging.options" {
                continue;
            }
            let keys = specified.get(section.as_str()).unwrap_or_else(|| panic!("no section {section:?}"));
            assert!(keys.contains(key.as_str()), "{section}: {key}");
        }
    }
}
