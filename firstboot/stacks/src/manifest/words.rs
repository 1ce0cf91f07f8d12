//! Values that check themselves while they are read.

use serde::Deserialize;
use spec::Setting;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path};

/// Makes a text that is read only if it fits.
macro_rules! checked {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $fits:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// As it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let fits: fn(&str) -> bool = $fits;
                if fits(&text) { Ok(Self(text)) } else { Err(format!("{text:?} is not {}", $expected)) }
            }
        }

        impl std::ops::Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked!(
    /// A name inside a manifest.
    Word,
    "a name: 1 to 40 of a-z, 0-9, - and _, the first one a letter",
    is_word
);
checked!(
    /// A label of a DNS name.
    Label,
    "a label of a DNS name: 1 to 40 of a-z, 0-9 and -, neither first nor last a -",
    is_label
);
checked!(
    /// Labels below a domain, or the domain itself.
    Host,
    "labels below a domain, such as \"www\", or \"@\" for the domain itself",
    |text| text == "@" || text.split('.').all(is_label)
);
checked!(
    /// What the path of a request begins with.
    PathPrefix,
    "the beginning of a path, such as \"/\" or \"/admin\"",
    |text| text.starts_with('/') && !text.contains("//") && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b))
);
checked!(
    /// A path that stays below where it begins.
    RelativePath,
    "a path such as \"postgres\" or \"dynamic/routes.yaml\", without ..",
    is_relative
);

/// A choice of a project's: `http3` is an option that is on, or a text that is not empty; `challenge=dns-01` is an option
/// and what was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct When {
    /// The option.
    pub option: Word,
    /// What it has to be.
    pub value: Option<String>,
}

impl When {
    /// Whether the choice was made.
    pub fn holds(&self, options: &BTreeMap<String, Setting>) -> bool {
        match (options.get(self.option.as_str()), &self.value) {
            (Some(Setting::Switch(on)), None) => *on,
            (Some(Setting::Text(text)), None) => !text.is_empty(),
            (Some(chosen), Some(value)) => chosen.to_string() == *value,
            _ => false,
        }
    }
}

impl TryFrom<String> for When {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (option, value) =
            text.split_once('=').map_or((&*text, None), |(option, value)| (option, Some(value)));
        Ok(Self { option: Word::try_from(option.to_owned())?, value: value.map(str::to_owned) })
    }
}

impl Default for PathPrefix {
    fn default() -> Self {
        Self("/".into())
    }
}

fn is_word(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    (1..=40).contains(&text.len())
        && text.bytes().all(plain)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn is_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=40).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_relative(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.".contains(&b);
    !text.is_empty()
        && !text.ends_with('/')
        && text.bytes().all(plain)
        && Path::new(text).components().all(|part| matches!(part, Component::Normal(_)))
}

/// An amount of memory, as compose writes it: `256m`, `1g`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(u64);

impl Size {
    /// So many MiB.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib)
    }

    /// In MiB.
    pub fn mib(self) -> u64 {
        self.0
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (number, mib) = match (text.strip_suffix('m'), text.strip_suffix('g')) {
            (Some(number), _) => (number, 1),
            (_, Some(number)) => (number, 1024),
            _ => ("", 0),
        };
        let size = number.parse::<u64>().ok().filter(|size| (1..=1 << 20).contains(size));
        size.map(|size| Self(size * mib))
            .ok_or_else(|| format!("{text:?} is not an amount of memory such as \"256m\" or \"1g\""))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0)
    }
}

/// Permissions, in octal: `0700`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Mode(pub u32);

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| text.len() == 4 && *mode <= 0o777);
        // Whoever may look into a directory that others write to can be led astray there.
        let mode = mode.filter(|mode| mode & 0o022 == 0);
        mode.map(Self)
            .ok_or_else(|| format!("{text:?} is not a mode such as \"0700\", for its owner alone to write"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads<T: TryFrom<String>>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(T::try_from((*text).to_owned()).is_ok(), "{text:?}");
        }
        for text in bad {
            assert!(T::try_from((*text).to_owned()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn nothing_is_read_that_could_be_taken_for_something_else() {
        reads::<Word>(&["a", "nextcloud-db", "x_1"], &["", "A", "1a", "-a", "a b", "a/b", "ä", "a\n"]);
        reads::<Host>(&["@", "www", "a.b", "x--y"], &["", ".", "a.", "-a", "WWW", "a_b", "*"]);
        reads::<PathPrefix>(&["/", "/ghost", "/a/b.c"], &["", "ghost", "//", "/a//b", "/a b", "/`", "/a\"b"]);
        reads::<RelativePath>(&["a", "a/b.yaml"], &["", "/a", "..", "a/../b", "./a", "a/", "a b"]);
        reads::<Size>(&["1m", "2g"], &["", "0m", "1", "1k", "-1m", "1.5g", "99999999999999999999m"]);
        reads::<Mode>(&["0700", "0755", "0400"], &["700", "0777", "0020", "1777", "abcd"]);
    }

    #[test]
    fn a_choice_holds_when_it_was_made() {
        let options = BTreeMap::from([
            ("on".to_owned(), Setting::Switch(true)),
            ("off".to_owned(), Setting::Switch(false)),
            ("empty".to_owned(), Setting::Text(String::new())),
            ("text".to_owned(), Setting::Text("a=b".into())),
        ]);
        let holds = |text: &str| When::try_from(text.to_owned()).unwrap().holds(&options);
        for yes in ["on", "on=true", "off=false", "text", "text=a=b", "empty="] {
            assert!(holds(yes), "{yes}");
        }
        for no in ["off", "empty", "text=a", "none", "none=", "on=false"] {
            assert!(!holds(no), "{no}");
        }
        reads::<When>(&["a", "a=", "a=b"], &["", "=b", "A=b", "a b"]);
    }

    #[test]
    fn an_amount_of_memory_is_in_mib() {
        assert_eq!(Size::try_from("2g".to_owned()).unwrap().mib(), 2048);
        assert_eq!(Size::from_mib(768).to_string(), "768 MiB");
    }
}
