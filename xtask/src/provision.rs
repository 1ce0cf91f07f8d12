//! `provision`: the main job from the operator's chair.

use crate::arch::{architecture, architectures};
use crate::args::{Print, Server};
use crate::ask::{agreed, need_typed};
use crate::made::{Made, fitting, make, start_cloud};
use crate::project::endpoint as project_endpoint;
use crate::screen::screen;
use crate::summary::{show_records_kept_elsewhere, summarise};
use crate::{artifacts, cloud};
use anyhow::{Result, bail};
use provisioner::NeedsOperator;
use provisioner::cloud::Endpoint;
use provisioner::context::Context;
use provisioner::opened::Opened;
use provisioner::packages::{self, Answer};
use provisioner::plan::{Change, Plan, Wish};
use provisioner::project::{Folder, ImageSource, Project};
use provisioner::report::Report;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// For `provision`.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: Server,
    /// Show what would change, change nothing; exit code 3 when there is something.
    #[arg(long)]
    plan: bool,
    /// Overwrite the server's root disk in place: same server, same addresses, same volume. A protected server
    /// needs its name typed.
    #[arg(long)]
    rebuild: bool,
    /// Answer every question with yes.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    print: Print,
}

/// Runs it.
pub(crate) async fn run(projects: &Path, options: &Options) -> Result<u8> {
    let start = Instant::now();
    let folder = Folder::new(projects, &options.server.name.project);
    let project = folder.load()?;
    let wish = Wish { rebuild: options.rebuild };
    if options.plan {
        return show_plan(folder, project, wish, &options.print).await;
    }
    let screen = screen();
    let _lock = folder.lock()?;
    install_packages(&folder, &project, options.yes, &*screen)?;
    let (made, endpoint) = make_beside_the_cloud(&folder, &project, &screen).await?;
    let opened = Opened::at(folder, project, &endpoint, Arc::clone(&screen))?.from(options.server.from);
    let context = opened.context();
    let prepared = context.prepare()?;
    let (world, plan) = context.plan_settled(&prepared.public_key, wish).await?;
    show(&*screen, &plan);
    agree(&plan, options, &context)?;
    let world = context.apply(&prepared, world, &plan).await?;
    let made = fitting(made, &opened.folder, &opened.project, &world, &screen).await?;
    let addresses = world.addresses();
    let bring_up = || context.bring_up(&prepared, &world, !plan.is_empty(), &made.given);
    let bring_up = async || tokio::task::block_in_place(bring_up);
    let provisioned = context.through_the_door(&world, "provision", bring_up).await?;
    options.print.json(&serde_json::json!({ "plan": plan, "provisioned": provisioned }))?;
    summarise(&context, &made, &provisioned, start);
    show_records_kept_elsewhere(&opened, addresses);
    if let Some(unseen) = world.zone.as_ref().and_then(provisioner::dns::unseen) {
        screen.note(&format!("  {unseen}"));
    }
    Ok(0)
}

fn install_packages(folder: &Folder, project: &Project, yes: bool, screen: &dyn Report) -> Result<()> {
    let mut needed = vec![("ssh", "openssh-client"), ("ssh-keygen", "openssh-client")];
    if project.rehearsal {
        for arch in architectures(project) {
            needed.extend(rehearsal::host_packages(cloud::api_name(arch)));
        }
    }
    let from_packages = project.images == ImageSource::Packages;
    if project.rehearsal || from_packages {
        needed.extend(images::HOST_PACKAGES);
    }
    let recipes = if from_packages { artifacts::wanted(folder, project)? } else { Vec::new() };
    needed.extend(recipes.iter().flat_map(images::Recipe::host_packages));
    let ask = |question: &str| Ok(agreed(question)? == Some(true));
    packages::ensure(&needed, if yes { Answer::Yes } else { Answer::Ask(&ask) }, screen)
}

/// Builds what is not cached for the server that is tried first, beside the cloud's own images.
async fn make_beside_the_cloud(
    folder: &Folder,
    project: &Project,
    screen: &Arc<dyn Report>,
) -> Result<(Made, Endpoint)> {
    let cloud = async {
        if project.rehearsal { start_cloud(project, screen).await } else { project_endpoint(project) }
    };
    tokio::try_join!(make(folder, project, architecture(&project.server_types[0]), screen), cloud)
}

/// `--plan`: for a rehearsal against a copy of the cloud's state, so that nothing at all is started or changed.
async fn show_plan(folder: Folder, project: Project, wish: Wish, print: &Print) -> Result<u8> {
    let (endpoint, _copy) = if project.rehearsal {
        let (endpoint, copy) = cloud::for_planning(&project).await?;
        (endpoint, copy)
    } else {
        (project_endpoint(&project)?, None)
    };
    let public_key = host::files::read(&folder.file("ssh/id_ed25519.pub"))?.unwrap_or_default();
    let public_key = String::from_utf8_lossy(&public_key).trim().to_owned();
    let opened = Opened::at(folder, project, &endpoint, screen())?;
    let (_, plan) = opened.context().plan(&public_key, wish).await?;
    print.show(&plan, |plan| host::say::out(format!("{plan}")))?;
    Ok(match (plan.obstacles.is_empty(), plan.is_empty()) {
        (false, _) => 4,
        (true, false) => 3,
        (true, true) => 0,
    })
}

fn show(screen: &dyn Report, plan: &Plan) {
    plan.to_string().lines().for_each(|line| screen.note(line));
}

fn agree(plan: &Plan, options: &Options, context: &Context<'_>) -> Result<()> {
    if plan.is_empty() || !plan.obstacles.is_empty() {
        return Ok(());
    }
    let name = context.folder.name();
    let lifts =
        plan.changes.iter().any(|p| matches!(p.change, Change::RebuildServer { protected: true, .. }));
    if lifts {
        return need_typed(name, "lift the server's protection and overwrite its root disk");
    }
    if options.yes {
        return Ok(());
    }
    match agreed("Make these changes?")? {
        Some(true) => Ok(()),
        Some(false) => bail!("provisioning {name}: not agreed to; nothing was changed in the cloud"),
        None => bail!(NeedsOperator(format!(
            "provisioning {name}: there is no terminal to ask on; look at the plan above and run the command again with --yes"
        ))),
    }
}
