//! The secrets are drawn, in memory.
//!
//! One key touches the root disk: the bootstrap key. It opens a temporary slot of the volume, so that first boot
//! survives a reboot without an operator, and opens nothing once first boot is done. Every other secret is drawn
//! into memory and moves onto the volume as soon as that is open; there it stays.

use super::disk;
use super::preflight::ThisServer;
use crate::machine::{Kind, draw};
use crate::step::Step;
use crate::{Cx, words};
use anyhow::Result;
use host::Host as _;
use spec::{Slot, StepName, paths};
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
pub(crate) const HEX: &[u8] = b"0123456789abcdef";
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

/// Every key the disk step needs is there, or was used up.
#[derive(Debug, Clone, Copy)]
pub struct Keys(());

/// See the module.
pub struct Secrets {
    /// It is the right server.
    pub server: ThisServer,
}

impl Step for Secrets {
    const NAME: StepName = StepName::Secrets;
    type Output = Keys;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Keys>> {
        if disk::on_record(cx).is_some_and(|volume| volume.formatted) {
            // From here on the secrets are the volume's; drawing others would only confuse.
            return Ok(Some(Keys(())));
        }
        if !cx.exists(BOOTSTRAP_KEY)? {
            return Ok(None);
        }
        for wanted in wanted(cx)? {
            if !cx.exists(waiting(wanted.name))? {
                return Ok(None);
            }
        }
        Ok(Some(Keys(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        cx.machine().make_dir(Path::new(paths::STATE), 0o755, 0, 0)?;
        if !cx.exists(BOOTSTRAP_KEY)? {
            let key = draw(cx.machine(), HEX, 128)?;
            cx.write(Path::new(BOOTSTRAP_KEY), key.expose(), 0o400)?;
        }
        cx.machine().make_dir(Path::new("/run/sovereign"), 0o700, 0, 0)?;
        cx.machine().make_dir(Path::new(WAITING), 0o700, 0, 0)?;
        for wanted in wanted(cx)? {
            if !cx.exists(waiting(wanted.name))? {
                cx.write(&waiting(wanted.name), draw_one(cx, &wanted)?.expose(), 0o400)?;
            }
        }
        Ok(())
    }
}

/// All secrets that this server shall have: the volume's keys, but for one that was revoked, and what its stacks read.
pub(crate) fn wanted(cx: &Cx<'_>) -> Result<Vec<Wanted>> {
    let mut all = Vec::new();
    for wanted in possible(cx)? {
        if !cx.exists(revoked(wanted.name))? {
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
pub(crate) fn left(cx: &Cx<'_>) -> Result<Vec<(String, &'static str)>> {
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
        Slot::Recovery => Shape::Words(words::PASSPHRASE),
        _ => Shape::Characters(64, HEX),
    };
    Some(Wanted { name: slot.secret()?, purpose: slot.purpose(), shape })
}

pub(crate) fn draw_one(cx: &Cx<'_>, wanted: &Wanted) -> Result<host::Secret> {
    Ok(match wanted.shape {
        Shape::Characters(length, alphabet) => draw(cx.machine(), alphabet, length)?,
        Shape::Words(count) => words::draw(cx.machine(), count)?,
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
