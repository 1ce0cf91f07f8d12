//! `stacks list|plan|show|diff|logs|restart|run|remove|open`.

use crate::args::{List, Name, Print, Server};
use crate::ask::need_typed;
use crate::screen::screen;
use crate::{arch, artifacts, places, project};
use anyhow::{Context as _, Result, bail};
use provisioner::context::Context;
use provisioner::in_use::InUse;
use provisioner::project::{Folder, Project};
use provisioner::stacks_there::{StackState, StacksThere};
use std::path::Path;

/// What to do with the stacks. One is added by naming it in project.toml.
#[derive(clap::Subcommand)]
pub(crate) enum Stacks {
    /// Show each stack that lies on the volume or is enabled: whether it runs, and where its data is.
    ///
    /// Example: cargo xtask stacks list --project demo
    List(List),
    /// Show all that follows from the enabled stacks: order, routes, ports, networks and who is in them, records, secrets,
    /// memory. Asks no cloud and no server.
    ///
    /// Example: cargo xtask stacks plan --project demo
    Plan {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        print: Print,
    },
    /// Show one stack as it is planned: its compose file and its configuration, with secrets by their names.
    ///
    /// Example: cargo xtask stacks show postgres --project demo
    Show(Planned),
    /// Print where a stack is reached: each of its routes.
    ///
    /// Example: cargo xtask stacks open page --project demo
    Open(Planned),
    /// Show how the stacks' files on the server would change by what project.toml says now.
    ///
    /// Example: cargo xtask stacks diff --project demo
    Diff {
        #[command(flatten)]
        server: Server,
    },
    /// Print what a stack's containers said.
    ///
    /// Example: cargo xtask stacks logs postgres --tail 50 --project demo
    Logs {
        #[command(flatten)]
        one: One,
        /// Go on as they say more.
        #[arg(long)]
        follow: bool,
        /// No more than so many lines of each container.
        #[arg(long, default_value_t = 200)]
        tail: u32,
    },
    /// Stop a stack, start it, and wait until it is healthy.
    ///
    /// Example: cargo xtask stacks restart postgres --project demo
    Restart(One),
    /// Run a stack's own tool inside its container, as its manifest names it.
    ///
    /// Example: cargo xtask stacks run postgres --project demo -- --version
    Run {
        #[command(flatten)]
        one: One,
        /// What the tool is given.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
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

/// One stack of a project, of which the project's folder says all.
#[derive(clap::Args)]
pub(crate) struct Planned {
    #[command(flatten)]
    name: Name,
    /// The stack.
    stack: String,
    #[command(flatten)]
    print: Print,
}

/// One stack on a project's server.
#[derive(clap::Args)]
pub(crate) struct One {
    #[command(flatten)]
    server: Server,
    /// The stack.
    stack: String,
}

/// Runs it.
pub(crate) async fn run(projects: &Path, verb: &Stacks) -> Result<u8> {
    match verb {
        Stacks::Plan { name, print } => {
            let plan = Folder::new(projects, &name.project).load()?.plan;
            print.show(&plan.to_json(), |_| host::say::out(plan.shown().trim_end()))?;
            Ok(0)
        }
        Stacks::Show(Planned { name, stack, print }) => {
            let shown = shown(&Folder::new(projects, &name.project).load()?, stack)?;
            print.show(&shown, |files| files.iter().try_for_each(|(path, text)| say!("# {path}\n{text}")))?;
            Ok(0)
        }
        Stacks::Open(Planned { name, stack, print }) => {
            let addresses = addresses(&Folder::new(projects, &name.project).load()?, stack)?;
            print.show(&addresses, |all| all.iter().try_for_each(|address| say!("{address}")))?;
            Ok(0)
        }
        Stacks::Diff { server } => diff(projects, server).await,
        Stacks::Logs { one, follow, tail } => {
            let tail = format!("--tail={tail}");
            let mut words = vec!["stacks", "logs", &one.stack, &tail];
            words.extend(follow.then_some("--follow"));
            pass_on(projects, &one.server, &words).await
        }
        Stacks::Restart(one) => pass_on(projects, &one.server, &["stacks", "restart", &one.stack]).await,
        Stacks::Run { one, arguments } => {
            let mut words = vec!["stacks", "run", &one.stack, "--"];
            words.extend(arguments.iter().map(String::as_str));
            pass_on(projects, &one.server, &words).await
        }
        Stacks::List(List { server, print }) => there(projects, server, print, None).await,
        Stacks::Remove { server, stack, print, .. } => there(projects, server, print, Some(stack)).await,
    }
}

/// Lists what there is, after a stack was removed where one is named.
async fn there(projects: &Path, server: &Server, print: &Print, removed: Option<&str>) -> Result<u8> {
    let opened = project::with_server(projects, server)?;
    let _lock = removed.map(|_| opened.folder.lock()).transpose()?;
    if let Some(stack) = removed {
        need_typed(&server.name.project, &format!("remove stack {stack} with its data"))?;
    }
    let work = |context: &Context<'_>, prepared: &_, world: &_| {
        let there = StacksThere::new(context, prepared, world)?;
        if let Some(stack) = removed {
            there.remove(stack)?;
        }
        print.show(&there.list()?, |stacks| show(stacks))
    };
    opened.reach("stacks", work).await?;
    Ok(0)
}

/// Has the server answer; the exit code is its own.
async fn pass_on(projects: &Path, server: &Server, words: &[&str]) -> Result<u8> {
    let opened = project::with_server(projects, server)?;
    let work = |context: &Context<'_>, prepared: &_, world: &_| {
        InUse::new(context, prepared, world, "its stacks")?.pass_on(words)
    };
    opened.reach("stacks", work).await
}

async fn diff(projects: &Path, server: &Server) -> Result<u8> {
    let opened = project::with_server(projects, server)?;
    let architecture = arch::architecture(&opened.project.server_types[0]);
    let lock = artifacts::lock(&opened.folder, &opened.project, architecture, &places::cache()?, &*screen())?;
    let work = |context: &Context<'_>, prepared: &_, world: &_| {
        StacksThere::new(context, prepared, world)?.diff(&lock)
    };
    let diff = opened.reach("stacks", work).await?;
    if diff.is_empty() {
        say!("No changes")?;
    } else {
        host::say::out(diff.trim_end())?;
    }
    Ok(if diff.is_empty() { 0 } else { 3 })
}

/// A stack's files as they are planned. Its images stand there by their published names.
fn shown(project: &Project, name: &str) -> Result<Vec<(String, String)>> {
    let stack = planned(project, name)?;
    let mut files = vec![("compose.yaml".to_owned(), project.plan.shown_compose(stack)?)];
    for (path, text) in project.plan.config(stack)? {
        files.push((format!("config/{path}"), text.shown()));
    }
    Ok(files)
}

fn addresses(project: &Project, name: &str) -> Result<Vec<String>> {
    let stack = planned(project, name)?;
    let routes = project.plan.routes.iter().filter(|route| route.stack == stack.name);
    let addresses: Vec<String> =
        routes.map(|route| format!("https://{}{}", route.host, route.path)).collect();
    if addresses.is_empty() {
        bail!(
            "opening stack {name}: nothing of it is reached through the front door; see `cargo xtask stacks plan --project {}`",
            project.name
        );
    }
    Ok(addresses)
}

fn planned<'p>(project: &'p Project, name: &str) -> Result<&'p provisioner::stacks_there::Planned> {
    project.plan.stack(name).with_context(|| {
        let all: Vec<&str> = project.stacks.iter().map(|stack| stack.name.as_str()).collect();
        format!(
            "looking up stack {name}: project {} does not enable it; enabled are: {}",
            project.name,
            all.join(", ")
        )
    })
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
