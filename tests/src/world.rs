//! Golden worlds: an operator's machine whole — projects, escrow, cloud, registry, both disks and the server's memory — made
//! once, kept asleep in the cache under the hash of all that it was made from, and forked by every trial.
//!
//! ```text
//! Connected ─► DiskDone ─► ImagesDone        checkpoints of one first boot, for what strikes in the middle of it
//!     ├──────► Ready                         provisioned, the stacks up
//!     └──────► Network                       the same with the private network, by way of a power cut while it joins
//! ```

use crate::Rig;
use crate::server::{act, once_it_answers, set_clock};
use anyhow::{Context as _, Result, ensure};
use rehearsal::Power;
use sha2::{Digest as _, Sha256};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Set by who starts the trials, so that not each of them hashes the programs anew.
pub(crate) const KEY: &str = "SOVEREIGN_WORLDS";
/// Where the rule lies that has a server's kernel record every program that is run.
pub const AUDIT_RULES: &str = "/etc/audit/rules.d/00-every-program.rules";
/// How often it is looked whether a world is made that another trial makes.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const PROVISION: [&str; 4] = ["provision", "--project", "demo", "--yes"];

/// A world that trials start from. Its project is `demo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// The server runs and lets the operator in; nothing was handed over. The kernel records every program that is run.
    Connected,
    /// The operator was killed right after the step `disk`, and firstboot goes on.
    DiskDone,
    /// The same after the step `images`.
    ImagesDone,
    /// `provision` has said that it is ready.
    Ready,
    /// Ready, with a private network. The power went while the server joined it, and the operator with it.
    Network,
}

impl World {
    fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::DiskDone => "disk-done",
            Self::ImagesDone => "images-done",
            Self::Ready => "ready",
            Self::Network => "network",
        }
    }

    /// Goes on from here with the servers running, their clocks put right.
    pub fn fork(self) -> Result<Rig> {
        let rig = self.forked_into(Rig::new()?, Power::Kept)?;
        set_clock(&rig)?;
        Ok(rig)
    }

    fn forked_into(self, rig: Rig, power: Power) -> Result<Rig> {
        let (world, in_use) = self.made()?;
        let rig =
            rig.forked_from(&world, power).with_context(|| format!("forking the world {}", self.name()))?;
        Ok(rig.holding(in_use))
    }

    /// Its directory, made if it is not there. As long as the lock is held nobody removes it.
    fn made(self) -> Result<(PathBuf, File)> {
        let worlds = crate::cache()?.join("worlds");
        std::fs::create_dir_all(&worlds).with_context(|| format!("making {}", worlds.display()))?;
        let key = std::env::var(KEY).or_else(|_| key())?;
        let place = worlds.join(format!("{}-{key}", self.name()));
        let lock = File::create(place.with_extension("lock")).context("opening a world's lock")?;
        loop {
            lock.lock_shared()?;
            if complete(&place) {
                break;
            }
            lock.unlock()?;
            // Who makes it forks it next, and keeps a shared lock as long as its trial runs: nobody waits for the other kind.
            match lock.try_lock() {
                Ok(()) if !complete(&place) => {
                    self.make(&place)?;
                    remove_others(&worlds, self.name(), &key);
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK_AGAIN),
                Err(error) => return Err(error.into()),
            }
            lock.unlock()?;
        }
        Ok((place, lock))
    }

    fn make(self, place: &Path) -> Result<()> {
        println!("making the world {}", self.name());
        if place.exists() {
            std::fs::remove_dir_all(place)
                .context("removing what is left of a world that was not finished")?;
        }
        let rig = Rig::at(place)?;
        let rig = match self {
            Self::Connected => connected(rig)?,
            Self::DiskDone => followed_until(Self::Connected, rig, "✓ first boot: disk")?,
            Self::ImagesDone => followed_until(Self::DiskDone, rig, "✓ first boot: images")?,
            Self::Ready => {
                let rig = Self::Connected.forked_into(rig, Power::Kept)?;
                set_clock(&rig)?;
                let made = rig.xtask(&PROVISION)?.expect(0)?.says(&["is ready at", "first boot: disk"])?;
                println!("provision, from the connection on: {:.1} s", made.took.as_secs_f64());
                rig
            }
            Self::Network => with_the_network(rig)?,
        };
        rig.asleep()?;
        Ok(std::fs::write(place.join("complete"), "")?)
    }
}

fn complete(place: &Path) -> bool {
    place.join("complete").exists()
}

fn connected(rig: Rig) -> Result<Rig> {
    rig.demo("demo")?;
    record_from_the_first_moment(&rig)?;
    Ok(rig)
}

/// Has the kernel record every program that is run on a server that is about to be made, before firstboot is there.
fn record_from_the_first_moment(rig: &Rig) -> Result<()> {
    let (ended, killed) = rig.run_until(&PROVISION, |line| line.starts_with("... connecting"))?;
    ensure!(killed, "the run ended before it connected: {ended:?}");
    // As a file too: what loads the server's own rules loads it with them, and so does the next boot.
    let rule = format!(
        "echo '-a always,exit -F arch=b64 -S execve -k every-program' > {AUDIT_RULES} && \
         augenrules --load >/dev/null && auditctl -l | grep -q every-program"
    );
    once_it_answers(rig, &rule)
}

/// Goes on with a first boot until the operator is told of this, and kills them there.
fn followed_until(from: World, rig: Rig, said: &str) -> Result<Rig> {
    let rig = from.forked_into(rig, Power::Kept)?;
    set_clock(&rig)?;
    let (ended, killed) = rig.run_until(&PROVISION, |line| line.starts_with(said))?;
    ensure!(killed, "the run ended before it said {said:?}: {ended:?}");
    Ok(rig)
}

/// The power goes while the server joins its own network, and the operator with it.
fn with_the_network(rig: Rig) -> Result<Rig> {
    let rig = World::Connected.forked_into(rig, Power::Kept)?;
    set_clock(&rig)?;
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../projects/demo-vpn/project.toml");
    rig.project("demo", &std::fs::read_to_string(project)?)?;
    let (_, killed) = rig.run_until(&PROVISION, |line| line.starts_with("... first boot: vpn"))?;
    ensure!(killed, "the run ended before the step that joins the network");
    act(&rig, "reset")?;
    let made = rig.xtask(&PROVISION)?.expect(0)?.says(&["first boot: vpn"])?;
    println!("provision with the private network, from the cut on: {:.1} s", made.took.as_secs_f64());
    Ok(rig)
}

/// Removes the worlds of this name that other programs made, but for those that trials are using.
fn remove_others(worlds: &Path, name: &str, key: &str) {
    for entry in std::fs::read_dir(worlds).into_iter().flatten().flatten() {
        let path = entry.path();
        let text = entry.file_name().to_string_lossy().into_owned();
        let other = text.strip_suffix(".lock").and_then(|stem| stem.rsplit_once('-'));
        if other.is_none_or(|(other, its)| other != name || its == key) {
            continue;
        }
        if File::open(&path).is_ok_and(|lock| lock.try_lock().is_ok()) {
            // What cannot be removed only takes up room.
            let _ = std::fs::remove_dir_all(path.with_extension(""));
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The hash of all that worlds are made from: the front door, what it builds, QEMU, the projects, and this recipe.
/// Builds what is not cached.
pub(crate) fn key() -> Result<String> {
    let rig = Rig::new()?;
    let mut hash = Sha256::new();
    hash.update(include_str!("world.rs"));
    for project in ["plain", "demo-vpn"] {
        let file = format!("../projects/{project}/project.toml");
        hash.update(std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))?);
    }
    hash.update(rig.build_images()?);
    let qemu = host::Host::run(&host::Local, &host::Cmd::new("qemu-img").arg("--version"))?;
    hash.update(qemu.stdout);
    hash.update(crate::sha256_file(rig.program())?);
    Ok(hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}
