//! A cloud put to sleep as it is, and clouds that go on from there: each with disks of its own that begin as the sleeping
//! one's (copy-on-write), with its servers' memory where it is wanted, and with the same addresses.

use crate::Error;
use crate::cloud::state::State;
use crate::config::Config;
use crate::machine::files::{copy, make_dir_of};
use crate::machine::qemu::{Qemu, overlay};
use crate::machine::{Files, Format, Hypervisor};
use host::files;
use std::path::{Path, PathBuf};

/// What the servers of a forked cloud come up as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Those that ran when the cloud was suspended go on in the middle of what they did. Their clocks have stood still.
    Kept,
    /// All are off, as after a power cut at that moment.
    Lost,
}

/// Ends a cloud's daemon and puts its running servers to sleep, with what they have in memory. Nothing of it runs then;
/// what wakes it is the next daemon, or a [`fork`]. Returns how many servers sleep.
pub fn suspend(state_dir: &Path) -> Result<usize, Error> {
    crate::stop(state_dir, false)?;
    let files = Files::new(&resolved(state_dir)?);
    let qemu = Qemu::new(files.clone(), None);
    let mut asleep = 0;
    for server in files.servers() {
        if qemu.runs(server) {
            qemu.suspend(server).map_err(|failure| Error::Said(failure.message))?;
            asleep += 1;
        }
    }
    Ok(asleep)
}

/// Makes the state directory of a cloud that goes on from a suspended one, which stays as it is and must stay where it is.
/// Nothing is started. A directory `to` that exists is an error.
pub fn fork(from: &Path, to: &Path, power: Power) -> Result<(), Error> {
    let from = resolved(from)?;
    if to.exists() {
        return Err(Error::Said(format!("forking a cloud into {}: it is there already", to.display())));
    }
    let mut config = Config::load(&from)?;
    config.state_dir = to.to_owned();
    let config = config.prepared()?;
    config.save()?;
    let to = &config.state_dir;
    for name in ["token", "port"] {
        if let Some(bytes) = files::read(&from.join(name))? {
            files::write(&to.join(name), &bytes, 0o600)?;
        }
    }
    let mut state = State::load(&from)?;
    take_images(&mut state, &from, to)?;
    let (theirs, ours) = (Files::new(&from), Files::new(to));
    for server in state.servers.keys().copied() {
        if theirs.root(server).exists() {
            overlay(&theirs.root(server), Format::Qcow2, &ours.root(server), None)?;
        }
        let memory = theirs.memory(server);
        if power == Power::Kept && memory.exists() {
            let link = ours.memory(server);
            make_dir_of(&link)?;
            std::os::unix::fs::symlink(&memory, &link).map_err(|e| host::Error::io("making", &link, e))?;
        }
    }
    for volume in state.volumes.keys().copied() {
        let disk = theirs.volume(volume);
        if disk.path.exists() {
            overlay(&disk.path, disk.format, &ours.forked_volume(volume), None)?;
        }
    }
    state.save(to)
}

fn resolved(state_dir: &Path) -> Result<PathBuf, Error> {
    Ok(state_dir.canonicalize().map_err(|e| host::Error::io("resolving", state_dir, e))?)
}

/// Gives the images files of the new cloud's own, since a cloud removes those of an image that nobody uses any more.
fn take_images(state: &mut State, from: &Path, to: &Path) -> Result<(), Error> {
    for image in state.images.values_mut() {
        let boot =
            image.boot.iter_mut().flat_map(|boot| std::iter::once(&mut boot.kernel).chain(&mut boot.initrd));
        for path in std::iter::once(&mut image.disk).chain(boot) {
            let Ok(below) = path.strip_prefix(from) else { continue };
            let own = to.join(below);
            if path.exists() {
                make_dir_of(&own)?;
                copy(path, &own)?;
            }
            *path = own;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_that_never_was_is_not_forked() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        assert!(fork(&from, &to, Power::Kept).unwrap_err().to_string().contains("no cloud there"));
        assert!(!to.exists(), "half a cloud is left");
        std::fs::create_dir(&to).unwrap();
        assert!(fork(&from, &to, Power::Kept).unwrap_err().to_string().contains("there already"));
    }

    #[test]
    fn what_a_fork_removes_stays_in_the_cloud_it_came_from() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let config = Config::new(&from).prepared().unwrap();
        config.save().unwrap();
        let disk = config.path("images/1/disk.raw");
        files::write(&disk, b"disk", 0o644).unwrap();
        files::write(&from.join("token"), b"secret", 0o600).unwrap();
        let image = serde_json::json!({"name": "debian-13", "description": "", "kind": "system", "status": "available",
            "architecture": "arm", "os_flavor": "debian", "os_version": null, "labels": {}, "created": "",
            "protected": false, "disk_bytes": 4, "disk": disk, "boot": null, "source": "", "replaced": false});
        let mut state = State::default();
        state.images.insert(1, serde_json::from_value(image).unwrap());
        state.save(&from).unwrap();

        fork(&from, &to, Power::Kept).unwrap();
        let forked = State::load(&to).unwrap();
        let own = forked.images[&1].disk.clone();
        assert!(own.starts_with(to.canonicalize().unwrap()), "{}", own.display());
        assert_eq!(Config::load(&to).unwrap().state_dir, to.canonicalize().unwrap());
        assert_eq!(std::fs::read(to.join("token")).unwrap(), b"secret");
        std::fs::remove_file(own).unwrap();
        assert_eq!(std::fs::read(disk).unwrap(), b"disk");
    }
}
