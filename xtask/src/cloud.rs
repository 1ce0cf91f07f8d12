//! The rehearsal cloud on this machine, started, found and stopped.

use crate::places;
use crate::screen::Screen;
use crate::toolchain::Arch;
use anyhow::{Context as _, Result};
use images::ServerImage;
use provisioner::NeedsOperator;
use provisioner::cloud::Endpoint;
use provisioner::names::BAKED_IMAGE;
use provisioner::project::Project;
use provisioner::report::Stage;
use rehearsal::{Architecture, Config, ImageSource, Machines};
use std::path::{Path, PathBuf};

/// Where a rehearsal's token comes from, for messages.
const REHEARSAL: &str = "the rehearsal cloud";

/// What to do with the cloud.
#[derive(clap::Subcommand)]
pub(crate) enum Cloud {
    /// Start it in the background, where it is not running, and say how to reach it.
    ///
    /// Example: cargo xtask cloud serve --port 8080
    Serve {
        /// The loopback port of the API; any free one where none is given.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Servers are records without machines: for tests of the API.
        #[arg(long)]
        without_machines: bool,
        /// Serve in this process instead.
        #[arg(long, hide = true)]
        foreground: bool,
        /// Where its state is.
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
    },
    /// Stop it, its machines' power and the registry they pull from. Its state stays.
    ///
    /// Example: cargo xtask cloud stop
    Stop {
        /// Leave the machines running.
        #[arg(long)]
        keep_machines: bool,
        /// Where its state is.
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
    },
    /// One connection of a guest to its metadata service.
    #[command(hide = true)]
    Relay {
        /// The server's socket.
        socket: PathBuf,
    },
}

/// Runs it.
pub(crate) async fn run(verb: &Cloud) -> Result<u8> {
    match verb {
        Cloud::Serve { foreground: true, state, .. } => {
            let state = state.clone().map_or_else(state_dir, Ok)?;
            rehearsal::serve(Config::load(&state)?).await?;
        }
        Cloud::Serve { port, without_machines, state, .. } => {
            let state = state.clone().map_or_else(state_dir, Ok)?;
            let mut config = Config::load(&state).unwrap_or_else(|_| Config::new(&state));
            config.port = *port;
            if *without_machines {
                config.machines = Machines::None;
            }
            let endpoint = ensure_running(&config)?;
            println!("export HCLOUD_ENDPOINT={}\nexport HCLOUD_TOKEN={}", endpoint.url, endpoint.token);
        }
        Cloud::Stop { keep_machines, state } => {
            let ours = state.is_none();
            let state = state.clone().map_or_else(state_dir, Ok)?;
            if state.exists() {
                let stopped = rehearsal::stop(&state, !keep_machines)?;
                // Running machines may still pull, and another state's registry is not ours to stop.
                if ours && !keep_machines {
                    crate::artifacts::stop_registry()?;
                }
                println!(
                    "stopped: {}, and {} machines",
                    if stopped.daemon { "the cloud" } else { "no cloud ran" },
                    stopped.machines
                );
            }
        }
        Cloud::Relay { socket } => rehearsal::relay(socket)?,
    }
    Ok(0)
}

/// Starts the cloud with these images on offer, or finds it running.
pub(crate) async fn start(images: &[(Arch, ServerImage)], screen: &Screen) -> Result<Endpoint> {
    let stage = Stage::begin(screen, "starting the rehearsal cloud");
    let state = state_dir()?;
    let mut config = Config::load(&state).unwrap_or_else(|_| Config::new(&state));
    for (arch, image) in images {
        let source = source(image, *arch);
        config.images.retain(|i| i.name != source.name || i.architecture != source.architecture);
        config.images.push(source);
    }
    let endpoint = tokio::task::spawn_blocking(move || ensure_running(&config)).await??;
    stage.done(if endpoint.started { "started" } else { "is running" });
    Ok(Endpoint::new(&endpoint.url, &endpoint.token, REHEARSAL))
}

/// The cloud that an earlier run started; brought up again from its state where this machine was restarted since.
pub(crate) fn running() -> Result<Endpoint> {
    let state = state_dir()?;
    let config = Config::load(&state).map_err(|_| {
        NeedsOperator("looking for the rehearsal cloud: it was never started; `cargo xtask provision --project demo` does".into())
    })?;
    let endpoint = ensure_running(&config)?;
    Ok(Endpoint::new(&endpoint.url, &endpoint.token, REHEARSAL))
}

/// A served copy of the cloud's state; it goes away when this is dropped.
pub(crate) struct PlanningCopy {
    _running: rehearsal::Running,
    _dir: tempfile::TempDir,
}

/// The cloud to plan against: the running one, which is only asked, or else a copy of its state without machines.
pub(crate) async fn for_planning(project: &Project) -> Result<(Endpoint, Option<PlanningCopy>)> {
    let state = state_dir()?;
    if let Some(endpoint) = rehearsal::find(&state)? {
        return Ok((Endpoint::new(&endpoint.url, &endpoint.token, REHEARSAL), None));
    }
    let dir = tempfile::tempdir().context("making a directory for the copy")?;
    if let Some(bytes) = host::files::read(&state.join("state.json"))? {
        host::files::write(&dir.path().join("state.json"), &bytes, 0o600)?;
    }
    let mut config = Config::new(dir.path());
    config.machines = Machines::None;
    for arch in crate::provision::architectures(project) {
        let (name, architecture) = (project.image.clone(), api_name(arch));
        config.images.push(ImageSource { name, architecture, ..offered() });
    }
    let running = rehearsal::start(config).await?;
    let endpoint = Endpoint::new(&running.url(), running.token(), REHEARSAL);
    Ok((endpoint, Some(PlanningCopy { _running: running, _dir: dir })))
}

fn ensure_running(config: &Config) -> Result<rehearsal::Endpoint> {
    let exe = std::env::current_exe().context("finding this program")?;
    Ok(rehearsal::ensure_running(config, &exe)?)
}

fn state_dir() -> Result<PathBuf> {
    Ok(places::state()?.join("cloud"))
}

fn source(image: &ServerImage, arch: Arch) -> ImageSource {
    ImageSource {
        disk: image.disk.clone(),
        kernel: Some(image.kernel.clone()),
        initrd: Some(image.initrd.clone()),
        cmdline: image.cmdline.clone(),
        architecture: api_name(arch),
        ..offered()
    }
}

pub(crate) fn api_name(arch: Arch) -> Architecture {
    match arch {
        Arch::Aarch64 => Architecture::Arm,
        Arch::X86_64 => Architecture::X86,
    }
}

/// What the image is offered as.
fn offered() -> ImageSource {
    ImageSource {
        name: "debian-13".into(),
        description: "Debian 13, with what a server needs".into(),
        architecture: Architecture::Arm,
        os_flavor: "debian".into(),
        os_version: Some("13".into()),
        disk: Path::new("").into(),
        kernel: None,
        initrd: None,
        cmdline: String::new(),
        labels: [(BAKED_IMAGE.to_owned(), "baked".to_owned())].into(),
    }
}
