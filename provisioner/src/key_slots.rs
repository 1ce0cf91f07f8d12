//! The keys of the volume, from the operator's chair: listed, rotated, revoked while the server runs.
//!
//! The server draws a new key itself and hands it over in an escrow bundle; nothing secret passes through here in the
//! clear, so no offline identity is needed. Interrupted anywhere, the same command, or `provision`, goes on.

use crate::context::Context;
use crate::errors::NeedsOperator;
use crate::escrow_folder::need_current;
use crate::in_use::InUse;
use crate::provision::Prepared;
use crate::world::World;
use anyhow::Result;
use serde::Serialize;
pub use spec::Slot;
use spec::{EscrowManifest, KeySlot, Keys};

/// What is wanted of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// A new key in it; the old one opens nothing any more.
    Rotate,
    /// No key in it.
    Revoke,
}

/// The volume's keyslots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The UUID of the LUKS2 header.
    pub luks_uuid: String,
    /// Whether a change was begun and is not done: the same command, or `provision`, goes on.
    pub changing: bool,
    /// Those in use.
    pub slots: Vec<ListedSlot>,
}

/// A keyslot in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedSlot {
    /// Its number.
    pub number: u32,
    /// What it is called.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Whether the escrow on file holds this very slot, and its key where a key of ours opens it; nothing where that
    /// escrow was sealed by a release that did not say.
    pub escrowed: Option<bool>,
}

/// The server whose keys they are.
pub struct KeySlots<'a>(InUse<'a>);

impl<'a> KeySlots<'a> {
    /// For the project's server.
    pub fn new(context: &'a Context<'a>, prepared: &'a Prepared, world: &'a World) -> Result<Self> {
        InUse::new(context, prepared, world, "its keys").map(Self)
    }

    /// The slots in use. Works on a locked server too.
    pub fn list(&self) -> Result<Listed> {
        let keys = self.keys()?;
        let manifest = need_current(self.0.context.folder)?.manifest()?;
        let slots = keys.slots.iter().map(|slot| listed(slot, &manifest)).collect();
        Ok(Listed { luks_uuid: keys.luks_uuid, changing: keys.changing, slots })
    }

    /// Has the server change a slot, follows it to its end, and confirms from outside.
    pub fn change(&self, wish: Wish, slot: Slot) -> Result<Listed> {
        let change = self.0.change()?;
        let begun = self.keys()?.changing;
        if change.wait_for_what_runs()? && begun {
            // It may have been another wish than this one, and the same one once more does no harm.
            self.0.context.report.note("a change that was begun before has come to its end");
        }
        let verb = match wish {
            Wish::Rotate => "rotate",
            Wish::Revoke => {
                self.refuse_the_last(slot)?;
                "revoke"
            }
        };
        let doing = format!("asking for {slot} to be changed");
        change.make(doing, &["keys", verb, &slot.number().to_string()])?;
        change.confirm()?;
        self.list()
    }

    /// Refuses to take away the last slot that the escrow on file opens.
    fn refuse_the_last(&self, slot: Slot) -> Result<()> {
        let manifest = need_current(self.0.context.folder)?.manifest()?;
        let opens = |used: &KeySlot| {
            used.slot() != slot
                && used.slot().secret().is_some()
                && listed(used, &manifest).escrowed == Some(true)
        };
        if !self.keys()?.slots.iter().any(opens) {
            return Err(NeedsOperator(format!(
                "revoking {slot}: it is the last slot that the escrow on file is known to open, so it stays; \
                 run `cargo xtask provision --project {}` if a newer escrow should be taken first, or rotate the slot instead",
                self.0.context.folder.name()
            ))
            .into());
        }
        Ok(())
    }

    fn keys(&self) -> Result<Keys> {
        Ok(Keys::from_json(&self.0.ask(&["keys", "list"])?.stdout)?)
    }
}

/// A slot as the server's header has it, held against the escrow on file.
fn listed(used: &KeySlot, manifest: &EscrowManifest) -> ListedSlot {
    let slot = used.slot();
    let lists = |name: &str| manifest.contents.iter().any(|e| e.name.strip_prefix("secrets/") == Some(name));
    let whole = manifest.key_slots.contains(used) && slot.secret().is_none_or(lists);
    ListedSlot {
        number: used.number,
        name: slot.name(),
        purpose: slot.purpose(),
        escrowed: (!manifest.key_slots.is_empty()).then_some(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::EscrowEntry;

    fn used(number: u32, sha256: &str) -> KeySlot {
        KeySlot { number, sha256: sha256.into() }
    }

    fn manifest(names: &[&str], key_slots: Vec<KeySlot>) -> EscrowManifest {
        let entry = |name: &&str| EscrowEntry { name: (*name).to_owned(), purpose: String::new() };
        EscrowManifest {
            version: spec::VERSION,
            project: "demo".into(),
            server_id: 1,
            volume_id: 7,
            luks_uuid: None,
            created: String::new(),
            sha256: String::new(),
            size: 0,
            recipients: vec![],
            contents: names.iter().map(entry).collect(),
            key_slots,
        }
    }

    #[test]
    fn a_slot_is_escrowed_when_header_and_key_are() {
        let both = manifest(&["secrets/luks-key", "secrets/luks-recovery"], vec![used(0, "a"), used(2, "b")]);
        assert_eq!(listed(&used(0, "a"), &both).escrowed, Some(true));
        assert_eq!(listed(&used(0, "changed since"), &both).escrowed, Some(false));
        assert_eq!(listed(&used(5, "by hand"), &both).escrowed, Some(false));
        let without_key = manifest(&["secrets/luks-key"], both.key_slots.clone());
        assert_eq!(listed(&used(2, "b"), &without_key).escrowed, Some(false));
        let with_tang = manifest(&["secrets/luks-key"], vec![used(4, "t")]);
        assert_eq!(listed(&used(4, "t"), &with_tang).escrowed, Some(true), "Tang holds its key");
    }

    #[test]
    fn an_escrow_of_an_earlier_release_does_not_say() {
        assert_eq!(listed(&used(0, "a"), &manifest(&["secrets/luks-key"], vec![])).escrowed, None);
    }
}
