//! Follows a server through its first boot: connects, hands firstboot over, answers its gates.
//!
//! Every connection may break and every run may be killed: what is done on the server is read back from its receipt,
//! what is acknowledged is on file here first, so the next run goes on where this one stopped.

mod follow;

use crate::clock;
use crate::errors::NeedsOperator;
use crate::escrow_folder::Filed;
use crate::keys;
use crate::known_hosts::KnownHosts;
use crate::project::Folder;
use crate::report::{Report, Stage};
use crate::ssh::Session;
use anyhow::{Context as _, Result, bail};
use escrow::Expected;
use host::{Cmd, Host as _};
use spec::{Gate, NodeSpec, Phase, Receipt, State, Status, paths};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a new server may take until it lets us in; emulated machines on a busy host are slow.
const CONNECT_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How long a server may try to open its volume by itself; firstboot gives up earlier.
const WAKE_LIMIT: Duration = Duration::from_secs(5 * 60);
const WAKE_POLL: Duration = Duration::from_secs(1);
/// What the server says last when it is looked at.
const WHOLE: &str = "that-is-all";

/// The static binary to hand over.
#[derive(Debug, Clone)]
pub struct Binary {
    /// Where it is.
    pub path: PathBuf,
    /// Its SHA-256.
    pub sha256: String,
}

/// What there is on a server, read in one connection.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// SHA-256 of the firstboot there.
    pub binary: Option<String>,
    /// SHA-256 of the node spec there.
    pub node_spec: Option<String>,
    /// Whether the volume is open.
    pub unlocked: bool,
    /// What was done there so far.
    pub(crate) receipt: Option<Receipt>,
    /// What that firstboot says; nothing where there is none, or where it cannot say.
    pub status: Option<Status>,
}

impl Observed {
    /// Reads what the line of [`Server::observe`] prints: one thing a line, `-` for what is not there, the status behind
    /// them, and last that this was all.
    fn read(text: &str) -> Result<Self> {
        let text = text
            .strip_suffix(WHOLE)
            .context("looking at the server: what it said was cut short; run the same command again")?;
        let mut lines =
            text.splitn(5, '\n').map(|line| Some(line.trim()).filter(|line| !["-", ""].contains(line)));
        let mut line = || lines.next().flatten();
        let word = |line: &str| line.split_whitespace().next().map(str::to_owned);
        let (binary, node_spec) = (line().and_then(word), line().and_then(word));
        let unlocked = line().is_some();
        let receipt = line().map(|json| Receipt::from_json(json.as_bytes())).transpose()?;
        let status = line().map(|json| Status::from_json(json.as_bytes())).transpose()?;
        Ok(Self { binary, node_spec, unlocked, receipt, status })
    }

    /// What was done there so far.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    /// Whether firstboot and the node spec there are those that ran last. What was damaged since, or arrived cut short,
    /// is not; nor is what was handed over and has not run.
    pub fn ran_as_it_is(&self) -> bool {
        self.same_firstboot_ran() && self.same_spec_was_followed()
    }

    fn same_firstboot_ran(&self) -> bool {
        let ran = self.receipt().zip(self.binary.as_ref());
        ran.is_some_and(|(receipt, binary)| receipt.firstboot.ends_with(binary))
    }

    fn same_spec_was_followed(&self) -> bool {
        let followed = self.receipt().map(|receipt| &receipt.spec_sha256);
        followed.is_some() && followed == self.node_spec.as_ref()
    }

    fn is(&self, states: &[State]) -> bool {
        self.status.as_ref().is_some_and(|status| states.contains(&status.state))
    }

    /// Whether all held when it was last looked at, nothing is pending, and the volume is open.
    pub fn is_done(&self) -> bool {
        self.is(&[State::Done])
    }

    /// Whether a firstboot is at work.
    pub fn is_at_work(&self) -> bool {
        self.is(&[State::Running, State::Waiting])
    }

    /// What is pending, where the firstboot there says it.
    pub fn phase(&self) -> Option<&Phase> {
        self.status.as_ref().and_then(|status| status.phase.as_ref())
    }

    /// Whether nothing is pending; the volume may be shut.
    pub fn is_settled(&self) -> bool {
        self.phase() == Some(&Phase::Settled)
    }

    /// The number of the event with which the run began that is at work.
    pub fn running_from(&self) -> Option<u64> {
        self.status.as_ref().and_then(|status| status.begun)
    }

    /// Whether the volume holds data.
    pub fn has_data(&self) -> bool {
        self.receipt().and_then(|receipt| receipt.volume.as_ref()).is_some_and(|volume| volume.formatted)
    }

    /// Whether the volume holds data, is shut, and nobody there is about to open it.
    pub fn is_locked(&self) -> bool {
        self.has_data() && !self.unlocked && !self.is_at_work()
    }
}

/// A server and what is known of it on this side.
pub struct Server<'a> {
    /// The project's folder.
    pub folder: &'a Folder,
    /// The connection.
    pub session: &'a Session,
    /// The pinned keys.
    pub known_hosts: &'a KnownHosts<'a>,
    /// Who watches.
    pub report: &'a dyn Report,
}

impl Server<'_> {
    /// Waits for the way in, and reads what is there, in one connection.
    pub fn connect(&self) -> Result<Observed> {
        self.known_hosts.pin_first_contact()?;
        let stage = Stage::begin(self.report, "connecting, against the pinned host key");
        let observed = self.observe(|said| stage.detail(said))?;
        stage.done("connected");
        Ok(observed)
    }

    /// The same, once a server that opens its volume by itself after a restart has done so, or has given up.
    pub fn connect_awake(&self) -> Result<Observed> {
        let mut there = self.connect()?;
        let start = Instant::now();
        while there.is_settled() && !there.unlocked && there.is_at_work() && start.elapsed() < WAKE_LIMIT {
            std::thread::sleep(WAKE_POLL);
            there = self.observe(|_| {})?;
        }
        Ok(there)
    }

    /// Reads what is there, in one connection.
    pub fn observe(&self, waiting: impl FnMut(&str)) -> Result<Observed> {
        let line = format!(
            "sha256sum {binary} 2>/dev/null || echo -; sha256sum {spec} 2>/dev/null || echo -; \
             test -e /dev/mapper/{mapping} && echo open || echo -; \
             test -e {receipt} && tr -d '\\n' < {receipt} || printf -; echo; \
             {binary} status --json 2>/dev/null; echo; echo {WHOLE}",
            binary = paths::BINARY,
            spec = paths::NODE_SPEC,
            mapping = paths::MAPPING,
            receipt = paths::RECEIPT,
        );
        Observed::read(&self.session.wait(&line, CONNECT_LIMIT, waiting)?.text())
    }

    /// Hands over firstboot, where it differs from what is there, and the node spec; firstboot says what is left to do and
    /// begins with it. Gives the number of the first event to follow, or `None` when the server is as it must be.
    pub fn hand_over(&self, node: &NodeSpec, binary: &Binary, there: &Observed) -> Result<Option<u64>> {
        let stage = Stage::begin(self.report, "handing over firstboot and the node spec");
        let same_binary = there.binary.as_deref() == Some(&*binary.sha256);
        if !same_binary || !there.is_done() {
            clock::refuse_wrong(self.session)?;
        }
        if !same_binary {
            self.write_firstboot(binary)?;
        }
        let said = self.session.run(&Cmd::new(paths::BINARY).arg("install").stdin(node.to_json()))?;
        let said = said
            .line()
            .context("starting firstboot: what it said was cut short; run the same command again")?;
        if said == "done" {
            stage.done("the server is as it must be");
            return Ok(None);
        }
        stage.done(if same_binary { "node spec handed over, firstboot was there" } else { "handed over" });
        let next = said.parse();
        next.map(Some)
            .with_context(|| format!("starting firstboot: it said {said:?} instead of an event's number"))
    }

    /// Hands over what is neither as it ran last nor as it would be handed over, and starts nothing: for a server whose
    /// firstboot cannot even be asked to open the volume.
    pub fn mend(&self, node: &NodeSpec, binary: &Binary, there: &Observed) -> Result<()> {
        let stage = Stage::begin(self.report, "handing over again what is missing or damaged");
        if !there.same_firstboot_ran() && there.binary.as_deref() != Some(&*binary.sha256) {
            self.write_firstboot(binary)?;
        }
        if !there.same_spec_was_followed() {
            self.session.write(Path::new(paths::NODE_SPEC), &node.to_json(), 0o644)?;
        }
        stage.done("handed over");
        Ok(())
    }

    fn write_firstboot(&self, binary: &Binary) -> Result<()> {
        let bytes =
            std::fs::read(&binary.path).with_context(|| format!("reading {}", binary.path.display()))?;
        Ok(self.session.write(Path::new(paths::BINARY), &bytes, 0o755)?)
    }

    /// What a locked volume wants of the operator.
    pub fn locked(&self) -> anyhow::Error {
        let name = self.folder.name();
        NeedsOperator(format!(
            "the server's volume is locked: open it with `cargo xtask unlock --project {name} --identity FILE`"
        ))
        .into()
    }

    /// Fetches the sealed bundle, proves it, files it. Does nothing when it is on file already.
    pub fn take_escrow(&self, sha256: &str, expected: &Expected<'_>) -> Result<()> {
        if Filed::current(self.folder)?.is_some_and(|filed| filed.sha256() == sha256) {
            return Ok(());
        }
        let [sealed, manifest, signature] =
            self.session.fetch([paths::ESCROW_BUNDLE, paths::ESCROW_MANIFEST, paths::ESCROW_SIGNATURE])?;
        let filed = Filed { sealed, manifest, signature };
        if filed.sha256() != sha256 {
            bail!(
                "taking the escrow: the bundle that arrived is not the one announced; run the same command again"
            );
        }
        let problems = filed.check(&self.known_hosts.keys()?, expected)?;
        if !problems.is_empty() {
            let list: String = problems.iter().map(|p| format!("\n  {p}")).collect();
            bail!(
                "taking the escrow: it is not as it must be, so it was not acknowledged and nothing uses its secrets:{list}"
            );
        }
        filed.file(self.folder)?;
        Ok(())
    }

    fn pass(&self, gate: &Gate, expected: &Expected<'_>) -> Result<()> {
        match gate {
            Gate::HostKey { public_key } => self.known_hosts.add(public_key)?,
            Gate::Escrow { sha256 } => self.take_escrow(sha256, expected)?,
            // The confirmation is itself the fresh connection that proves the way in. Where none comes about, or too
            // late, the server puts the change back and says so in its events.
            Gate::Firewall { .. } | Gate::Sshd { .. } => {
                if let Err(e) = self.acknowledge(gate) {
                    self.report.note(&format!("the closed {} was not confirmed: {e}", gate.name()));
                }
                return Ok(());
            }
        }
        Ok(self.acknowledge(gate)?)
    }

    fn acknowledge(&self, gate: &Gate) -> Result<(), host::Error> {
        let cmd = Cmd::new(paths::BINARY).args(["acknowledge", gate.name(), gate.value()]);
        self.session.run(&cmd).map(drop)
    }

    /// Drops every key but the lasting one, once the server has changed over to that. Which one it is, the server says:
    /// an interrupted rebuild leaves the key of the system before, or that of the system that never came, among the pins.
    pub fn keep_lasting_host_key(&self) -> Result<()> {
        if self.known_hosts.keys()?.len() > 1 {
            let lasting = self.observe(|_| {})?.receipt().and_then(|receipt| receipt.host_key.clone());
            self.known_hosts.keep_only(
                &lasting.context("keeping the lasting host key: the server's receipt does not name it")?,
            )?;
            self.session.wait("true", CONNECT_LIMIT, |_| {})?;
        }
        keys::forget_first_contact(self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What the line prints of a server whose firstboot is of this release, or, without a phase, of an earlier one.
    fn observed(state: &str, formatted: bool, phase: Option<&str>, open: bool) -> Observed {
        let volume = json!({ "id": 7, "luks_uuid": "ours", "formatted": formatted });
        let mut receipt: serde_json::Value =
            serde_json::from_slice(&Receipt::new("demo", 1).to_json()).unwrap();
        receipt["volume"] = volume;
        let mut status = json!({
            "version": 1, "state": state, "step": null, "gate": null, "error": null, "last_seq": 9, "receipt": null,
        });
        if let Some(phase) = phase {
            (status["phase"], status["begun"]) = (json!({ "phase": phase }), json!(5));
        }
        let mapping = if open { "open" } else { "-" };
        Observed::read(&format!(
            "aa  /usr/firstboot\nbb  /etc/node\n{mapping}\n{receipt}\n{status:#}\n{WHOLE}"
        ))
        .unwrap()
    }

    #[test]
    fn what_is_there_counts_as_it_ran_last_or_not_at_all() {
        let there = |binary: Option<&str>, node_spec: Option<&str>| {
            let (firstboot, spec_sha256) = ("0.1.0 cafe".into(), "feed".into());
            let receipt = Some(Receipt { firstboot, spec_sha256, ..Receipt::new("demo", 1) });
            let [binary, node_spec] = [binary, node_spec].map(|hash| hash.map(str::to_owned));
            Observed { binary, node_spec, receipt, ..Observed::default() }
        };
        assert!(there(Some("cafe"), Some("feed")).ran_as_it_is());
        for other in [None, Some("cut short or only handed over")] {
            assert!(!there(other, Some("feed")).ran_as_it_is());
            assert!(!there(Some("cafe"), other).ran_as_it_is());
        }
        assert!(!Observed::default().ran_as_it_is(), "nothing ran");
    }

    #[test]
    fn what_a_server_is_seen_to_be_is_read_whole_or_not_at_all() {
        let receipt: serde_json::Value = serde_json::from_slice(&Receipt::new("demo", 1).to_json()).unwrap();
        for receipt in ["-".to_owned(), receipt.to_string()] {
            let text = format!("aa  /usr/firstboot\nbb  /etc/node\nopen\n{receipt}\n\n{WHOLE}");
            let there = Observed::read(&text).unwrap();
            assert!(there.unlocked && there.receipt().is_some() == (receipt != "-"));
            for cut in 0..text.len() {
                let error = Observed::read(&text[..cut]).unwrap_err().to_string();
                assert!(error.contains("cut short"), "{cut}: {error}");
            }
        }
    }

    #[test]
    fn what_is_there_is_read_also_where_there_is_nothing_or_an_earlier_release() {
        let nothing = Observed::read(&format!("-\n-\n-\n-\n\n{WHOLE}")).unwrap();
        assert!(nothing.binary.is_none() && nothing.status.is_none() && !nothing.unlocked);
        let now = observed("running", true, Some("settled"), true);
        assert_eq!((now.binary.as_deref(), now.running_from()), (Some("aa"), Some(5)));
        assert!(now.is_settled() && now.unlocked && now.is_at_work() && !now.is_done());
        let earlier = observed("done", true, None, true);
        assert!(earlier.is_done() && earlier.phase().is_none() && earlier.running_from().is_none());
    }

    #[test]
    fn a_volume_is_locked_when_it_holds_data_and_nobody_opens_it() {
        assert!(observed("locked", true, Some("settled"), false).is_locked());
        assert!(!observed("stopped", false, Some("fresh"), false).is_locked(), "it is not formatted yet");
        assert!(!observed("done", true, Some("settled"), true).is_locked());
        assert!(
            !observed("running", true, Some("ending"), false).is_locked(),
            "firstboot may hold the bootstrap key"
        );
        assert!(!Observed::default().is_locked(), "nothing was handed over yet");
    }
}
