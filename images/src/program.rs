//! Packages of any Debian release, unpacked beside this machine's own: for programs that are used as an outsider would, in
//! versions this machine does not have.

use crate::apt::{self, Apt};
use crate::cache::{self, Entry};
use crate::deb::{self, For};
use crate::report::timed;
use crate::{Arch, Report, Result, files};
use std::path::{Path, PathBuf};

const VERSION: &str = "version";

/// A package as it lies in the cache.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// What it would have put into `/`; what it depends on is this machine's own.
    pub root: PathBuf,
    /// Debian's version of it.
    pub version: String,
}

/// The package of a release (`bookworm`, `trixie`), from the cache or downloaded.
pub fn unpacked_package(cache: &Path, suite: &str, package: &str, report: &dyn Report) -> Result<Unpacked> {
    let arch = Arch::of_this_machine()?;
    let key = cache::key(&[suite, package, arch.name()].map(str::to_owned));
    let cache = &cache::open(cache)?;
    let entry = Entry { cache, name: &format!("{package}-{suite}"), key: &key, needs: 256 };
    let (dir, _) = entry.get(report, |dir| {
        let doing = format!("downloading {package} of {suite}");
        let found = timed(report, &doing, || {
            let resolved = Apt::open(cache, suite, arch)?.fetch(&[package])?;
            apt::find(&resolved, package).cloned()
        })?;
        files::write(&dir.join(VERSION), &found.version, 0o644)?;
        deb::unpack(&[found], &dir.join("root"), For::Use, &[]).map(drop)
    })?;
    Ok(Unpacked { version: files::read_text(&dir.join(VERSION))?, root: dir.join("root") })
}

/// These packages of a release (apt's patterns such as `?essential`, too) and all they depend on, unpacked as a root of this
/// machine's architecture, from the cache or downloaded. None is configured: no script of theirs has run.
pub fn unpacked_root(
    cache: &Path,
    suite: &str,
    name: &str,
    packages: &[&str],
    report: &dyn Report,
) -> Result<PathBuf> {
    let arch = Arch::of_this_machine()?;
    let key = cache::key(
        &[&[suite, arch.name()], packages].concat().iter().map(|i| (*i).to_owned()).collect::<Vec<_>>(),
    );
    let cache = &cache::open(cache)?;
    let entry = Entry { cache, name: &format!("{name}-{suite}"), key: &key, needs: 2048 };
    let (dir, _) = entry.get(report, |dir| {
        let fetched = timed(report, &format!("downloading the packages of {name}"), || {
            Apt::open(cache, suite, arch)?.fetch(packages)
        })?;
        timed(report, &format!("unpacking {name}"), || {
            deb::unpack(&fetched, &dir.join("root"), For::Use, &[]).map(drop)
        })
    })?;
    Ok(dir.join("root"))
}
