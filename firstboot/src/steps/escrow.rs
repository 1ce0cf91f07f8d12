//! Everything that opens the data is sealed to the offline keys and off the server before anything uses it.
//!
//! Sealing is random, so a bundle is sealed once and kept until its contents change. Whether it is current is told
//! by a digest of the contents that is kept on the volume, beside the secrets themselves.

use super::disk::{Volume, luks};
use super::identity::Lasting;
use super::secrets::{stored, wanted};
use crate::clock::rfc3339;
use crate::cx::sha256;
use crate::step::Step;
use crate::{Cx, gate};
use ::escrow::{Bundle, Entry, LUKS_HEADER, Recipient};
use anyhow::{Context as _, Result};
use host::{Host as _, Secret};
use spec::{EscrowManifest, EscrowRecord, Gate, StepName, paths};
use std::path::Path;
use zeroize::Zeroizing;

/// The operator's side holds everything that opens the data.
#[derive(Debug, Clone, Copy)]
pub struct Escrowed(());

/// See the module.
pub struct Escrow<'a> {
    /// Whose key and header are sealed.
    pub volume: &'a Volume,
    /// Signs the manifest.
    pub identity: &'a Lasting,
}

impl Step for Escrow<'_> {
    const NAME: StepName = StepName::Escrow;
    type Output = Escrowed;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Escrowed>> {
        let acknowledged = cx.receipt().escrow.clone().filter(|e| e.acknowledged);
        let Some(record) = acknowledged else { return Ok(None) };
        let gate = Gate::Escrow { sha256: record.sha256 };
        let holds = gate::passed(cx, &gate)? && self.sealed(cx)?.is_some_and(|sha256| sha256 == gate.value());
        Ok(holds.then_some(Escrowed(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        let sha256 = match self.sealed(cx)? {
            Some(sha256) => sha256,
            None => self.seal(cx)?,
        };
        let record = |acknowledged| Some(EscrowRecord { sha256: sha256.clone(), acknowledged });
        cx.record(|receipt| receipt.escrow = record(false))?;
        let gate = Gate::Escrow { sha256: sha256.clone() };
        if !gate::passed(cx, &gate)? {
            cx.say("waiting until the escrow is off the server")?;
            gate::wait(cx, &gate, None)?;
        }
        cx.record(|receipt| receipt.escrow = record(true))?;
        Ok(())
    }
}

impl Escrow<'_> {
    /// The SHA-256 of the bundle on the root disk, if that is whole and holds what is true now.
    fn sealed(&self, cx: &Cx<'_>) -> Result<Option<String>> {
        let Some(json) = cx.read(Path::new(paths::ESCROW_MANIFEST))? else { return Ok(None) };
        // The manifest is written last; one that cannot be read is of another age, and sealing anew is safe.
        let Ok(manifest) = EscrowManifest::from_json(&json) else { return Ok(None) };
        let whole =
            cx.machine().stat(Path::new(paths::ESCROW_BUNDLE))?.is_some_and(|s| s.len == manifest.size)
                && cx.exists(paths::ESCROW_SIGNATURE)?;
        let current = format!("{} {}\n", manifest.sha256, self.digest(cx)?);
        Ok((whole && cx.holds(stored("escrowed"), current.as_bytes())?).then_some(manifest.sha256))
    }

    /// Seals, signs, and writes: the note on the volume and the manifest last, so that a half-written bundle never
    /// counts.
    fn seal(&self, cx: &Cx<'_>) -> Result<String> {
        cx.say("copying the LUKS header")?;
        let mut entries = Vec::new();
        for wanted in wanted(cx)? {
            let value = cx.read(&stored(wanted.name))?;
            let value =
                value.with_context(|| format!("sealing the escrow: {} is not on the volume", wanted.name))?;
            let (name, purpose) = (format!("secrets/{}", wanted.name), wanted.purpose.into());
            entries.push(Entry { name, purpose, value: Secret::new(value) });
        }
        entries.push(Entry {
            name: LUKS_HEADER.into(),
            purpose: "the volume's LUKS2 header, for when the one on the volume is damaged".into(),
            value: luks::header_copy(cx, &self.volume.device)?,
        });
        let bundle = Bundle { entries };
        cx.say("sealing the escrow")?;
        let recipients: Vec<Recipient> =
            cx.spec.recipients.iter().map(|r| Recipient::parse(r)).collect::<Result<_, _>>()?;
        let sealed = ::escrow::seal(&bundle, &recipients)?;
        let created = rfc3339(cx.machine().now());
        let uuid = luks::Header::read(cx, &self.volume.device)?.uuid;
        let manifest = ::escrow::manifest(&bundle, &sealed, &recipients, &cx.spec, &uuid, &created);
        let json = manifest.to_json();
        let signature = ::escrow::signature::sign(cx, &self.identity.key, &json)?;
        cx.write(Path::new(paths::ESCROW_BUNDLE), &sealed, 0o644)?;
        cx.write(Path::new(paths::ESCROW_SIGNATURE), &signature, 0o644)?;
        let note = format!("{} {}\n", manifest.sha256, self.digest(cx)?);
        cx.write(&stored("escrowed"), note.as_bytes(), 0o400)?;
        cx.write(Path::new(paths::ESCROW_MANIFEST), &json, 0o644)?;
        Ok(manifest.sha256)
    }

    /// SHA-256 over all that a bundle of now would hold, and to whom it would be sealed and by whom signed.
    fn digest(&self, cx: &Cx<'_>) -> Result<String> {
        let mut all = Zeroizing::new(Vec::with_capacity(4096));
        let mut add = |bytes: &[u8]| {
            all.extend((bytes.len() as u64).to_be_bytes());
            all.extend(bytes);
        };
        for recipient in &cx.spec.recipients {
            add(recipient.as_bytes());
        }
        add(cx.receipt().host_key.as_deref().unwrap_or_default().as_bytes());
        let header = luks::Header::read(cx, &self.volume.device)?;
        add(header.uuid.as_bytes());
        add(header.lasting.as_bytes());
        for wanted in wanted(cx)? {
            add(wanted.name.as_bytes());
            add(&Zeroizing::new(cx.read(&stored(wanted.name))?.unwrap_or_default()));
        }
        Ok(sha256(&all))
    }
}
