//! The cloud itself: its state, the work of its actions, and the watch over its machines.

pub(crate) mod addresses;
pub(crate) mod catalog;
pub(crate) mod clock;
mod complete;
pub(crate) mod dns;
pub(crate) mod faults;
pub(crate) mod forwards;
pub(crate) mod images;
pub(crate) mod job;
pub(crate) mod limits;
pub(crate) mod log;
mod metadata;
mod price;
pub(crate) mod rate;
pub(crate) mod rescue;
pub(crate) mod state;
pub(crate) mod storage;
mod watch;
mod work;

use crate::Error;
use crate::config::{Config, Machines};
use crate::error::ApiError;
use crate::machine::paper::Paper;
use crate::machine::qemu::Qemu;
use crate::machine::{Failure, Files, Hypervisor};
use state::State;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};

/// How long to wait before a state that could not be written is written again.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// One rehearsal cloud.
pub(crate) struct Cloud {
    pub(crate) config: Config,
    pub(crate) token: String,
    pub(crate) files: Files,
    pub(crate) faults: faults::Faults,
    pub(crate) log: log::Log,
    pub(crate) clock: clock::Clock,
    pub(crate) rate: rate::Bucket,
    hypervisor: Arc<dyn Hypervisor>,
    state: Mutex<State>,
    /// Only one task at a time opens and closes ports, so that what is recorded is what is.
    forwarding: tokio::sync::Mutex<()>,
    metadata: Mutex<BTreeMap<u64, JoinHandle<()>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Cloud {
    /// Loads the state and the images on offer; nothing runs yet.
    pub(crate) fn open(config: Config, token: String) -> Result<Arc<Self>, Error> {
        let mut state = State::load(&config.state_dir)?;
        let clock = clock::Clock::new(config.clock, state.clock_ms);
        clock.scope_now(|| images::offer(&mut state, &config))?;
        state.save(&config.state_dir)?;
        let files = Files::new(&config.state_dir);
        let hypervisor: Arc<dyn Hypervisor> = match config.machines {
            Machines::Qemu => Arc::new(Qemu::new(files.clone(), config.emulator.clone())),
            Machines::None => {
                let running = state.servers.iter().filter(|(_, server)| server.status == "running");
                Arc::new(Paper::new(running.map(|(id, _)| *id).collect()))
            }
        };
        Ok(Arc::new(Self {
            rate: rate::Bucket::new(config.rate_limit, clock.clone()),
            clock,
            config,
            token,
            files,
            faults: faults::Faults::default(),
            log: log::Log::new(),
            hypervisor,
            state: Mutex::new(state),
            forwarding: tokio::sync::Mutex::default(),
            metadata: Mutex::default(),
            tasks: Mutex::default(),
        }))
    }

    /// Takes up what the last daemon left: suspended machines, actions that were running, metadata for every server, the
    /// watch. It blocks while memory is read.
    pub(crate) fn resume(self: &Arc<Self>) {
        let mut chains: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let servers = self.read(|state| {
            for (id, action) in state.actions.iter().filter(|(_, action)| action.is_running()) {
                chains.entry(action.chain).or_default().push(*id);
            }
            state.servers.keys().copied().collect::<Vec<_>>()
        });
        for server in servers {
            self.listen_for_metadata(server);
        }
        self.wake();
        for chain in chains.into_values() {
            self.spawn(|working| Arc::clone(self).run_chain(chain, working));
        }
        self.spawn(|working| Arc::clone(self).watch(working));
    }

    /// Ends all tasks at once, as a crash would.
    pub(crate) fn abort(&self) {
        lock(&self.tasks).abort_all();
        for task in std::mem::take(&mut *lock(&self.metadata)).into_values() {
            task.abort();
        }
    }

    /// Looks at the state.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&lock(&self.state))
    }

    /// Changes the state: all of it or nothing, on disk before anyone is told.
    /// Actions begun by the change start running when it is done.
    pub(crate) fn change<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut State) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut state = lock(&self.state);
        let mut next = state.clone();
        let result = change(&mut next)?;
        let begun = std::mem::take(&mut next.begun);
        next.clock_ms = self.clock.virtual_millis();
        next.save(&self.config.state_dir).map_err(|e| {
            ApiError::server(format!("{e}; nothing was changed; make room or repair the disk and ask again"))
        })?;
        *state = next;
        drop(state);
        for chain in begun {
            self.spawn(|working| Arc::clone(self).run_chain(chain, working));
        }
        Ok(result)
    }

    /// Changes the state in the background, where nobody can be told of a failure: it is tried until it works.
    async fn change_surely(self: &Arc<Self>, change: impl Fn(&mut State)) {
        loop {
            let done = self.change(|state| {
                change(state);
                Ok(())
            });
            match done {
                Ok(()) => return,
                Err(error) => host::say::err(format_args!("rehearsal: {}", error.message)),
            }
            tokio::time::sleep(WRITE_AGAIN).await;
        }
    }

    /// Calls the hypervisor on a thread of its own.
    async fn machine<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Hypervisor) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let hypervisor = Arc::clone(&self.hypervisor);
        tokio::task::spawn_blocking(move || call(&*hypervisor))
            .await
            .map_err(|e| Failure::new("action_failed", format!("working on the machine: {e}")))
    }

    /// Plugs a second network card into a running server, or pulls it out.
    pub(crate) async fn set_tap(&self, server: u64, tap: Option<String>) -> Result<(), Failure> {
        let work = move |h: &dyn Hypervisor| match tap {
            Some(tap) => h.plug_tap(server, &tap),
            None => h.unplug_tap(server),
        };
        self.machine(work).await?
    }

    /// Removes a volume's file, once its record is gone.
    pub(crate) async fn remove_volume_file(&self, volume: u64) {
        if let Ok(Err(failure)) = self.machine(move |h| h.remove_volume(volume)).await {
            host::say::err(format_args!("rehearsal: {}", failure.message));
        }
    }

    /// Starts a task, which counts as working from this moment on.
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: impl FnOnce(clock::Working) -> F) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(self.clock.scope(task(self.clock.work())));
    }

    fn listen_for_metadata(self: &Arc<Self>, server: u64) {
        let mut listeners = lock(&self.metadata);
        if listeners.contains_key(&server) {
            return;
        }
        match metadata::listen(Arc::clone(self), server) {
            Ok(task) => drop(listeners.insert(server, task)),
            Err(error) => host::say::err(format_args!("rehearsal: {error}")),
        }
    }

    fn stop_metadata(&self, server: u64) {
        if let Some(task) = lock(&self.metadata).remove(&server) {
            task.abort();
        }
        let _ = std::fs::remove_file(self.files.metadata(server));
    }
}

/// A panic elsewhere does not make the data behind a lock unusable: it is replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
