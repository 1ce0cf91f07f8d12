//! Images: taken into the state directory, so that a rebuilt one never changes under a server's disk.

mod records;

use super::clock::now_text;
use super::state::{Image, State};
use super::{Cloud, catalog};
use crate::Error;
use crate::config::{Architecture, Config, ImageSource, Machines};
use crate::labels::Labels;
use crate::machine::Boot;
use crate::machine::files::copy;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// Puts the configured images on offer. A newer build of an image takes its place; the old one stays as long as
/// a server was made from it. One whose files are gone stays on offer: the cloud has its own.
pub(crate) fn offer(state: &mut State, config: &Config) -> Result<(), Error> {
    for (source, stamp) in config.images.iter().zip(stamps(config)) {
        let current = state.images.values_mut().find(|i| i.is_current(&source.name, source.architecture));
        if let Some(image) = current {
            // Without machines nothing is read from the files, so no build is newer than another.
            let paper = config.machines == Machines::None;
            let is_newest = paper || stamp.as_ref().is_none_or(|stamp| *stamp == image.source);
            if is_newest && !image.record_only {
                image.labels.clone_from(&source.labels);
                image.description.clone_from(&source.description);
                continue;
            }
            image.replaced = true;
        }
        let Some(stamp) = stamp else {
            return Err(Error::Said(format!(
                "offering image {} ({}): {} is not there, or its kernel is not; build it with `cargo xtask images build`",
                source.name,
                source.architecture.name(),
                source.disk.display()
            )));
        };
        let id = state.new_id();
        let image = take(source, id, stamp, config)?;
        state.images.insert(id, image);
    }
    records::add(state);
    for id in forget_unused(state) {
        remove_files(config, id);
    }
    Ok(())
}

/// The images that were replaced or deleted and that no server is made from any more.
fn unused(state: &State) -> Vec<u64> {
    let used: Vec<_> = state.servers.values().map(|server| server.image).collect();
    let unused = state.images.iter().filter(|(id, i)| (i.replaced || i.deleted) && !used.contains(id));
    unused.map(|(id, _)| *id).collect()
}

fn forget_unused(state: &mut State) -> Vec<u64> {
    let unused = unused(state);
    state.images.retain(|id, _| !unused.contains(id));
    unused
}

fn remove_files(config: &Config, id: u64) {
    let _ = std::fs::remove_dir_all(config.path(format!("images/{id}")));
}

impl Cloud {
    /// Forgets images that nobody can choose and no server is made from any more, with their files.
    pub(crate) async fn forget_images(self: &Arc<Self>) {
        let gone = self.read(unused);
        if !gone.is_empty() {
            self.change_surely(|state| drop(forget_unused(state))).await;
            gone.into_iter().for_each(|id| remove_files(&self.config, id));
        }
    }
}

/// The image that a copy of a server's disk becomes. Its files lie beside those of the server's image, and it has a kernel
/// of its own where that has one.
pub(crate) fn copy_of(state: &State, id: u64, server: u64) -> Option<Image> {
    let record = state.servers.get(&server)?;
    let origin = state.images.get(&record.image)?;
    let dir = origin.disk.parent()?.with_file_name(id.to_string());
    Some(Image {
        name: None,
        status: "creating".into(),
        labels: Labels::new(),
        created: now_text(),
        protected: false,
        disk: dir.join("disk.raw"),
        boot: origin.boot.as_ref().map(|boot| Boot {
            kernel: dir.join("kernel"),
            initrd: boot.initrd.as_ref().map(|_| dir.join("initrd")),
            cmdline: boot.cmdline.clone(),
        }),
        source: String::new(),
        replaced: false,
        created_from: Some((server, record.name.clone())),
        disk_gb: catalog::disk_of(record),
        stored_bytes: None,
        deleted: false,
        ..origin.clone()
    })
}

/// The system images on offer that a server of this architecture can boot. The first of them is its rescue system.
pub(crate) fn bootable(state: &State, architecture: Architecture) -> impl Iterator<Item = &Image> {
    let offered = move |i: &&Image| i.kind == "system" && !i.replaced && i.architecture == architecture;
    state.images.values().filter(offered).filter(|image| !image.record_only)
}

impl Image {
    /// Whether it is the image on offer of this name.
    fn is_current(&self, name: &str, architecture: Architecture) -> bool {
        self.name.as_deref() == Some(name) && self.architecture == architecture && !self.replaced
    }

    /// The smallest disk that it fits on, in GB.
    pub(crate) fn disk_size(&self) -> u64 {
        self.disk_gb.unwrap_or(self.disk_bytes.div_ceil(1 << 30))
    }
}

/// How large a disk is and how much of it takes up room, in bytes. Without machines there is no file, and it has none.
pub(crate) fn sizes(disk: &Path) -> (u64, u64) {
    std::fs::metadata(disk).map_or((0, 0), |meta| (meta.len(), meta.blocks() * 512))
}

/// What the files of the configured images are known by: sizes, times of change, command line. `None` where one is not there.
pub(crate) fn stamps(config: &Config) -> Vec<Option<String>> {
    match config.machines {
        Machines::Qemu => config.images.iter().map(stamp).collect(),
        Machines::None => config.images.iter().map(|source| Some(source.name.clone())).collect(),
    }
}

fn stamp(source: &ImageSource) -> Option<String> {
    let files = [Some(&source.disk), source.kernel.as_ref(), source.initrd.as_ref()];
    let parts = files.into_iter().flatten().map(|path| {
        let meta = std::fs::metadata(path).ok()?;
        Some(format!("{}:{}.{}", meta.len(), meta.mtime(), meta.mtime_nsec()))
    });
    parts.collect::<Option<Vec<_>>>().map(|parts| format!("{} {}", parts.join(" "), source.cmdline))
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
        created: now_text(),
        protected: false,
        disk_bytes,
        disk: dir.join("disk.raw"),
        boot,
        source: stamp,
        replaced: false,
        created_from: None,
        bound_to: None,
        disk_gb: None,
        stored_bytes: None,
        deleted: false,
        record_only: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn source(name: &str, disk: PathBuf) -> ImageSource {
        ImageSource {
            name: name.into(),
            description: String::new(),
            architecture: Architecture::Arm,
            os_flavor: "debian".into(),
            os_version: None,
            disk,
            kernel: None,
            initrd: None,
            cmdline: String::new(),
            labels: Labels::new(),
        }
    }

    #[test]
    fn a_newer_build_takes_the_place_and_the_old_one_stays_while_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk.raw");
        std::fs::write(&disk, "one").unwrap();
        let mut config = Config::new(dir.path().join("state"));
        config.images.push(source("debian-13", disk.clone()));
        let mut state = State::default();
        offer(&mut state, &config).unwrap();
        let built = |state: &State| {
            let images = state.images.iter().filter(|(_, image)| !image.record_only);
            images.map(|(id, _)| *id).collect::<Vec<_>>()
        };
        let first = built(&state)[0];
        let server = serde_json::json!({"name": "a", "labels": {}, "created": "", "status": "running",
            "server_type": "cax11", "location": "fsn1", "image": first, "public_keys": [], "protected": false});
        state.servers.insert(1, serde_json::from_value(server).unwrap());
        let part = dir.path().join("part");
        std::fs::write(&part, "newer").unwrap();
        std::fs::rename(&part, &disk).unwrap();
        offer(&mut state, &config).unwrap();
        let read = |id: u64| std::fs::read_to_string(&state.images[&id].disk).unwrap();
        let second = built(&state)[1];
        assert_eq!((read(first), read(second)), ("one".to_owned(), "newer".to_owned()));
        assert!(state.images[&first].replaced && !state.images[&second].replaced);
        std::fs::remove_file(&disk).unwrap();
        state.servers.clear();
        offer(&mut state, &config).unwrap();
        assert_eq!(built(&state), [second], "its files are the cloud's own");
        assert!(!config.path(format!("images/{first}")).exists());
        let error = offer(&mut State::default(), &config).unwrap_err().to_string();
        assert!(error.contains("disk.raw is not there"), "{error}");
    }

    #[test]
    fn an_image_that_is_built_takes_the_place_of_its_record() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path());
        config.machines = Machines::None;
        let mut state = State::default();
        let bootable = |state: &State| bootable(state, Architecture::Arm).count();
        let named =
            |state: &State| state.images.values().filter(|i| i.name.as_deref() == Some("debian-12")).count();
        offer(&mut state, &config).unwrap();
        assert_eq!((bootable(&state), named(&state), state.images[&114_690_389].disk_size()), (0, 2, 5));
        config.images.push(source("debian-12", dir.path().join("disk.raw")));
        offer(&mut state, &config).unwrap();
        offer(&mut state, &config).unwrap();
        assert_eq!((bootable(&state), named(&state)), (1, 2));
        assert!(!state.images.contains_key(&114_690_389) && state.images.contains_key(&114_690_387));
    }
}
