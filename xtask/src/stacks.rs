//! `stacks list|remove`.

use crate::Name;
use crate::project::{From, Opened};
use crate::verbs::{need_typed, print_json};
use anyhow::Result;
use provisioner::stacks_there::{StackState, StacksThere};
use std::path::Path;

/// What to do with the stacks on the server. One is added by naming it in project.toml.
#[derive(clap::Subcommand)]
pub(crate) enum Stacks {
    /// Show each stack that lies on the volume or is enabled: whether it runs, and where its data is.
    ///
    /// Example: cargo xtask stacks list --project demo
    List {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        from: From,
        /// One JSON document on stdout, nothing else there.
        #[arg(long)]
        json: bool,
    },
    /// Remove a stack that project.toml no longer enables, with its data and its secrets. This cannot be taken back.
    ///
    /// Example: cargo xtask stacks remove postgres --data --project demo
    Remove {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        from: From,
        /// The stack.
        stack: String,
        /// Its data goes too: a stack without its data is taken out in project.toml and needs no removal.
        #[arg(long, required = true)]
        data: bool,
        /// One JSON document on stdout, nothing else there.
        #[arg(long)]
        json: bool,
    },
}

/// Runs it.
pub(crate) async fn run(projects: &Path, verb: &Stacks) -> Result<u8> {
    let (Stacks::List { name, from, json } | Stacks::Remove { name, from, json, .. }) = verb;
    let opened = Opened::existing(projects, &name.project)?.from(from);
    let _lock = matches!(verb, Stacks::Remove { .. }).then(|| opened.folder.lock()).transpose()?;
    if let Stacks::Remove { stack, .. } = verb {
        need_typed(&name.project, &format!("remove stack {stack} with its data"))?;
    }
    let (prepared, world) = opened.look().await?;
    let context = opened.context();
    let work = || {
        let there = StacksThere::new(&context, &prepared, &world)?;
        if let Stacks::Remove { stack, .. } = verb {
            there.remove(stack)?;
        }
        show(&there.list()?, *json)
    };
    context.through_the_door(&world, "stacks", async || tokio::task::block_in_place(work)).await?;
    Ok(0)
}

fn show(stacks: &[StackState], json: bool) -> Result<()> {
    if json {
        return print_json(&stacks);
    }
    for stack in stacks {
        let data: Vec<_> = stack.data.iter().map(|dir| dir.display().to_string()).collect();
        let state = if stack.enabled {
            format!("enabled, {} of {} containers healthy", stack.healthy, stack.containers)
        } else {
            "stopped, its data kept".into()
        };
        say!("  {:<16} {state:<40} {}", stack.name, data.join(", "))?;
    }
    Ok(())
}
