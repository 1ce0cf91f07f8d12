use super::clock::Working;
use super::{Cloud, forwards};
use crate::config::Machines;
use std::sync::Arc;
use std::time::Duration;

/// How often the machines are looked at. They run in real time, whatever the cloud's clock says.
const PERIOD: Duration = Duration::from_millis(500);

impl Cloud {
    /// Looks after the machines for ever: one that has ended makes its server `off`, and ports follow firewalls
    /// whose label selectors have come to mean another server.
    pub(super) async fn watch(self: Arc<Self>, working: Working) {
        loop {
            match self.config.machines {
                Machines::Qemu => working.wait(tokio::time::sleep(PERIOD)).await,
                Machines::None => working.tick(PERIOD).await,
            }
            self.look_after_all().await;
        }
    }

    /// Looks once after every machine that is said to run.
    pub(crate) async fn look_after_all(self: &Arc<Self>) {
        let servers = self.read(|state| {
            let idle = |id: &u64| !state.is_locked("server", *id);
            let running = state.servers.iter().filter(|(_, s)| s.status == "running");
            running.map(|(id, _)| *id).filter(idle).collect::<Vec<_>>()
        });
        for server in servers {
            self.look_after(server).await;
        }
    }

    async fn look_after(self: &Arc<Self>, server: u64) {
        let Ok(runs) = self.machine(move |h| h.runs(server)).await else { return };
        if !runs {
            self.change_surely(|state| {
                // An action may have begun since; it sets the status itself.
                if !state.is_locked("server", server)
                    && let Some(record) = state.servers.get_mut(&server)
                {
                    record.status = "off".into();
                    record.forwards.clear();
                }
            })
            .await;
            return;
        }
        let differs = self.read(|state| {
            let wanted = forwards::wanted(state, server, &self.config.open_ports);
            state.servers.get(&server).is_some_and(|s| s.forwards != wanted)
        });
        if differs && let Err(failure) = self.sync_ports(server).await {
            host::say::err(format_args!("rehearsal: {}", failure.message));
        }
    }
}
