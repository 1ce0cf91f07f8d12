//! What the fake server remembers.

use super::{Content, Luks};
use spec::paths;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// A file or directory: content, mode, owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) dir: bool,
}

pub(crate) type Files = BTreeMap<PathBuf, Node>;

/// When, relative to the act, the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Before it did anything.
    Before,
    /// Half-way, where the act has a half-way.
    Torn,
    /// After it was done, before anyone heard of it.
    After,
}

/// In which order the lanes run. One after the other they do the same in every run, so that a cut can be tried at each
/// act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lanes {
    MainFirst,
    MainLast,
    /// On threads.
    AtOnce,
}

/// What threads share. Used as a `RefCell` is.
pub(crate) struct Shared<T>(RwLock<T>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(RwLock::new(value))
    }

    pub(crate) fn borrow(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn borrow_mut(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self::new(self.borrow().clone())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    /// What survives a power cut.
    pub(crate) root: Files,
    /// What does not: `/run`, `/proc`, `/sys`, `/dev`.
    pub(crate) memory: Files,
    pub(crate) volume: Content,
    pub(crate) serial: String,
    /// The volume's size at the cloud, and that of the opened mapping.
    pub(crate) size: u64,
    pub(crate) mapped: u64,
    pub(crate) unreadable: Option<u64>,
    pub(crate) open: bool,
    pub(crate) mounted: bool,
    pub(crate) docker: bool,
    pub(crate) images: Vec<String>,
    /// Whether a pulled image is not on disk yet, and whether the power was cut meanwhile.
    pub(crate) unsynced: bool,
    pub(crate) torn: bool,
    /// What programs wrote and nobody synced: each path with what is on disk, which is nothing where it is new.
    pub(crate) unsaved: BTreeMap<PathBuf, Vec<u8>>,
    pub(crate) boots: u32,
    /// Every start of a stack's unit since the boot.
    pub(crate) stacks: Vec<String>,
    /// The containers: by stack and service, the digest each was made with.
    pub(crate) containers: BTreeMap<String, BTreeMap<String, String>>,
    /// The units as systemd has read them.
    pub(crate) loaded: Files,
    /// Which firstboot this is.
    pub(crate) firstboot: &'static str,
    /// The host key sshd answers with.
    pub(crate) sshd: Vec<u8>,
    /// When each armed timer runs its script, and which.
    pub(crate) timers: BTreeMap<String, (Duration, String)>,
    /// Whether the firewall's rules are loaded.
    pub(crate) closed: bool,
    /// What each container publishes, as the engine says it.
    pub(crate) published: serde_json::Value,
    /// The networks of containers, by name, and the labels of each.
    pub(crate) networks: BTreeMap<String, serde_json::Value>,
    /// Which of them each stack was started in last.
    pub(crate) joined: BTreeMap<String, Vec<String>>,
    /// Whether the engine's rules are asked before ours.
    pub(crate) passed_over: bool,
    pub(crate) clock: Duration,
    pub(crate) drawn: u64,
    pub(crate) acts: u64,
    pub(crate) cut: Option<(u64, Cut)>,
    /// The acts that have a half-way; any other one is as good as not begun when it is torn.
    pub(crate) halves: BTreeSet<u64>,
    pub(crate) dead: bool,
    pub(crate) lines: Vec<String>,
    pub(crate) formats: u32,
    /// Whether somebody answers the gates.
    pub(crate) operator: bool,
    /// Whether the Tang servers answer.
    pub(crate) tang: bool,
    /// How often the node says that it is starting yet.
    pub(crate) starting: u32,
    pub(crate) lanes: Lanes,
    /// The gate that is left unanswered.
    pub(crate) silent_at: Option<&'static str>,
    /// Every escrow the operator took.
    pub(crate) taken: Vec<Vec<u8>>,
    /// The volume's keys in the one that was filed last.
    pub(crate) filed: Vec<Vec<u8>>,
    /// Free bytes on the root disk.
    pub(crate) free: u64,
    /// Programs that no package brought.
    pub(crate) lacking: std::collections::BTreeSet<&'static str>,
}

impl State {
    /// The ways of failing at an act that leave something new behind, of acts from `first` on: before one is after the one
    /// before it, and so is torn where there is no half-way. Known once a whole run has been through them.
    pub(crate) fn ways(&self, at: u64, first: u64) -> Vec<Cut> {
        let mut ways = vec![Cut::After];
        if self.halves.contains(&at) {
            ways.push(Cut::Torn);
        }
        if at == first {
            ways.push(Cut::Before);
        }
        ways
    }

    /// Whether the escrow that was filed last opens the volume: with every key in it, but for one being revoked.
    pub(crate) fn escrow_opens(&self) -> bool {
        let Content::Luks(luks) = &self.volume else { return true };
        let opening = self.filed.iter().filter(|key| luks.opens(key, None)).count();
        opening == self.filed.len()
    }

    /// Where a path lies: in memory, on the opened volume, or on the root disk.
    pub(crate) fn files(&mut self, path: &Path) -> &mut Files {
        if ["/run", "/proc", "/sys", "/dev"].iter().any(|top| path.starts_with(top)) {
            return &mut self.memory;
        }
        if self.mounted
            && path.starts_with(paths::DATA)
            && let Content::Luks(Luks { files: Some(files), .. }) = &mut self.volume
        {
            return files;
        }
        &mut self.root
    }
}
