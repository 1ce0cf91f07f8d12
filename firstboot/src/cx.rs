//! What every step is given: the machine, what is wanted, what was done, and the means to say so.

use crate::events::Log;
use crate::machine::Machine;
use anyhow::Context as _;
use host::{Cmd, Error, Host, Output};
use sha2::{Digest, Sha256};
use spec::{EventKind, NodeSpec, Receipt, StepName, paths};
use std::cell::{Cell, Ref, RefCell};
use std::path::Path;
use std::time::Duration;

/// The context of one run. It is a [`Host`] itself and measures the time spent in programs.
pub struct Cx<'a> {
    machine: &'a dyn Machine,
    /// What this server shall be.
    pub spec: NodeSpec,
    receipt: RefCell<Receipt>,
    log: Option<Log>,
    step: Cell<StepName>,
    in_programs: Cell<Duration>,
    at_gates: Cell<Duration>,
}

impl<'a> Cx<'a> {
    /// For looking only: nothing is written, nothing is said.
    pub fn read_only(machine: &'a dyn Machine) -> anyhow::Result<Self> {
        let spec = installed_spec(machine)?;
        let receipt = receipt(machine)?.unwrap_or_else(|| Receipt::new(&spec.project, spec.server.id));
        Ok(Self {
            machine,
            spec,
            receipt: RefCell::new(receipt),
            log: None,
            step: Cell::new(StepName::Preflight),
            in_programs: Cell::default(),
            at_gates: Cell::default(),
        })
    }

    /// For acting: counts the start in the receipt and says that it started.
    pub fn begin(machine: &'a dyn Machine, version: &str) -> anyhow::Result<Self> {
        let mut cx = Self::read_only(machine)?;
        cx.log = Some(Log::open(machine).context("opening the event stream")?);
        let spec_sha256 = sha256(&machine.read(Path::new(paths::NODE_SPEC))?.unwrap_or_default());
        cx.record(|receipt| {
            if receipt.spec_sha256 != spec_sha256 {
                // What was verified was another wish.
                receipt.steps.retain(|s| s.step < StepName::Verify);
                receipt.done = None;
            }
            receipt.starts += 1;
            receipt.spec_sha256 = spec_sha256;
            version.clone_into(&mut receipt.firstboot);
        })?;
        cx.emit(EventKind::Started { firstboot: version.into() })?;
        Ok(cx)
    }

    /// The machine itself.
    pub fn machine(&self) -> &'a dyn Machine {
        self.machine
    }

    /// What was done so far.
    pub fn receipt(&self) -> Ref<'_, Receipt> {
        self.receipt.borrow()
    }

    /// Changes the receipt and writes it whole, durably, before anything that relies on it.
    pub fn record(&self, change: impl FnOnce(&mut Receipt)) -> Result<(), Error> {
        let mut receipt = self.receipt.borrow().clone();
        change(&mut receipt);
        self.machine.write(Path::new(paths::RECEIPT), &receipt.to_json(), 0o644)?;
        self.receipt.replace(receipt);
        Ok(())
    }

    /// Adds an event to the stream.
    pub fn emit(&self, kind: EventKind) -> Result<(), Error> {
        self.log.as_ref().map_or(Ok(()), |log| log.emit(self.machine, kind))
    }

    /// Says what the step is at.
    pub fn say(&self, text: impl Into<String>) -> Result<(), Error> {
        self.emit(EventKind::Progress { step: self.step.get(), text: text.into() })
    }

    /// Begins a step: its clocks start at zero.
    pub(crate) fn enter(&self, step: StepName) {
        self.step.set(step);
        self.in_programs.set(Duration::ZERO);
        self.at_gates.set(Duration::ZERO);
    }

    /// The step at hand.
    pub(crate) fn step(&self) -> StepName {
        self.step.get()
    }

    /// Time spent in programs and at gates since the step began.
    pub(crate) fn spent(&self) -> (Duration, Duration) {
        (self.in_programs.get(), self.at_gates.get())
    }

    /// Does something whose time is another program's.
    fn in_program<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = self.machine.ticks();
        let done = work();
        self.in_programs.set(self.in_programs.get() + self.machine.ticks().saturating_sub(start));
        done
    }

    /// Asks a daemon over its socket; see [`Machine::ask`].
    pub(crate) fn ask(&self, socket: &Path, path: &str) -> Result<Option<(u16, Vec<u8>)>, Error> {
        self.in_program(|| self.machine.ask(socket, path))
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.at_gates.set(self.at_gates.get() + time);
    }

    /// A small file as text, or `None` when there is none.
    pub fn text(&self, path: impl AsRef<Path>) -> Result<Option<String>, Error> {
        let bytes = self.machine.read(path.as_ref())?;
        Ok(bytes.map(|b| String::from_utf8_lossy(&b).into_owned()))
    }

    /// Whether a path names something.
    pub fn exists(&self, path: impl AsRef<Path>) -> Result<bool, Error> {
        Ok(self.machine.stat(path.as_ref())?.is_some())
    }

    /// Whether a file holds exactly these bytes.
    pub fn holds(&self, path: impl AsRef<Path>, content: &[u8]) -> Result<bool, Error> {
        Ok(self.machine.read(path.as_ref())?.is_some_and(|there| there == content))
    }

    /// Makes a file hold exactly these bytes; true when it had to be written.
    pub fn ensure_file(&self, path: impl AsRef<Path>, content: &[u8], mode: u32) -> Result<bool, Error> {
        if self.holds(path.as_ref(), content)? {
            return Ok(false);
        }
        self.machine.write(path.as_ref(), content, mode)?;
        Ok(true)
    }

    /// `systemctl` with these words.
    pub fn systemctl<const N: usize>(&self, words: [&str; N]) -> Result<Output, Error> {
        self.run(&Cmd::new("systemctl").args(words))
    }
}

impl Host for Cx<'_> {
    fn probe(&self, cmd: &Cmd) -> Result<Output, Error> {
        self.in_program(|| self.machine.probe(cmd))
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        self.machine.read(path)
    }

    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        self.machine.write(path, content, mode)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        self.machine.remove(path)
    }
}

/// The node spec as installed on this machine.
pub(crate) fn installed_spec(machine: &dyn Machine) -> anyhow::Result<NodeSpec> {
    let json = machine.read(Path::new(paths::NODE_SPEC))?;
    let json = json.with_context(|| {
        format!("reading {}: no node spec was installed; run `cargo xtask provision`", paths::NODE_SPEC)
    })?;
    Ok(NodeSpec::from_json(&json)?)
}

/// The receipt, if there is one.
pub(crate) fn receipt(machine: &dyn Machine) -> anyhow::Result<Option<Receipt>> {
    let json = machine.read(Path::new(paths::RECEIPT))?;
    json.map(|json| Receipt::from_json(&json)).transpose().context("opening the receipt of an earlier run")
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
