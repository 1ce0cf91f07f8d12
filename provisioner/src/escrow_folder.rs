//! The escrow on the operator's side: bundles are filed whole, checked against the pinned host key, and
//! only then acknowledged.
//!
//! `escrow/<first 16 digits of the bundle's SHA-256>/` holds `bundle.age`, `manifest.json` and `manifest.json.sig`;
//! `escrow/current` names the newest. Old bundles stay.

use crate::journal::hex;
use crate::known_hosts::KnownHosts;
use crate::project::{Folder, Project};
use anyhow::{Context as _, Result, bail};
use escrow::{Bundle, Expected, Identity, Problem};
use host::{Local, files};
use sha2::{Digest as _, Sha256};
use spec::EscrowManifest;
use std::path::PathBuf;

const BUNDLE: &str = "bundle.age";
const MANIFEST: &str = "manifest.json";
const SIGNATURE: &str = "manifest.json.sig";
const CURRENT: &str = "escrow/current";

/// A sealed bundle with its papers, as it came from the server or lies in the project folder.
pub struct Filed {
    /// The age file.
    pub sealed: Vec<u8>,
    /// The manifest's bytes: what is signed.
    pub manifest: Vec<u8>,
    /// OpenSSH's signature of them.
    pub signature: Vec<u8>,
}

impl Filed {
    /// The newest bundle in the project folder.
    pub fn current(folder: &Folder) -> Result<Option<Self>> {
        let Some(name) = files::read(&folder.file(CURRENT))? else { return Ok(None) };
        let dir = folder.file("escrow").join(String::from_utf8_lossy(&name).trim());
        let read = |name: &str| -> Result<Vec<u8>> {
            let path = dir.join(name);
            files::read(&path)?.with_context(|| {
                format!("reading {}: it is missing; restore the project folder from a copy", path.display())
            })
        };
        Ok(Some(Self { sealed: read(BUNDLE)?, manifest: read(MANIFEST)?, signature: read(SIGNATURE)? }))
    }

    /// The manifest, read.
    pub fn manifest(&self) -> Result<EscrowManifest> {
        Ok(EscrowManifest::from_json(&self.manifest)?)
    }

    /// SHA-256 of the sealed bytes.
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(&self.sealed))
    }

    /// Everything that can be proved without the offline key: signed by this host key, whole, for these recipients.
    pub fn check(&self, host_keys: &[String], expected: &Expected<'_>) -> Result<Vec<Problem>> {
        let scratch = tempfile::tempdir().context("making a scratch directory")?;
        let verify = |key: &String| {
            escrow::signature::verify(&Local, key, &self.manifest, &self.signature, scratch.path())
        };
        let mut verdicts = host_keys.iter().map(verify);
        let first = verdicts
            .next()
            .context("checking the escrow's signature: no host key is pinned for the server")?;
        if let Err(error) = first
            && !verdicts.any(|verdict| verdict.is_ok())
        {
            return Err(error.into());
        }
        Ok(escrow::inspect(&self.sealed, &self.manifest()?, expected))
    }

    /// Files it: the parts first, then the pointer, each written whole and synced.
    pub fn file(&self, folder: &Folder) -> Result<PathBuf> {
        let name = self.sha256()[..16].to_owned();
        let dir = folder.file("escrow").join(&name);
        files::write(&dir.join(BUNDLE), &self.sealed, 0o600)?;
        files::write(&dir.join(MANIFEST), &self.manifest, 0o644)?;
        files::write(&dir.join(SIGNATURE), &self.signature, 0o644)?;
        files::sync_directory(&folder.file("escrow"))?;
        files::write(&folder.file(CURRENT), format!("{name}\n").as_bytes(), 0o644)?;
        Ok(dir)
    }

    /// Opens it with the offline key.
    pub fn open(&self, identity: &Identity) -> Result<Bundle> {
        Ok(escrow::open(&self.sealed, identity)?)
    }
}

/// The newest bundle's manifest, and what is wrong with the bundle; an empty list means: whole, from the server
/// whose key is pinned, for the project's recipients, and with a keyslot for each key in it. With the offline identity
/// the LUKS header inside is held against the manifest, slot by slot.
pub fn verify(
    folder: &Folder,
    project: &Project,
    identity: Option<&Identity>,
) -> Result<(EscrowManifest, Vec<String>)> {
    let filed = need_current(folder)?;
    let manifest = filed.manifest()?;
    let recipients = crate::recipients::recipients(folder, project, |_| {})?;
    let keys = KnownHosts::new(folder, manifest.server_id).keys()?;
    let expected =
        Expected { project: folder.name(), volume_id: manifest.volume_id, recipients: &recipients };
    let mut problems: Vec<String> = match filed.check(&keys, &expected) {
        Ok(problems) => problems.iter().map(ToString::to_string).collect(),
        Err(error) => vec![format!("{error:#}")],
    };
    if let Some(identity) = identity {
        match filed.open(identity) {
            Ok(bundle) => problems.extend(escrow::inspect_header(&bundle, &manifest).map(|p| p.to_string())),
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    Ok((manifest, problems))
}

/// The newest bundle, or the sentence that says there is none yet.
pub fn need_current(folder: &Folder) -> Result<Filed> {
    match Filed::current(folder)? {
        Some(filed) => Ok(filed),
        None => bail!(
            "reading the escrow of {}: there is none yet; `cargo xtask provision --project {}` takes it",
            folder.name(),
            folder.name()
        ),
    }
}
