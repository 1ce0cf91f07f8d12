//! What is there: the cloud's side, the server's own, and the escrow's.

use crate::escrow_folder::Filed;
use crate::first_boot::{Observed, Server};
use crate::known_hosts::KnownHosts;
use crate::plan::{Plan, Wish};
use crate::provision::{Context, Prepared, address};
use crate::ssh::Session;
use anyhow::Result;
use host::{Cmd, Host as _};
use serde::Serialize;
use spec::{Outdated, Receipt, UnlockSpec, paths};

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
    let Some(server) = &world.server else {
        return Ok(Status {
            state: "absent",
            keys_changing: false,
            server: None,
            address: None,
            volume: world.volume.map(|v| v.id),
            pending,
            unlock,
            escrow,
            receipt: None,
            error: None,
            outdated: Vec::new(),
        });
    };
    let look = || -> Result<_> {
        let known_hosts = KnownHosts::new(context.folder, server.id);
        known_hosts.pin_first_contact()?;
        let session = context.session(prepared, &world, &known_hosts)?;
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
        let says = if there.binary.is_some() { Some(says(&session)?) } else { None };
        Ok(Seen::of(there, says))
    };
    let seen = context.through_the_door(&world, "status", async || tokio::task::block_in_place(look)).await?;
    Ok(Status {
        state: seen.state,
        keys_changing: seen.keys_changing,
        server: Some((server.id, server.status.clone())),
        address: Some(address(&world)?.to_owned()),
        volume: world.volume.as_ref().map(|v| v.id),
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
    /// What lies there, and what the server says of itself: what is open may be dead all the same, as after its volume was
    /// taken away.
    fn of(there: Observed, says: Option<spec::Status>) -> Self {
        let (state, outdated) = (state(&there), says.iter().flat_map(|says| says.outdated.clone()).collect());
        let failed = says.filter(|says| says.state == spec::State::Failed);
        let error = failed.filter(|_| ["ready", "first-boot"].contains(&state));
        Self {
            state: if error.is_some() { "failed" } else { state },
            keys_changing: there.keys_changing,
            receipt: there.receipt,
            error: error.map(|says| says.error.unwrap_or_default()),
            outdated,
        }
    }
}

/// The state of a server that can be reached.
fn state(there: &Observed) -> &'static str {
    match (there.done || there.keys_changing, there.unlocked) {
        (_, false) if there.is_locked() => "locked",
        (false, _) => "first-boot",
        (true, true) if there.keys_changing => "ready",
        (true, _) if there.running_from.is_some() => "starting",
        (true, false) => "locked",
        (true, true) => "ready",
    }
}

/// What the server says of itself.
fn says(session: &Session) -> Result<spec::Status> {
    let said = session.run(&Cmd::new(paths::BINARY).args(["status", "--json"]))?;
    Ok(spec::Status::from_json(&said.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_whose_keys_change_is_ready_all_along() {
        let mut there = Observed { unlocked: true, running_from: Some(7), ..Observed::default() };
        assert_eq!(state(&there), "first-boot");
        there.keys_changing = true;
        assert_eq!(state(&there), "ready");
        // Cut off by a restart: it waits for the operator, or is about to open the volume.
        there.unlocked = false;
        assert_eq!(state(&there), "starting");
        there.running_from = None;
        assert_eq!(state(&there), "locked");
    }

    #[test]
    fn what_the_server_says_of_itself_is_passed_on() {
        let json = |state: &str, rest: &str| {
            let text = format!(
                r#"{{"version":1,"state":"{state}","step":null,"gate":null,"error":"x","last_seq":1,"receipt":null{rest}}}"#
            );
            spec::Status::from_json(text.as_bytes()).unwrap()
        };
        let ready = || Observed { unlocked: true, done: true, ..Observed::default() };
        let old = r#","outdated":[{"unit":"docker.service","file":"/usr/sbin/dockerd","cure":"restart"}]"#;
        let seen = Seen::of(ready(), Some(json("done", old)));
        assert_eq!((seen.state, seen.error, seen.outdated.len()), ("ready", None, 1));
        let seen = Seen::of(ready(), Some(json("failed", "")));
        assert_eq!((seen.state, seen.error.as_deref()), ("failed", Some("x")));
        let locked = Observed { unlocked: false, ..ready() };
        let seen = Seen::of(locked, Some(json("failed", "")));
        assert_eq!((seen.state, seen.error), ("locked", None), "first of all it is locked");
        assert!(Seen::of(ready(), None).outdated.is_empty(), "no firstboot is there");
    }
}
