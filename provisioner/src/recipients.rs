//! The offline keys, and the proof that each can really open what is sealed to it.
//!
//! A key is proved once, before anything depends on it: a [`Canary`] sealed to it lies in the project folder,
//! and whoever holds the key opens it and gives the answer.

use crate::errors::NeedsOperator;
use crate::project::{Folder, Project};
use anyhow::{Context as _, Result};
use escrow::{Canary, Identity, Recipient};
use host::files;
use std::path::{Path, PathBuf};

/// The file of a rehearsal's identity.
pub const THROWAWAY: &str = "offline-identity.txt";

/// The project's recipients, for a rehearsal with the identity made here on first use.
pub fn recipients(folder: &Folder, project: &Project, note: impl Fn(&str)) -> Result<Vec<String>> {
    let mut all = project.recipients.clone();
    if project.throwaway_identity {
        let identity = throwaway(folder, note)?;
        all.extend(identity.recipients().iter().map(ToString::to_string));
    }
    Ok(all)
}

fn throwaway(folder: &Folder, note: impl Fn(&str)) -> Result<Identity> {
    let path = folder.file(THROWAWAY);
    if path.exists() {
        return identity(&path, note);
    }
    let identity = Identity::generate();
    files::write(&path, identity.to_file_contents().expose(), 0o600)?;
    note(&format!(
        "made {}: it opens this rehearsal's escrow. A real offline key NEVER lies on this machine: for production make it \
         elsewhere with `age-keygen` and name only its recipient in project.toml",
        path.display()
    ));
    Ok(identity)
}

/// Reads the offline identity. `note` is told of keys in it that nothing is opened with.
pub fn identity(path: &Path, note: impl Fn(&str)) -> Result<Identity> {
    let text = host::Secret::new(
        std::fs::read(path).with_context(|| format!("reading the identity {}", path.display()))?,
    );
    let text = std::str::from_utf8(text.expose())
        .ok()
        .with_context(|| format!("reading the identity {}: not text", path.display()))?;
    let identity =
        Identity::from_file_contents(text).with_context(|| format!("reading {}", path.display()))?;
    for line in identity.skipped() {
        note(&format!(
            "{}: the key in line {line} is post-quantum or a plugin's, kinds that are not supported yet; it is left out",
            path.display()
        ));
    }
    Ok(identity)
}

/// Stops unless every recipient was proved. A rehearsal's identity is at hand and proves itself.
pub fn need_proof(folder: &Folder, project: &Project, recipients: &[String]) -> Result<()> {
    let own =
        if project.throwaway_identity { Some(identity(&folder.file(THROWAWAY), |_| {})?) } else { None };
    let mut unproved = Vec::new();
    for recipient in recipients {
        if is_proved(folder, recipient)?
            || own.as_ref().is_some_and(|i| prove(folder, recipient, &Proof::Identity(i)).is_ok())
        {
            continue;
        }
        unproved.push((recipient, canary_path(folder, recipient, "age")));
        canary(folder, recipient)?;
    }
    if unproved.is_empty() {
        return Ok(());
    }
    let lines = unproved
        .iter()
        .map(|(recipient, path)| format!("\n  {recipient}: age -d -i IDENTITY {}", path.display()));
    Err(NeedsOperator(format!(
        "proving the offline keys: nobody has shown yet that these can open what is sealed to them. Where the key is, run{}\n\
         and give what it prints to `cargo xtask init --project {} --answer ANSWER`",
        lines.collect::<String>(),
        folder.name()
    ))
    .into())
}

/// What proves a key.
pub enum Proof<'a> {
    /// The key itself, for rehearsals.
    Identity(&'a Identity),
    /// What the canary says, read where the key is.
    Answer(&'a str),
}

/// Proves a recipient and remembers it.
pub fn prove(folder: &Folder, recipient: &str, proof: &Proof<'_>) -> Result<()> {
    let canary = canary(folder, recipient)?;
    let answer = match proof {
        Proof::Identity(identity) => canary.answer(identity)?,
        Proof::Answer(answer) => (*answer).to_owned(),
    };
    anyhow::ensure!(canary.proves(&answer), "proving {recipient}: that is not what its canary says");
    Ok(files::write(&canary_path(folder, recipient, "proved"), b"", 0o644)?)
}

/// Whether a recipient was proved.
pub fn is_proved(folder: &Folder, recipient: &str) -> Result<bool> {
    Ok(files::read(&canary_path(folder, recipient, "proved"))?.is_some())
}

/// The canary of a recipient, made on first use.
fn canary(folder: &Folder, recipient: &str) -> Result<Canary> {
    let path = canary_path(folder, recipient, "json");
    if let Some(json) = files::read(&path)? {
        return serde_json::from_slice(&json)
            .with_context(|| format!("reading {}: it is damaged; delete it", path.display()));
    }
    let canary = Canary::new(&Recipient::parse(recipient)?)?;
    files::write(&canary_path(folder, recipient, "age"), &canary.sealed, 0o644)?;
    files::write(&path, &serde_json::to_vec(&canary)?, 0o644)?;
    Ok(canary)
}

fn canary_path(folder: &Folder, recipient: &str, extension: &str) -> PathBuf {
    folder.file(&format!("canaries/{recipient}.{extension}"))
}
