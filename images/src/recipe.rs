//! Recipes: how a container image is made, as data. A recipe is a folder `STACK/images/IMAGE` with a `recipe.toml`
//! and the files that it names.
//!
//! 1. [`read`] reads one, [`list`] all of some catalogues; what could not be meant is refused with file and line.
//! 2. An image is its Debian packages, what the recipe's script and Go modules make (the crate's `made`), and the files,
//!    links and directories that the recipe adds, in this order.
//! 3. The names of images are one namespace, as the registry that serves them has one: a stack that names an image
//!    gets the recipe of that name, whichever stack's folder it lies in.

mod fields;
mod module;

pub(crate) use fields::{Argument, Inside, Mode, PackageName, Sha256, User};

use crate::packages::{BUSYBOX, SUITE};
use crate::{Arch, Error, Result, files};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The file that makes a folder a recipe.
const RECIPE: &str = "recipe.toml";

/// How one container image is made.
///
/// No package is configured and no dependency follows by itself: the list is the whole image, so that a reader sees
/// what is in it and no interpreter or package manager comes in with it.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Its name in compose files, and in the registry below `sovereign/`.
    pub name: String,
    /// Where it was read from.
    pub folder: PathBuf,
    pub(crate) says: Text,
    /// The other files of the folder, by their path in it.
    pub(crate) beside: BTreeMap<String, Vec<u8>>,
}

/// What `recipe.toml` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Text {
    /// The Debian packages in it.
    #[serde(default)]
    pub(crate) packages: Vec<PackageName>,
    /// Beginnings of paths that do not come in with the packages.
    #[serde(default)]
    pub(crate) left_out: Vec<String>,
    /// Busybox's programs that are linked into `/usr/bin`.
    #[serde(default)]
    pub(crate) applets: Vec<Inside>,
    /// Programs made from a Go module that lies in the folder.
    pub(crate) go: Option<Go>,
    /// What the script is given, by the names it finds them under.
    #[serde(default)]
    pub(crate) downloads: BTreeMap<Inside, Download>,
    /// What else is made, and by what.
    pub(crate) build: Option<Build>,
    #[serde(default)]
    pub(crate) file: Vec<File>,
    #[serde(default)]
    pub(crate) link: Vec<Link>,
    #[serde(default)]
    pub(crate) owned: Vec<Owned>,
    pub(crate) run: Run,
}

/// Programs of the Go module whose `go.mod`, `go.sum` and, where it is our own, sources lie in the recipe's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Go {
    /// The module whose version, as `go.mod` pins it, the stamps say.
    pub(crate) module: Option<Argument>,
    /// The commands that are built; each gives a program of its last part's name.
    pub(crate) commands: Vec<Argument>,
    /// The image's directory that the programs lie in.
    pub(crate) directory: Inside,
    /// Variables the linker sets to the version, so that the programs can say it.
    #[serde(default)]
    pub(crate) stamps: Vec<Argument>,
}

/// A file from a registry that is pinned by its hash.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "fields::DownloadText")]
pub(crate) struct Download {
    pub(crate) from: Source,
    pub(crate) sha256: Sha256,
}

/// Which registry's client fetches it.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A Maven artifact, `GROUP:NAME:VERSION:TYPE`.
    Maven(Argument),
    /// An npm package, `NAME@VERSION`.
    Npm(Argument),
}

/// A script that makes files of the image on the machine that builds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Build {
    /// The script, beside the recipe; run by `sh -eu` in a copy of the recipe's folder.
    pub(crate) script: Inside,
    /// The programs it needs beyond those every Debian has, and the Debian package that carries each.
    #[serde(default)]
    pub(crate) programs: BTreeMap<String, PackageName>,
    /// What it makes is the same for every architecture, and made once.
    #[serde(default)]
    pub(crate) any_arch: bool,
}

/// A file that is added.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "fields::FileText")]
pub(crate) struct File {
    pub(crate) path: Inside,
    pub(crate) mode: Mode,
    pub(crate) content: Content,
}

/// Where its content comes from.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// It stands in the recipe.
    Text(String),
    /// It is a file beside the recipe.
    From(Inside),
}

/// A link that is added.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) path: Inside,
    pub(crate) to: String,
}

/// A directory that the image's user owns.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owned {
    pub(crate) path: Inside,
    pub(crate) mode: Mode,
}

/// How a container of it is started.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Run {
    /// Whom it runs as.
    pub(crate) user: User,
    /// Its environment, each `NAME=value`.
    #[serde(default)]
    pub(crate) env: Vec<String>,
    /// The directory it starts in, where it is not the root.
    pub(crate) directory: Option<String>,
    /// What is started.
    #[serde(default)]
    pub(crate) entrypoint: Vec<String>,
    /// The arguments where none are given.
    #[serde(default)]
    pub(crate) command: Vec<String>,
    /// Where data belongs.
    pub(crate) volume: Option<String>,
    /// The port it serves, where it serves one: `5432/tcp`.
    pub(crate) port: Option<String>,
    /// What says whether it is well, where a compose file says nothing: Docker's `HEALTHCHECK`.
    #[serde(default)]
    pub(crate) healthcheck: Vec<String>,
    /// The signal that stops it.
    #[serde(default = "terminate")]
    pub(crate) stop_signal: String,
}

fn terminate() -> String {
    "SIGTERM".into()
}

/// Reads the recipe of a folder; the image has the folder's name.
///
/// # Errors
/// No `recipe.toml` there, one that says something that cannot be meant, or a file it names that is not there.
pub fn read(folder: &Path) -> Result<Recipe> {
    let path = folder.join(RECIPE);
    let text = files::read_text(&path)?;
    let refused = |line: Option<usize>, why: &str| Error::Refused {
        doing: format!("reading {}{}", path.display(), line.map(|n| format!(":{n}")).unwrap_or_default()),
        why: why.trim_end().to_owned(),
        help: "docs/images.md says what a recipe holds".into(),
    };
    let says: Text = toml::from_str(&text).map_err(|error| {
        let line = error.span().map(|span| line_of(&text, span.start));
        refused(line, error.message())
    })?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let recipe = Recipe { name, folder: folder.to_owned(), says, beside: beside(folder)? };
    recipe.check().map_err(|Wrong { word, why }| refused(line_with(&text, &word), &why))?;
    Ok(recipe)
}

/// Something wrong that the types of a recipe let through.
pub(crate) struct Wrong {
    /// The word of the recipe that it is about.
    pub(crate) word: String,
    pub(crate) why: String,
}

impl Wrong {
    pub(crate) fn new(word: &str, why: impl Into<String>) -> Self {
        Self { word: word.into(), why: why.into() }
    }
}

/// All recipes of catalogues, each a folder of stacks, by name. A catalogue that is not there has none.
///
/// # Errors
/// One cannot be read, or two have one name.
pub fn list(catalogues: &[&Path]) -> Result<Vec<Recipe>> {
    let mut found: BTreeMap<String, Recipe> = BTreeMap::new();
    for folder in folders(catalogues)? {
        let recipe = read(&folder)?;
        if let Some(other) = found.get(&recipe.name) {
            return Err(Error::Refused {
                doing: format!("reading the recipe in {}", folder.display()),
                why: format!("the one in {} has the same name", other.folder.display()),
                help: "give one of the two folders another name".into(),
            });
        }
        found.insert(recipe.name.clone(), recipe);
    }
    Ok(found.into_values().collect())
}

/// The folders `CATALOGUE/STACK/images/IMAGE`.
fn folders(catalogues: &[&Path]) -> Result<Vec<PathBuf>> {
    let below = |dir: &Path| if dir.is_dir() { files::sorted(dir) } else { Ok(Vec::new()) };
    let mut folders = Vec::new();
    for catalogue in catalogues {
        for stack in below(catalogue)? {
            folders.extend(below(&stack.join("images"))?.into_iter().filter(|folder| folder.is_dir()));
        }
    }
    Ok(folders)
}

/// The files of a folder but for the recipe itself.
fn beside(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut beside = BTreeMap::new();
    files::walk(folder, &mut |path, metadata| {
        let name = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
        if metadata.is_dir() || name == RECIPE {
            return Ok(());
        }
        if !metadata.is_file() {
            return Err(Error::Refused {
                doing: format!("reading {}", path.display()),
                why: "a recipe's folder holds files, and this is none".into(),
                help: "put the file itself there".into(),
            });
        }
        beside.insert(name, std::fs::read(path).map_err(Error::io("reading", path))?);
        Ok(())
    })?;
    Ok(beside)
}

/// The first line with a word in it, comments left out.
fn line_with(text: &str, word: &str) -> Option<usize> {
    let has = |line: &str| !line.trim_start().starts_with('#') && line.contains(word);
    text.lines().position(has).map(|at| at + 1)
}

/// The line a byte is in, from one.
fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

impl Recipe {
    /// Refuses what the types let through.
    fn check(&self) -> std::result::Result<(), Wrong> {
        let says = &self.says;
        for file in &says.file {
            if let Content::From(from) = &file.content {
                self.file_beside(from)?;
            }
        }
        match (&says.build, says.downloads.keys().next()) {
            (Some(build), _) => self.file_beside(&build.script).map(drop)?,
            (None, Some(unused)) => {
                return Err(Wrong::new(
                    unused.as_str(),
                    "it is downloaded, and there is no [build] that would use it",
                ));
            }
            (None, None) => {}
        }
        if says.go.is_some() && says.build.as_ref().is_some_and(|build| build.any_arch) {
            return Err(Wrong::new("any-arch", "programs of Go are made for one architecture"));
        }
        let has_busybox = says.packages.iter().any(|package| package.as_str() == BUSYBOX);
        if let Some(applet) = says.applets.first().filter(|_| !has_busybox) {
            let why = format!("applets are programs of {BUSYBOX}, which is not among the packages");
            return Err(Wrong::new(applet.as_str(), why));
        }
        if let Some(bad) = says.run.env.iter().find(|variable| !variable.contains('=')) {
            return Err(Wrong::new(bad, format!("'{bad}' is not NAME=value")));
        }
        says.go.as_ref().map_or(Ok(()), |go| go.check(&self.beside))
    }

    /// A file of the recipe's folder.
    pub(crate) fn file_beside(&self, name: &Inside) -> std::result::Result<&[u8], Wrong> {
        let found = self.beside.get(name.as_str()).map(Vec::as_slice);
        found
            .ok_or_else(|| Wrong::new(name.as_str(), format!("there is no file {} beside it", name.as_str())))
    }

    /// What goes into the image's key in the cache.
    pub(crate) fn inputs(&self, arch: Arch) -> Vec<String> {
        let mut inputs = vec![SUITE.to_owned(), arch.name().to_owned(), format!("{:?}", self.says)];
        inputs.extend(self.beside_inputs());
        inputs
    }

    /// What of it decides on what is made from its script and its Go modules.
    pub(crate) fn made_inputs(&self, arch: Arch) -> Vec<String> {
        let Text { go, downloads, build, .. } = &self.says;
        let mut inputs = vec![self.made_for(arch).to_owned(), format!("{go:?} {downloads:?} {build:?}")];
        inputs.extend(go.iter().map(|go| go.linker_flags(&self.beside)));
        inputs.extend(self.beside_inputs());
        inputs
    }

    fn beside_inputs(&self) -> impl Iterator<Item = String> {
        self.beside.iter().flat_map(|(name, bytes)| {
            [name.clone(), files::hex(&<sha2::Sha256 as sha2::Digest>::digest(bytes))]
        })
    }

    /// The architecture that what is made is for, where it is not for all.
    pub(crate) fn made_for(&self, arch: Arch) -> &'static str {
        if self.says.build.as_ref().is_some_and(|build| build.any_arch) { "any" } else { arch.name() }
    }

    /// Whether anything of it is made here, rather than unpacked.
    pub(crate) fn makes(&self) -> bool {
        self.says.go.is_some() || self.says.build.is_some()
    }

    /// What making it takes of the disk, in MiB: what compilers and registries unpack, or what packages do.
    pub(crate) fn space(&self) -> u64 {
        match &self.says {
            says if says.go.is_some() || !says.downloads.is_empty() => 3072,
            says if !says.packages.is_empty() => 1024,
            _ => 64,
        }
    }

    /// The stack whose folder it lies in.
    pub fn stack(&self) -> &str {
        let stack = self.folder.parent().and_then(Path::parent).and_then(Path::file_name);
        stack.and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The programs that making it runs, with the Debian package of each. Go is not among them: Debian's is too old.
    pub fn host_packages(&self) -> Vec<(&str, &str)> {
        let downloads = self.says.downloads.values().map(|download| download.from.client());
        let programs = self.says.build.iter().flat_map(|build| &build.programs);
        let mut needed: Vec<_> = downloads
            .chain(programs.map(|(program, package)| (program.as_str(), package.as_str())))
            .collect();
        needed.sort_unstable();
        needed.dedup();
        needed
    }
}

impl Source {
    /// The program that fetches it, and its Debian package.
    pub(crate) fn client(&self) -> (&'static str, &'static str) {
        match self {
            Self::Maven(_) => ("mvn", "maven"),
            Self::Npm(_) => ("npm", "npm"),
        }
    }

    /// What it is there.
    pub(crate) fn what(&self) -> &str {
        let (Self::Maven(what) | Self::Npm(what)) = self;
        what.as_str()
    }
}

#[cfg(test)]
pub(crate) mod tests;
