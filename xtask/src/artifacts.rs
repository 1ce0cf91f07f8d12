//! Disk and container images: made where they are missing, served where a project asks for it.

use crate::args::Print;
use crate::places;
use crate::screen::screen;
use anyhow::{Context as _, Result, bail};
use images::registry::{Registry, Started};
use images::toolchain::{self, Firstboot};
use images::{Arch, OciLayout, Recipe, ServerImage, recipe};
use provisioner::node::{ImageLock, Registry as Registration};
use provisioner::project::{Folder, ImageSource, Project};
use provisioner::report::{Report, Stage};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What to do with images.
#[derive(clap::Subcommand)]
pub(crate) enum Images {
    /// Build what servers run, where it is not cached, and print the digests: firstboot, the disk image, the container images
    /// of every stack; or the container images that a project or a stack brings alone.
    ///
    /// Example: cargo xtask images build --stack postgres
    Build(Build),
    /// List what is cached.
    ///
    /// Example: cargo xtask images list --json
    List(Print),
}

/// For `images build`.
#[derive(clap::Args)]
pub(crate) struct Build {
    /// For which architecture.
    #[arg(long, default_value = Arch::Arm64.machine())]
    arch: Arch,
    /// Only the container images that this project's stacks run.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Only the container images whose recipes lie in this stack's folder; may be given more than once.
    #[arg(long, value_name = "NAME", conflicts_with = "project")]
    stack: Vec<String>,
    #[command(flatten)]
    print: Print,
}

/// Runs it.
pub(crate) fn run(projects: &Path, verb: &Images) -> Result<u8> {
    let cache = places::cache()?;
    match verb {
        Images::Build(options) => options.print.show(&build(projects, &cache, options)?, |built| {
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

fn build(projects: &Path, cache: &Path, options: &Build) -> Result<Vec<Built>> {
    let screen = screen();
    if let Some(name) = &options.project {
        let folder = Folder::new(projects, name);
        return build_containers(&wanted(&folder, &folder.load()?)?, cache, options.arch, &*screen);
    }
    let mut recipes = recipe::list(&[&catalogue()?])?;
    if options.stack.is_empty() {
        let mut built = build_server(cache, options.arch, &*screen)?;
        let (here, elsewhere): (Vec<_>, Vec<_>) = recipes
            .into_iter()
            .map(|recipe| (recipe.check_host(), recipe))
            .partition(|(lacks, _)| lacks.is_ok());
        // Not everybody has a compiler for what no package carries.
        elsewhere
            .iter()
            .filter_map(|(lacks, _)| lacks.as_ref().err())
            .for_each(|why| screen.note(&format!("left out: {why:#}")));
        let here: Vec<_> = here.into_iter().map(|(_, recipe)| recipe).collect();
        built.extend(build_containers(&here, cache, options.arch, &*screen)?);
        return Ok(built);
    }
    if let Some(unknown) =
        options.stack.iter().find(|name| !recipes.iter().any(|recipe| recipe.stack() == **name))
    {
        bail!("building the images of {unknown}: no recipe lies in that stack's folder");
    }
    recipes.retain(|recipe| options.stack.iter().any(|name| recipe.stack() == name));
    build_containers(&recipes, cache, options.arch, &*screen)
}

fn build_server(cache: &Path, arch: Arch, screen: &dyn Report) -> Result<Vec<Built>> {
    let firstboot = build_firstboot(arch, cache, screen)?;
    let made = |name: &str, sha256: &str, path: PathBuf| Built {
        name: name.into(),
        digest: format!("sha256:{sha256}"),
        path,
    };
    let mut built = vec![made("firstboot", &firstboot.sha256, firstboot.path)];
    let server = server_image(cache, arch, screen)?;
    emulator(cache, &[arch], screen)?;
    for (name, sha256) in server.manifest.outputs {
        built.push(made(&name, &sha256, server.disk.with_file_name(&name)));
    }
    Ok(built)
}

fn build_containers(recipes: &[Recipe], cache: &Path, arch: Arch, screen: &dyn Report) -> Result<Vec<Built>> {
    let build = |recipe: &Recipe| {
        let layout = container_image(cache, recipe, arch, screen)?;
        Ok(Built { name: layout.name.clone(), digest: layout.digest.clone(), path: layout.dir })
    };
    recipes.iter().map(build).collect()
}

/// The folder of our own stacks.
fn catalogue() -> Result<PathBuf> {
    Ok(images::toolchain::workspace()?.join("firstboot/stacks/catalogue"))
}

/// The recipes of the images that a project's stacks run; its own stacks may bring some.
pub(crate) fn wanted(folder: &Folder, project: &Project) -> Result<Vec<Recipe>> {
    let own = folder.file("stacks");
    let recipes = recipe::list(&[&catalogue()?, &own])?;
    let find = |name: &String| {
        let found = recipes.iter().find(|recipe| recipe.name == *name).cloned();
        found.with_context(|| {
            format!("making the image {name}: no stack's folder has a recipe in images/{name}; write one, or pin the image")
        })
    };
    project.image_names().iter().map(find).collect()
}

/// The container images that the project's stacks run, made and served where the project does not pin others.
pub(crate) fn lock(
    folder: &Folder,
    project: &Project,
    arch: Arch,
    cache: &Path,
    screen: &dyn Report,
) -> Result<ImageLock> {
    match &project.images {
        ImageSource::Pins(pins) => Ok(ImageLock { references: pins.clone(), registries: Vec::new() }),
        ImageSource::Packages => serve_containers(&wanted(folder, project)?, cache, arch, screen),
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

fn container_image(cache: &Path, recipe: &Recipe, arch: Arch, screen: &dyn Report) -> Result<OciLayout> {
    let stage =
        Building::begin(screen, format!("building the container image {}, {}", recipe.name, arch.name()));
    let layout = images::container_image(cache, recipe, arch, &stage)?;
    stage.done(layout.cached);
    Ok(layout)
}

fn serve_containers(recipes: &[Recipe], cache: &Path, arch: Arch, screen: &dyn Report) -> Result<ImageLock> {
    let registry = Registry::at(&registry_directory()?)?;
    let mut lock = ImageLock::default();
    for recipe in recipes {
        let layout = container_image(cache, recipe, arch, screen)?;
        registry.publish(&layout)?;
        lock.references.insert(recipe.name.clone(), registry.reference(&layout));
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
