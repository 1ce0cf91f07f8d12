//! A stack's folder: a manifest, a compose file, and templates of what it reads.

use crate::Error;
use spec::StackSpec;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The manifest's name.
pub(crate) const MANIFEST: &str = "stack.toml";
/// The compose file's.
pub(crate) const COMPOSE: &str = "compose.yaml";
/// What configuration files' paths begin with.
pub(crate) const CONFIG: &str = "config/";

/// Ours, by name: each file's path inside the folder, and its text.
const CATALOGUE: &[(&str, &[(&str, &str)])] = include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// A stack's folder, whosever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its name: the stack's.
    pub name: String,
    /// Whether it is one of the catalogue's.
    pub ours: bool,
    files: BTreeMap<Cow<'static, str>, Cow<'static, str>>,
}

impl Folder {
    /// A project's own: path inside the folder → text. Files that no stack has are named.
    pub fn new(name: &str, files: &BTreeMap<String, String>) -> Result<Self, Error> {
        let own = |path: &str| path == MANIFEST || path == COMPOSE || path.starts_with(CONFIG);
        if let Some(other) = files.keys().find(|path| !own(path)) {
            let why = format!(
                "has no place in a stack's folder; there belong {MANIFEST}, {COMPOSE}, {CONFIG}… and images/…"
            );
            return Err(Error::file(name, other, None, why));
        }
        let files = files.iter().map(|(path, text)| (path.clone().into(), text.clone().into()));
        Ok(Self { name: name.into(), ours: false, files: files.collect() })
    }

    /// The folder that a node spec's stack is described by: its own files, or the catalogue's.
    pub fn of(stack: &StackSpec) -> Result<Self, Error> {
        if stack.files.is_empty() {
            Self::of_catalogue(&stack.name)
        } else {
            Self::new(&stack.name, &stack.files)
        }
    }

    /// One of ours.
    pub fn of_catalogue(name: &str) -> Result<Self, Error> {
        let found = CATALOGUE.iter().find(|(ours, _)| *ours == name);
        let (name, files) = found.ok_or_else(|| Error::Unknown {
            name: name.into(),
            known: catalogue().collect::<Vec<_>>().join(", "),
        })?;
        let files = files.iter().map(|(path, text)| (Cow::from(*path), Cow::from(*text)));
        Ok(Self { name: (*name).into(), ours: true, files: files.collect() })
    }

    /// A file that every stack has.
    pub(crate) fn text(&self, path: &'static str) -> Result<&str, Error> {
        let text = self.files.get(path).map(AsRef::as_ref);
        text.ok_or_else(|| Error::file(&self.name, path, None, "is missing".into()))
    }

    /// The templates in it, without `config/` before them.
    pub fn config(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.strip_prefix(CONFIG)?, text.as_ref())))
    }
}

/// The names of our stacks.
pub fn catalogue() -> impl Iterator<Item = &'static str> {
    CATALOGUE.iter().map(|(name, _)| *name)
}
