//! Follows a server through its first boot: connects, hands firstboot over, answers its gates.
//!
//! Every connection may break and every run may be killed: what is done on the server is read back from its receipt,
//! what is acknowledged is on file here first, so the next run goes on where this one stopped.

mod follow;

use crate::clock;
use crate::errors::NeedsOperator;
use crate::escrow_folder::Filed;
use crate::journal::{Journal, hex};
use crate::keys;
use crate::known_hosts::KnownHosts;
use crate::project::Folder;
use crate::report::{Report, Stage};
use crate::ssh::Session;
use anyhow::{Context as _, Result, bail};
use escrow::Expected;
use host::{Cmd, Host as _};
use sha2::{Digest as _, Sha256};
use spec::{Event, EventKind, FormatToken, Gate, NodeSpec, Receipt, paths};
use std::path::Path;
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
pub struct Binary<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// Its SHA-256.
    pub sha256: &'a str,
}

/// What there is on a server, read in one connection.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// SHA-256 of the firstboot there.
    pub binary: Option<String>,
    /// SHA-256 of the node spec there.
    pub node_spec: Option<String>,
    /// The receipt.
    pub receipt: Option<Receipt>,
    /// Whether the done marker is there.
    pub done: bool,
    /// Whether the volume's keys are being changed, for which the done marker is taken away.
    pub keys_changing: bool,
    /// Whether the volume is open.
    pub unlocked: bool,
    /// The nonce of the leave to format that the project's journal holds.
    pub format_nonce: Option<String>,
    /// The number of the event with which firstboot started last, while its unit is at work.
    pub running_from: Option<u64>,
}

impl Observed {
    /// Reads what the line of [`Server::observe`] prints: one thing a line, `-` for what is not there, the receipt last,
    /// and then that this was all.
    fn read(text: &str, format_nonce: Option<String>) -> Result<Self> {
        let text = text
            .strip_suffix(WHOLE)
            .context("looking at the server: what it said was cut short; run the same command again")?;
        let mut lines = text.splitn(8, '\n').map(|line| (line != "-").then_some(line));
        let mut line = || lines.next().flatten();
        let word = |line: &str| line.split_whitespace().next().map(str::to_owned);
        let (binary, node_spec) = (line().and_then(word), line().and_then(word));
        let (done, keys_changing) = (line().is_some(), line().is_some());
        let (unlocked, at_work) = (line().is_some(), line().is_some());
        // One that is at work and has not said so yet is heard from the end of the one before.
        let started = line().and_then(|json| Event::from_line(json.as_bytes()).ok()).map(|event| {
            if matches!(event.kind, EventKind::Started { .. }) { event.seq } else { event.seq + 1 }
        });
        let receipt =
            line().filter(|json| !json.trim().is_empty()).map(|json| Receipt::from_json(json.as_bytes()));
        let running_from = started.filter(|_| at_work);
        Ok(Self {
            binary,
            node_spec,
            receipt: receipt.transpose()?,
            done,
            keys_changing,
            unlocked,
            format_nonce,
            running_from,
        })
    }

    /// Whether firstboot and the node spec there are those that ran last. What was damaged since, or arrived cut short,
    /// is not; nor is what was handed over and has not run.
    pub fn ran_as_it_is(&self) -> bool {
        self.same_firstboot_ran() && self.same_spec_was_followed()
    }

    fn same_firstboot_ran(&self) -> bool {
        let ran = self.receipt.as_ref().zip(self.binary.as_ref());
        ran.is_some_and(|(receipt, binary)| receipt.firstboot.ends_with(binary))
    }

    fn same_spec_was_followed(&self) -> bool {
        let followed = self.receipt.as_ref().map(|receipt| &receipt.spec_sha256);
        followed.is_some() && followed == self.node_spec.as_ref()
    }

    /// Whether the volume holds data, is shut, and nobody there is about to open it.
    pub fn is_locked(&self) -> bool {
        let volume = self.receipt.as_ref().and_then(|receipt| receipt.volume.as_ref());
        volume.is_some_and(|volume| volume.formatted) && !self.unlocked && self.running_from.is_none()
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
        while there.done && !there.unlocked && there.running_from.is_some() && start.elapsed() < WAKE_LIMIT {
            std::thread::sleep(WAKE_POLL);
            there = self.observe(|_| {})?;
        }
        Ok(there)
    }

    /// Reads what is there, in one connection.
    pub fn observe(&self, waiting: impl FnMut(&str)) -> Result<Observed> {
        let line = format!(
            "sha256sum {} 2>/dev/null || echo -; sha256sum {} 2>/dev/null || echo -; test -e {} && echo done || echo -; \
             test -e {} && echo changing || echo -; test -e /dev/mapper/{} && echo open || echo -; \
             systemctl is-active {} >/dev/null || test \"$(systemctl is-active {})\" = activating && echo at-work || echo -; \
             grep -E '\"event\":\"(started|done|locked|failed)\"' {} 2>/dev/null | tail -n 1 | grep . || echo -; \
             cat {} 2>/dev/null; echo; echo {WHOLE}",
            paths::BINARY,
            paths::NODE_SPEC,
            paths::DONE,
            paths::KEYS_CHANGING,
            paths::MAPPING,
            paths::UNIT,
            paths::UNIT,
            paths::EVENTS,
            paths::RECEIPT
        );
        let text = self.session.wait(&line, CONNECT_LIMIT, waiting)?.text();
        Observed::read(&text, Journal::load(self.folder)?.format_nonce)
    }

    /// Hands over firstboot and the node spec, where they differ from what is there, and starts the unit.
    /// Gives the number of the first event to follow, or `None` when all is done already.
    pub fn hand_over(&self, node: &NodeSpec, binary: &Binary<'_>, there: &Observed) -> Result<Option<u64>> {
        let same_binary = there.binary.as_deref() == Some(binary.sha256);
        if same_binary && there.same_firstboot_ran() && is_followed(node, there) {
            if there.done {
                return Ok(None);
            }
            if there.running_from.is_some() {
                return Ok(there.running_from);
            }
        }
        let stage = Stage::begin(self.report, "handing over firstboot and the node spec");
        clock::refuse_wrong(self.session)?;
        if !same_binary {
            self.write_firstboot(binary)?;
        }
        let said = self.session.run(&Cmd::new(paths::BINARY).arg("install").stdin(node.to_json()))?;
        let said = said
            .line()
            .context("starting firstboot: what it said was cut short; run the same command again")?;
        stage.done(if same_binary { "node spec handed over, firstboot was there" } else { "handed over" });
        if said == "done" {
            return Ok(None);
        }
        let next = said.parse();
        next.map(Some)
            .with_context(|| format!("starting firstboot: it said {said:?} instead of an event's number"))
    }

    /// Hands over what is neither as it ran last nor as it would be handed over, and starts nothing: for a server whose
    /// firstboot cannot even be asked to open the volume.
    pub fn mend(&self, node: &NodeSpec, binary: &Binary<'_>, there: &Observed) -> Result<()> {
        let stage = Stage::begin(self.report, "handing over again what is missing or damaged");
        if !there.same_firstboot_ran() && there.binary.as_deref() != Some(binary.sha256) {
            self.write_firstboot(binary)?;
        }
        if !there.same_spec_was_followed() && !is_followed(node, there) {
            self.session.write(Path::new(paths::NODE_SPEC), &node.to_json(), 0o644)?;
        }
        stage.done("handed over");
        Ok(())
    }

    fn write_firstboot(&self, binary: &Binary<'_>) -> Result<()> {
        let bytes =
            std::fs::read(binary.path).with_context(|| format!("reading {}", binary.path.display()))?;
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
    pub fn settle_host_key(&self) -> Result<()> {
        if self.known_hosts.keys()?.len() > 1 {
            let lasting = self.observe(|_| {})?.receipt.and_then(|receipt| receipt.host_key);
            self.known_hosts
                .settle(&lasting.context("settling the host key: the server's receipt does not name it")?)?;
            self.session.wait("true", CONNECT_LIMIT, |_| {})?;
        }
        keys::forget_first_contact(self.folder)
    }
}

/// Whether the node spec on the server is this one, with or without the leave to format, which ends when it is used, and
/// what is known of the volume, which begins then.
fn is_followed(node: &NodeSpec, there: &Observed) -> bool {
    let hash = |node: &NodeSpec| hex(&Sha256::digest(node.to_json()));
    let token = there
        .format_nonce
        .as_ref()
        .map(|nonce| FormatToken { volume_id: node.disk.volume_id, nonce: nonce.clone() });
    let known = node.disk.known.clone();
    let disks = [(None, known), (None, None), (token, None), (node.disk.format.clone(), None)];
    disks.into_iter().any(|disk| {
        let mut same = node.clone();
        (same.disk.format, same.disk.known) = disk;
        there.node_spec.as_deref() == Some(&hash(&same))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::{DiskSpec, KnownVolume, ServerSpec, SshSpec, UnlockSpec, VolumeRecord};

    fn node(format: Option<&str>, uuid: Option<&str>) -> NodeSpec {
        let format = format.map(|nonce| FormatToken { volume_id: 7, nonce: nonce.into() });
        let known = uuid.map(|uuid| KnownVolume { volume_id: 7, luks_uuid: uuid.into() });
        NodeSpec {
            version: spec::VERSION,
            project: "demo".into(),
            server: ServerSpec { id: 1, name: "demo".into() },
            disk: DiskSpec { volume_id: 7, size_gb: 10, format, known },
            recipients: vec![],
            ssh: SshSpec { port: 22 },
            inbound: vec![],
            registries: vec![],
            stacks: vec![],
            unlock: UnlockSpec::Operator,
            reboot: None,
            vpn: None,
            exceptions: vec![],
        }
    }

    #[test]
    fn what_is_on_file_of_a_volume_alone_is_no_reason_to_hand_over_again() {
        let there = |node: &NodeSpec| Observed {
            node_spec: Some(hex(&Sha256::digest(node.to_json()))),
            format_nonce: Some("abc".into()),
            ..Observed::default()
        };
        let now = node(None, Some("ours"));
        for handed_over in [node(Some("abc"), None), node(None, None), now.clone()] {
            assert!(is_followed(&now, &there(&handed_over)));
        }
        for another in [node(None, Some("another")), NodeSpec { ssh: SshSpec { port: 2222 }, ..now.clone() }]
        {
            assert!(!is_followed(&now, &there(&another)));
        }
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
        let receipt = String::from_utf8(Receipt::new("demo", 1).to_json()).unwrap();
        for receipt in ["", &receipt] {
            let text = format!("aa  /usr/firstboot\nbb  /etc/node\ndone\n-\nopen\n-\n-\n{receipt}\n{WHOLE}");
            let there = Observed::read(&text, None).unwrap();
            assert!(there.done && there.receipt.is_some() != receipt.is_empty());
            for cut in 0..text.len() {
                let error = Observed::read(&text[..cut], None).unwrap_err().to_string();
                assert!(error.contains("cut short"), "{cut}: {error}");
            }
        }
    }

    #[test]
    fn a_run_is_heard_from_its_own_beginning() {
        let event = |seq, kind: &EventKind| {
            let event = Event { seq, time: "2026-01-01T00:00:00Z".into(), kind: kind.clone() };
            String::from_utf8(event.to_line()).unwrap()
        };
        let read = |at_work: &str, last: &str| {
            let text = format!(
                "aa  /usr/firstboot\nbb  /etc/node\ndone\n-\nopen\n{at_work}\n{}\n{WHOLE}",
                last.trim_end()
            );
            Observed::read(&text, None).unwrap()
        };
        let started = EventKind::Started { firstboot: "0".into() };
        assert_eq!(read("at-work", &event(5, &started)).running_from, Some(5));
        assert_eq!(
            read("at-work", &event(7, &EventKind::Done)).running_from,
            Some(8),
            "the end is another run's"
        );
        assert_eq!(read("-", &event(7, &EventKind::Done)).running_from, None);
        assert_eq!(read("at-work", "-").running_from, None, "nothing ran before");
        let there = read("-", "-");
        assert_eq!((there.binary.as_deref(), there.node_spec.as_deref()), (Some("aa"), Some("bb")));
        assert!(there.done && there.unlocked && !there.keys_changing && there.receipt.is_none());
    }

    #[test]
    fn a_volume_is_locked_when_it_holds_data_and_nobody_opens_it() {
        let observed = |formatted, unlocked, running_from| {
            let mut receipt = Receipt::new("demo", 1);
            receipt.volume = Some(VolumeRecord { id: 7, luks_uuid: "ours".into(), formatted });
            Observed { receipt: Some(receipt), unlocked, running_from, ..Observed::default() }
        };
        assert!(observed(true, false, None).is_locked());
        assert!(!observed(false, false, None).is_locked(), "it is not formatted yet");
        assert!(!observed(true, true, None).is_locked());
        assert!(!observed(true, false, Some(4)).is_locked(), "firstboot may hold the bootstrap key");
        assert!(!Observed::default().is_locked(), "nothing was handed over yet");
    }
}
