//! Disk and container images: made where they are missing, served where a project asks for it.

use crate::args::Print;
use crate::places;
use crate::screen::screen;
use anyhow::Result;
use images::registry::{Registry, Started};
use images::toolchain::{self, Firstboot};
use images::{Arch, ContainerImage, OciLayout, ServerImage};
use provisioner::node::{ImageLock, Registry as Registration};
use provisioner::project::{ImageSource, Project};
use provisioner::report::{Report, Stage};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What to do with images.
#[derive(clap::Subcommand)]
pub(crate) enum Images {
    /// Build firstboot, the server's disk image and the container images, where they are not cached; print their digests.
    ///
    /// Example: cargo xtask images build
    Build {
        /// For which architecture.
        #[arg(long, default_value = Arch::Arm64.machine())]
        arch: Arch,
        #[command(flatten)]
        print: Print,
    },
    /// List what is cached.
    ///
    /// Example: cargo xtask images list --json
    List(Print),
}

/// Runs it.
pub(crate) fn run(verb: &Images) -> Result<u8> {
    let cache = places::cache()?;
    match verb {
        Images::Build { arch, print } => print.show(&build(&cache, *arch)?, |built| {
            built.iter().try_for_each(|made| say!("{} {} {}", made.name, made.digest, made.path.display()))
        })?,
        Images::List(print) => print.show(&images::list(&cache)?, |images| {
            images.iter().try_for_each(|(path, manifest)| {
                say!("{}  {} packages of {}", path.display(), manifest.packages.len(), manifest.suite)
            })
        })?,
    }
    Ok(0)
}

/// Something that was built, and where it is.
#[derive(serde::Serialize)]
struct Built {
    name: String,
    /// `sha256:` and 64 hexadecimal digits.
    digest: String,
    path: PathBuf,
}

fn build(cache: &Path, arch: Arch) -> Result<Vec<Built>> {
    let screen = screen();
    let firstboot = build_firstboot(arch, cache, &*screen)?;
    let made = |name: &str, sha256: &str, path: PathBuf| Built {
        name: name.into(),
        digest: format!("sha256:{sha256}"),
        path,
    };
    let mut built = vec![made("firstboot", &firstboot.sha256, firstboot.path)];
    let server = server_image(cache, arch, &*screen)?;
    emulator(cache, &[arch], &*screen)?;
    for (name, sha256) in server.manifest.outputs {
        built.push(made(&name, &sha256, server.disk.with_file_name(&name)));
    }
    for image in images::CONTAINERS {
        let layout = match container_image(cache, image, arch, &*screen) {
            Ok(layout) => layout,
            // Not everybody has a compiler for what no package carries.
            Err(error) if image.go.is_some() => {
                screen.note(&format!("left out: {error:#}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        built.push(Built { name: layout.name.clone(), digest: layout.digest.to_string(), path: layout.dir });
    }
    Ok(built)
}

/// The container images that the project's stacks run, made and served where the project does not pin others.
pub(crate) fn lock(project: &Project, arch: Arch, cache: &Path, screen: &dyn Report) -> Result<ImageLock> {
    match &project.images {
        ImageSource::Pins(pins) => Ok(ImageLock { references: pins.clone(), registries: Vec::new() }),
        ImageSource::Packages => serve_containers(project, cache, arch, screen),
    }
}

/// What machines of these architectures are emulated by, where this machine's own is too old to be quick.
pub(crate) fn emulator(cache: &Path, architectures: &[Arch], screen: &dyn Report) -> Result<Option<PathBuf>> {
    if !architectures.contains(&Arch::Arm64) {
        return Ok(None);
    }
    let stage = Building::begin(screen, "looking for the emulator".into());
    let emulator = images::emulator(cache, &stage)?;
    stage.end(if emulator.is_some() { "QEMU of Debian 13" } else { "this machine's own" });
    Ok(emulator)
}

/// The disk image that a rehearsed server boots from.
pub(crate) fn server_image(cache: &Path, arch: Arch, screen: &dyn Report) -> Result<ServerImage> {
    let stage = Building::begin(screen, format!("building the server's disk image, {}", arch.name()));
    let image = images::server_image(cache, arch, &stage)?;
    stage.done(image.cached);
    Ok(image)
}

fn container_image(
    cache: &Path,
    image: &ContainerImage,
    arch: Arch,
    screen: &dyn Report,
) -> Result<OciLayout> {
    let stage =
        Building::begin(screen, format!("building the container image {}, {}", image.name, arch.name()));
    let layout = images::container_image(cache, image, arch, &stage)?;
    stage.done(layout.cached);
    Ok(layout)
}

fn serve_containers(project: &Project, cache: &Path, arch: Arch, screen: &dyn Report) -> Result<ImageLock> {
    let registry = Registry::at(&registry_directory()?)?;
    let mut lock = ImageLock::default();
    let needed = project.image_names();
    for image in images::CONTAINERS.into_iter().filter(|image| needed.iter().any(|name| name == image.name)) {
        let layout = container_image(cache, image, arch, screen)?;
        registry.publish(&layout)?;
        lock.references.insert(image.name.to_owned(), registry.reference(&layout));
    }
    let stage = Stage::begin(screen, "starting the registry that serves them");
    let started = registry.ensure()?;
    let ca_pem = registry.ca_certificate()?;
    lock.registries.push(Registration { address: registry.host_for_servers(), ca_pem });
    stage.done(if started == Started::Already { "is running" } else { "started" });
    Ok(lock)
}

/// Stops the registry; `provision` starts it again.
pub(crate) fn stop_registry() -> Result<()> {
    Ok(Registry::new(registry_directory()?, 0).stop()?)
}

fn registry_directory() -> Result<PathBuf> {
    Ok(places::state()?.join("registry"))
}

/// A build's own stages, shown as details of one stage.
struct Building<'a> {
    screen: &'a dyn Report,
    name: String,
    start: Instant,
    finished: Mutex<Vec<String>>,
}

impl<'a> Building<'a> {
    fn begin(screen: &'a dyn Report, name: String) -> Self {
        screen.begin(&name);
        Self { screen, name, start: Instant::now(), finished: Mutex::default() }
    }

    fn done(&self, cached: bool) {
        let finished = self.finished.lock().map(|f| f.join(", ")).unwrap_or_default();
        self.end(if cached { "cached" } else { &finished });
    }

    fn end(&self, how: &str) {
        self.screen.end(&self.name, how, self.start.elapsed());
    }
}

impl images::Report for Building<'_> {
    fn stage(&self, what: &str) {
        self.screen.detail(&self.name, what);
    }

    fn done(&self, what: &str, took: Duration) {
        if let Ok(mut finished) = self.finished.lock() {
            let verb = what.split(' ').next().unwrap_or(what);
            finished.push(format!("{verb} {:.0} s", took.as_secs_f64()));
        }
    }
}

/// Builds the static binary, where it is not cached.
pub(crate) fn build_firstboot(arch: Arch, cache: &Path, screen: &dyn Report) -> Result<Firstboot> {
    let stage = Stage::begin(screen, format!("building firstboot, static, {}", arch.machine()));
    let built = toolchain::firstboot(arch, cache, &|text| stage.detail(text))?;
    let how = if built.cached { "cached" } else { built.how };
    stage.done(&format!("{how}, {:.1} MB", built.size as f64 / 1e6));
    Ok(built)
}
