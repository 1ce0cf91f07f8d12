//! The secrets of this server by name: what each is for, what it looks like, and where it lies.

use crate::machine::random::{HEX, draw};
use crate::machine::{Kind, passphrase};
use crate::run::Cx;
use anyhow::Result;
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
const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A secret this server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: &'static str,
    pub(crate) purpose: &'static str,
    shape: Shape,
}

/// What a secret looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// So many characters of an alphabet.
    Characters(usize, &'static [u8]),
    /// So many words.
    Words(usize),
}

/// All secrets that this server shall have: the volume's keys, but for one that was revoked, and what its stacks read.
pub(crate) fn wanted(cx: &Cx<'_>) -> Result<Vec<Wanted>> {
    let mut all = Vec::new();
    for wanted in possible(cx)? {
        if !cx.machine().exists(revoked(wanted.name))? {
            all.push(wanted);
        }
    }
    Ok(all)
}

/// The same, with those that were revoked.
pub(crate) fn possible(cx: &Cx<'_>) -> Result<Vec<Wanted>> {
    let mut all: Vec<Wanted> = KEYS.into_iter().filter_map(key).collect();
    for stack in &cx.spec.stacks {
        all.extend(of_stack(::stacks::find(&stack.name)?));
    }
    Ok(all)
}

/// What lies in the store besides: the secrets of stacks that were taken out and whose data is kept. Each with its purpose.
pub(crate) fn leftover(cx: &Cx<'_>) -> Result<Vec<(String, &'static str)>> {
    let own = possible(cx)?;
    let mut left = Vec::new();
    for name in cx.machine().list(Path::new(STORE))? {
        let is_file = cx.machine().stat(&stored(&name))?.is_some_and(|found| found.kind == Kind::File);
        let is_own = own.iter().any(|wanted| wanted.name == name);
        if is_file && !is_own && !NOTES.contains(&&*name) && !name.contains('.') {
            let known = ::stacks::CATALOGUE.iter().flat_map(of_stack).find(|secret| secret.name == name);
            left.push((name, known.map_or("read by a stack whose data is kept", |secret| secret.purpose)));
        }
    }
    Ok(left)
}

fn of_stack(stack: &::stacks::Stack) -> impl Iterator<Item = Wanted> {
    stack.secrets.iter().map(|need| Wanted {
        name: need.name,
        purpose: need.purpose,
        shape: Shape::Characters(need.length, ALPHANUMERIC),
    })
}

/// The keys of the volume that are secrets of the store.
pub(crate) const KEYS: [Slot; 2] = [Slot::Unlock, Slot::Recovery];

/// What opens a slot, where that is a secret of the store.
pub(crate) fn key(slot: Slot) -> Option<Wanted> {
    let shape = match slot {
        Slot::Recovery => Shape::Words(passphrase::PASSPHRASE),
        _ => Shape::Characters(64, HEX),
    };
    Some(Wanted { name: slot.secret()?, purpose: slot.purpose(), shape })
}

pub(crate) fn draw_one(cx: &Cx<'_>, wanted: &Wanted) -> Result<host::Secret> {
    Ok(match wanted.shape {
        Shape::Characters(length, alphabet) => draw(cx.machine(), alphabet, length)?,
        Shape::Words(count) => passphrase::draw(cx.machine(), count)?,
    })
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
