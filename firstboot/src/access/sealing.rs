//! What a bundle holds, and the notes about bundles.
//!
//! Sealing is random, so a bundle is sealed once and kept until its contents change. Notes on the volume, beside the
//! secrets themselves, say by digest what was sealed last and what was acknowledged last.

use super::slots;
use super::store::{ACKNOWLEDGED, HOST_KEY, KEYS, SEALED, leftover, next, possible, revoked, stored};
use crate::machine::clock::rfc3339;
use crate::machine::digest::sha256;
use crate::run::Cx;
use crate::volume::{self, luks};
use ::escrow::{Bundle, Entry, LUKS_HEADER, Recipient};
use anyhow::{Context as _, Result};
use host::{Host as _, Secret};
use spec::{EscrowManifest, Slot, paths};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where secrets lie that were escrowed by [`escrow_new`](super::reseal::escrow_new).
pub(crate) const KEPT: &str = "kept";

/// What is known of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// SHA-256 of the sealed bytes.
    pub(crate) sha256: String,
    /// Digest of the secrets in it, of whom it is sealed to, and of who signed.
    pub(crate) contents: String,
    /// Digest of the LUKS header in it, see [`Header::kept`](::escrow::Header::kept).
    pub(crate) header: String,
    /// The changes that take effect with it: names below `next`.
    pub(crate) changes: Vec<String>,
}

impl Note {
    /// What was sealed last.
    pub(crate) fn sealed(cx: &Cx<'_>) -> Result<Option<Self>> {
        Self::read(cx, SEALED)
    }

    /// What was acknowledged last, if this very server's gate says so too.
    pub(crate) fn acknowledged(cx: &Cx<'_>) -> Result<Option<Self>> {
        let Some(note) = Self::read(cx, ACKNOWLEDGED)? else { return Ok(None) };
        let on_record =
            cx.receipt().escrow.as_ref().is_some_and(|e| e.acknowledged && e.sha256 == note.sha256);
        Ok((on_record && passed(cx, &note.sha256)?).then_some(note))
    }

    /// A note of an earlier release is none: sealing anew is safe.
    fn read(cx: &Cx<'_>, name: &str) -> Result<Option<Self>> {
        let text = cx.machine().text(stored(name))?.unwrap_or_default();
        let mut words = text.trim_end_matches('\n').split(' ').map(str::to_owned);
        let (Some(sha256), Some(contents), Some(header), Some(changes)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Ok(None);
        };
        let changes = changes.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Ok(Some(Self { sha256, contents, header, changes }))
    }

    fn write(&self, cx: &Cx<'_>, name: &str) -> Result<()> {
        let text = format!("{} {} {} {}\n", self.sha256, self.contents, self.header, self.changes.join(","));
        Ok(cx.write(&stored(name), text.as_bytes(), 0o400)?)
    }

    /// Writes that it was acknowledged.
    pub(crate) fn acknowledge(&self, cx: &Cx<'_>) -> Result<()> {
        self.write(cx, ACKNOWLEDGED)
    }
}

/// Whether the volume's header, with all its slots, is the one in the bundle that was acknowledged last. The volume is open.
pub(crate) fn holds_header(cx: &Cx<'_>) -> Result<bool> {
    let Some(note) = Note::acknowledged(cx)? else { return Ok(false) };
    Ok(note.header == luks::header(cx, &volume::attached(cx)?)?.kept)
}

/// Whether the operator's side has acknowledged this bundle.
pub(crate) fn passed(cx: &Cx<'_>, sha256: &str) -> Result<bool> {
    crate::access::gate::passed(cx, &spec::Gate::Escrow { sha256: sha256.into() })
}

/// A secret of the bundle, and where its value lies.
struct Source {
    name: String,
    purpose: String,
    path: PathBuf,
}

/// Everything a bundle holds once these changes have taken effect.
fn sources(cx: &Cx<'_>, changes: &[String]) -> Result<Vec<Source>> {
    let is_new = |name: &str| changes.iter().any(|change| change == name);
    let is_dropped = |name: &str| changes.iter().any(|change| change.strip_prefix('-') == Some(name));
    let mut sources = Vec::new();
    let mut add = |name: String, purpose: String, there: PathBuf| {
        let path = if is_new(&name) { next(&name) } else { there };
        if !is_dropped(&name) {
            sources.push(Source { name, purpose, path });
        }
    };
    let own = possible(cx)?;
    for wanted in &own {
        if is_new(&wanted.name) || !cx.machine().exists(revoked(&wanted.name))? {
            add(wanted.name.clone(), wanted.purpose.clone(), stored(&wanted.name));
        }
    }
    // What lies on the volume counts, whatever the spec wishes: the data of a stack that was taken out needs its secrets.
    for (name, purpose) in leftover(cx)? {
        let there = stored(&name);
        add(name, purpose, there);
    }
    let mut others: Vec<String> = cx.machine().list(&stored(KEPT))?;
    others.extend(changes.iter().filter(|name| !name.starts_with('-')).cloned());
    others.retain(|name| !name.contains('.') && own.iter().all(|wanted| wanted.name != *name));
    others.sort_unstable();
    others.dedup();
    for name in others {
        let of = if is_new(&name) { purpose_of(&next(&name)) } else { purpose_of(&kept_path(&name)) };
        let purpose = cx.machine().text(of)?.unwrap_or_default();
        let there = kept_path(&name);
        add(name, purpose, there);
    }
    Ok(sources)
}

/// Where a secret that [`escrow_new`](super::reseal::escrow_new) escrowed lies.
pub(crate) fn kept_path(name: &str) -> PathBuf {
    stored(KEPT).join(name)
}

/// The file beside a secret that says what it is for. It is written first, so that a secret never lacks it.
pub(crate) fn purpose_of(secret: &Path) -> PathBuf {
    let mut path = secret.as_os_str().to_owned();
    path.push(".purpose");
    path.into()
}

/// SHA-256 over all secrets a bundle with these changes would hold, and to whom it would be sealed and by whom signed.
pub(crate) fn contents_digest(cx: &Cx<'_>, device: &Path, changes: &[String]) -> Result<String> {
    let mut all = Zeroizing::new(Vec::with_capacity(8192));
    let mut add = |bytes: &[u8]| {
        all.extend((bytes.len() as u64).to_be_bytes());
        all.extend(bytes);
    };
    for recipient in &cx.spec.recipients {
        add(recipient.as_bytes());
    }
    add(cx.receipt().host_key.as_deref().unwrap_or_default().as_bytes());
    add(luks::header(cx, device)?.uuid.as_bytes());
    for source in sources(cx, changes)? {
        add(source.name.as_bytes());
        add(&Zeroizing::new(cx.read(&source.path)?.unwrap_or_default()));
    }
    Ok(sha256(&all))
}

/// The note of the bundle on the root disk, if that is whole and holds what is true now and with these changes.
pub(crate) fn current(cx: &Cx<'_>, device: &Path, changes: &[String]) -> Result<Option<Note>> {
    let Some(json) = cx.read(Path::new(paths::ESCROW_MANIFEST))? else { return Ok(None) };
    // The manifest is written last; one that cannot be read is of another age, and sealing anew is safe.
    let Ok(manifest) = EscrowManifest::from_json(&json) else { return Ok(None) };
    let Some(note) = Note::sealed(cx)? else { return Ok(None) };
    let whole = cx.machine().stat(Path::new(paths::ESCROW_BUNDLE))?.is_some_and(|s| s.len == manifest.size)
        && cx.machine().exists(paths::ESCROW_SIGNATURE)?;
    let true_now = note.sha256 == manifest.sha256
        && (changes.is_empty() || note.changes == changes)
        && note.header == luks::header(cx, device)?.kept
        && note.contents == contents_digest(cx, device, changes)?;
    Ok((whole && true_now).then_some(note))
}

/// Seals, signs, and writes: the note on the volume and the manifest last, so that a half-written bundle never counts.
pub(crate) fn seal(cx: &Cx<'_>, device: &Path, changes: &[String]) -> Result<Note> {
    cx.say("copying the LUKS header")?;
    let sources = sources(cx, changes)?;
    let is_key = |source: &&Source| KEYS.into_iter().filter_map(Slot::secret).any(|name| name == source.name);
    let keys: Vec<PathBuf> = sources.iter().filter(is_key).map(|source| source.path.clone()).collect();
    let mut entries = Vec::new();
    for Source { name, purpose, path } in sources {
        let value = cx.read(&path)?;
        let value = value.with_context(|| format!("sealing the escrow: {name} is not on the volume"))?;
        entries.push(Entry { name: format!("secrets/{name}"), purpose, value: Secret::new(value) });
    }
    let (header, copy) = slots::header_copy(cx, device, &keys)?;
    entries.push(Entry {
        name: LUKS_HEADER.into(),
        purpose: "the volume's LUKS2 header, for when the one on the volume is damaged".into(),
        value: copy,
    });
    let bundle = Bundle { entries };
    cx.say("sealing the escrow")?;
    let recipients: Vec<Recipient> =
        cx.spec.recipients.iter().map(|r| Recipient::parse(r)).collect::<Result<_, _>>()?;
    let sealed = ::escrow::seal(&bundle, &recipients)?;
    let created = rfc3339(cx.machine().now());
    let manifest = ::escrow::manifest(&bundle, &sealed, &recipients, &cx.spec, &header, &created);
    let json = manifest.to_json();
    let signature = ::escrow::signature::sign(cx, Path::new(HOST_KEY), &json)?;
    cx.write(Path::new(paths::ESCROW_BUNDLE), &sealed, 0o644)?;
    cx.write(Path::new(paths::ESCROW_SIGNATURE), &signature, 0o644)?;
    let note = Note {
        sha256: manifest.sha256,
        contents: contents_digest(cx, device, changes)?,
        header: header.kept,
        changes: changes.to_vec(),
    };
    note.write(cx, SEALED)?;
    cx.write(Path::new(paths::ESCROW_MANIFEST), &json, 0o644)?;
    Ok(note)
}
