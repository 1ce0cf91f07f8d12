//! Where a secret can be read that is not its file: what the engine says of containers, images, networks and volumes; what
//! containers say; and the environment and the arguments of every process of the server.

use crate::engine::{Container, Engine};
use anyhow::{Result, ensure};
use base64::Engine as _;
use host::{Host as _, Local};
use serde_json::Value;

/// Fewer bytes than this are found by chance.
const SHORTEST: usize = 8;

/// A secret, by a name to tell of it.
pub struct Sought<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Every place where one is found, each as `NAME: PLACE`, whichever stack's container it is. Those are to be running.
pub fn found(engine: &Engine, secrets: &[Sought<'_>]) -> Result<Vec<String>> {
    let search = Search::new(secrets)?;
    let containers = engine.containers(None)?;
    ensure!(!containers.is_empty(), "looking for secrets: there are no containers");
    let mut found = Vec::new();
    for container in &containers {
        let inspected = format!("docker inspect {}", container.title());
        search.in_value(&container.said, &inspected, &mut found);
        let logs = Local.run(&engine.program("docker").args(["logs", &container.name]))?;
        for said in [logs.stdout.as_slice(), logs.stderr.as_bytes()] {
            search.in_bytes(said, &format!("docker logs {}", container.title()), &mut found);
        }
    }
    for (kind, list) in [("image", "image"), ("network", "network"), ("volume", "volume")] {
        let names = engine.docker([list, "ls", "--quiet"])?;
        let names: Vec<&str> = names.lines().collect();
        if !names.is_empty() {
            let said = Value::Array(engine.inspect(kind, &names)?);
            search.in_value(&said, &format!("docker inspect of every {kind}"), &mut found);
        }
    }
    processes(engine, &search, &containers, &mut found)?;
    found.sort();
    found.dedup();
    Ok(found)
}

/// Fails where one is found, and says where.
pub fn none(engine: &Engine, secrets: &[Sought<'_>]) -> Result<()> {
    let found = found(engine, secrets)?;
    ensure!(found.is_empty(), "secrets can be read outside their files:\n{}", found.join("\n"));
    Ok(())
}

fn processes(
    engine: &Engine,
    search: &Search,
    containers: &[Container],
    found: &mut Vec<String>,
) -> Result<()> {
    let mut seen = 0;
    for entry in std::fs::read_dir(engine.path("/proc"))? {
        let process = entry?.path();
        let Some(pid) = process.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else {
            continue;
        };
        // A process may end while it is looked at.
        let read = |file: &str| std::fs::read(process.join(file)).unwrap_or_default();
        let program = String::from_utf8_lossy(&read("comm")).trim().to_owned();
        for file in ["cmdline", "environ"] {
            search.in_bytes(&read(file), &format!("{file} of {program}"), found);
        }
        seen += usize::from(containers.iter().any(|container| container.pid == Some(pid)));
    }
    let running = containers.iter().filter(|container| container.pid.is_some()).count();
    ensure!(seen == running, "looking for secrets: {seen} processes of {running} containers were seen");
    Ok(())
}

/// Each form that a secret is written in, with its name.
struct Search(Vec<(String, Vec<u8>)>);

impl Search {
    fn new(secrets: &[Sought<'_>]) -> Result<Self> {
        let mut forms = Vec::new();
        for secret in secrets {
            let bytes = secret.bytes.trim_ascii_end();
            ensure!(bytes.len() >= SHORTEST, "looking for {}: it is too short to be looked for", secret.name);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
            let url = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
            let all = [bytes.to_vec(), hex.into_bytes(), base64.into_bytes(), url.into_bytes()];
            forms.extend(all.map(|form| (secret.name.to_owned(), form)));
        }
        Ok(Self(forms))
    }

    fn in_bytes(&self, bytes: &[u8], place: &str, found: &mut Vec<String>) {
        let here = |form: &[u8]| bytes.windows(form.len()).any(|window| window == form);
        found
            .extend(self.0.iter().filter(|(_, form)| here(form)).map(|(name, _)| format!("{name}: {place}")));
    }

    /// As text, not as JSON writes it down: that writes quotes otherwise.
    fn in_value(&self, value: &Value, place: &str, found: &mut Vec<String>) {
        match value {
            Value::String(text) => self.in_bytes(text.as_bytes(), place, found),
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(at, item)| self.in_value(item, &format!("{place} {at}"), found));
            }
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                self.in_bytes(key.as_bytes(), place, found);
                self.in_value(value, &format!("{place} {key}"), found);
            }),
            _ => {}
        }
    }
}
