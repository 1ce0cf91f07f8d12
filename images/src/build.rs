//! The two jobs, each a list of its stages.

use crate::apt::{self, Apt, Package};
use crate::cache::{self, Entry};
use crate::configure::{self, Place};
use crate::container;
use crate::deb::{self, For};
use crate::made::made;
use crate::modules::Modules;
use crate::packages::{BASE, BOOT_MODULES, BUSYBOX, NEEDED_MODULES, SUITE, TOOLS};
use crate::recipe::{PackageName, Recipe};
use crate::report::timed;
use crate::{Arch, Error, Report, Result, disk, dpkg_db, files, initrd, oci, settings, verify};
use serde::{Deserialize, Serialize};
use stacks::SERVER_PACKAGES;
use std::path::{Path, PathBuf};

/// The file that says what a result of the cache was made of.
const MANIFEST: &str = "manifest.json";

/// A bootable server: what QEMU is given.
#[derive(Debug, Clone)]
pub struct ServerImage {
    /// The root disk, raw and sparse; servers get overlays of it and never write to it.
    pub disk: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initrd: PathBuf,
    /// The kernel's command line.
    pub cmdline: String,
    /// What is in it.
    pub manifest: Manifest,
    /// Whether it was there already.
    pub cached: bool,
}

/// A container image in OCI's directory layout.
#[derive(Debug, Clone)]
pub struct OciLayout {
    /// The layout's directory.
    pub dir: PathBuf,
    /// The manifest's digest, `sha256:...`: what a compose file pins.
    pub digest: String,
    /// The repository it goes by in a registry.
    pub name: String,
    /// Whether it was there already.
    pub cached: bool,
}

/// What an image was made of and what came out; beside it as `manifest.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// The hash of the inputs this repository decides on.
    pub key: String,
    /// The Debian release.
    pub suite: String,
    /// The architecture it runs on.
    pub arch: Arch,
    /// The newest time stamp in it, in seconds since 1970.
    pub epoch: i64,
    /// The packages, whose versions the Debian mirror decided on.
    pub packages: Vec<PackageVersion>,
    /// SHA-256 of each file that came out, by its name; of the disk, of its non-zero blocks with their numbers.
    pub outputs: Vec<(String, String)>,
    /// The kernel's command line, for a server's disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
}

/// One package of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PackageVersion {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the .deb.
    pub sha256: String,
}

/// The images in the cache, by where they lie.
pub fn list(cache: &Path) -> Result<Vec<(PathBuf, Manifest)>> {
    let mut found = Vec::new();
    for dir in cache::entries(cache)? {
        if let Some(json) = host::files::read(&dir.join(MANIFEST))? {
            found.push((dir, serde_json::from_slice(&json)?));
        }
    }
    Ok(found)
}

/// The server's disk, kernel and initramfs, from the cache or built.
pub fn server_image(cache: &Path, arch: Arch, report: &dyn Report) -> Result<ServerImage> {
    let host_arch = Arch::of_this_machine()?;
    let key = cache::key(&server_inputs(arch));
    let cache = &cache::open(cache)?;
    let entry = Entry { cache, name: &format!("server-{}", arch.name()), key: &key, needs: 4096 };
    let (dir, cached) = entry.get(report, |dir| build_server(dir, cache, arch, host_arch, &key, report))?;
    let manifest: Manifest = serde_json::from_str(&files::read_text(&dir.join(MANIFEST))?)?;
    let [disk, kernel, initrd] = ["disk.raw", "kernel", "initrd"].map(|name| dir.join(name));
    let cmdline = manifest.cmdline.clone().unwrap_or_default();
    Ok(ServerImage { disk, kernel, initrd, cmdline, manifest, cached })
}

fn build_server(
    dir: &Path,
    cache: &Path,
    arch: Arch,
    host_arch: Arch,
    key: &str,
    report: &dyn Report,
) -> Result<()> {
    let work = dir.join("work");
    let [root, own_tools] = ["root", "tools"].map(|name| work.join(name));
    let foreign = arch != host_arch;

    let packages = timed(report, "downloading Debian's packages", || {
        let mut wanted = [BASE, SERVER_PACKAGES, &[arch.kernel_package(), BUSYBOX, "?essential"]].concat();
        let tools = [TOOLS, &["?essential"]].concat();
        if !foreign {
            wanted.extend(TOOLS);
        }
        let server = Apt::open(cache, SUITE, arch)?.fetch(&wanted)?;
        let tools = if foreign { Apt::open(cache, SUITE, host_arch)?.fetch(&tools)? } else { Vec::new() };
        Ok((server, tools))
    })?;
    let (epoch, tools) = timed(report, "unpacking them", || {
        let unpacked = deb::unpack(&packages.0, &root, For::Configuring, &[])?;
        dpkg_db::write(&root, &unpacked, arch, host_arch)?;
        if foreign {
            deb::unpack(&packages.1, &own_tools, For::Use, &[])?;
            keep_programs_only(&own_tools)?;
        }
        let epoch = unpacked.iter().map(|u| u.newest).max().unwrap_or_default();
        Ok((epoch, if foreign { own_tools.as_path() } else { root.as_path() }))
    })?;
    timed(report, "configuring them", || {
        let place = Place { root: &root, tools: foreign.then_some(tools), scratch: &work };
        configure::configure(&place, arch, host_arch, epoch)
    })?;
    timed(report, "making a server of them", || {
        settings::apply(&root, arch, host_arch, epoch)?;
        verify::server_root(&root, arch, host_arch)
    })?;
    let inputs = format!("{key} {}", package_hash(&packages.0));
    let cmdline = timed(report, "writing disk, kernel and initramfs", || {
        let modules = Modules::open(&root)?;
        let kernel = root.join(format!("boot/vmlinuz-{}", modules.version()));
        std::fs::copy(&kernel, dir.join("kernel")).map_err(Error::io("copying", &kernel))?;
        let initrd = initrd::make(&modules, &root.join("usr/bin/busybox"))?;
        files::write(&dir.join("initrd"), initrd, 0o644)?;
        disk::make(&root, &dir.join("disk.raw"), tools, host_arch, &inputs, epoch)?;
        Ok(command_line(arch, &disk::uuid(&inputs, "file system")))
    })?;
    files::remove(&work)?;
    let outputs = ["disk.raw", "initrd", "kernel"];
    write_manifest(dir, key, arch, epoch, &packages.0, &outputs, Some(cmdline))
}

/// A container image in OCI's layout, from the cache or built.
pub fn container_image(cache: &Path, recipe: &Recipe, arch: Arch, report: &dyn Report) -> Result<OciLayout> {
    let key = cache::key(&recipe.inputs(arch));
    let cache = &cache::open(cache)?;
    let name = format!("{}-{}", recipe.name, arch.name());
    let entry = Entry { cache, name: &name, key: &key, needs: recipe.space() };
    // Before the image itself: two entries of the cache are never filled at once.
    let made =
        (recipe.makes() && !entry.is_built()).then(|| made(cache, recipe, arch, report)).transpose()?;
    let fill = |dir: &Path| build_container(dir, cache, recipe, made.as_deref(), arch, &key, report);
    let (dir, cached) = entry.get(report, fill)?;
    let digest = oci::read_digest(&dir)?;
    Ok(OciLayout { dir, digest, name: format!("sovereign/{}", recipe.name), cached })
}

fn build_container(
    dir: &Path,
    cache: &Path,
    recipe: &Recipe,
    made: Option<&Path>,
    arch: Arch,
    key: &str,
    report: &dyn Report,
) -> Result<()> {
    let root = dir.join("work");
    let names: Vec<&str> = recipe.says.packages.iter().map(PackageName::as_str).collect();
    let packages = timed(report, &format!("downloading the packages of {}", recipe.name), || {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let resolved = Apt::open(cache, SUITE, arch)?.fetch(&names)?;
        names.iter().map(|name| apt::find(&resolved, name).cloned()).collect::<Result<Vec<_>>>()
    })?;
    let epoch = timed(report, &format!("unpacking {}", recipe.name), || {
        files::make_dir(&root)?;
        let left_out: Vec<&str> = recipe.says.left_out.iter().map(String::as_str).collect();
        let unpacked = match packages.as_slice() {
            [] => Vec::new(),
            packages => deb::unpack(packages, &root, For::Use, &left_out)?,
        };
        container::add_files(recipe, made, &root)?;
        Ok(unpacked.iter().map(|u| u.newest).max().unwrap_or_default())
    })?;
    timed(report, &format!("writing the container image {}", recipe.name), || {
        oci::write(dir, &root, recipe, arch, epoch)
    })?;
    files::remove(&root)?;
    write_manifest(dir, key, arch, epoch, &packages, &["index.json"], None)
}

/// Everything this repository decides on; the mirror decides on the packages' versions, which the manifest tells.
fn server_inputs(arch: Arch) -> Vec<String> {
    let lists = [BASE, SERVER_PACKAGES, TOOLS, BOOT_MODULES, NEEDED_MODULES].map(|list| list.join(" "));
    let mut inputs = vec![SUITE.to_owned(), arch.name().to_owned(), initrd::INIT.to_owned()];
    inputs.extend(lists);
    inputs.extend(configure::inputs());
    inputs.extend(settings::inputs());
    inputs.push(command_line(arch, ""));
    inputs
}

fn command_line(arch: Arch, uuid: &str) -> String {
    format!("root=UUID={uuid} console={} quiet", arch.console())
}

fn package_hash(packages: &[Package]) -> String {
    cache::key(&packages.iter().map(|p| p.sha256.clone()).collect::<Vec<_>>())
}

/// Of the tools only programs and libraries are laid over the root; what maintainer scripts configure is the root's own.
fn keep_programs_only(tools: &Path) -> Result<()> {
    for entry in files::sorted(tools)? {
        let is_link = entry.is_symlink();
        if !is_link && entry.file_name().is_some_and(|name| name != "usr") {
            files::remove(&entry)?;
        }
    }
    Ok(())
}

fn write_manifest(
    dir: &Path,
    key: &str,
    arch: Arch,
    epoch: i64,
    packages: &[Package],
    outputs: &[&str],
    cmdline: Option<String>,
) -> Result<()> {
    let outputs: Vec<String> = outputs.iter().map(|&name| name.to_owned()).collect();
    let hash = |name: &String| {
        let path = dir.join(name);
        if name == "disk.raw" { disk::sha256_of_blocks(&path) } else { files::sha256(&path) }
    };
    let hashes = files::parallel(&outputs, hash)?;
    let manifest = Manifest {
        key: key.to_owned(),
        suite: SUITE.to_owned(),
        arch,
        epoch,
        packages: packages
            .iter()
            .map(|p| PackageVersion {
                name: p.name.clone(),
                version: p.version.clone(),
                sha256: p.sha256.clone(),
            })
            .collect(),
        outputs: outputs.into_iter().zip(hashes).collect(),
        cmdline,
    };
    files::write(&dir.join(MANIFEST), serde_json::to_vec_pretty(&manifest)?, 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_listed_and_nothing_else_in_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        assert!(list(dir.path()).unwrap().is_empty());
        let cache = cache::open(dir.path()).unwrap();
        for (name, document) in [("server-arm64", MANIFEST), ("tools", "version")] {
            let entry = Entry { cache: &cache, name, key: "0123456789abcdef0123", needs: 1 };
            let fill = |made: &Path| match document {
                MANIFEST => write_manifest(made, "k", Arch::Arm64, 7, &[], &[], None),
                other => files::write(&made.join(other), "1", 0o644),
            };
            let _ = entry.get(&crate::Silent, fill).unwrap();
        }
        let found = list(dir.path()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0.ends_with("images/server-arm64-0123456789abcdef") && found[0].1.epoch == 7);
    }
}
