//! `drift list|accept|restore`: what was edited by hand, on the server, of the files firstboot wrote.

use crate::args::{List, Print, Server};
use crate::project;
use anyhow::Result;
use provisioner::context::Context;
use provisioner::in_use::InUse;
use std::path::Path;

/// What to do about edits.
#[derive(clap::Subcommand)]
pub(crate) enum Drift {
    /// Show them, each as a diff; exit code 4 while one of them is undecided.
    ///
    /// Example: cargo xtask drift list --project demo
    List(List),
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
    server: Server,
    /// The file's absolute path on the server.
    file: String,
}

/// Runs it; the exit code is the server's own.
pub(crate) async fn run(projects: &Path, verb: &Drift) -> Result<u8> {
    let (Drift::List(List { server, .. })
    | Drift::Accept(One { server, .. })
    | Drift::Restore(One { server, .. })) = verb;
    let opened = project::with_server(projects, server)?;
    let _lock = (!matches!(verb, Drift::List(_))).then(|| opened.folder.lock()).transpose()?;
    let words: &[&str] = match verb {
        Drift::List(List { print: Print { json: false }, .. }) => &["drift"],
        Drift::List(_) => &["drift", "--json"],
        Drift::Accept(one) => &["drift", "accept", &one.file],
        Drift::Restore(one) => &["drift", "restore", &one.file],
    };
    let pass_on = |context: &Context<'_>, prepared: &_, world: &_| {
        InUse::new(context, prepared, world, "its edited files")?.pass_on(words)
    };
    opened.reach("drift", pass_on).await
}
