//! What is pending, and who is told.

use super::Fake;
use super::flow::{done, goes_on_alone};
use crate::flow::boot::Ended;
use crate::flow::status;
use crate::run::{Cx, phase};
use crate::steps::pending;
use spec::{Phase, State, paths};

fn pending(fake: &Fake) -> Option<String> {
    pending::reason(&Cx::read_only(fake).unwrap()).unwrap()
}

fn install(fake: &Fake) -> String {
    crate::flow::install::install(fake, &fake.spec().to_json(), &|| false).unwrap()
}

#[test]
fn a_server_is_done_when_nothing_is_pending_and_what_held_is_what_is_wanted() {
    let fake = Fake::new();
    assert_eq!(phase::read(&fake).unwrap(), Phase::Fresh);
    done(&fake);
    assert_eq!((pending(&fake), fake.phase()), (None, Phase::Settled));
    assert_eq!(install(&fake), "done");
    // The volume is an older one, as after a restore of it.
    fake.put(paths::HELD, b"of another day\n");
    assert!(pending(&fake).unwrap().contains("not what held last"));
    assert_eq!(status::status(&fake, false).unwrap().state, State::Stopped);
    assert_ne!(install(&fake), "done");
    done(&fake);
    assert_eq!(pending(&fake), None);
    // A secret is another one.
    fake.put("/srv/sovereign/secrets/postgres-superuser-password", b"restored by hand");
    assert!(pending(&fake).is_some());
}

/// As a release left it that knew markers only.
fn of_an_earlier_release() -> Fake {
    let fake = Fake::new();
    done(&fake);
    {
        let mut state = fake.state.borrow_mut();
        for path in [paths::PHASE, paths::HELD, "/srv/sovereign/digest.key"] {
            state.files(path.as_ref()).remove(std::path::Path::new(path));
        }
    }
    fake.put("/var/lib/sovereign/done", b"2026-01-01T00:00:00.000Z\n");
    fake.put("/srv/sovereign/stacks/postgres/started", b"abc\n");
    fake
}

#[test]
fn a_server_of_an_earlier_release_is_run_through_its_steps_which_changes_nothing_of_value() {
    let fake = of_an_earlier_release();
    let before = fake.state.borrow().clone();
    assert!(pending(&fake).unwrap().contains("not all seen to hold"));
    assert_ne!(install(&fake), "done");
    done(&fake);
    let after = fake.state.borrow().clone();
    assert_eq!(after.taken, before.taken, "no other escrow");
    assert_eq!((after.formats, fake.luks().slots.len()), (1, 2));
    assert_eq!(install(&fake), "done");
}

#[test]
fn a_locked_server_of_an_earlier_release_says_so_and_its_operators_command_goes_on() {
    let fake = of_an_earlier_release();
    let key = fake.get("/srv/sovereign/secrets/luks-key").unwrap();
    fake.boot();
    assert_eq!(status::status(&fake, false).unwrap().state, State::Locked);
    assert!(matches!(fake.run().unwrap(), Ended::Locked));
    let cx = Cx::begin(&fake).unwrap();
    crate::access::unlock::open(&cx, &host::Secret::new(key)).unwrap();
    assert!(crate::steps::pending::after_unlock(&cx).unwrap().is_some());
    done(&fake);
    assert!(goes_on_alone(&fake, "0.0.0 test"));
}

#[test]
fn status_says_what_is_pending_and_from_where_a_run_is_heard() {
    let fake = Fake::new();
    done(&fake);
    let cx = Cx::begin(&fake).unwrap();
    phase::unsettle(cx.machine(), "device laptop gets a new key").unwrap();
    let said = status::status(&fake, true).unwrap();
    assert_eq!(said.phase, Some(Phase::Converging { why: "device laptop gets a new key".into() }));
    assert_eq!(said.begun, Some(said.last_seq));
    assert!(status::for_people(&status::status(&fake, false).unwrap()).contains("why:   device laptop"));
    assert_eq!(status::status(&fake, false).unwrap().begun, None);
    assert_eq!(spec::Status::from_json(&said.to_json()).unwrap(), said);
}

#[test]
fn what_is_pending_and_cannot_be_read_is_said_and_nothing_is_begun() {
    let fake = Fake::new();
    done(&fake);
    fake.put(paths::PHASE, b"{\"version\": 9, \"pending\": {\"phase\": \"settled\"}}");
    let error = format!("{:#}", status::status(&fake, false).unwrap_err());
    assert!(error.contains(paths::PHASE) && error.contains("version 9"), "{error}");
}

#[test]
fn a_unit_that_was_edited_to_what_a_later_release_wants_is_no_edit() {
    let fake = Fake::new();
    done(&fake);
    let (path, wanted) = crate::system::units::UNITS[0];
    // As an earlier release wrote it, and somebody made of it what this one says.
    fake.state.borrow_mut().root.remove(std::path::Path::new(path));
    crate::system::managed::ensure_file(&Cx::read_only(&fake).unwrap(), path, b"of another release\n", 0o644)
        .unwrap();
    fake.put(path, wanted.as_bytes());
    assert_eq!(crate::system::managed::drift::all(&fake).unwrap().len(), 1);
    assert_eq!(install(&fake), "done");
    assert_eq!(crate::system::managed::drift::all(&fake).unwrap(), []);
}
