//! Whole runs on the fake server.

use super::{Content, Fake};
use crate::access::store::BOOTSTRAP_KEY;
use crate::access::unlock;
use crate::flow::boot::Ended;
use crate::flow::status;
use crate::run::Cx;
use host::Secret;
use spec::{EventKind, Gate, NodeSpec, Outcome, Receipt, State, StepName, paths};

pub(crate) fn done(fake: &Fake) {
    match fake.run().unwrap() {
        Ended::Done => {}
        other => panic!("{other:?}\n{:#?}", fake.state.borrow().lines),
    }
}

/// Cuts copies of a server off at every act of a run, in each way, and hands each over with where that was.
pub(crate) fn cut_at_every_act(start: &Fake, then: impl Fn(&Fake, &str)) {
    let whole = start.copy();
    done(&whole);
    let (before, acts) = (start.state.borrow().acts, whole.state.borrow().acts);
    for at in before + 1..=acts {
        for cut in whole.ways(at, before + 1) {
            let fake = start.copy();
            fake.state.borrow_mut().cut = Some((at, cut));
            let _ = fake.run();
            then(&fake, &format!("cut {cut:?} at act {at}"));
        }
    }
}

/// Restarts a server, opens its volume, and says whether this firstboot goes on with nobody there.
pub(super) fn goes_on_alone(fake: &Fake, version: &'static str) -> bool {
    let key =
        fake.luks().files.unwrap()[std::path::Path::new("/srv/sovereign/secrets/luks-key")].bytes.clone();
    fake.boot();
    fake.state.borrow_mut().firstboot = version;
    let cx = Cx::begin(fake).unwrap();
    assert!(matches!(unlock::open(&cx, &Secret::new(key)).unwrap(), unlock::Opened::Now));
    crate::steps::pending::after_unlock(&cx).unwrap().is_none()
}

fn install(fake: &Fake, spec: &NodeSpec) -> anyhow::Result<String> {
    crate::flow::install::install(fake, &spec.to_json(), &|| false)
}

fn receipt(fake: &Fake) -> Receipt {
    Receipt::from_json(&fake.get(paths::RECEIPT).unwrap()).unwrap()
}

/// The power is gone for a moment, and nobody is there who has the key.
fn restarted_and_locked(fake: &Fake, after: &str) {
    fake.boot();
    assert!(matches!(fake.run().unwrap(), Ended::Locked), "after {after}");
    assert!(!fake.is_settled(), "a restart made up the end of {after}");
}

#[test]
fn what_was_begun_on_a_server_that_was_done_is_not_taken_for_its_end_by_a_restart() {
    let ready = Fake::new();
    done(&ready);
    let another_release = ready.copy();
    another_release.state.borrow_mut().firstboot = "0.0.1 test";
    install(&another_release, &ready.spec()).unwrap();
    restarted_and_locked(&another_release, "an upgrade");

    let another_wish = ready.copy();
    let mut spec = ready.spec();
    spec.inbound.push(spec::Port { port: 8443, protocol: spec::Protocol::Tcp });
    install(&another_wish, &spec).unwrap();
    restarted_and_locked(&another_wish, "another wish");

    let edited = ready.copy();
    let daemon = std::path::Path::new("/etc/docker/daemon.json");
    edited.put("/etc/docker/daemon.json", b"{}");
    crate::system::managed::drift::restore(&Cx::begin(&edited).unwrap(), daemon).unwrap();
    restarted_and_locked(&edited, "a restoring");
}

#[test]
fn another_spec_that_asks_for_no_work_leaves_the_server_done() {
    let fake = Fake::new();
    done(&fake);
    let known = spec::KnownVolume { volume_id: 7, luks_uuid: fake.luks().uuid };
    let mut another = fake.spec();
    (another.disk.format, another.disk.known) = (None, Some(known));
    assert_eq!(install(&fake, &another).unwrap(), "done");
    assert!(goes_on_alone(&fake, "0.0.0 test"), "nothing has to be answered");
}

#[test]
fn what_failed_on_a_server_that_was_done_is_said() {
    let fake = Fake::new();
    done(&fake);
    let state = || status::status(&fake, false).unwrap();
    assert_eq!(state().state, State::Done);
    fake.put("/etc/docker/daemon.json", b"{}");
    assert!(matches!(fake.run().unwrap(), Ended::Failed(_)));
    assert!(!fake.is_settled(), "`provision` would find nothing to do");
    let failed = state();
    assert_eq!(failed.state, State::Failed);
    assert!(failed.error.unwrap().contains("daemon.json"));
    fake.boot();
    assert!(matches!(fake.run().unwrap(), Ended::Locked));
    assert_eq!(state().state, State::Locked, "first of all it is locked");
}

#[test]
fn a_fresh_server_comes_to_the_end() {
    let fake = Fake::new();
    done(&fake);
    let receipt = receipt(&fake);
    assert_eq!(receipt.steps.len(), StepName::ALL.len());
    assert!(
        receipt.volume.unwrap().formatted && receipt.escrow.unwrap().acknowledged && receipt.done.is_some()
    );
    assert_eq!(fake.events().last(), Some(&EventKind::Done));
    let luks = fake.luks();
    assert_eq!(
        luks.slots.keys().copied().collect::<Vec<_>>(),
        [0, 2],
        "the bootstrap key opens nothing any more"
    );
    assert_eq!(fake.get(BOOTSTRAP_KEY), None);
    assert!(fake.state.borrow().timers.is_empty(), "the timer that opens the firewall again was called off");
}

#[test]
fn a_second_run_changes_nothing_and_runs_only_what_looks() {
    let fake = Fake::new();
    done(&fake);
    let before = fake.state.borrow().clone();
    fake.state.borrow_mut().lines.clear();
    done(&fake);
    let after = fake.state.borrow().clone();
    assert_eq!(before.volume, after.volume);
    assert_eq!(after.lines, super::LOOKS);
    assert!(receipt(&fake).steps.iter().all(|s| s.outcome == Outcome::Unchanged));
}

#[test]
fn no_secret_is_in_a_command_line_an_event_or_the_receipt() {
    let fake = Fake::new();
    done(&fake);
    let Content::Luks(luks) = fake.state.borrow().volume.clone() else { panic!() };
    let files = luks.files.unwrap();
    let secrets =
        files.iter().filter(|(p, n)| p.starts_with("/srv/sovereign/secrets") && n.bytes.len() >= 32);
    let mut said = fake.state.borrow().lines.join("\n").into_bytes();
    said.extend(fake.get(paths::EVENTS).unwrap());
    said.extend(fake.get(paths::RECEIPT).unwrap());
    said.extend(fake.get(paths::ESCROW_MANIFEST).unwrap());
    let mut looked = 0;
    for (path, node) in secrets.filter(|(p, _)| !p.ends_with("escrowed") && !p.ends_with("acknowledged")) {
        looked += 1;
        assert_eq!(node.mode, 0o400, "{}", path.display());
        assert!(!said.windows(node.bytes.len()).any(|w| w == node.bytes), "{}", path.display());
    }
    assert_eq!(looked, 3);
}

#[test]
fn the_escrow_holds_what_is_on_the_volume() {
    let fake = Fake::new();
    done(&fake);
    let bundle = escrow::open(&fake.state.borrow().taken[0], &fake.identity).unwrap();
    let key = bundle.get(escrow::LUKS_KEY).unwrap().value.expose().to_vec();
    assert_eq!(fake.get("/srv/sovereign/secrets/luks-key").unwrap(), key);
    assert!(fake.luks().opens(&key, Some(0)));
    assert!(bundle.get("secrets/postgres-superuser-password").is_some());
}

#[test]
fn a_stacks_secret_belongs_to_who_reads_it() {
    let fake = Fake::new();
    done(&fake);
    let files = fake.luks().files.unwrap();
    let file =
        &files[std::path::Path::new("/srv/sovereign/stacks/postgres/secrets/postgres-superuser-password")];
    assert_eq!((file.uid, file.mode, file.bytes.len()), (999, 0o400, 43));
}

#[test]
fn after_a_reboot_the_volume_is_locked_and_the_operators_key_brings_all_back() {
    let fake = Fake::new();
    done(&fake);
    let key = fake.get("/srv/sovereign/secrets/luks-key").unwrap();
    fake.boot();
    assert_eq!(status::status(&fake, false).unwrap().state, State::Locked);
    assert!(matches!(fake.run().unwrap(), Ended::Locked));
    assert!(!fake.state.borrow().docker);
    let cx = Cx::begin(&fake).unwrap();
    assert!(matches!(unlock::open(&cx, &Secret::new(b"wrong".to_vec())).unwrap(), unlock::Opened::WrongKey));
    assert!(matches!(unlock::open(&cx, &Secret::new(key)).unwrap(), unlock::Opened::Now));
    done(&fake);
    assert_eq!(fake.state.borrow().stacks.len(), 1);
    assert_eq!(fake.state.borrow().formats, 1);
    assert_eq!(status::status(&fake, false).unwrap().state, State::Done);
}

#[test]
fn a_changed_wish_is_followed_and_an_acknowledged_secret_stays() {
    let fake = Fake::new();
    done(&fake);
    let key = fake.get("/srv/sovereign/secrets/luks-key").unwrap();
    let mut spec = fake.spec();
    spec.inbound.clear();
    spec.disk.format = None;
    assert_ne!(install(&fake, &spec).unwrap(), "done");
    assert!(!fake.is_settled());
    done(&fake);
    assert_eq!(fake.get("/srv/sovereign/secrets/luks-key").unwrap(), key);
    assert_eq!(fake.state.borrow().taken.len(), 1, "the escrow did not change, so it is not sealed again");
    let closings = fake
        .events()
        .iter()
        .filter(|k| matches!(k, EventKind::GatePassed { gate: Gate::Firewall { .. } }))
        .count();
    assert_eq!(closings, 2, "other rules are another closing");
}

#[test]
fn another_recipient_means_another_pass_through_the_gate() {
    let fake = Fake::new();
    done(&fake);
    let mut spec = fake.spec();
    spec.recipients.push(escrow::Identity::generate().recipients()[0].to_string());
    install(&fake, &spec).unwrap();
    done(&fake);
    assert_eq!(fake.state.borrow().taken.len(), 2);
    let bundle = escrow::open(&fake.state.borrow().taken[1], &fake.identity).unwrap();
    assert_eq!(
        bundle.get(escrow::LUKS_KEY).unwrap().value.expose(),
        fake.get("/srv/sovereign/secrets/luks-key").unwrap()
    );
}

#[test]
fn the_leave_to_format_alone_is_no_new_wish() {
    let fake = Fake::new();
    done(&fake);
    let mut spec = fake.spec();
    spec.disk.format = None;
    assert_eq!(install(&fake, &spec).unwrap(), "done");
}

#[test]
fn a_run_that_a_boot_started_is_heard_from_its_beginning() {
    let fake = Fake::new();
    fake.state.borrow_mut().silent_at = Some("host-key");
    fake.state.borrow_mut().cut = Some((1, super::Cut::After));
    let _ = fake.run();
    fake.boot();
    // What a run says that waits at its first gate when the operator's side comes.
    let cx = Cx::begin(&fake).unwrap();
    cx.emit(EventKind::Started { firstboot: "t".into() }).unwrap();
    let begun = crate::run::events::parse(&fake.get(paths::EVENTS).unwrap()).last().unwrap().seq;
    cx.emit(EventKind::GateWaiting { gate: Gate::HostKey { public_key: "k".into() } }).unwrap();
    let from = |running: bool| {
        let spec = fake.spec().to_json();
        crate::flow::install::install(&fake, &spec, &|| running).unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(from(true), begun, "its gate would never be heard of");
    let last = crate::run::events::parse(&fake.get(paths::EVENTS).unwrap()).last().unwrap().seq;
    assert_eq!(from(false), last + 1);
    cx.emit(EventKind::Locked).unwrap();
    assert_eq!(from(true), last + 2, "that one ended, and the next has not said anything yet");
}

#[test]
fn another_servers_spec_is_refused() {
    let fake = Fake::new();
    done(&fake);
    let mut spec = fake.spec();
    spec.server.id = 1;
    assert!(install(&fake, &spec).unwrap_err().to_string().contains("server 4711"));
    fake.install(&spec);
    let Ended::Failed(e) = fake.run().unwrap() else { panic!() };
    assert!(e.to_string().contains("its firmware says 4711"), "{e:#}");
}

#[test]
fn a_wrong_acknowledgement_is_refused_and_a_repeated_one_is_fine() {
    let fake = Fake::new();
    assert!(
        crate::access::acknowledge(&fake, "escrow", "x").unwrap_err().to_string().contains("nothing waits")
    );
    done(&fake);
    let Some(EventKind::GatePassed { gate }) =
        fake.events().into_iter().find(|k| matches!(k, EventKind::GatePassed { .. }))
    else {
        panic!()
    };
    crate::access::acknowledge(&fake, gate.name(), gate.value()).unwrap();
    let error = crate::access::acknowledge(&fake, gate.name(), "another").unwrap_err().to_string();
    assert!(error.contains("another value"), "{error}");
}

#[test]
fn the_event_numbers_count_up_over_all_boots() {
    let fake = Fake::new();
    done(&fake);
    fake.boot();
    let _ = fake.run();
    let events = crate::run::events::parse(&fake.get(paths::EVENTS).unwrap());
    let numbers: Vec<u64> = events.iter().map(|e| e.seq).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(receipt(&fake).starts, 2);
}
