//! Images: taken into the state directory, so that a rebuilt one never changes under a server's disk.

use super::state::{Boot, Image, State, now};
use crate::Error;
use crate::config::{Config, ImageSource, Machines};
use host::{Cmd, Host as _, Local};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Puts the configured images on offer. A newer build of an image takes its place; the old one stays as long as
/// a server was made from it.
pub(crate) fn offer(state: &mut State, config: &Config) -> Result<(), Error> {
    for source in &config.images {
        let stamp = if config.machines == Machines::Qemu { stamp(source)? } else { "paper".into() };
        let current = state.images.iter().find(|(_, i)| same(i, source) && !i.replaced).map(|(id, _)| *id);
        if let Some(image) = current.and_then(|id| state.images.get_mut(&id)) {
            if image.source == stamp {
                image.labels.clone_from(&source.labels);
                image.description.clone_from(&source.description);
                if let Some(boot) = &mut image.boot {
                    boot.cmdline.clone_from(&source.cmdline);
                }
                continue;
            }
            image.replaced = true;
        }
        let id = state.new_id();
        let image = take(source, id, stamp, config)?;
        state.images.insert(id, image);
    }
    forget_unused(state, config);
    Ok(())
}

fn same(image: &Image, source: &ImageSource) -> bool {
    image.name.as_deref() == Some(&source.name) && image.architecture == source.architecture
}

fn forget_unused(state: &mut State, config: &Config) {
    let used: Vec<_> = state.servers.values().map(|server| server.image).collect();
    let unused: Vec<_> = state.images.iter().filter(|(id, i)| i.replaced && !used.contains(id)).map(|(id, _)| *id).collect();
    for id in unused {
        state.images.remove(&id);
        let _ = std::fs::remove_dir_all(config.path(format!("images/{id}")));
    }
}

/// What an image's files are known by: sizes and times of change.
fn stamp(source: &ImageSource) -> Result<String, Error> {
    let files = [Some(&source.disk), source.kernel.as_ref(), source.initrd.as_ref()];
    let mut parts = Vec::new();
    for path in files.into_iter().flatten() {
        let meta = std::fs::metadata(path).map_err(|e| {
            Error::Said(format!(
                "offering image {}: reading {}: {e}; build it with `cargo xtask images build`",
                source.name,
                path.display()
            ))
        })?;
        parts.push(format!("{}:{}.{}", meta.len(), meta.mtime(), meta.mtime_nsec()));
    }
    Ok(parts.join(" "))
}

fn take(source: &ImageSource, id: u64, stamp: String, config: &Config) -> Result<Image, Error> {
    let dir = config.path(format!("images/{id}"));
    let mut disk_bytes = 0;
    if config.machines == Machines::Qemu {
        std::fs::create_dir_all(&dir).map_err(|e| host::Error::io("making", &dir, e))?;
        copy(&source.disk, &dir.join("disk.raw"))?;
        disk_bytes = std::fs::metadata(&source.disk).map_or(0, |meta| meta.len());
    }
    let mut boot = None;
    if let Some(kernel) = &source.kernel {
        let initrd = source.initrd.as_ref().map(|_| dir.join("initrd"));
        if config.machines == Machines::Qemu {
            copy(kernel, &dir.join("kernel"))?;
            if let Some(initrd) = &source.initrd {
                copy(initrd, &dir.join("initrd"))?;
            }
        }
        boot = Some(Boot { kernel: dir.join("kernel"), initrd, cmdline: source.cmdline.clone() });
    }
    Ok(Image {
        name: Some(source.name.clone()),
        description: source.description.clone(),
        kind: "system".into(),
        status: "available".into(),
        architecture: source.architecture,
        os_flavor: source.os_flavor.clone(),
        os_version: source.os_version.clone(),
        labels: source.labels.clone(),
        created: now(),
        protected: false,
        disk_bytes,
        disk: dir.join("disk.raw"),
        boot,
        source: stamp,
        replaced: false,
    })
}

/// A second name for the file where that can be, else a copy that keeps its holes.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let _ = std::fs::remove_file(to);
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let cmd = Cmd::new("cp").args(["--reflink=auto", "--sparse=always", "--"]).path(from).path(to);
    Local.run(&cmd)?;
    Ok(())
}
