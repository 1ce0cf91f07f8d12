//! What every step is given: the machine, what is wanted, what was done, and the means to say so.

use super::events::{self, Log};
use super::record::{installed_spec, receipt};
use crate::machine::Machine;
use crate::machine::digest::sha256;
use anyhow::Context as _;
use host::{Cmd, Error, Host, Output};
use spec::{EventKind, NodeSpec, Receipt, StepName, paths};
use stacks::Plan;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The context of one step of a run. It is a [`Host`] itself and measures the time spent in programs. Contexts of one
/// run share its receipt and its event stream, so steps may run side by side.
pub struct Cx<'a> {
    machine: &'a dyn Machine,
    /// What this server shall be.
    pub spec: Arc<NodeSpec>,
    run: Arc<Run>,
    step: StepName,
    meter: Mutex<Meter>,
    /// Whether this is the lane that runs beside the main one; see [`Log::emit`].
    second_lane: bool,
}

/// What all steps of a run share.
struct Run {
    receipt: Mutex<Arc<Receipt>>,
    log: Option<Log>,
    /// The steps that failed, in the order in which they did.
    failed: Mutex<Vec<StepName>>,
    /// What follows from the stacks of the spec, once somebody asked.
    plan: OnceLock<Plan>,
}

/// What a step spent its time on.
#[derive(Default)]
struct Meter {
    /// How many programs run now, and since when at least one does.
    running: u32,
    since: Duration,
    in_programs: Duration,
    at_gates: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Cx<'a> {
    /// For looking only: nothing is written, nothing is said.
    pub fn read_only(machine: &'a dyn Machine) -> anyhow::Result<Self> {
        let spec = installed_spec(machine)?;
        let receipt = receipt(machine)?.unwrap_or_else(|| Receipt::new(&spec.project, spec.server.id));
        let run = Run {
            receipt: Mutex::new(Arc::new(receipt)),
            log: None,
            failed: Mutex::default(),
            plan: OnceLock::new(),
        };
        let meter = Mutex::default();
        Ok(Self {
            machine,
            spec: Arc::new(spec),
            run: Arc::new(run),
            step: StepName::Preflight,
            meter,
            second_lane: false,
        })
    }

    /// The same by another node spec than the one that is installed.
    #[must_use]
    pub(crate) fn by(self, spec: NodeSpec) -> Self {
        let run = Run {
            receipt: Mutex::new(self.receipt()),
            log: None,
            failed: Mutex::default(),
            plan: OnceLock::new(),
        };
        Self { spec: Arc::new(spec), run: Arc::new(run), ..self }
    }

    /// For acting: counts the start in the receipt and says that it started.
    pub fn begin(machine: &'a dyn Machine) -> anyhow::Result<Self> {
        let looking = Self::read_only(machine)?;
        let run = Run {
            receipt: Mutex::new(looking.receipt()),
            log: Some(Log::open(machine).context("opening the event stream")?),
            failed: Mutex::default(),
            plan: OnceLock::new(),
        };
        let cx = Self { run: Arc::new(run), ..looking };
        let spec_sha256 = sha256(&machine.read(Path::new(paths::NODE_SPEC))?.unwrap_or_default());
        let firstboot = machine.firstboot()?;
        cx.record(|receipt| {
            receipt.starts += 1;
            receipt.spec_sha256 = spec_sha256;
            receipt.firstboot.clone_from(&firstboot);
        })?;
        cx.emit(EventKind::Started { firstboot })?;
        Ok(cx)
    }

    /// What follows from the stacks that this server shall run.
    pub fn plan(&self) -> Result<&Plan, stacks::Error> {
        if let Some(plan) = self.run.plan.get() {
            return Ok(plan);
        }
        let plan = Plan::of(&self.spec)?;
        Ok(self.run.plan.get_or_init(|| plan))
    }

    /// The machine itself.
    pub fn machine(&self) -> &'a dyn Machine {
        self.machine
    }

    /// The same run, for one step, whose clocks start at zero.
    pub(crate) fn for_step(&self, step: StepName) -> Self {
        let (spec, run) = (Arc::clone(&self.spec), Arc::clone(&self.run));
        Self {
            machine: self.machine,
            spec,
            run,
            step,
            meter: Mutex::default(),
            second_lane: self.second_lane,
        }
    }

    /// The same run, for the steps that run beside the main lane.
    pub(crate) fn second_lane(&self) -> Self {
        Self { second_lane: true, ..self.for_step(self.step) }
    }

    /// What was done so far: as it is now, whatever another lane adds meanwhile.
    pub fn receipt(&self) -> Arc<Receipt> {
        Arc::clone(&lock(&self.run.receipt))
    }

    /// Changes the receipt and writes it whole, durably, before anything that relies on it.
    pub fn record(&self, change: impl FnOnce(&mut Receipt)) -> Result<(), Error> {
        // Held over the write: of two lanes that record at once, the one that comes second must not lose the first.
        let mut held = lock(&self.run.receipt);
        let mut receipt = Receipt::clone(&held);
        change(&mut receipt);
        self.machine.write(Path::new(paths::RECEIPT), &receipt.to_json(), 0o644)?;
        *held = Arc::new(receipt);
        Ok(())
    }

    /// Adds an event to the stream.
    pub fn emit(&self, kind: EventKind) -> Result<(), Error> {
        self.run.log.as_ref().map_or(Ok(()), |log| log.emit(self.machine, kind, self.second_lane))
    }

    /// The number that the next event will have.
    pub(crate) fn next_event(&self) -> anyhow::Result<u64> {
        self.machine.sync_all();
        let events = events::parse(&self.machine.read(Path::new(paths::EVENTS))?.unwrap_or_default());
        Ok(events.last().map_or(0, |event| event.seq) + 1)
    }

    /// Says what the step is at.
    pub fn say(&self, text: impl Into<String>) -> Result<(), Error> {
        self.emit(EventKind::Progress { step: self.step, text: text.into() })
    }

    /// Notes that this step failed: no lane begins another one.
    pub(crate) fn failed(&self) {
        lock(&self.run.failed).push(self.step);
    }

    /// The steps that failed, the first one first.
    pub(crate) fn failures(&self) -> Vec<StepName> {
        lock(&self.run.failed).clone()
    }

    /// Time spent in programs and at gates since the step began.
    pub(crate) fn spent(&self) -> (Duration, Duration) {
        let meter = lock(&self.meter);
        (meter.in_programs, meter.at_gates)
    }

    /// Does something whose time is another program's. Programs that run at the same time count once.
    fn in_program<T>(&self, work: impl FnOnce() -> T) -> T {
        {
            let mut meter = lock(&self.meter);
            if meter.running == 0 {
                meter.since = self.machine.ticks();
            }
            meter.running += 1;
        }
        let done = work();
        let mut meter = lock(&self.meter);
        meter.running -= 1;
        if meter.running == 0 {
            let spent = self.machine.ticks().saturating_sub(meter.since);
            meter.in_programs += spent;
        }
        done
    }

    /// Asks a daemon over its socket; see [`Machine::ask`].
    pub(crate) fn ask(&self, socket: &Path, path: &str) -> Result<Option<(u16, Vec<u8>)>, Error> {
        self.in_program(|| self.machine.ask(socket, path))
    }

    pub(crate) fn add_gate_time(&self, time: Duration) {
        lock(&self.meter).at_gates += time;
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
