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
    /// Build what servers run, where it is not cached, and print the digests: firstboot, the disk image, and the container
    /// images of every stack or of a project's.
    ///
    /// Example: cargo xtask images build --project demo
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
    /// Of the container images only those that this project's stacks run.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Only the container images whose recipes lie in this stack's folder, and nothing else; may be given more than once.
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
    let (screen, arch) = (screen(), options.arch);
    if !options.stack.is_empty() {
        return build_containers(&of_stacks(&options.stack)?, cache, arch, &*screen);
    }
    let recipes = match &options.project {
        Some(name) => {
            let folder = Folder::new(projects, name);
            wanted(&folder, &folder.load()?)?
        }
        None => recipe::list(&[&catalogue()?])?,
    };
    let mut built = build_server(cache, arch, &*screen)?;
    // Not everybody has a compiler for what no package carries.
    let here = |recipe: &Recipe| match images::check_host(recipe) {
        Ok(()) => true,
        Err(lacks) => {
            screen.note(&format!("left out: {lacks:#}"));
            false
        }
    };
    let recipes: Vec<Recipe> = recipes.into_iter().filter(here).collect();
    built.extend(build_containers(&recipes, cache, arch, &*screen)?);
    Ok(built)
}

/// The recipes that lie in stacks' folders.
fn of_stacks(stacks: &[String]) -> Result<Vec<Recipe>> {
    let mut recipes = recipe::list(&[&catalogue()?])?;
    if let Some(unknown) = stacks.iter().find(|name| !recipes.iter().any(|recipe| recipe.stack() == **name)) {
        bail!("building the images of {unknown}: no recipe lies in that stack's folder");
    }
    recipes.retain(|recipe| stacks.iter().any(|name| recipe.stack() == name));
    Ok(recipes)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Folder) -> Result<Vec<String>> {
        Ok(wanted(folder, &folder.load()?)?.into_iter().map(|recipe| recipe.name).collect())
    }

    #[test]
    fn only_what_a_projects_stacks_run_is_made() {
        let projects = Path::new(env!("CARGO_MANIFEST_DIR")).join("../projects");
        for name in ["demo", "demo-vpn", "office", "plain"] {
            let folder = Folder::new(&projects, name);
            assert_eq!(names(&folder).unwrap(), folder.load().unwrap().image_names(), "{name}");
        }
    }

    #[test]
    fn a_projects_own_recipes_are_read_with_ours() {
        let projects = tempfile::tempdir().unwrap();
        let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("../projects/plain/project.toml");
        let own = projects.path().join("own");
        std::fs::create_dir_all(own.join("stacks/mine/images/postgres")).unwrap();
        std::fs::copy(plain, own.join("project.toml")).unwrap();
        std::fs::write(own.join("stacks/mine/images/postgres/recipe.toml"), "[run]\nuser = \"1:1\"\n")
            .unwrap();
        let error = names(&Folder::new(projects.path(), "own")).unwrap_err().to_string();
        assert!(error.contains("mine/images/postgres") && error.contains("same name"), "{error}");
    }
}
