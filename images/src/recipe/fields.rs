//! The words of a recipe, each refused where it is written if it could not be meant.

use super::{Content, Download, File, Source};
use serde::Deserialize;
use std::path::{Component, Path};

/// A path below the image's root or below the recipe's folder: `etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Inside(String);

impl Inside {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for Inside {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl TryFrom<String> for Inside {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let inside = Path::new(&text).components().all(|part| matches!(part, Component::Normal(_)));
        if text.is_empty() || !inside || text.contains('\0') {
            return Err(format!(
                "'{text}' is no path from within: no '/' before it, no '.' and no '..' in it"
            ));
        }
        Ok(Self(text))
    }
}

/// A Debian package's name, as Debian's policy has them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct PackageName(String);

impl PackageName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PackageName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let begins_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        if begins_well && text.chars().all(fits) {
            return Ok(Self(text));
        }
        Err(format!("'{text}' is no name of a Debian package"))
    }
}

/// Something that is given to a program as an argument, so that it must not look like an option of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Argument(String);

impl Argument {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Argument {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_./:@~+".contains(c);
        if !text.is_empty() && !text.starts_with('-') && text.chars().all(fits) {
            return Ok(Self(text));
        }
        Err(format!("'{text}' is neither a path nor a name with a version"))
    }
}

/// A file's mode, in octal: `"0755"`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Mode(pub(crate) u32);

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o7777);
        mode.map(Self).ok_or_else(|| format!("'{text}' is no mode in octal, as \"0755\" is"))
    }
}

/// Whom an image runs as, in numbers: `"999:1000"`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl TryFrom<String> for User {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(u, g)| Some((u.parse().ok()?, g.parse().ok()?)));
        let (uid, gid) =
            parts.ok_or_else(|| format!("'{text}' is no user and group in numbers, as \"999:1000\" is"))?;
        Ok(Self { uid, gid })
    }
}

/// A SHA-256 in hex.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Sha256(String);

impl Sha256 {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sha256 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if text.len() == 64 && text.chars().all(fits) {
            return Ok(Self(text));
        }
        Err(format!("'{text}' is no SHA-256: 64 hexadecimal digits, small letters"))
    }
}

/// A download as it is written: with the one client that fetches it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DownloadText {
    maven: Option<Argument>,
    npm: Option<Argument>,
    sha256: Sha256,
}

impl TryFrom<DownloadText> for Download {
    type Error = String;

    fn try_from(text: DownloadText) -> Result<Self, String> {
        let from = match (text.maven, text.npm) {
            (Some(artifact), None) => Source::Maven(artifact),
            (None, Some(package)) => Source::Npm(package),
            _ => return Err("say one of maven and npm".into()),
        };
        Ok(Self { from, sha256: text.sha256 })
    }
}

/// A file as it is written: with the one place its content is in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileText {
    path: Inside,
    mode: Mode,
    text: Option<String>,
    from: Option<Inside>,
}

impl TryFrom<FileText> for File {
    type Error = String;

    fn try_from(file: FileText) -> Result<Self, String> {
        let content = match (file.text, file.from) {
            (Some(text), None) => Content::Text(text),
            (None, Some(from)) => Content::From(from),
            _ => return Err("say one of text and from".into()),
        };
        Ok(Self { path: file.path, mode: file.mode, content })
    }
}
