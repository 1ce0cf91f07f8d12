//! Commands that are run inside a stack's services: at certain moments, and every so often.

use super::{When, Word};
use serde::Deserialize;
use spec::Setting;
use std::collections::BTreeMap;

/// What is run at certain moments, each inside a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hooks {
    /// Once its service is healthy, before the rest of the stack is started, each time. Where it fails, the rest is not
    /// started.
    pub before: Option<Hook>,
    /// After it is healthy, in this order: each says by its exit code whether the stack does its work, and may see to it
    /// that it does. Run again, they change nothing.
    #[serde(default)]
    pub ready: Vec<Hook>,
    /// Before a copy is made of it, or it is changed from outside: from now on it writes nothing.
    pub pause: Option<Hook>,
    /// Writes a copy of its data, consistent in itself, to stdout.
    pub backup: Option<Hook>,
    /// After that, however it went.
    pub resume: Option<Hook>,
    /// Reads that copy from stdin. Of the stack nothing but its service is up.
    pub restore: Option<Hook>,
    /// Before another version is started.
    pub upgrade: Option<Hook>,
    /// What an administrator runs: `stacks run NAME -- ARGUMENTS`.
    pub run: Option<Hook>,
}

/// A command inside a service. Its words are templates, as the texts of the compose file are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// The service.
    pub service: Word,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The choice that it is there for.
    pub when: Option<When>,
}

/// A command that is run every so often, while the stack is up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timer {
    /// What it is called.
    pub name: Word,
    /// How long after its last end it is begun again.
    pub every: Every,
    /// The service.
    pub service: Word,
    /// The program and its arguments.
    pub command: Vec<String>,
}

/// A time between two runs: `5min`, `12h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Every(u32);

impl Every {
    /// In minutes.
    pub fn minutes(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for Every {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (number, minutes) = match (text.strip_suffix("min"), text.strip_suffix('h')) {
            (Some(number), _) => (number, 1),
            (_, Some(number)) => (number, 60),
            _ => ("", 0),
        };
        let number = number.parse::<u32>().ok().filter(|number| (1..=1000).contains(number));
        number
            .map(|number| Self(number * minutes))
            .ok_or_else(|| format!("{text:?} is not a time such as \"5min\" or \"12h\""))
    }
}

impl Hooks {
    /// Those there are, by name.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &Hook)> {
        let single = [
            ("before", &self.before),
            ("pause", &self.pause),
            ("backup", &self.backup),
            ("resume", &self.resume),
            ("restore", &self.restore),
            ("upgrade", &self.upgrade),
            ("run", &self.run),
        ];
        let single = single.into_iter().filter_map(|(name, hook)| Some((name, hook.as_ref()?)));
        single.chain(self.ready.iter().map(|hook| ("ready", hook)))
    }

    /// Leaves those that are there with these options.
    pub(crate) fn keep(&mut self, options: &BTreeMap<String, Setting>) {
        let is_there = |hook: &Hook| hook.when.as_ref().is_none_or(|when| when.holds(options));
        let Self { before, ready, pause, backup, resume, restore, upgrade, run } = self;
        for hook in [before, pause, backup, resume, restore, upgrade, run] {
            *hook = hook.take().filter(is_there);
        }
        ready.retain(is_there);
    }

    /// The same, to be filled in.
    pub(crate) fn each_mut(&mut self) -> impl Iterator<Item = &mut Hook> {
        let Self { before, ready, pause, backup, resume, restore, upgrade, run } = self;
        [before, pause, backup, resume, restore, upgrade, run].into_iter().flatten().chain(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_minutes() {
        let minutes = |text: &str| Every::try_from(text.to_owned()).map(Every::minutes);
        assert_eq!((minutes("5min"), minutes("12h")), (Ok(5), Ok(720)));
        for wrong in ["", "0min", "5", "5m", "1d", "-1h", "99999h"] {
            assert!(minutes(wrong).is_err(), "{wrong}");
        }
    }
}
