//! `stacks list|remove`.

use crate::args::{List, Print, Server};
use crate::ask::need_typed;
use crate::project;
use anyhow::Result;
use provisioner::context::Context;
use provisioner::stacks_there::{StackState, StacksThere};
use std::path::Path;

/// What to do with the stacks on the server. One is added by naming it in project.toml.
#[derive(clap::Subcommand)]
pub(crate) enum Stacks {
    /// Show each stack that lies on the volume or is enabled: whether it runs, and where its data is.
    ///
    /// Example: cargo xtask stacks list --project demo
    List(List),
    /// Remove a stack that project.toml no longer enables, with its data and its secrets. This cannot be taken back.
    ///
    /// Example: cargo xtask stacks remove postgres --data --project demo
    Remove {
        #[command(flatten)]
        server: Server,
        /// The stack.
        stack: String,
        /// Its data goes too: a stack without its data is taken out in project.toml and needs no removal.
        #[arg(long, required = true)]
        data: bool,
        #[command(flatten)]
        print: Print,
    },
}

/// Runs it.
pub(crate) async fn run(projects: &Path, verb: &Stacks) -> Result<u8> {
    let (Stacks::List(List { server, print }) | Stacks::Remove { server, print, .. }) = verb;
    let opened = project::with_server(projects, server)?;
    let _lock = matches!(verb, Stacks::Remove { .. }).then(|| opened.folder.lock()).transpose()?;
    if let Stacks::Remove { stack, .. } = verb {
        need_typed(&server.name.project, &format!("remove stack {stack} with its data"))?;
    }
    let work = |context: &Context<'_>, prepared: &_, world: &_| {
        let there = StacksThere::new(context, prepared, world)?;
        if let Stacks::Remove { stack, .. } = verb {
            there.remove(stack)?;
        }
        print.show(&there.list()?, |stacks| show(stacks))
    };
    opened.reach("stacks", work).await?;
    Ok(0)
}

fn show(stacks: &[StackState]) -> Result<(), host::Error> {
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
