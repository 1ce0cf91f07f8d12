//! A plan as people read it, and as programs do.

use super::{Access, Network, Plan, Planned};
use serde_json::{Value, json};
use std::fmt::Write as _;

impl Plan {
    /// The whole plan as text. Same inputs, same bytes.
    pub fn shown(&self) -> String {
        let mut text = String::new();
        let mut section = |title: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                let _ = writeln!(text, "{}{title}", if text.is_empty() { "" } else { "\n" });
                lines.iter().for_each(|line| text += &format!("  {line}\n"));
            }
        };
        section("Stacks, in the order they are started", self.stacks.iter().map(stack).collect());
        let access = self.access();
        section("Who reaches what", if access.is_empty() { vec![] } else { table(&Access::rows(&access)) });
        section("Networks of containers", table(&self.networks.iter().flat_map(network).collect::<Vec<_>>()));
        section("DNS records", self.records.clone());
        section(
            "Certificates of the server's own",
            table(&self.certificates.iter().map(certificate).collect::<Vec<_>>()),
        );
        section("Secrets", table(&self.secrets.iter().map(secret).collect::<Vec<_>>()));
        section("Run every so often", self.stacks.iter().flat_map(timers).collect());
        format!("{text}\nMemory: {} for all stacks together\n", self.memory)
    }

    /// The same as one document.
    pub fn to_json(&self) -> Value {
        let stack = |stack: &Planned| {
            json!({
                "name": stack.name, "about": stack.manifest.about, "needs": stack.needs(), "options": stack.options,
                "memory_mib": stack.manifest.memory.mib(),
                "images": stack.manifest.images.iter().map(|(name, image)| (name.to_string(), image.upstream.clone())).collect::<std::collections::BTreeMap<_, _>>(),
                "ports": stack.ports.iter().map(|port| json!({ "port": port.outside().to_string(), "from": port.from, "service": port.service.as_ref().map(ToString::to_string) })).collect::<Vec<_>>(),
                "data": stack.manifest.data.iter().map(|dir| dir.path.to_string()).collect::<Vec<_>>(),
            })
        };
        let network = |network: &Network| {
            let member = |member: &super::Member| json!({ "stack": member.stack, "service": member.service, "address": member.address, "address6": member.address6, "aliases": member.aliases });
            json!({
                "name": network.name, "subnet": network.subnet.to_string(), "subnet6": network.subnet6.map(|subnet| subnet.to_string()),
                "internal": network.internal, "members": network.members.iter().map(member).collect::<Vec<_>>(),
            })
        };
        let secret = |secret: &super::PlannedSecret| json!({ "name": secret.name, "stack": secret.stack, "purpose": secret.secret.purpose, "readers": secret.readers.iter().map(|(stack, owner)| json!({ "stack": stack, "uid": owner.uid, "gid": owner.gid })).collect::<Vec<_>>() });
        json!({
            "stacks": self.stacks.iter().map(stack).collect::<Vec<_>>(),
            "access": self.access(),
            "routes": self.routes,
            "networks": self.networks.iter().map(network).collect::<Vec<_>>(),
            "records": self.records,
            "certificates": self.certificates,
            "secrets": self.secrets.iter().map(secret).collect::<Vec<_>>(),
            "memory_mib": self.memory.mib(),
        })
    }

    /// Which service of which stack may reach which other one: those that share a network. `STACK/SERVICE`, sorted.
    pub fn reachable(&self) -> std::collections::BTreeSet<(String, String)> {
        let mut pairs = std::collections::BTreeSet::new();
        for network in &self.networks {
            for one in &network.members {
                for other in network.members.iter().filter(|other| *other != one) {
                    let name = |member: &super::Member| format!("{}/{}", member.stack, member.service);
                    pairs.insert((name(one), name(other)));
                }
            }
        }
        pairs
    }
}

fn stack(stack: &Planned) -> String {
    let needs = stack.needs();
    let after = if needs.is_empty() { String::new() } else { format!(", after {}", needs.join(", ")) };
    format!("{:<14} {:>9}  {}{after}", stack.name, stack.manifest.memory.to_string(), stack.manifest.about)
}

fn timers(stack: &Planned) -> impl Iterator<Item = String> {
    let line = |timer: &crate::manifest::Timer| {
        format!(
            "{} of {}, every {} minutes, in {}",
            timer.name,
            stack.name,
            timer.every.minutes(),
            timer.service
        )
    };
    stack.manifest.timers.iter().map(line)
}

fn network(network: &Network) -> Vec<Vec<String>> {
    let way = if network.internal { "no way out" } else { "reaches the internet" };
    let head = vec![network.name.clone(), network.subnet.to_string(), way.to_owned(), String::new()];
    let member = |member: &super::Member| {
        let called = if member.aliases.is_empty() {
            String::new()
        } else {
            format!("also called {}", member.aliases.join(", "))
        };
        vec![
            String::new(),
            member.address.to_string(),
            format!("{}.{}", member.service, member.stack),
            called,
        ]
    };
    std::iter::once(head).chain(network.members.iter().map(member)).collect()
}

fn secret(secret: &super::PlannedSecret) -> Vec<String> {
    let readers: Vec<String> = secret
        .readers
        .iter()
        .map(|(stack, owner)| format!("{stack} as {}:{}", owner.uid, owner.gid))
        .collect();
    let readers = if readers.is_empty() { "in configuration".to_owned() } else { readers.join(", ") };
    vec![secret.name.clone(), readers, secret.secret.purpose.clone()]
}

fn certificate((stack, names): (&String, &Vec<String>)) -> Vec<String> {
    vec![stack.clone(), names.join(" ")]
}

/// Columns as wide as what is in them.
fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |at: usize| {
        rows.iter().filter_map(|row| Some(row.get(at)?.chars().count())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
