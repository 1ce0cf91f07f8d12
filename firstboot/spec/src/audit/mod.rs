//! The audit's catalogue: what is looked at, where it comes from and why it matters; and what is accepted on purpose.
//!
//! Both sides read it: the server judges each [`Item`], the operator's side knows which ids an exception may name. An
//! item of the CIS Docker Benchmark 1.6 carries that benchmark's number; the host's items are numbered as ours, in the
//! manner of CIS' benchmarks for Debian.

mod docker;
mod engine;
mod host;
mod register;
mod runtime;

pub use register::{accepted, is_day};

use serde::{Deserialize, Serialize};

/// One thing the audit looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// `docker-` and the benchmark's number, or `host-` and ours.
    pub id: &'static str,
    /// What must hold, in a sentence.
    pub title: &'static str,
    /// Why it matters, in a sentence.
    pub rationale: &'static str,
}

/// What a report says of an item besides the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The item's id.
    pub id: String,
    /// The group it is printed in.
    pub section: String,
    /// Where the demand comes from.
    pub source: String,
    /// Why it matters.
    pub rationale: String,
}

/// Ids begin with this, and so does the group's name.
const SECTIONS: [(&str, &str); 12] = [
    ("docker-1.", "Docker: the host"),
    ("docker-2.", "Docker: the daemon"),
    ("docker-3.", "Docker: the daemon's files"),
    ("docker-4.", "Docker: images"),
    ("docker-5.", "Docker: running containers"),
    ("host-1.", "Host: disks and mounts"),
    ("host-2.", "Host: users"),
    ("host-3.", "Host: ssh"),
    ("host-4.", "Host: the kernel"),
    ("host-5.", "Host: services"),
    ("host-6.", "Host: the network"),
    ("host-7.", "Host: files"),
];

/// Every item, in the order of a report.
pub fn items() -> impl Iterator<Item = &'static Item> {
    let lists = [docker::HOST, engine::DAEMON, engine::FILES, docker::IMAGES, runtime::RUNTIME, host::ITEMS];
    lists.into_iter().flatten()
}

/// The item of this id.
pub fn item(id: &str) -> Option<&'static Item> {
    items().find(|item| item.id == id)
}

impl Item {
    const fn new(id: &'static str, title: &'static str, rationale: &'static str) -> Self {
        Self { id, title, rationale }
    }

    /// The group it is printed in.
    pub fn section(&self) -> &'static str {
        SECTIONS.iter().find(|(begins, _)| self.id.starts_with(begins)).map_or("", |(_, name)| name)
    }

    /// Where the demand comes from.
    pub fn source(&self) -> String {
        match self.id.split_once('-') {
            Some(("docker", number)) => format!("CIS Docker Benchmark 1.6, {number}"),
            _ => "this product, in the manner of CIS".into(),
        }
    }

    /// What a report says of it.
    pub fn about(&self) -> About {
        About {
            id: self.id.into(),
            section: self.section().into(),
            source: self.source(),
            rationale: self.rationale.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// How many checks each section of docker-bench-security 1.6.0 has; it follows the CIS Docker Benchmark 1.6.0.
    const BENCH: [(&str, u32); 10] = [
        ("1.1", 18),
        ("1.2", 2),
        ("2", 18),
        ("3", 24),
        ("4", 12),
        ("5", 32),
        ("6", 2),
        ("7", 9),
        ("8.1", 7),
        ("8.2", 1),
    ];

    /// The numbers in the first column of the document's table of what is not looked at: `3.9 to 3.14` are six.
    fn not_looked_at() -> Vec<String> {
        let document = include_str!("../../../../docs/audit.md");
        let table = document.split("## Not looked at").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows = table.lines().filter(|line| line.starts_with("| ") && line.contains('.'));
        let cells = rows.flat_map(|row| row.split('|').nth(1).unwrap().split(',')).map(str::trim);
        let numbers = cells.flat_map(|cell| {
            let (from, to) = cell.split_once(" to ").unwrap_or((cell, cell));
            let [(section, first), (_, last)] = [from, to].map(|number| number.rsplit_once('.').unwrap());
            let range = first.parse::<u32>().unwrap()..=last.parse().unwrap();
            range.map(move |n| format!("{section}.{n}"))
        });
        numbers.collect()
    }

    #[test]
    fn every_check_of_docker_bench_security_is_looked_at_or_named_with_a_reason() {
        let numbers =
            BENCH.iter().flat_map(|(section, checks)| (1..=*checks).map(move |n| format!("{section}.{n}")));
        let bench: Vec<String> = numbers.collect();
        let ours = items().filter_map(|item| item.id.strip_prefix("docker-")).map(str::to_owned);
        let all: Vec<String> = ours.chain(not_looked_at()).collect();
        assert_eq!(all.len(), bench.len(), "one is twice, or missing");
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), bench.into_iter().collect());
    }

    #[test]
    fn every_id_is_there_once_and_every_item_has_a_group_a_sentence_and_a_reason() {
        let mut seen = std::collections::BTreeSet::new();
        for item in items() {
            assert!(seen.insert(item.id), "{} twice", item.id);
            assert!(!item.section().is_empty(), "{}", item.id);
            assert!(item.title.len() > 10 && item.rationale.len() > 20, "{}", item.id);
            assert!(!item.title.ends_with('.') && !item.rationale.ends_with('.'), "{}", item.id);
        }
        assert!(seen.len() > 90, "{} items", seen.len());
    }

    #[test]
    fn a_group_is_printed_in_one_piece() {
        let mut sections: Vec<_> = items().map(Item::section).collect();
        sections.dedup();
        assert_eq!(sections, SECTIONS.map(|(_, name)| name));
    }
}
