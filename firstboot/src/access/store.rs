//! The secrets of this server by name: what each is for, what it looks like, and where it lies.

use super::draw::{self, Shape};
use crate::machine::{Kind, passphrase};
use crate::run::Cx;
use ::stacks::manifest::{Format, Source};
use anyhow::{Context as _, Result};
use host::Host as _;
use spec::Slot;
use std::path::{Path, PathBuf};

/// Opens the volume until first boot is done.
pub(crate) const BOOTSTRAP_KEY: &str = "/var/lib/sovereign/bootstrap.key";
/// Where secrets wait for the volume; memory only.
pub(crate) const WAITING: &str = "/run/sovereign/secrets";
/// Where secrets live: on the volume.
pub(crate) const STORE: &str = "/srv/sovereign/secrets";
/// What lies beside them and is none: that all are stored, and what was sealed and acknowledged last.
pub(crate) const COMPLETE: &str = "complete";
pub(crate) const SEALED: &str = "escrowed";
pub(crate) const ACKNOWLEDGED: &str = "acknowledged";
const NOTES: [&str; 3] = [COMPLETE, SEALED, ACKNOWLEDGED];
/// The lasting ssh host key, private part; root alone reads it.
pub(crate) const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
/// Keeps a digest of a secret from saying anything about the secret. Another key makes every container anew, nothing worse.
pub(crate) const DIGEST_KEY: &str = "/srv/sovereign/digest.key";

/// A secret this server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) purpose: String,
    shape: Shape,
}

/// All secrets that this server shall have: the volume's keys, but for one that was revoked, and what its stacks read.
pub(crate) fn wanted(cx: &Cx<'_>) -> Result<Vec<Wanted>> {
    let mut all = Vec::new();
    for wanted in possible(cx)? {
        if !cx.machine().exists(revoked(&wanted.name))? {
            all.push(wanted);
        }
    }
    Ok(all)
}

/// The same, with those that were revoked. A hash comes after what it is made of.
pub(crate) fn possible(cx: &Cx<'_>) -> Result<Vec<Wanted>> {
    let mut all: Vec<Wanted> = KEYS.into_iter().filter_map(key).collect();
    let (hashes, drawn): (Vec<_>, Vec<_>) =
        cx.plan()?.secrets.iter().partition(|planned| planned.secret.format.of().is_some());
    for planned in drawn.into_iter().chain(hashes) {
        // What the operator gives is not drawn here, and counts once it is here.
        if planned.secret.source == Source::Drawn || is_given(cx, &planned.name)? {
            all.push(of_stack(&planned.name, &planned.secret));
        }
    }
    Ok(all)
}

/// Whether the operator gave a secret, or is about to.
fn is_given(cx: &Cx<'_>, name: &str) -> Result<bool> {
    Ok(cx.machine().exists(stored(name))? || cx.machine().exists(next(name))?)
}

/// What lies in the store besides: the secrets of stacks that were taken out and whose data is kept. Each with its purpose.
pub(crate) fn leftover(cx: &Cx<'_>) -> Result<Vec<(String, String)>> {
    let own = possible(cx)?;
    let mut left = Vec::new();
    for name in cx.machine().list(Path::new(STORE))? {
        let is_file = cx.machine().stat(&stored(&name))?.is_some_and(|found| found.kind == Kind::File);
        let is_own = own.iter().any(|wanted| wanted.name == name);
        if is_file && !is_own && !NOTES.contains(&&*name) && !name.contains('.') {
            let purpose = purpose_in_catalogue(&name)?;
            left.push((name, purpose.unwrap_or_else(|| "read by a stack whose data is kept".into())));
        }
    }
    Ok(left)
}

/// What one of our own stacks says that a secret is for.
fn purpose_in_catalogue(name: &str) -> Result<Option<String>> {
    for stack in ::stacks::catalogue() {
        let manifest = ::stacks::Folder::of_catalogue(stack)?.manifest()?;
        if let Some(secret) = manifest.secrets.get(name) {
            return Ok(Some(secret.purpose.clone()));
        }
    }
    Ok(None)
}

fn of_stack(name: &str, secret: &::stacks::manifest::Secret) -> Wanted {
    Wanted { name: name.into(), purpose: secret.purpose.clone(), shape: Shape::Format(secret.format.clone()) }
}

/// The keys of the volume that are secrets of the store.
pub(crate) const KEYS: [Slot; 2] = [Slot::Unlock, Slot::Recovery];

/// What opens a slot, where that is a secret of the store.
pub(crate) fn key(slot: Slot) -> Option<Wanted> {
    let shape = match slot {
        Slot::Recovery => Shape::Words(passphrase::PASSPHRASE),
        _ => Shape::Format(Format::Hex { length: 64 }),
    };
    Some(Wanted { name: slot.secret()?.into(), purpose: slot.purpose().into(), shape })
}

/// Makes a secret that is missing.
pub(crate) fn draw_one(cx: &Cx<'_>, wanted: &Wanted) -> Result<host::Secret> {
    draw::make(cx, &wanted.shape, |other| {
        let value =
            cx.read(&stored(other))?.map_or_else(|| cx.read(&waiting(other)), |value| Ok(Some(value)))?;
        let value =
            value.with_context(|| format!("making secret {}: there is no {other} yet", wanted.name))?;
        Ok(host::Secret::new(value))
    })
}

/// Draws into the store what the stacks read and is not there.
pub(crate) fn draw_for_stacks(cx: &Cx<'_>) -> Result<()> {
    cx.machine().make_dir(Path::new(STORE), 0o700, 0, 0)?;
    for wanted in possible(cx)?.iter().filter(|wanted| Slot::of_secret(&wanted.name).is_none()) {
        if !cx.machine().exists(stored(&wanted.name))? {
            cx.write(&stored(&wanted.name), draw_one(cx, wanted)?.expose(), 0o400)?;
        }
    }
    Ok(())
}

pub(crate) fn waiting(name: &str) -> PathBuf {
    Path::new(WAITING).join(name)
}

pub(crate) fn stored(name: &str) -> PathBuf {
    Path::new(STORE).join(name)
}

/// Where what is to replace a secret waits until the escrow holds it; also, as `-NAME`, the wish to drop one.
pub(crate) const NEXT: &str = "/srv/sovereign/secrets/next";

pub(crate) fn next(name: &str) -> PathBuf {
    Path::new(NEXT).join(name)
}

/// The mark of a key that opens the volume no longer and must not be drawn again.
pub(crate) fn revoked(name: &str) -> PathBuf {
    stored("revoked").join(name)
}
