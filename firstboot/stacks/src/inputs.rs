//! What a stack's containers read of the host, and how compose is made to see it.
//!
//! Compose makes a container anew when its definition differs from the one it was made by. What lies in a file that the
//! container reads when it starts is no part of that, so a digest of it stands in a label of each service.

use crate::{Error, parse, to_yaml};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The label: a digest of a service's definition and of what it reads.
pub const DIGEST: &str = "sovereign.digest";
/// Below it lies what stacks keep.
const KEPT: &str = "/srv/sovereign/data";

/// A rendered compose file with its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// The file.
    pub yaml: String,
    /// Each service's digest.
    pub digests: BTreeMap<String, String>,
}

/// What a stack leaves on the volume when it is stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// The names of its secrets.
    pub secrets: BTreeSet<String>,
    /// The directories with its data.
    pub data: BTreeSet<PathBuf>,
}

/// Puts a label into each service. `digest` is given the service's definition, and the host's files and directories that
/// it reads.
pub fn label(
    stack: &str,
    rendered: &str,
    digest: impl Fn(&str, &[PathBuf]) -> String,
) -> Result<Labelled, Error> {
    let mut compose = read(stack, rendered)?;
    let mut shared = compose.clone();
    shared.as_object_mut().map(|all| all.remove("services"));
    let mut digests = BTreeMap::new();
    for (name, service) in services(&compose) {
        let definition = json!([name, service, shared]).to_string();
        let reads: Vec<PathBuf> = sources(service).chain(secret_files(&compose, service)).collect();
        digests.insert(name.clone(), digest(&definition, &reads));
    }
    for (name, digest) in &digests {
        match &mut compose["services"][name]["labels"] {
            Value::Array(list) => list.push(format!("{DIGEST}={digest}").into()),
            Value::Object(map) => drop(map.insert(DIGEST.into(), digest.clone().into())),
            none => *none = json!({ DIGEST: digest }),
        }
    }
    Ok(Labelled { yaml: to_yaml(stack, &compose)?, digests })
}

/// What a stack that was rendered so leaves on the volume.
pub fn left(stack: &str, rendered: &str) -> Result<Left, Error> {
    let compose = read(stack, rendered)?;
    let mut left = Left::default();
    for (_, service) in services(&compose) {
        left.data
            .extend(sources(service).filter(|path| path.parent().is_some_and(|dir| dir.starts_with(KEPT))));
        let names =
            secret_files(&compose, service).filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        left.secrets.extend(names);
    }
    Ok(left)
}

fn read(stack: &str, rendered: &str) -> Result<Value, Error> {
    parse(rendered).map_err(|why| Error::Compose { stack: stack.into(), why })
}

fn services(compose: &Value) -> impl Iterator<Item = (&String, &Value)> {
    compose["services"].as_object().into_iter().flatten()
}

/// The sources of its bind mounts.
fn sources(service: &Value) -> impl Iterator<Item = PathBuf> {
    let mounts = service["volumes"].as_array().into_iter().flatten();
    mounts.filter_map(|mount| match mount {
        Value::String(short) => {
            short.split(':').next().filter(|source| source.starts_with('/')).map(PathBuf::from)
        }
        long => long["source"].as_str().filter(|source| source.starts_with('/')).map(PathBuf::from),
    })
}

/// The files of the secrets it is given.
fn secret_files<'c>(compose: &'c Value, service: &'c Value) -> impl Iterator<Item = PathBuf> + 'c {
    let given = service["secrets"].as_array().into_iter().flatten();
    let names = given.filter_map(|secret| secret.as_str().or_else(|| secret["source"].as_str()));
    names.filter_map(|name| compose["secrets"][name]["file"].as_str()).map(|file| Path::new(file).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSE: &str = "services:\n\
        \x20 db:\n    image: db\n    secrets: [password]\n    volumes:\n\
        \x20     - type: bind\n        source: /srv/sovereign/data/db\n        target: /data\n\
        \x20 web:\n    image: web\n    labels: {mine: kept}\n    volumes: [\"/srv/sovereign/stacks/x/config:/etc/web:ro\", \"named:/x\"]\n\
        secrets:\n  password:\n    file: /srv/sovereign/stacks/x/secrets/db-password\n";

    #[test]
    fn each_service_has_a_label_of_what_it_reads_and_of_nothing_else() {
        let reads = |definition: &str, paths: &[PathBuf]| {
            assert!(!definition.contains(DIGEST));
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        let labelled = label("x", COMPOSE, reads).unwrap();
        assert_eq!(
            labelled.digests["db"],
            "/srv/sovereign/data/db /srv/sovereign/stacks/x/secrets/db-password"
        );
        assert_eq!(labelled.digests["web"], "/srv/sovereign/stacks/x/config");
        let again = parse(&labelled.yaml).unwrap();
        assert_eq!(
            again["services"]["web"]["labels"],
            json!({ "mine": "kept", DIGEST: labelled.digests["web"] })
        );
        assert!(labelled.yaml.starts_with("# Rendered by firstboot"));
    }

    #[test]
    fn another_definition_and_another_network_are_other_digests() {
        let digest = |text: &str| {
            label("x", text, |definition, _| definition.to_owned()).unwrap().digests["db"].clone()
        };
        let with_network = format!("{COMPOSE}networks:\n  inside: {{internal: true}}\n");
        assert_ne!(digest(COMPOSE), digest(&with_network));
        assert_ne!(digest(COMPOSE), digest(&COMPOSE.replace("image: db", "image: other")));
        assert_eq!(
            digest(COMPOSE),
            digest(&COMPOSE.replace("image: web", "image: other")),
            "its neighbour's"
        );
    }

    #[test]
    fn what_a_stack_leaves_is_its_data_and_its_secrets() {
        let left = left("x", COMPOSE).unwrap();
        assert_eq!(left.data.iter().collect::<Vec<_>>(), [Path::new("/srv/sovereign/data/db")]);
        assert_eq!(left.secrets.iter().collect::<Vec<_>>(), ["db-password"]);
    }
}
