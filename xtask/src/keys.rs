//! `keys list|rotate|revoke`.

use crate::args::{List, Print, Server};
use crate::ask::{agreed, need_typed};
use crate::project;
use anyhow::{Result, bail};
use provisioner::NeedsOperator;
use provisioner::context::Context;
use provisioner::key_slots::{KeySlots, Listed, Slot, Wish};
use std::path::Path;

/// What to do with the volume's keys.
#[derive(clap::Subcommand)]
pub(crate) enum Keys {
    /// Show the keyslots in use, what each is for, and whether the escrow on file holds it.
    ///
    /// Example: cargo xtask keys list --project demo
    List(List),
    /// Give a slot a new key. It is escrowed before it counts; then the old one opens nothing any more.
    ///
    /// Example: cargo xtask keys rotate --project demo --slot recovery --yes
    Rotate(Change),
    /// Take a slot's key away. The last one that the escrow can open stays.
    ///
    /// Example: cargo xtask keys revoke --project demo --slot recovery
    Revoke(Change),
}

/// Which slot.
#[derive(clap::Args)]
pub(crate) struct Change {
    #[command(flatten)]
    server: Server,
    /// `unlock` or `recovery`; `revoke` also takes a number from 4 on.
    #[arg(long, value_name = "SLOT", value_parser = slot)]
    slot: Slot,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    print: Print,
}

fn slot(text: &str) -> Result<Slot, String> {
    match (text, text.parse()) {
        ("unlock", _) => Ok(Slot::Unlock),
        ("recovery", _) => Ok(Slot::Recovery),
        (_, Ok(number)) if (Slot::FIRST_OTHER..Slot::COUNT).contains(&number) => {
            Ok(Slot::from_number(number))
        }
        _ => Err(format!(
            "allowed are `unlock`, `recovery`, and numbers from {} to {}",
            Slot::FIRST_OTHER,
            Slot::COUNT - 1
        )),
    }
}

/// Runs it.
pub(crate) async fn run(projects: &Path, verb: &Keys) -> Result<u8> {
    match verb {
        Keys::List(options) => list(projects, options).await,
        Keys::Rotate(change) => apply(projects, Wish::Rotate, change).await,
        Keys::Revoke(change) => apply(projects, Wish::Revoke, change).await,
    }
}

async fn list(projects: &Path, List { server, print }: &List) -> Result<u8> {
    let opened = project::with_server(projects, server)?;
    let list =
        |context: &Context<'_>, prepared: &_, world: &_| KeySlots::new(context, prepared, world)?.list();
    let listed = opened.reach("keys-list", list).await?;
    print.show(&listed, |listed| show(&server.name.project, listed))?;
    Ok(0)
}

async fn apply(projects: &Path, wish: Wish, change: &Change) -> Result<u8> {
    let opened = project::with_server(projects, &change.server)?;
    let _lock = opened.folder.lock()?;
    if wish == Wish::Rotate && matches!(change.slot, Slot::Other(_)) {
        bail!("changing {}: its key is not ours to draw; `unlock` and `recovery` are", change.slot);
    }
    if !change.yes {
        agree(wish, change)?;
    }
    let alter = |context: &Context<'_>, prepared: &_, world: &_| {
        KeySlots::new(context, prepared, world)?.change(wish, change.slot)
    };
    let listed = opened.reach("keys", alter).await?;
    change.print.show(&listed, |listed| show(&change.server.name.project, listed))?;
    Ok(0)
}

/// What opened the volume before opens it no longer: a copy on paper has to be replaced.
fn agree(wish: Wish, change: &Change) -> Result<()> {
    let slot = change.slot;
    if wish == Wish::Revoke {
        return need_typed(&change.server.name.project, &format!("revoke the key of {slot}"));
    }
    match agreed(&format!("The old key of {slot} will open nothing any more. Go on?"))? {
        Some(true) => Ok(()),
        Some(false) => bail!("changing {slot}: nothing was changed"),
        None => Err(NeedsOperator(format!(
            "changing {slot}: there is no terminal to ask on; nothing was changed. `--yes` answers the question"
        ))
        .into()),
    }
}

fn show(project: &str, listed: &Listed) -> Result<(), host::Error> {
    say!("LUKS volume {}", listed.luks_uuid)?;
    for slot in &listed.slots {
        let escrowed = match slot.escrowed {
            Some(true) => "in escrow",
            Some(false) => "NOT in escrow",
            None => "the escrow does not say",
        };
        say!("  {:>2}  {:<10} {:<24} {}", slot.number, slot.name, escrowed, slot.purpose)?;
    }
    if listed.changing {
        say!("A change was begun and is not done; `cargo xtask provision --project {project}` goes on.")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_named_or_a_number_beyond_the_table() {
        assert_eq!(slot("unlock"), Ok(Slot::Unlock));
        assert_eq!(slot("recovery"), Ok(Slot::Recovery));
        assert_eq!(slot("4"), Ok(Slot::Other(4)));
        for wrong in ["", "0", "1", "spare", "32", "-1"] {
            assert!(slot(wrong).unwrap_err().contains("recovery"), "{wrong}");
        }
    }
}
