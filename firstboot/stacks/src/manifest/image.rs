//! Images: which one, how long it is looked after, and which other version may follow it.

use serde::Deserialize;
use std::collections::BTreeMap;

/// A container image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Image {
    /// The published one, with the version that was looked at: `docker.io/library/postgres:17.6`.
    pub upstream: String,
    /// The day on which its makers end their support of that version, `YYYY-MM-DD`, where they name one.
    pub end_of_life: Option<String>,
    /// Versions with a hole that is known, each with what it is.
    #[serde(default)]
    pub known_bad: BTreeMap<String, String>,
    /// Which version may follow another.
    #[serde(default)]
    pub upgrade: Upgrade,
}

/// Which version may follow another. Its data knows no way back, so an older one never may where this says anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upgrade {
    /// Any.
    #[default]
    Any,
    /// One of the same major version: another one reads its data only after a dump was read back.
    SameMajor,
    /// One of the same major version, or of the next.
    NextMajor,
    /// One of the same minor version, or of the next.
    NextMinor,
}

impl Upgrade {
    /// Whether `to` may follow `from`, both as tags of images: `v1.2.3-alpine`. The error says what may.
    pub fn allows(self, from: &str, to: &str) -> Result<(), String> {
        if self == Self::Any {
            return Ok(());
        }
        let read =
            |tag: &str| numbers(tag).ok_or_else(|| format!("{tag:?} is no version that can be compared"));
        let (old, new) = (read(from)?, read(to)?);
        let (major, minor) = (old[0], old[1]);
        let (fits, may) = match self {
            Self::Any => (true, String::new()),
            Self::SameMajor => (
                new[0] == major,
                format!("versions {major}.x, and another major version is read back from a backup"),
            ),
            Self::NextMajor => (new[0] <= major + 1, format!("versions {major}.x and {}.x", major + 1)),
            Self::NextMinor => (
                new[0] == major && new[1] <= minor + 1,
                format!("versions {major}.{minor}.x and {major}.{}.x", minor + 1),
            ),
        };
        if new < old {
            return Err(format!(
                "{to} is older than {from}, whose data it may not read: restore a backup of that time instead"
            ));
        }
        if fits { Ok(()) } else { Err(format!("after {from} may come {may}; not {to}")) }
    }
}

/// Major, minor and patch of a tag.
fn numbers(tag: &str) -> Option<[u32; 3]> {
    let version = tag.strip_prefix('v').unwrap_or(tag);
    let version = version.split(['-', '+']).next()?;
    let mut numbers = [0; 3];
    for (at, part) in version.split('.').enumerate() {
        *numbers.get_mut(at)? = part.parse().ok()?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_version_may_follow_another() {
        use Upgrade::{Any, NextMajor, NextMinor, SameMajor};
        for (rule, from, to, allowed) in [
            (Any, "latest", "1", true),
            (SameMajor, "17.6", "17.11", true),
            (SameMajor, "17.6", "18.0", false),
            (SameMajor, "17.6", "17.5", false),
            (NextMajor, "33.0.8-apache", "34.0.3-apache", true),
            (NextMajor, "32.0.1-apache", "34.0.3-apache", false),
            (NextMajor, "34.0.3-apache", "33.0.8-apache", false),
            (NextMinor, "v0.28.1", "v0.29.0", true),
            (NextMinor, "v0.27.0", "v0.29.0", false),
            (NextMinor, "0.29.2", "1.0.0", false),
            (SameMajor, "latest", "17", false),
            (SameMajor, "1.2.3.4", "1.2.3.5", false),
        ] {
            assert_eq!(rule.allows(from, to).is_ok(), allowed, "{rule:?} {from} {to}");
        }
        let why = NextMajor.allows("32.0.1", "34.0.3").unwrap_err();
        assert_eq!(why, "after 32.0.1 may come versions 32.x and 33.x; not 34.0.3");
    }
}
