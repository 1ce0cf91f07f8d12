//! What the judgements are over.

use super::Found;
use crate::machine::Stat;
use crate::steps::docker::engine;
use serde_json::Value;
use spec::{Port, UnlockSpec};
use std::collections::{BTreeMap, BTreeSet};

/// A fact, or why it is not known.
pub(super) type Fact<T> = Result<T, String>;

/// A file that is out of the ordinary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Odd {
    pub(super) mode: u32,
    pub(super) directory: bool,
    pub(super) owned: bool,
    pub(super) path: String,
}

/// A unit of systemd's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(super) there: bool,
    pub(super) active: bool,
    pub(super) enabled: bool,
}

/// A container as inspected, and the programs in it.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(super) inspected: Value,
    pub(super) programs: Fact<Vec<String>>,
}

/// Everything that was looked at.
pub(crate) struct Facts {
    pub(super) stats: BTreeMap<String, Fact<Option<Stat>>>,
    pub(super) texts: BTreeMap<String, Fact<Option<String>>>,
    pub(super) names: BTreeMap<String, Fact<Vec<String>>>,
    pub(super) engine: Fact<Value>,
    pub(super) containers: Fact<Vec<Container>>,
    pub(super) sshd: Fact<BTreeSet<String>>,
    pub(super) audit_rules: Fact<String>,
    pub(super) units: Fact<BTreeMap<String, Unit>>,
    pub(super) failed_units: Fact<Vec<String>>,
    pub(super) odd: Fact<Vec<Odd>>,
    pub(super) undeclared: Fact<Vec<String>>,
    pub(super) keyslots: Fact<Vec<u32>>,
    pub(super) unlock: Fact<UnlockSpec>,
    pub(super) declared: Fact<Vec<Port>>,
    pub(super) images: Fact<BTreeSet<String>>,
}

impl Default for Facts {
    /// Nothing is known.
    fn default() -> Self {
        fn unknown<T>() -> Fact<T> {
            Err("nobody looked".into())
        }
        Self {
            stats: BTreeMap::new(),
            texts: BTreeMap::new(),
            names: BTreeMap::new(),
            engine: unknown(),
            containers: unknown(),
            sshd: unknown(),
            audit_rules: unknown(),
            units: unknown(),
            failed_units: unknown(),
            odd: unknown(),
            undeclared: unknown(),
            keyslots: unknown(),
            unlock: unknown(),
            declared: unknown(),
            images: unknown(),
        }
    }
}

impl Facts {
    /// What a path names, where anything.
    pub(super) fn stat(&self, path: &str) -> Fact<Option<Stat>> {
        self.stats.get(path).cloned().unwrap_or_else(|| Err(format!("{path} was not gathered")))
    }

    /// A file's text, where there is one.
    pub(super) fn text(&self, path: &str) -> Fact<Option<String>> {
        self.texts.get(path).cloned().unwrap_or_else(|| Err(format!("{path} was not gathered")))
    }

    /// A file's text; one that is not there could not be looked at.
    pub(super) fn needed(&self, path: &str) -> Fact<String> {
        self.text(path)?.ok_or_else(|| format!("{path} is not there"))
    }

    /// Every container, judged one by one: what is wrong with it, if anything.
    pub(super) fn each(&self, wrong: impl Fn(&Value) -> Option<String>) -> Found {
        let containers = self.containers.clone()?;
        let inspected = containers.iter().map(|container| &container.inspected);
        let name = |container| format!("container {}", engine::name(container));
        Ok(inspected.filter_map(|c| wrong(c).map(|what| format!("{} {what}", name(c)))).collect())
    }

    /// The containers that break this item of the policy that every service is confined by.
    pub(super) fn confined(&self, benchmark: &str) -> Found {
        self.each(|container| stacks::confinement::breaks(benchmark, container))
    }

    /// A unit, by its name.
    pub(super) fn unit(&self, name: &str) -> Fact<Unit> {
        let units = self.units.clone()?;
        units.get(name).cloned().ok_or_else(|| format!("{name} was not gathered"))
    }
}
