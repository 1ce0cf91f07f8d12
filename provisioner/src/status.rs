//! What is there: the cloud's side, the server's own, and the escrow's.

use crate::context::Context;
use crate::dns;
use crate::escrow_folder::Filed;
use crate::first_boot::{Observed, Server};
use crate::known_hosts::KnownHosts;
use crate::plan::{Plan, Wish};
use crate::provision::{Prepared, address};
use crate::world::kind;
use anyhow::Result;
use host::Host as _;
use serde::Serialize;
use spec::{Outdated, Phase, Receipt, State, UnlockSpec};

/// The state of a project.
#[derive(Debug, Serialize)]
pub struct Status {
    /// In a word: `absent`, `unreachable`, `first-boot`, `locked`, `starting`, `failed`, `ready`.
    pub state: &'static str,
    /// Whether the volume's keys are being changed; a server that is ready stays so meanwhile.
    pub keys_changing: bool,
    /// The server's id and status at the cloud.
    pub server: Option<(u64, String)>,
    /// Its address.
    pub address: Option<String>,
    /// Its volume's id.
    pub volume: Option<u64>,
    /// What keeps the world from seeing the zone's records, and what to do; nothing where all see them.
    pub zone: Option<String>,
    /// What `provision` would change in the cloud.
    pub pending: Plan,
    /// How the volume is opened after a restart, and what that is worth.
    pub unlock: &'static str,
    /// SHA-256 of the escrow on file.
    pub escrow: Option<String>,
    /// The server's receipt, where it could be read, else the one on file.
    pub receipt: Option<Receipt>,
    /// Why it is not well, in the server's own words, with `failed`.
    pub error: Option<String>,
    /// What runs there as it was before an upgrade, with what to do about it; displayed as a sentence.
    pub outdated: Vec<Outdated>,
}

impl Status {
    /// Whether a person has to act: exit code 4.
    pub fn needs_operator(&self) -> bool {
        ["locked", "failed"].contains(&self.state)
    }
}

/// What a way of opening the volume means, in a line.
pub fn described(unlock: &UnlockSpec) -> &'static str {
    match unlock {
        UnlockSpec::Operator => "operator: it waits, locked, until you unlock it",
        UnlockSpec::Tang { .. } => "tang: it opens by itself while enough Tang servers answer",
        UnlockSpec::Keyfile => "keyfile: THE KEY LIES ON THE ROOT DISK; whoever has that disk has the data",
    }
}

/// Looks; changes nothing.
pub async fn status(context: &Context<'_>, prepared: &Prepared) -> Result<Status> {
    let (world, pending) = context.plan(&prepared.public_key, Wish::default()).await?;
    let escrow = Filed::current(context.folder)?.map(|filed| filed.sha256());
    let unlock = described(&context.project.unlock);
    let zone = world.zone.as_ref().and_then(dns::unseen);
    let Some(server) = &world.server else {
        return Ok(Status {
            state: "absent",
            keys_changing: false,
            server: None,
            address: None,
            volume: world.volume.map(|v| v.id),
            zone,
            pending,
            unlock,
            escrow,
            receipt: None,
            error: None,
            outdated: Vec::new(),
        });
    };
    world.need_one(kind::SERVER, "reaching the server")?;
    let look = || -> Result<_> {
        let known_hosts = KnownHosts::new(context.folder, server.id);
        known_hosts.pin_first_contact()?;
        let session = context.session(prepared, &world)?;
        let view = Server {
            folder: context.folder,
            session: &session,
            known_hosts: &known_hosts,
            report: context.report,
        };
        if server.status != "running" || !host::Local.probe(&session.sh("true"))?.success() {
            return Ok(Seen { state: "unreachable", ..Seen::default() });
        }
        let there = view.observe(|_| {})?;
        Ok(Seen::of(&there))
    };
    let seen = context.through_the_door(&world, "status", async || tokio::task::block_in_place(look)).await?;
    Ok(Status {
        state: seen.state,
        keys_changing: seen.keys_changing,
        server: Some((server.id, server.status.clone())),
        address: Some(address(&world)?.to_owned()),
        volume: world.volume.as_ref().map(|v| v.id),
        zone,
        pending,
        unlock,
        escrow,
        receipt: seen.receipt,
        error: seen.error,
        outdated: seen.outdated,
    })
}

/// What was found on a server.
#[derive(Debug, Default)]
struct Seen {
    state: &'static str,
    keys_changing: bool,
    receipt: Option<Receipt>,
    error: Option<String>,
    outdated: Vec<Outdated>,
}

impl Seen {
    /// What lies there, and what the server says of itself.
    fn of(there: &Observed) -> Self {
        let (state, says) = (state(there), there.status.as_ref());
        let failed = says.filter(|_| state == "failed");
        Self {
            state,
            keys_changing: keys_change(there),
            receipt: there.receipt().cloned(),
            error: failed.map(|status| status.error.clone().unwrap_or_default()),
            outdated: says.map(|status| status.outdated.clone()).unwrap_or_default(),
        }
    }
}

/// The state of a server that can be reached.
fn state(there: &Observed) -> &'static str {
    let state = there.status.as_ref().map_or(State::Absent, |status| status.state);
    match state {
        State::Failed => "failed",
        State::Done => "ready",
        State::Locked => "locked",
        _ if there.is_locked() => "locked",
        _ if keys_change(there) && there.unlocked => "ready",
        State::Running | State::Waiting if there.is_settled() || keys_change(there) => "starting",
        _ => "first-boot",
    }
}

fn keys_change(there: &Observed) -> bool {
    matches!(there.phase(), Some(Phase::KeysChanging { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(state: State, phase: Option<Phase>, unlocked: bool) -> Observed {
        let mut receipt = Receipt::new("demo", 1);
        receipt.volume = Some(spec::VolumeRecord { id: 7, luks_uuid: "ours".into(), formatted: true });
        let status = spec::Status {
            version: spec::VERSION,
            state,
            step: None,
            steps: vec![],
            gate: None,
            gates: vec![],
            error: None,
            phase,
            begun: None,
            last_seq: 1,
            outdated: vec![],
            receipt: None,
        };
        Observed { unlocked, receipt: Some(receipt), status: Some(status), ..Observed::default() }
    }

    #[test]
    fn each_state_has_its_word_and_a_server_whose_keys_change_is_ready_all_along() {
        let changing = || Some(Phase::KeysChanging { wish: "slot 0 (unlock) gets a new key".into() });
        let half_way = || Some(Phase::Converging { why: "x".into() });
        for (state_there, phase, unlocked, word) in [
            (State::Running, half_way(), true, "first-boot"),
            (State::Stopped, half_way(), true, "first-boot"),
            (State::Running, changing(), true, "ready"),
            (State::Stopped, changing(), true, "ready"),
            // Cut off by a restart: it waits for the operator, or is about to open the volume.
            (State::Running, changing(), false, "starting"),
            (State::Locked, changing(), false, "locked"),
            (State::Running, Some(Phase::Settled), false, "starting"),
            (State::Done, Some(Phase::Settled), true, "ready"),
            (State::Stopped, half_way(), false, "locked"),
            (State::Failed, half_way(), false, "failed"),
            (State::Done, None, true, "ready"),
        ] {
            assert_eq!(
                state(&observed(state_there, phase.clone(), unlocked)),
                word,
                "{state_there:?} {phase:?}"
            );
        }
        assert_eq!(state(&Observed::default()), "first-boot");
    }

    #[test]
    fn what_the_server_says_of_itself_is_passed_on() {
        let said = |state: State, unlocked: bool| {
            let mut there = observed(state, Some(Phase::Settled), unlocked);
            let status = there.status.as_mut().unwrap();
            let (unit, file) = ("docker.service".into(), "/usr/sbin/dockerd".into());
            status.outdated = vec![Outdated { unit, file, cure: spec::Cure::Restart }];
            status.error = Some("x".into());
            Seen::of(&there)
        };
        let seen = said(State::Done, true);
        assert_eq!((seen.state, seen.error, seen.outdated.len()), ("ready", None, 1));
        let seen = said(State::Failed, true);
        assert_eq!((seen.state, seen.error.as_deref()), ("failed", Some("x")));
        assert!(Seen::of(&Observed::default()).outdated.is_empty(), "no firstboot is there");
    }
}
