//! `drift list|accept|restore`: what was edited by hand, on the server, of the files firstboot wrote.

use crate::Name;
use crate::project::{From, Opened};
use anyhow::Result;
use provisioner::in_use::InUse;
use std::path::Path;

/// What to do about edits.
#[derive(clap::Subcommand)]
pub(crate) enum Drift {
    /// Show them, each as a diff; exit code 4 while one of them is undecided.
    ///
    /// Example: cargo xtask drift list --project demo
    List {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        from: From,
        /// One JSON document on stdout, nothing else there.
        #[arg(long)]
        json: bool,
    },
    /// Keep an edit, for as long as nothing else is wanted there.
    ///
    /// Example: cargo xtask drift accept --project demo /etc/docker/daemon.json
    Accept(One),
    /// Put the file back as it was written; the edit is kept beside it.
    ///
    /// Example: cargo xtask drift restore --project demo /etc/docker/daemon.json
    Restore(One),
}

/// Which file.
#[derive(clap::Args)]
pub(crate) struct One {
    #[command(flatten)]
    name: Name,
    #[command(flatten)]
    from: From,
    /// The file's absolute path on the server.
    file: String,
}

/// Runs it; the exit code is the server's own.
pub(crate) async fn run(projects: &Path, verb: &Drift) -> Result<u8> {
    let (Drift::List { name, from, .. }
    | Drift::Accept(One { name, from, .. })
    | Drift::Restore(One { name, from, .. })) = verb;
    let opened = Opened::existing(projects, &name.project)?.from(from);
    let _lock = (!matches!(verb, Drift::List { .. })).then(|| opened.folder.lock()).transpose()?;
    let (prepared, world) = opened.look().await?;
    let context = opened.context();
    let words: &[&str] = match verb {
        Drift::List { json: false, .. } => &["drift"],
        Drift::List { json: true, .. } => &["drift", "--json"],
        Drift::Accept(one) => &["drift", "accept", &one.file],
        Drift::Restore(one) => &["drift", "restore", &one.file],
    };
    let pass_on = || InUse::new(&context, &prepared, &world, "its edited files")?.pass_on(words);
    context.through_the_door(&world, "drift", async || tokio::task::block_in_place(pass_on)).await
}
