//! A change that may shut the operator out: it is put back by itself, unless a fresh ssh connection confirms it.
//!
//! 1. What the change replaces is copied aside, with a script that puts it back, and the change gets a name of its
//!    own: a nonce, asked of the operator's side at a gate.
//! 2. A timer of systemd's is armed that runs the script in 60 seconds, whatever becomes of firstboot. After a power
//!    cut `sovereign-put-back.service` runs it, before the network is up.
//! 3. The change is made. Only the operator's side saying the nonce over a new connection makes it stay; a word that
//!    comes once the change was put back does not count.

use super::gate;
use crate::machine::Machine;
use crate::machine::digest::{hex, sha256};
use crate::run::Cx;
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _};
use spec::{Gate, paths};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a change stays without a confirmation.
pub(crate) const REVERT: Duration = Duration::from_secs(60);
/// How long the timer may be late before it is helped along.
const LATE: Duration = Duration::from_secs(60);
/// Where the doors' folders are.
const ROOT: &str = "/var/lib/sovereign/closing";

/// What is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// UFW and the rules for forwarded traffic.
    Firewall,
    /// sshd's configuration.
    Sshd,
}

impl Door {
    const BOTH: [Self; 2] = [Self::Firewall, Self::Sshd];

    /// Also the name of its gate.
    pub(crate) fn name(self) -> &'static str {
        self.gate(String::new()).name()
    }

    fn gate(self, nonce: String) -> Gate {
        match self {
            Self::Firewall => Gate::Firewall { nonce },
            Self::Sshd => Gate::Sshd { nonce },
        }
    }

    fn folder(self) -> PathBuf {
        Path::new(ROOT).join(self.name())
    }

    /// Names the change that was asked to be confirmed last: its digest and its nonce. Gone once it was put back.
    fn asked(self) -> PathBuf {
        self.folder().join("asked")
    }

    fn script(self) -> PathBuf {
        self.folder().join("put-back")
    }

    /// Held by whoever puts a change back or confirms it.
    fn lock(self) -> PathBuf {
        self.folder().join("lock")
    }

    fn unit(self) -> String {
        format!("sovereign-put-back-{}", self.name())
    }
}

/// One change.
pub(crate) struct Closing<'a> {
    /// Of what.
    pub(crate) door: Door,
    /// All of it as text: a confirmation is for this very text.
    pub(crate) text: &'a str,
    /// Every file it replaces; the paths have no character that a shell minds.
    pub(crate) files: &'a [&'a str],
    /// The shell line that puts those files in force, whatever they say.
    pub(crate) in_force: &'a str,
}

impl Closing<'_> {
    /// Whether this very change was confirmed, and nothing is armed that would put it back.
    pub(crate) fn confirmed(&self, cx: &Cx<'_>) -> Result<bool> {
        let confirmed = match self.asked(cx)? {
            Some(gate) => gate::passed(cx, &gate)?,
            None => false,
        };
        Ok(confirmed && !cx.machine().exists(armed(self.door))?)
    }

    /// Makes the change, and waits until it is confirmed. `change` writes the files and puts them in force. On an error
    /// all is as it was before.
    pub(crate) fn make(&self, cx: &Cx<'_>, change: impl FnOnce() -> Result<()>) -> Result<()> {
        let name = self.door.name();
        if let Some(gate) = self.asked(cx)?
            && gate::passed(cx, &gate)?
        {
            // It was confirmed, and what it says was lost since: making it again shuts nobody out.
            change()?;
            return disarm(cx, self.door);
        }
        // What an earlier run left half-way is no state to come back to.
        self.put_back(cx)?;
        let gate = self.prepare(cx).with_context(|| format!("preparing to put {name} back"))?;
        self.arm(cx)?;
        if let Err(e) = change() {
            self.put_back(cx)?;
            return Err(e.context(format!("closing {name}: it was put back as it was")));
        }
        // From now on it may shut somebody out: the time begins anew.
        let timer = format!("{}.timer", self.door.unit());
        let again = cx.probe(&Cmd::new("systemctl").args(["restart", &timer]))?;
        if !again.success() && cx.machine().exists(self.door.asked())? {
            self.arm(cx)?;
        }
        if !cx.machine().exists(self.door.asked())? {
            // The timer fired while the change was being made, so that half of either may be in force.
            self.run_script(cx, "anyway")?;
            bail!(
                "closing {name}: making the change took longer than {REVERT:?}, so it was put back; try again"
            );
        }
        cx.say(format!("waiting for a fresh connection through the closed {name}"))?;
        if !self.wait(cx, &gate)? {
            self.put_back(cx)?;
            bail!(
                "closing {name}: no fresh ssh connection confirmed it within {} seconds, so it was put back as it was; \
                 see that port {} is open in the cloud's own firewall, then try again",
                REVERT.as_secs(),
                cx.spec.ssh.port
            );
        }
        disarm(cx, self.door)
    }

    /// The gate of this very change, if it was asked to be confirmed and not put back since.
    fn asked(&self, cx: &Cx<'_>) -> Result<Option<Gate>> {
        let text = cx.machine().text(self.door.asked())?.unwrap_or_default();
        let named =
            text.trim_end().split_once(' ').filter(|(digest, _)| *digest == sha256(self.text.as_bytes()));
        Ok(named.map(|(_, nonce)| self.door.gate(nonce.into())))
    }

    /// Copies aside what is there, writes the script, and last the name of the change, with which the script is live.
    fn prepare(&self, cx: &Cx<'_>) -> Result<Gate> {
        let folder = self.door.folder();
        let mut bytes = [0; 8];
        cx.machine().random(&mut bytes)?;
        let nonce = hex(&bytes);
        for path in self.files {
            let aside = folder.join(format!("before{path}"));
            match (cx.read(Path::new(path))?, cx.machine().stat(Path::new(path))?) {
                (Some(content), Some(found)) => cx.write(&aside, &content, found.mode)?,
                _ => cx.remove(&aside)?,
            }
        }
        cx.write(&self.door.script(), self.script(&nonce).as_bytes(), 0o700)?;
        let line = format!("{} {nonce}\n", sha256(self.text.as_bytes()));
        cx.write(&self.door.asked(), line.as_bytes(), 0o600)?;
        Ok(self.door.gate(nonce))
    }

    /// Puts every file back as it was, if the change was not confirmed. It needs nothing of firstboot's.
    fn script(&self, nonce: &str) -> String {
        let (folder, lock, name) = (self.door.folder(), self.door.lock(), self.door.name());
        let (folder, lock, acknowledged) = (folder.display(), lock.display(), paths::ACKNOWLEDGED);
        let files: String = self.files.iter().map(|path| format!("back {path}\n")).collect();
        format!(
            "#!/bin/sh\n\
             # Written by firstboot: puts back a change of {name} that nobody confirmed. `boot`: nothing is in force yet;\n\
             # `anyway`: also when that was done already.\n\
             # One at a time: the timer's run and firstboot's own would undo each other half-way, and a word that comes\n\
             # meanwhile would be taken for one that came in time.\n\
             exec 9>{lock}\n\
             flock 9\n\
             [ -e {folder}/asked ] || [ \"${{1-}}\" = anyway ] || exit 0\n\
             [ \"$(cat {acknowledged}/{name} 2>/dev/null)\" != {nonce} ] || exit 0\n\
             failed=0\n\
             back() {{\n\
             \x20   if [ -e \"{folder}/before$1\" ]; then\n\
             \x20       cp -p \"{folder}/before$1\" \"$1.back\" && mv -f \"$1.back\" \"$1\" || failed=1\n\
             \x20   else\n\
             \x20       rm -f \"$1\" || failed=1\n\
             \x20   fi\n\
             }}\n\
             {files}\
             sync\n\
             if [ \"${{1-}}\" != boot ]; then\n\
             \x20   {{ {}; }} || failed=1\n\
             fi\n\
             [ $failed = 0 ] || exit 1\n\
             rm -f {folder}/asked\n",
            self.in_force
        )
    }

    /// The timer belongs to systemd, so that it fires whatever becomes of us.
    fn arm(&self, cx: &Cx<'_>) -> Result<()> {
        disarm(cx, self.door)?;
        let cmd = Cmd::new("systemd-run").args(["--quiet", "--collect", "--unit", &self.door.unit()]);
        let cmd = cmd.arg(format!("--on-active={}", REVERT.as_secs())).args([
            // Without it systemd may be a minute late, to wake up less often.
            "--timer-property=AccuracySec=1s",
            "--property=Type=oneshot",
            "/bin/sh",
        ]);
        cx.run(&cmd.path(self.door.script())).context("arming the timer that puts the change back")?;
        Ok(())
    }

    /// Waits until the change is confirmed, or was put back, or should have been.
    fn wait(&self, cx: &Cx<'_>, gate: &Gate) -> Result<bool> {
        let start = cx.machine().ticks();
        gate::wait(cx, gate, || {
            let late = cx.machine().ticks().saturating_sub(start) >= REVERT + LATE;
            Ok(late || !cx.machine().exists(self.door.asked())?)
        })
    }

    /// Puts back what is not confirmed; nothing happens where that was done.
    fn put_back(&self, cx: &Cx<'_>) -> Result<()> {
        if cx.machine().exists(self.door.asked())? && cx.machine().exists(self.door.script())? {
            self.run_script(cx, "now")?;
        }
        disarm(cx, self.door)
    }

    fn run_script(&self, cx: &Cx<'_>, word: &str) -> Result<()> {
        let cmd = Cmd::new("/bin/sh").path(self.door.script()).arg(word);
        cx.run(&cmd).with_context(|| {
            format!(
                "putting {} back as it was; its files are in {}/before",
                self.door.name(),
                self.door.folder().display()
            )
        })?;
        Ok(())
    }
}

/// There as long as the timer is armed.
fn armed(door: Door) -> PathBuf {
    Path::new("/run/systemd/transient").join(format!("{}.timer", door.unit()))
}

fn disarm(cx: &Cx<'_>, door: Door) -> Result<()> {
    // Stopping a timer that is not there is what we want, and systemctl says so by its exit code.
    cx.probe(&Cmd::new("systemctl").args(["stop", &format!("{}.timer", door.unit())]))?;
    Ok(())
}

/// What is to be held while a gate is acknowledged, if it is a door's.
pub(crate) fn lock(gate: &str) -> Option<PathBuf> {
    door(gate).map(Door::lock)
}

fn door(gate: &str) -> Option<Door> {
    Door::BOTH.into_iter().find(|door| door.name() == gate)
}

/// Refuses the word of somebody who comes too late, through a door that was put back meanwhile.
pub(crate) fn refuse_late(machine: &dyn Machine, gate: &str, nonce: &str) -> Result<()> {
    let Some(door) = door(gate) else { return Ok(()) };
    let asked = machine.read(&door.asked())?.unwrap_or_default();
    if !String::from_utf8_lossy(&asked).trim_end().ends_with(&format!(" {nonce}")) {
        bail!(
            "acknowledging {gate}: the change was put back already, since nobody confirmed it within {} seconds; \
             run `cargo xtask provision --project NAME` again",
            REVERT.as_secs()
        );
    }
    Ok(())
}
