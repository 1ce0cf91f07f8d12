//! The same inputs give the same bytes.

use super::PROGRAMS;
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use tests::{Rig, can_run};

/// firstboot, the disk image and the container image, built in two caches that know nothing of each other.
pub(crate) fn two_builds() -> Result<()> {
    if !can_run("vm_two_builds", &PROGRAMS)? {
        return Ok(());
    }
    let digests = |said: String| -> Vec<String> {
        said.lines().filter_map(|line| line.rsplit_once(' ').map(|(digest, _)| digest.to_owned())).collect()
    };
    let one = digests(Rig::new()?.build_images()?);
    let other = Rig::new()?;
    let cache = other.path().join("cache");
    let other = other.with_cache(&cache);
    let two = digests(other.build_images()?);
    ensure!(one.len() >= 5 && one == two, "{one:#?} is not {two:#?}");
    one.iter().for_each(|digest| println!("the same twice: {digest}"));
    let list = host::Host::run(&host::Local, &host::Cmd::new("file").path(firstboot_in(&cache)?))?.text();
    ensure!(list.contains("ARM aarch64") && list.contains("static"), "{list}");
    Ok(())
}

fn firstboot_in(cache: &Path) -> Result<PathBuf> {
    let built = cache.join("firstboot/aarch64");
    for entry in std::fs::read_dir(&built).with_context(|| format!("reading {}", built.display()))? {
        let path = entry?.path().join("firstboot");
        if path.is_file() {
            return Ok(path);
        }
    }
    anyhow::bail!("no firstboot below {}", built.display())
}
