//! The rehearsal cloud on this machine, started, found and stopped.

use crate::args::{Print, print_json};
use crate::places;
use anyhow::{Context as _, Result};
use clap::builder::NonEmptyStringValueParser;
use images::{Arch, ServerImage};
use provisioner::NeedsOperator;
use provisioner::cloud::Endpoint;
use provisioner::names::BAKED_IMAGE;
use provisioner::project::Project;
use provisioner::report::{Report, Stage};
use rehearsal::{Architecture, Clock, Config, ImageSource, Machines, Profile};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Where a rehearsal's token comes from, for messages.
const REHEARSAL: &str = "the rehearsal cloud";

/// What to do with the cloud.
#[derive(clap::Subcommand)]
pub(crate) enum Cloud {
    /// Start it in the background, where it is not running so, and say how to reach it.
    ///
    /// What is not named is as by default, but for machines, images and the token, which stay as they were.
    /// docs/rehearsal-cloud.md says more.
    ///
    /// Example: cargo xtask cloud serve --port 8080
    /// Example: eval "$(cargo xtask cloud serve --without-machines --any-token)"
    /// Example: cargo xtask cloud serve --profile legacy-2026-06 --json
    /// Example: cargo xtask cloud serve --virtual-clock=auto --action-duration create_server=60000
    #[command(verbatim_doc_comment)]
    Serve(Serve),
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
        #[command(flatten)]
        print: Print,
    },
    /// What runs in the background.
    #[command(hide = true)]
    Daemon {
        /// Where its state is.
        state: PathBuf,
    },
    /// One connection of a guest to its metadata service.
    #[command(hide = true)]
    Relay {
        /// The server's socket.
        socket: PathBuf,
    },
}

/// For `serve`.
#[derive(clap::Args)]
pub(crate) struct Serve {
    /// The loopback port of the API; any free one where none is given.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Servers are records without machines: for tests of the API. There is a debian-13 for each architecture.
    #[arg(long)]
    without_machines: bool,
    /// The form of the API: 2026-11, or legacy-2026-06 with data centers and no unassigned addresses.
    #[arg(long, default_value = Profile::Current.name())]
    profile: Profile,
    /// A clock that stands still until `POST /_rehearsal/clock` moves it; with `=auto` requests move it.
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "manual")]
    virtual_clock: Option<Moves>,
    /// How long actions take, or those of one command; may be given more than once.
    #[arg(long, value_name = "[COMMAND=]MS")]
    action_duration: Vec<ActionDuration>,
    /// How long each request is kept waiting, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// The API token; one is made where none was ever given.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    token: Option<String>,
    /// A second token, which may only look.
    #[arg(long, value_name = "TOKEN", value_parser = NonEmptyStringValueParser::new())]
    read_only_token: Option<String>,
    /// Take any token of 64 characters.
    #[arg(long)]
    any_token: bool,
    /// Serve in this process, until it is told to end.
    #[arg(long, conflicts_with = "json")]
    foreground: bool,
    /// Where its state is.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    print: Print,
}

/// Who moves a virtual clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Moves {
    /// Only who asks for it.
    Manual,
    /// Each GET, by what a client that polls would have waited.
    Auto,
}

/// How long actions take, in milliseconds: those of a command, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ActionDuration {
    command: Option<String>,
    millis: u64,
}

impl std::str::FromStr for ActionDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (command, millis) =
            text.split_once('=').map_or((None, text), |(command, millis)| (Some(command.to_owned()), millis));
        let millis = millis.parse().map_err(|_| format!("'{millis}' is no number of milliseconds"))?;
        Ok(Self { command, millis })
    }
}

impl Serve {
    /// What the cloud is to be, given what it was.
    fn configure(&self, was: Config) -> Config {
        let all = self.action_duration.iter().rfind(|duration| duration.command.is_none());
        let some = self.action_duration.iter().filter_map(|d| Some((d.command.clone()?, d.millis)));
        let machines = if self.without_machines { Machines::None } else { was.machines };
        let mut images = was.images;
        if machines == Machines::None && images.is_empty() {
            // Without machines an image is no more than its name, so there can always be some.
            images = [Architecture::Arm, Architecture::X86]
                .map(|architecture| ImageSource { architecture, ..offered() })
                .into();
        }
        Config {
            port: self.port,
            machines,
            images,
            profile: self.profile,
            clock: self
                .virtual_clock
                .map_or(Clock::Real, |moves| Clock::Virtual { auto: moves == Moves::Auto }),
            action_ms: all.map_or(0, |duration| duration.millis),
            action_durations: some.collect(),
            latency_ms: self.latency,
            token: self.token.clone().or(was.token),
            read_only_token: self.read_only_token.clone(),
            any_token: self.any_token,
            ..was
        }
    }

    /// Starts it in the background and says how to reach it.
    fn start(&self, state: &Path) -> Result<()> {
        let config = self.configure(Config::known(state)?);
        let endpoint = ensure_running(&config)?;
        if self.print.json {
            return print_json(&json!({
                "url": endpoint.url, "token": endpoint.token, "read_only_token": config.read_only_token,
                "pid": endpoint.pid, "started": endpoint.started, "state": state,
                "profile": config.profile, "clock": config.clock,
            }));
        }
        say!("export HCLOUD_ENDPOINT={}\nexport HCLOUD_TOKEN={}", endpoint.url, endpoint.token)?;
        Ok(())
    }
}

/// Runs it.
pub(crate) async fn run(verb: &Cloud) -> Result<u8> {
    match verb {
        Cloud::Serve(serve) => {
            let state = serve.state.clone().map_or_else(state_dir, Ok)?;
            if serve.foreground {
                rehearsal::serve(serve.configure(Config::known(&state)?)).await?;
            } else {
                serve.start(&state)?;
            }
        }
        Cloud::Stop { keep_machines, state, print } => {
            let ours = state.is_none();
            let state = state.clone().map_or_else(state_dir, Ok)?;
            let stopped = rehearsal::stop(&state, !keep_machines)?;
            // Running machines may still pull, and another state's registry is not ours to stop.
            if ours && !keep_machines {
                crate::artifacts::stop_registry()?;
            }
            if print.json {
                print_json(&json!({"daemon": stopped.daemon, "machines": stopped.machines}))?;
            } else {
                let what = if stopped.daemon { "the cloud" } else { "no cloud ran" };
                say!("stopped: {what}, and {} machines", stopped.machines)?;
            }
        }
        Cloud::Daemon { state } => rehearsal::serve(Config::load(state)?).await?,
        Cloud::Relay { socket } => rehearsal::relay(socket)?,
    }
    Ok(0)
}

/// Starts the cloud with these images on offer, or finds it running.
pub(crate) async fn start(
    images: &[(Arch, ServerImage)],
    emulator: Option<PathBuf>,
    screen: &dyn Report,
) -> Result<Endpoint> {
    let stage = Stage::begin(screen, "starting the rehearsal cloud");
    let state = state_dir()?;
    let images = images.iter().map(|(arch, image)| source(image, *arch)).collect();
    let config = Config::known(&state)?.for_projects(images, emulator);
    let endpoint = tokio::task::spawn_blocking(move || ensure_running(&config)).await??;
    stage.done(if endpoint.started { "started" } else { "is running" });
    Ok(Endpoint::new(&endpoint.url, &endpoint.token, REHEARSAL))
}

/// The cloud that an earlier run started; brought up again from its state where this machine was restarted since.
pub(crate) fn running() -> Result<Endpoint> {
    let state = state_dir()?;
    let config = Config::find(&state)?.ok_or_else(|| {
        NeedsOperator("looking for the rehearsal cloud: it was never started; `cargo xtask provision --project demo` does".into())
    })?;
    let endpoint = ensure_running(&config)?;
    Ok(Endpoint::new(&endpoint.url, &endpoint.token, REHEARSAL))
}

/// The cloud to plan against: the running one, which is only asked, or else a copy of its state.
pub(crate) async fn for_planning(project: &Project) -> Result<(Endpoint, Option<rehearsal::Copied>)> {
    let state = state_dir()?;
    if let Some(endpoint) = rehearsal::find(&state)? {
        return Ok((Endpoint::new(&endpoint.url, &endpoint.token, REHEARSAL), None));
    }
    let images = crate::arch::architectures(project).into_iter().map(|arch| ImageSource {
        name: project.image.clone(),
        architecture: api_name(arch),
        ..offered()
    });
    let copy = rehearsal::start_copy(&state, images.collect()).await?;
    let endpoint = Endpoint::new(&copy.running.url(), copy.running.token(), REHEARSAL);
    Ok((endpoint, Some(copy)))
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
        Arch::Arm64 => Architecture::Arm,
        Arch::Amd64 => Architecture::X86,
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        serve: Serve,
    }

    fn configured(arguments: &str) -> Result<Config, clap::Error> {
        let line = Line::try_parse_from(std::iter::once("serve").chain(arguments.split_whitespace()))?;
        let was = Config {
            machines: Machines::None,
            latency_ms: 9,
            token: Some("t".into()),
            ..Config::new("/nowhere")
        };
        Ok(line.serve.configure(was))
    }

    #[test]
    fn what_is_not_named_is_as_by_default() {
        let config = configured("").unwrap();
        let names: Vec<_> = config.images.iter().map(|image| (&*image.name, image.architecture)).collect();
        assert_eq!(names, [("debian-13", Architecture::Arm), ("debian-13", Architecture::X86)]);
        let wanted = Config {
            machines: Machines::None,
            token: Some("t".into()),
            images: config.images.clone(),
            ..Config::new("/nowhere")
        };
        assert_eq!(config, wanted);
    }

    #[test]
    fn options_become_the_configuration() {
        let config = configured(
            "--profile legacy-2026-06 --virtual-clock=auto --latency 20 --read-only-token r --any-token \
             --action-duration 100 --action-duration create_server=60000 --token new",
        );
        let config = config.unwrap();
        assert_eq!((config.profile, config.clock), (Profile::Legacy, Clock::Virtual { auto: true }));
        assert_eq!((config.latency_ms, config.action_ms, config.any_token), (20, 100, true));
        assert_eq!(config.action_durations, [("create_server".to_owned(), 60_000)].into());
        assert_eq!((config.token.as_deref(), config.read_only_token.as_deref()), (Some("new"), Some("r")));
        assert_eq!(configured("--virtual-clock").unwrap().clock, Clock::Virtual { auto: false });
    }

    #[test]
    fn what_clients_were_served_with_is_not_what_projects_get() {
        let served = configured(
            "--port 8080 --profile legacy-2026-06 --virtual-clock --latency 20 --read-only-token r --any-token \
             --action-duration 100 --action-duration create_server=60000 --token t",
        );
        let served = served.unwrap();
        let (token, images) = (served.token.clone(), served.images.clone());
        let wanted = Config { token, images, ..Config::new("/nowhere") };
        assert_eq!(served.for_projects(Vec::new(), None), wanted);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for arguments in
            ["--profile 2025", "--virtual-clock=fast", "--action-duration create_server", "--latency -1"]
        {
            assert!(configured(arguments).is_err(), "{arguments}");
        }
    }
}
