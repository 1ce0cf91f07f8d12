//! A server that opens its volume by itself, and every change of how it does.

use super::Fake;
use super::crash::slots;
use super::flow::{done, goes_on_alone};
use crate::access::keys::request::{Wish, request};
use crate::access::unattended::KEYFILE;
use crate::access::unlock::{self, Opened};
use crate::flow::boot::Ended;
use crate::run::Cx;
use host::Secret;
use spec::{EventKind, TangServer, UnlockSpec, paths};
use std::path::Path;

pub(super) fn tang() -> UnlockSpec {
    let server = |name: &str| TangServer { url: format!("http://{name}:7500"), thumbprint: "t".repeat(43) };
    UnlockSpec::Tang { threshold: 1, servers: vec![server("one"), server("two")] }
}

/// The operator changes project.toml and provisions again.
fn wish(fake: &Fake, unlock: UnlockSpec) {
    let spec = spec::NodeSpec { unlock, ..fake.spec() };
    crate::flow::install::install(fake, &spec.to_json(), &|| false).unwrap();
}

fn changed(unlock: UnlockSpec) -> Fake {
    let fake = Fake::new();
    done(&fake);
    wish(&fake, unlock);
    done(&fake);
    fake
}

/// The slots on the volume and in the newest escrow are these, and nothing is left of any other way in.
fn assert_settled(fake: &Fake, unlock: &UnlockSpec, at: &str) {
    let wanted: &[u32] = match unlock {
        UnlockSpec::Operator => &[0, 2],
        UnlockSpec::Tang { .. } => &[0, 2, 4],
        UnlockSpec::Keyfile => &[0, 2, 5],
    };
    let luks = fake.luks();
    assert_eq!(luks.slots.keys().copied().collect::<Vec<_>>(), wanted, "{at}");
    let bundle = escrow::open(fake.state.borrow().taken.last().unwrap(), &fake.identity).unwrap();
    let header = bundle.get(escrow::LUKS_HEADER).unwrap().value.expose().to_vec();
    assert_eq!(slots(&header), wanted, "{at}: the escrowed header");
    let tang = matches!(unlock, UnlockSpec::Tang { .. });
    assert_eq!(!luks.tokens.is_empty(), tang, "{at}: the token");
    assert_eq!(fake.get(KEYFILE).is_some(), *unlock == UnlockSpec::Keyfile, "{at}: the key on the root disk");
    assert!(fake.get("/run/sovereign/tang.key").is_none(), "{at}: a key in memory");
    assert!(fake.is_settled(), "{at}");
}

#[test]
fn each_mode_follows_each_other_and_leaves_nothing_behind() {
    let modes = [
        UnlockSpec::Keyfile,
        tang(),
        UnlockSpec::Operator,
        tang(),
        UnlockSpec::Keyfile,
        UnlockSpec::Operator,
    ];
    let fake = Fake::new();
    done(&fake);
    assert_settled(&fake, &UnlockSpec::Operator, "at first");
    for unlock in modes {
        let old = fake.get(KEYFILE);
        wish(&fake, unlock.clone());
        done(&fake);
        assert_settled(&fake, &unlock, &format!("{unlock:?}"));
        assert!(old.is_none_or(|key| !fake.luks().opens(&key, None)), "{unlock:?}: the old key opens still");
        let taken = fake.state.borrow().taken.len();
        done(&fake);
        assert_eq!(fake.state.borrow().taken.len(), taken, "{unlock:?}: a second run escrowed again");
    }
}

#[test]
fn a_slot_of_a_mode_filled_by_hand_is_dropped_with_an_operator_who_takes_the_escrow() {
    let fake = changed(UnlockSpec::Operator);
    if let super::Content::Luks(luks) = &mut fake.state.borrow_mut().volume {
        luks.slots.insert(4, (b"by hand".to_vec(), 0));
    }
    let unlocked = || goes_on_alone(&fake, "0.0.0 test");
    assert!(!unlocked(), "it would wait at a gate that nobody passes");
    assert!(!fake.is_settled(), "the operator's command would not go on");
    done(&fake);
    assert_settled(&fake, &UnlockSpec::Operator, "gone on with");
    assert!(unlocked(), "nothing is left to be answered");
}

#[test]
fn it_comes_back_by_itself_and_nobody_is_asked() {
    for unlock in [UnlockSpec::Keyfile, tang()] {
        let fake = changed(unlock.clone());
        fake.state.borrow_mut().operator = false;
        for _ in 0..3 {
            fake.boot();
            done(&fake);
            let state = fake.state.borrow();
            assert!(state.open && state.mounted && !state.stacks.is_empty(), "{unlock:?}");
        }
    }
    let fake = changed(UnlockSpec::Keyfile);
    assert_eq!(fake.state.borrow().root[Path::new(KEYFILE)].mode, 0o400);
}

#[test]
fn a_server_that_opens_itself_waits_for_nobody_while_it_is_taken_for_done() {
    let start = changed(tang());
    // As `clevis luks regen` leaves it: it opens the volume, and nothing says for which servers it was made.
    if let super::Content::Luks(luks) = &mut start.state.borrow_mut().volume {
        luks.tokens["4"]["sovereign"].take();
    }
    start.boot();
    let whole = start.copy();
    done(&whole);
    assert_settled(&whole, &tang(), "by itself");
    let (before, acts) = (start.state.borrow().acts, whole.state.borrow().acts);
    let mut changing = 0;
    for at in before + 1..acts {
        let fake = start.copy();
        fake.state.borrow_mut().cut = Some((at, super::Cut::After));
        let _ = fake.run();
        let taken = fake.state.borrow().taken.len() > start.state.borrow().taken.len();
        if fake.luks().slots != start.luks().slots && !taken {
            changing += 1;
            assert!(!fake.is_settled(), "at {at} `provision` would find nothing to do");
        }
    }
    assert!(changing > 0, "nothing was changed");
}

#[test]
fn on_a_new_root_disk_tang_opens_the_volume_as_before_and_a_key_file_is_another_after_the_operator_came() {
    let rebuild = |fake: &Fake, unlock| {
        fake.rebuild();
        let known = spec::NodeSpec::from_json(&fake.get(paths::NODE_SPEC).unwrap()).unwrap();
        let spec = spec::NodeSpec { unlock, ..known };
        crate::flow::install::install(fake, &spec.to_json(), &|| false).unwrap();
    };
    let fake = changed(tang());
    rebuild(&fake, tang());
    done(&fake);
    assert_settled(&fake, &tang(), "tang, rebuilt");

    let fake = changed(UnlockSpec::Keyfile);
    let (key, old) = (fake.get("/srv/sovereign/secrets/luks-key").unwrap(), fake.get(KEYFILE).unwrap());
    rebuild(&fake, UnlockSpec::Keyfile);
    assert!(matches!(fake.run().unwrap(), Ended::Locked), "its key went with the root disk");
    let cx = Cx::begin(&fake).unwrap();
    assert!(matches!(unlock::open(&cx, &Secret::new(key)).unwrap(), Opened::Now));
    drop(cx);
    done(&fake);
    assert_settled(&fake, &UnlockSpec::Keyfile, "key file, rebuilt");
    assert!(!fake.luks().opens(&old, None), "the key of the old root disk opens still");
}

#[test]
fn servers_that_come_late_are_waited_for_and_none_is_waited_for_without_an_end() {
    let fake = changed(tang());
    let key = fake.get("/srv/sovereign/secrets/luks-key").unwrap();
    fake.state.borrow_mut().tang = false;
    fake.boot();
    let before = fake.state.borrow().clock;
    assert!(matches!(fake.run().unwrap(), Ended::Locked));
    let waited = fake.state.borrow().clock - before;
    assert!((120..=180).contains(&waited.as_secs()), "{waited:?}");
    let said = fake.events().into_iter().rev().find_map(|kind| match kind {
        EventKind::Progress { text, .. } => Some(text),
        _ => None,
    });
    let said = said.unwrap();
    assert!(said.contains("waiting for the operator") && said.contains("Error communicating"), "{said}");
    assert!(!fake.state.borrow().docker, "Docker runs on a locked server");
    let cx = Cx::begin(&fake).unwrap();
    assert!(matches!(unlock::open(&cx, &Secret::new(key)).unwrap(), Opened::Now));
    done(&fake);
}

#[test]
fn other_servers_mean_another_key() {
    let fake = changed(tang());
    let before = fake.luks();
    let UnlockSpec::Tang { mut servers, .. } = tang() else { unreachable!() };
    servers[1].thumbprint = "u".repeat(43);
    let other = UnlockSpec::Tang { threshold: 2, servers };
    wish(&fake, other.clone());
    done(&fake);
    assert_settled(&fake, &other, "bound anew");
    assert_ne!(fake.luks().slots[&4].0, before.slots[&4].0, "the old servers' key opens still");
}

#[test]
fn servers_that_do_not_answer_when_they_are_bound_are_said_and_the_old_way_stays() {
    let fake = changed(UnlockSpec::Keyfile);
    fake.state.borrow_mut().tang = false;
    wish(&fake, tang());
    let Ended::Failed(error) = fake.run().unwrap() else { panic!("it went on") };
    assert!(format!("{error:#}").contains("all of [[unlock.servers]] must be reachable"), "{error:#}");
    assert!(fake.luks().slots.contains_key(&5) && fake.get(KEYFILE).is_some());
    fake.state.borrow_mut().tang = true;
    done(&fake);
    assert_settled(&fake, &tang(), "once they answer");
}

#[test]
fn a_revoked_slot_goes_with_what_belongs_to_it_and_a_mode_that_stays_gets_a_new_key() {
    for (unlock, number) in [(tang(), 4), (UnlockSpec::Keyfile, 5)] {
        let fake = changed(unlock.clone());
        let (old, key) = (fake.luks(), fake.get(KEYFILE));
        request(&fake, Wish::parse("revoke", &number.to_string()).unwrap()).unwrap();
        done(&fake);
        assert_settled(&fake, &unlock, "revoked");
        assert_ne!(fake.luks().slots[&number].0, old.slots[&number].0, "the revoked key opens still");
        assert!(key.is_none() || fake.get(KEYFILE) != key);
    }
}

#[test]
fn a_change_cut_off_at_any_act_comes_to_the_same_end() {
    let orders = [
        (UnlockSpec::Operator, UnlockSpec::Keyfile),
        (UnlockSpec::Keyfile, tang()),
        (tang(), UnlockSpec::Operator),
    ];
    for (from, to) in orders {
        let start = changed(from.clone());
        wish(&start, to.clone());
        let key = start.get("/srv/sovereign/secrets/luks-key").unwrap();
        let whole = start.copy();
        let before = whole.state.borrow().acts;
        done(&whole);
        let acts = whole.state.borrow().acts;
        for at in before + 1..=acts {
            for cut in whole.ways(at, before + 1) {
                let case = format!("{from:?} to {to:?}, act {at} {cut:?}");
                let fake = start.copy();
                fake.state.borrow_mut().cut = Some((at, cut));
                let _ = fake.run();
                fake.boot();
                // Locked or not, the operator's key opens it, and the next runs come to the end.
                while !(matches!(fake.run().unwrap(), Ended::Done) && fake.state.borrow().open) {
                    let cx = Cx::begin(&fake).unwrap();
                    assert!(
                        matches!(unlock::open(&cx, &Secret::new(key.clone())).unwrap(), Opened::Now),
                        "{case}"
                    );
                }
                assert_settled(&fake, &to, &case);
            }
        }
    }
}
