//! `provision`: the main job from the operator's chair.

use crate::Name;
use crate::artifacts;
use crate::cloud;
use crate::packages::{self, Answer};
use crate::places;
use crate::project::Opened;
use crate::screen::Screen;
use crate::toolchain::{self, Arch, Firstboot};
use crate::verbs::{ask, print_json};
use anyhow::{Result, bail};
use provisioner::NeedsOperator;
use provisioner::cloud::Endpoint;
use provisioner::first_boot::Binary;
use provisioner::node::ImageLock;
use provisioner::plan::Plan;
use provisioner::project::{Folder, Project};
use provisioner::provision::{Context, Provisioned};
use provisioner::report::{Report as _, Stage};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// For `provision`.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    name: Name,
    /// Show what would change, change nothing; exit code 3 when there is something.
    #[arg(long)]
    plan: bool,
    /// Answer every question with yes.
    #[arg(long)]
    yes: bool,
    /// One JSON document on stdout, nothing else there.
    #[arg(long)]
    json: bool,
}

/// What is made on this machine before the cloud is asked for anything.
struct Made {
    firstboot: Firstboot,
    lock: ImageLock,
    endpoint: Endpoint,
}

/// Runs it.
pub(crate) async fn run(projects: &Path, options: &Options) -> Result<u8> {
    let start = Instant::now();
    let folder = Folder::new(projects, &options.name.project);
    let project = folder.load()?;
    if options.plan {
        return show_plan(folder, project, options.json).await;
    }
    let screen = Arc::new(Screen::new());
    let _lock = folder.lock()?;
    let answer = if options.yes { Answer::Yes } else { Answer::Ask };
    install_packages(&project, answer, &screen)?;
    let made = make(&project, &screen).await?;
    let opened = Opened::at(folder, project, &made.endpoint, Arc::clone(&screen))?;
    let context = opened.context();
    let prepared = context.prepare()?;
    let (world, plan) = context.plan(&prepared.public_key).await?;
    show(&screen, &plan);
    agree(&plan, options, &context)?;
    let binary = Binary { path: &made.firstboot.path, sha256: &made.firstboot.sha256 };
    let provisioned = context.provision(&prepared, world, &plan, &made.lock, &binary).await?;
    if options.json {
        print_json(&serde_json::json!({ "plan": plan, "provisioned": provisioned }))?;
    }
    summarise(&context, &made, &provisioned, start);
    Ok(0)
}

fn install_packages(project: &Project, answer: Answer, screen: &Screen) -> Result<()> {
    let mut needed = vec![("ssh", "openssh-client"), ("ssh-keygen", "openssh-client")];
    if project.rehearsal {
        needed.extend(rehearsal::host_packages(cloud::api_name(architecture(&project.server_type))));
    }
    if project.rehearsal || project.images == provisioner::project::ImageSource::Packages {
        needed.extend(images::HOST_PACKAGES);
    }
    packages::ensure(&needed, answer, &|text| screen.note(text))
}

/// Builds what is not cached: the static binary beside the images, since one waits for the processor and the
/// other mostly for the network.
async fn make(project: &Project, screen: &Arc<Screen>) -> Result<Made> {
    let arch = architecture(&project.server_type);
    let cache = places::cache()?;
    let firstboot = tokio::task::spawn_blocking({
        let (screen, cache) = (Arc::clone(screen), cache.clone());
        move || build_firstboot(arch, &cache, &screen)
    });
    let images = tokio::task::spawn_blocking({
        let (screen, project) = (Arc::clone(screen), project.clone());
        move || artifacts::make(&project, arch, &cache, &screen)
    });
    let (firstboot, images) = tokio::try_join!(firstboot, images)?;
    let (firstboot, images) = (firstboot?, images?);
    let endpoint = match images.server {
        Some(image) => cloud::start(&image, arch, screen).await?,
        None => Endpoint::from_environment()?,
    };
    Ok(Made { firstboot, lock: images.lock, endpoint })
}

/// Hetzner's Arm types are the CAX line; all others are x86.
pub(crate) fn architecture(server_type: &str) -> Arch {
    if server_type.starts_with("cax") { Arch::Aarch64 } else { Arch::X86_64 }
}

/// Builds the static binary, where it is not cached.
pub(crate) fn build_firstboot(arch: Arch, cache: &Path, screen: &Screen) -> Result<Firstboot> {
    let stage = Stage::begin(screen, format!("building firstboot, static, {}", arch.name()));
    let built = toolchain::firstboot(arch, cache, &|text| stage.detail(text))?;
    let how = if built.cached { "cached" } else { built.how };
    stage.done(&format!("{how}, {:.1} MB", built.size as f64 / 1e6));
    Ok(built)
}

/// `--plan`: for a rehearsal against a copy of the cloud's state, so that nothing at all is started or changed.
async fn show_plan(folder: Folder, project: Project, json: bool) -> Result<u8> {
    let (endpoint, _copy) = if project.rehearsal {
        let (endpoint, copy) = cloud::for_planning(&project).await?;
        (endpoint, copy)
    } else {
        (Endpoint::from_environment()?, None)
    };
    let public_key = host::files::read(&folder.file("ssh/id_ed25519.pub"))?.unwrap_or_default();
    let public_key = String::from_utf8_lossy(&public_key).trim().to_owned();
    let opened = Opened::at(folder, project, &endpoint, Arc::new(Screen::new()))?;
    let (_, plan) = opened.context().plan(&public_key).await?;
    if json {
        print_json(&plan)?;
    } else {
        print!("{plan}");
    }
    Ok(match (plan.obstacles.is_empty(), plan.is_empty()) {
        (false, _) => 4,
        (true, false) => 3,
        (true, true) => 0,
    })
}

fn show(screen: &Screen, plan: &Plan) {
    plan.to_string().lines().for_each(|line| screen.note(line));
}

fn agree(plan: &Plan, options: &Options, context: &Context<'_>) -> Result<()> {
    if plan.is_empty() || options.yes || !plan.obstacles.is_empty() {
        return Ok(());
    }
    match ask("Make these changes? (yes/no)")?.as_deref() {
        Some("yes" | "y") => Ok(()),
        Some(_) => {
            bail!("provisioning {}: not agreed to; nothing was changed in the cloud", context.folder.name())
        }
        None => bail!(NeedsOperator(format!(
            "provisioning {}: there is no terminal to ask on; look at the plan above and run the command again with --yes",
            context.folder.name()
        ))),
    }
}

/// What was done, in figures, and what comes next.
fn summarise(context: &Context<'_>, made: &Made, provisioned: &Provisioned, start: Instant) {
    let name = context.folder.name();
    let note = |text: &str| context.report.note(text);
    let total = start.elapsed().as_secs_f64();
    if !provisioned.changed {
        note(&format!("No changes: {name} is ready at {} ({total:.1} s).", provisioned.address));
        return;
    }
    note("");
    note(&format!("{name} is ready at {} after {total:.1} s.", provisioned.address));
    let steps = &provisioned.receipt.steps;
    let seconds = |millis: u64| millis as f64 / 1e3;
    let all = seconds(steps.iter().map(|s| s.millis).sum());
    let programs = seconds(steps.iter().map(|s| s.program_millis).sum());
    let gates = seconds(steps.iter().map(|s| s.gate_millis).sum());
    note(&format!(
        "  first boot {all:.1} s: programs {programs:.1} s, waiting at gates {gates:.1} s, firstboot itself {:.1} s",
        (all - programs - gates).max(0.0)
    ));
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
