//! The work of actions: what a [`Job`] does to machines, and the record of how it went.

use super::clock::Working;
use super::faults::Kind;
use super::job::Job;
use super::state::{Image, Server, State};
use super::{Cloud, catalog, forwards, images};
use crate::machine::{Failure, Hypervisor, Machine, Template};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a system has to react to its power button before a reboot is given up.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const GIGABYTE: u64 = 1 << 30;

impl Cloud {
    /// Does the actions of a chain one after the other; after a failure the rest fails too.
    pub(super) async fn run_chain(self: Arc<Self>, chain: Vec<u64>, working: Working) {
        // A crash may have come between two actions of the chain.
        let mut broken = self.read(|state| {
            let first = chain.first().and_then(|id| state.actions.get(id)).map(|action| action.chain);
            let mut others = state.actions.values().filter(|action| Some(action.chain) == first);
            others.find_map(|action| action.error.clone())
        });
        for id in chain {
            let Some(job) = self.read(|state| state.actions.get(&id).map(|a| a.job.clone())) else {
                continue;
            };
            let outcome = match &broken {
                Some(first) => {
                    Err(Failure::new(&first.code, format!("not begun, because {}", first.message)))
                }
                None => self.perform_on_a_bad_day(id, &job, &working).await,
            };
            working.sleep(self.duration_of(&job)).await;
            let runs = match (&outcome, job.machine()) {
                (Err(_), Some(server)) => self.machine(move |h| h.runs(server)).await.unwrap_or(false),
                _ => false,
            };
            self.change_surely(|state| {
                match &outcome {
                    Ok(()) => job.complete(state),
                    Err(_) => job.fail(state, runs),
                }
                state.finish(id, outcome.clone().err());
            })
            .await;
            if let (Ok(()), Job::DeleteServer { server }) = (&outcome, &job) {
                self.stop_metadata(*server);
            }
            self.forget_images().await;
            broken = outcome.err();
        }
    }

    /// How long an action of this kind is to take.
    fn duration_of(&self, job: &Job) -> Duration {
        let own = self.config.action_durations.get(job.command());
        Duration::from_millis(own.copied().unwrap_or(self.config.action_ms))
    }

    /// Shows how far an action is. Only a hint, so it is not written to disk.
    fn progress(&self, id: u64, percent: u8) {
        super::lock(&self.state).actions.entry(id).and_modify(|action| action.progress = percent);
    }

    /// Does the work unless a fault on order strikes it.
    async fn perform_on_a_bad_day(
        self: &Arc<Self>,
        id: u64,
        job: &Job,
        working: &Working,
    ) -> Result<(), Failure> {
        for kind in self.faults.strike_action(job.command()) {
            match kind {
                Kind::Delay { ms } => {
                    self.faults.tell();
                    working.sleep(Duration::from_millis(ms)).await;
                }
                Kind::Fail { code, message } => {
                    self.faults.tell();
                    let message = message.unwrap_or_else(|| "a fault on order".into());
                    return Err(Failure::new(&code, message));
                }
                Kind::Stuck => working.wait(self.faults.hold()).await,
                // These are about requests.
                Kind::Refuse(_) | Kind::Answer { .. } | Kind::Lose | Kind::HoldBefore | Kind::HoldAfter => {}
            }
        }
        self.perform(id, job).await
    }

    async fn perform(self: &Arc<Self>, id: u64, job: &Job) -> Result<(), Failure> {
        match *job {
            Job::CreateServer { server } => {
                self.listen_for_metadata(server);
                self.make_root(server).await
            }
            Job::StartServer { server } => self.start(id, server).await,
            Job::StopServer { server } => self.machine(move |h| h.cut_power(server)).await?,
            Job::ResetServer { server } => {
                if !self.changes_system(server) && self.machine(move |h| h.runs(server)).await? {
                    self.machine(move |h| h.reset(server)).await?
                } else {
                    self.start(id, server).await
                }
            }
            Job::ShutdownServer { server } => self.machine(move |h| h.press_power(server)).await?,
            Job::RebootServer { server } => {
                self.shut_down(id, server).await?;
                self.start(id, server).await
            }
            Job::RebuildServer { server } => {
                self.machine(move |h| h.cut_power(server)).await??;
                self.make_root(server).await?;
                self.progress(id, 50);
                self.start(id, server).await
            }
            Job::DeleteServer { server } => self.machine(move |h| h.remove(server)).await?,
            Job::CreateVolume { volume } => {
                let size = self.read(|state| state.volumes.get(&volume).map_or(0, |v| v.size));
                self.machine(move |h| h.size_volume(volume, size, None)).await?
            }
            Job::ResizeVolume { volume, size } => {
                let server = self.read(|state| state.volumes.get(&volume).and_then(|v| v.server));
                self.machine(move |h| h.size_volume(volume, size, server.filter(|s| h.runs(*s)))).await?
            }
            Job::AttachVolume { volume, server } => {
                let disk = self.files.volume(volume);
                self.machine(move |h| if h.runs(server) { h.attach(server, &disk) } else { Ok(()) }).await?
            }
            Job::DetachVolume { volume, server } => {
                self.machine(move |h| if h.runs(server) { h.detach(server, volume) } else { Ok(()) }).await?
            }
            Job::ApplyFirewall { server, .. } | Job::RemoveFirewall { server, .. } => {
                self.sync_ports(server).await
            }
            Job::AlreadyOn { .. }
            | Job::SetRules { .. }
            | Job::AssignIp { .. }
            | Job::UnassignIp { .. }
            | Job::ChangeDnsPtr { .. }
            | Job::ProtectServer { .. }
            | Job::ProtectVolume { .. }
            | Job::ProtectIp { .. }
            | Job::ProtectImage { .. }
            | Job::Zone { .. }
            | Job::StorageBox { .. } => Ok(()),
            Job::CreateImage { server, image } => self.copy_root(server, image).await,
            Job::ChangeType { server, ref server_type, upgrade_disk } => {
                self.change_type(server, server_type, upgrade_disk).await?;
                self.progress(id, 50);
                self.start(id, server).await
            }
            Job::EnableRescue { .. }
            | Job::DisableRescue { .. }
            | Job::SwitchBackup { .. }
            | Job::ResetPassword { .. }
            | Job::RequestConsole { .. }
            | Job::DetachIso { .. } => Ok(()),
        }
    }

    async fn make_root(&self, server: u64) -> Result<(), Failure> {
        let plan = self.read(|state| {
            let record = state.servers.get(&server)?;
            self.plan_disk(record, state.images.get(&record.image)?)
        });
        let Some(disk) = plan else {
            return Err(Failure::new(
                "action_failed",
                format!("making the disk of server {server}: its image is gone"),
            ));
        };
        self.machine(move |h| h.make_root(server, &disk)).await?
    }

    /// The disk of a server's machine, when it is made from this image.
    fn plan_disk(&self, server: &Server, image: &Image) -> Option<Template> {
        let disk_gb = catalog::disk_of(server)?.min(u64::from(self.config.max_disk_gb));
        Some(Template { image: image.disk.clone(), bytes: image.disk_bytes.max(disk_gb * GIGABYTE) })
    }

    /// Writes a server's disk as it is now, and the kernel it is booted with, into the files of an image.
    async fn copy_root(self: &Arc<Self>, server: u64, image: u64) -> Result<(), Failure> {
        let plan = self.read(|state| {
            let origin = state.images.get(&state.servers.get(&server)?.image)?;
            let copy = state.images.get(&image)?;
            Some((copy.disk.clone(), origin.boot.clone().zip(copy.boot.clone())))
        });
        let Some((disk, kernel)) = plan else {
            return Err(Failure::new(
                "action_failed",
                format!("copying the disk of server {server}: it is gone"),
            ));
        };
        let path = disk.clone();
        let copy = move |h: &dyn Hypervisor| {
            h.copy_root(server, &path, kernel.as_ref().map(|(from, to)| (from, to)))
        };
        self.machine(copy).await??;
        let (bytes, stored) = images::sizes(&disk);
        self.change_surely(|state| {
            state.images.entry(image).and_modify(|i| (i.disk_bytes, i.stored_bytes) = (bytes, Some(stored)));
        })
        .await;
        Ok(())
    }

    /// Records another type and grows the disk with it where that is asked for.
    async fn change_type(self: &Arc<Self>, server: u64, kind: &str, grow: bool) -> Result<(), Failure> {
        self.change_surely(|state| {
            state.servers.entry(server).and_modify(|s| {
                s.kept_disk = if grow { None } else { catalog::disk_of(s) };
                s.server_type = kind.into();
            });
        })
        .await;
        let disk = self.read(|state| {
            let record = state.servers.get(&server)?;
            self.plan_disk(record, state.images.get(&record.image)?)
        });
        match disk.filter(|_| grow) {
            Some(disk) => self.machine(move |h| h.grow_root(server, disk.bytes)).await?,
            None => Ok(()),
        }
    }

    /// Whether the server's next boot starts another system than the one that runs: its own, or the rescue system.
    fn changes_system(&self, server: u64) -> bool {
        self.read(|state| {
            state.servers.get(&server).is_some_and(|s| s.rescued.is_some() || s.due_rescue().is_some())
        })
    }

    /// Records which system the machine is about to boot, before it asks for its metadata.
    async fn choose_system(self: &Arc<Self>, server: u64) {
        let (present, next) = self.read(|state| {
            let record = state.servers.get(&server);
            let due = record.and_then(|s| s.due_rescue()).map(|rescue| rescue.public_keys.clone());
            (record.and_then(|s| s.rescued.clone()), due)
        });
        if present != next {
            self.change_surely(|state| {
                state.servers.entry(server).and_modify(|s| s.rescued.clone_from(&next));
            })
            .await;
        }
    }

    async fn start(self: &Arc<Self>, id: u64, server: u64) -> Result<(), Failure> {
        // A start that a crash interrupted is done again from its beginning, so what QEMU forwards is known.
        self.machine(move |h| h.cut_power(server)).await??;
        if !self.machine(move |h| h.has_root(server)).await? {
            self.make_root(server).await?;
        }
        self.choose_system(server).await;
        self.progress(id, 60);
        let Some(machine) = self.read(|state| self.plan_machine(state, server)) else {
            return Err(Failure::new("action_failed", format!("starting server {server}: it is gone")));
        };
        let forwards = machine.forwards.clone();
        self.machine(move |h| h.start(&machine)).await??;
        self.change_surely(|state| {
            state.servers.entry(server).and_modify(|s| s.forwards.clone_from(&forwards));
        })
        .await;
        Ok(())
    }

    fn plan_machine(&self, state: &State, server: u64) -> Option<Machine> {
        let record = state.servers.get(&server)?;
        let kind = catalog::server_type(&record.server_type)?;
        let volumes = state.volumes_of(server).into_iter();
        let own = state.images.get(&record.image)?;
        let rescue = match &record.rescued {
            Some(_) => Some(images::bootable(state, kind.architecture).next()?),
            None => None,
        };
        Some(Machine {
            server,
            architecture: kind.architecture,
            cores: kind.cores,
            memory_mb: (kind.memory * 1024).min(self.config.max_memory_mb),
            boot: rescue.unwrap_or(own).boot.clone(),
            rescue: rescue.and_then(|image| self.plan_disk(record, image)),
            volumes: volumes.map(|volume| self.files.volume(volume)).collect(),
            address: state.ipv4_of(server),
            forwards: forwards::wanted(state, server, &self.config.open_ports),
            memory: None,
        })
    }

    /// Lets suspended machines go on from where they were. One that cannot is as if its power had been cut.
    pub(super) fn wake(&self) {
        let running = self.read(|state| {
            let running = state.servers.iter().filter(|(_, record)| record.status == "running");
            running.map(|(id, _)| *id).collect::<Vec<_>>()
        });
        for server in running {
            let memory = self.files.memory(server);
            if !memory.exists() || self.hypervisor.runs(server) {
                continue;
            }
            let machine = self.read(|state| self.plan_machine(state, server));
            let machine = machine.map(|machine| Machine { memory: Some(memory.clone()), ..machine });
            if let Some(Err(failure)) = machine.map(|machine| self.hypervisor.start(&machine)) {
                host::say::err(format_args!("rehearsal: waking server {server}: {}", failure.message));
                let _ = self.hypervisor.cut_power(server);
            }
            // Memory goes with the disks as they were: once they are written to it is worth nothing.
            let _ = std::fs::remove_file(memory);
        }
    }

    /// Presses the power button and waits until the machine has ended.
    async fn shut_down(&self, id: u64, server: u64) -> Result<(), Failure> {
        if !self.machine(move |h| h.runs(server)).await? {
            return Ok(());
        }
        self.machine(move |h| h.press_power(server)).await??;
        self.progress(id, 20);
        let start = Instant::now();
        while self.machine(move |h| h.runs(server)).await? {
            if start.elapsed() > SHUTDOWN_LIMIT {
                let seconds = SHUTDOWN_LIMIT.as_secs();
                let message = format!(
                    "rebooting server {server}: its system did not react to the power button within {seconds} s; \
                     reset it, or power it off and on"
                );
                return Err(Failure::new("action_failed", message));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Opens and closes ports of a running machine until they are what its firewalls say.
    pub(super) async fn sync_ports(self: &Arc<Self>, server: u64) -> Result<(), Failure> {
        let _one_at_a_time = self.forwarding.lock().await;
        let plan = self.read(|state| {
            let record = state.servers.get(&server).filter(|s| s.status == "running")?;
            let wanted = forwards::wanted(state, server, &self.config.open_ports);
            Some((state.ipv4_of(server)?, record.forwards.clone(), wanted))
        });
        let Some((address, mut open, wanted)) = plan else { return Ok(()) };
        if open == wanted {
            return Ok(());
        }
        let mut result = Ok(());
        for forward in open.clone().into_iter().filter(|f| !wanted.contains(f)) {
            match self.machine(move |h| h.close_port(server, address, forward)).await? {
                Ok(()) => open.retain(|f| *f != forward),
                Err(failure) => result = Err(failure),
            }
        }
        for forward in wanted.into_iter().filter(|f| !open.contains(f)).collect::<Vec<_>>() {
            match self.machine(move |h| h.open_port(server, address, forward)).await? {
                Ok(()) => open.push(forward),
                Err(failure) => result = Err(failure),
            }
        }
        open.sort_unstable();
        self.change_surely(|state| {
            state.servers.entry(server).and_modify(|s| s.forwards.clone_from(&open));
        })
        .await;
        result
    }
}
