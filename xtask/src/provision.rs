//! `provision`: the main job from the operator's chair.

use crate::args::{Print, Server};
use crate::artifacts;
use crate::ask::{agreed, need_typed};
use crate::cloud;
use crate::places;
use crate::project::endpoint as project_endpoint;
use crate::screen::screen;
use anyhow::{Result, bail};
use images::Arch;
use images::toolchain::{self, Firstboot};
use provisioner::NeedsOperator;
use provisioner::cloud::Endpoint;
use provisioner::context::Context;
use provisioner::first_boot::Binary;
use provisioner::observe::World;
use provisioner::opened::Opened;
use provisioner::packages::{self, Answer};
use provisioner::plan::{Change, Plan, Wish};
use provisioner::project::{Folder, Project};
use provisioner::provision::Provisioned;
use provisioner::report::{Report, Stage};
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

/// What was made for a server of one architecture.
pub(crate) struct Made {
    arch: Arch,
    firstboot: Firstboot,
    /// What the server is given of it.
    pub(crate) given: provisioner::provision::Made,
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
    install_packages(&project, options.yes, &*screen)?;
    let (made, endpoint) = make_beside_the_cloud(&project, &screen).await?;
    let opened = Opened::at(folder, project, &endpoint, Arc::clone(&screen))?.from(options.server.from);
    let context = opened.context();
    let prepared = context.prepare()?;
    let (world, plan) = context.plan_settled(&prepared.public_key, wish).await?;
    show(&*screen, &plan);
    agree(&plan, options, &context)?;
    let world = context.apply(&prepared, world, &plan).await?;
    let made = fitting(made, &opened.project, &world, &screen).await?;
    let addresses = world.addresses();
    let bring_up = || context.bring_up(&prepared, &world, !plan.is_empty(), &made.given);
    let bring_up = async || tokio::task::block_in_place(bring_up);
    let provisioned = context.through_the_door(&world, "provision", bring_up).await?;
    options.print.json(&serde_json::json!({ "plan": plan, "provisioned": provisioned }))?;
    summarise(&context, &made, &provisioned, start);
    crate::verbs::show_records_kept_elsewhere(&opened, addresses);
    if let Some(unseen) = world.zone.as_ref().and_then(provisioner::dns::unseen) {
        screen.note(&format!("  {unseen}"));
    }
    Ok(0)
}

fn install_packages(project: &Project, yes: bool, screen: &dyn Report) -> Result<()> {
    let mut needed = vec![("ssh", "openssh-client"), ("ssh-keygen", "openssh-client")];
    if project.rehearsal {
        for arch in architectures(project) {
            needed.extend(rehearsal::host_packages(cloud::api_name(arch)));
        }
    }
    if project.rehearsal || project.images == provisioner::project::ImageSource::Packages {
        needed.extend(images::HOST_PACKAGES);
    }
    let ask = |question: &str| Ok(agreed(question)? == Some(true));
    packages::ensure(&needed, if yes { Answer::Yes } else { Answer::Ask(&ask) }, screen)
}

/// Builds what is not cached for the server that is tried first, beside the cloud's own images.
async fn make_beside_the_cloud(project: &Project, screen: &Arc<dyn Report>) -> Result<(Made, Endpoint)> {
    let cloud = async {
        if project.rehearsal { start_cloud(project, screen).await } else { project_endpoint(project) }
    };
    tokio::try_join!(make(project, architecture(&project.server_types[0]), screen), cloud)
}

/// Starts a rehearsal's cloud with an image for every architecture the server may turn out to have.
pub(crate) async fn start_cloud(project: &Project, screen: &Arc<dyn Report>) -> Result<Endpoint> {
    let images = tokio::task::spawn_blocking({
        let (screen, project, cache) = (Arc::clone(screen), project.clone(), places::cache()?);
        move || {
            let architectures = architectures(&project);
            let emulator = artifacts::emulator(&cache, &architectures, &*screen)?;
            let image = |arch| Ok((arch, artifacts::server_image(&cache, arch, &*screen)?));
            let images = architectures.into_iter().map(image).collect::<Result<Vec<_>>>()?;
            anyhow::Ok((images, emulator))
        }
    });
    let (images, emulator) = images.await??;
    cloud::start(&images, emulator, &**screen).await
}

/// The static binary beside the container images, since one waits for the processor and the other mostly for the network.
async fn make(project: &Project, arch: Arch, screen: &Arc<dyn Report>) -> Result<Made> {
    let cache = places::cache()?;
    let firstboot = tokio::task::spawn_blocking({
        let (screen, cache) = (Arc::clone(screen), cache.clone());
        move || build_firstboot(arch, &cache, &*screen)
    });
    let lock = tokio::task::spawn_blocking({
        let (screen, project) = (Arc::clone(screen), project.clone());
        move || artifacts::lock(&project, arch, &cache, &*screen)
    });
    let (firstboot, lock) = tokio::try_join!(firstboot, lock)?;
    let firstboot = firstboot?;
    let binary = Binary { path: firstboot.path.clone(), sha256: firstboot.sha256.clone() };
    Ok(Made { arch, firstboot, given: provisioner::provision::Made { binary, lock: lock? } })
}

/// What was made, or made anew where the server turned out to be of another architecture.
async fn fitting(made: Made, project: &Project, world: &World, screen: &Arc<dyn Report>) -> Result<Made> {
    let arch = architecture_found(world).unwrap_or(made.arch);
    if arch == made.arch { Ok(made) } else { make(project, arch, screen).await }
}

/// What the server that is there is given.
pub(crate) async fn make_for(project: &Project, world: &World, screen: &Arc<dyn Report>) -> Result<Made> {
    make(project, architecture_found(world).unwrap_or(architecture(&project.server_types[0])), screen).await
}

/// The architecture the server turned out to have. An API that stopped saying it leaves the type's name.
fn architecture_found(world: &World) -> Option<Arch> {
    let kind = &world.server.as_ref()?.server_type;
    Some(match kind.architecture.as_str() {
        "arm" => Arch::Arm64,
        "x86" => Arch::Amd64,
        _ => architecture(&kind.name),
    })
}

/// Hetzner's Arm types are the CAX line; all others are x86.
pub(crate) fn architecture(server_type: &str) -> Arch {
    if server_type.starts_with("cax") { Arch::Arm64 } else { Arch::Amd64 }
}

/// The architectures the project's server may have, that of the type tried first before the others.
pub(crate) fn architectures(project: &Project) -> Vec<Arch> {
    let mut all: Vec<Arch> = project.server_types.iter().map(|name| architecture(name)).collect();
    all.dedup();
    all.truncate(2);
    all
}

/// Builds the static binary, where it is not cached.
pub(crate) fn build_firstboot(arch: Arch, cache: &Path, screen: &dyn Report) -> Result<Firstboot> {
    let stage = Stage::begin(screen, format!("building firstboot, static, {}", arch.machine()));
    let built = toolchain::firstboot(arch, cache, &|text| stage.detail(text))?;
    let how = if built.cached { "cached" } else { built.how };
    stage.done(&format!("{how}, {:.1} MB", built.size as f64 / 1e6));
    Ok(built)
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

/// What was done, in figures, and what comes next.
pub(crate) fn summarise(context: &Context<'_>, made: &Made, provisioned: &Provisioned, start: Instant) {
    let name = context.folder.name();
    let note = |text: &str| context.report.note(text);
    let total = start.elapsed().as_secs_f64();
    if !provisioned.changed {
        note(&format!("No changes: {name} is ready at {} ({total:.1} s).", provisioned.address));
        return;
    }
    note("");
    note(&format!("{name} is ready at {} after {total:.1} s.", provisioned.address));
    if let Some(timeline) = &provisioned.timeline {
        note(&timeline.table());
    }
    note(&format!("  firstboot {} bytes ({})", made.firstboot.size, made.firstboot.how));
    note(&format!("  {} checks passed from outside and on the server", provisioned.checks.len()));
    note("");
    note("What you do next:");
    note(&format!(
        "  copy {} to a second place: it holds the escrow and the keys",
        context.folder.path().display()
    ));
    note(&format!("  cargo xtask escrow verify --project {name}"));
    note(&format!("  cargo xtask ssh --project {name}"));
    note(&format!("  after a reboot: cargo xtask unlock --project {name} --identity FILE"));
}
