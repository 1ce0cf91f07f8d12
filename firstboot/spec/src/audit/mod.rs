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
