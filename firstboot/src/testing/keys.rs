//! The volume's keys are changed while the server runs; cut off anywhere, the next run comes to the same end, and the escrow
//! on file opens the volume at every act in between (the fake itself asserts that).

use super::crash::slots;
use super::flow::{cut_at_every_act, done, goes_on_alone};
use super::{Content, Fake};
use crate::access::keys::request::{Wish, list, request};
use crate::access::reseal::{NewSecret, escrow_new};
use crate::access::sealing::kept_path;
use crate::access::unlock::{self, Opened};
use crate::flow::boot::Ended;
use crate::run::Cx;
use crate::volume::luks;
use host::Secret;
use spec::{EventKind, Slot};

const KEY: &str = "/srv/sovereign/secrets/luks-key";
const WORDS: &str = "/srv/sovereign/secrets/luks-recovery";

fn ready() -> Fake {
    let fake = Fake::new();
    done(&fake);
    fake
}

fn change(fake: &Fake, wish: Wish) {
    request(fake, wish).unwrap();
    done(fake);
}

fn newest(fake: &Fake) -> escrow::Bundle {
    escrow::open(fake.state.borrow().taken.last().unwrap(), &fake.identity).unwrap()
}

fn inside(fake: &Fake, path: &str) -> Option<Vec<u8>> {
    fake.luks().files.unwrap().get(std::path::Path::new(path)).map(|node| node.bytes.clone())
}

/// The slots on the volume and in the newest escrow are these, and what that holds opens them.
fn assert_settled(fake: &Fake, wanted: &[u32], at: &str) {
    let luks = fake.luks();
    assert_eq!(luks.slots.keys().copied().collect::<Vec<_>>(), wanted, "{at}");
    let bundle = newest(fake);
    let header = bundle.get(escrow::LUKS_HEADER).unwrap().value.expose();
    assert_eq!(slots(header), wanted, "{at}: the header");
    let now = luks::header(&Cx::read_only(fake).unwrap(), std::path::Path::new("/dev/sda")).unwrap();
    assert_eq!(escrow::Header::parse(header).unwrap().kept, now.kept, "{at}: the header is not the newest");
    for (name, path, slot) in [(escrow::LUKS_KEY, KEY, 0), (escrow::LUKS_RECOVERY, WORDS, 2)] {
        let escrowed = bundle.get(name).map(|entry| entry.value.expose().to_vec());
        assert_eq!(escrowed.is_some(), wanted.contains(&slot), "{at}: {name}");
        assert_eq!(escrowed, inside(fake, path), "{at}: {name}");
        assert!(escrowed.is_none_or(|key| luks.opens(&key, Some(slot))), "{at}: {name} opens");
    }
    assert!(fake.is_settled(), "{at}");
    let next = |path: &std::path::Path| {
        path.parent().is_some_and(|dir| dir.ends_with("next")) && path.extension().is_none()
    };
    assert!(!luks.files.unwrap().keys().any(|path| next(path)), "{at}: something waits");
}

#[test]
fn a_rotated_key_opens_and_the_old_one_does_not() {
    for (slot, path, number) in [(Slot::Unlock, KEY, 0), (Slot::Recovery, WORDS, 2)] {
        let fake = ready();
        let (old, before) = (fake.get(path).unwrap(), fake.state.borrow().clone());
        change(&fake, Wish::Rotate(slot));
        assert!(!fake.luks().opens(&old, None) && fake.get(path).unwrap() != old);
        assert_settled(&fake, &[0, 2], "rotated");
        assert_eq!(
            fake.luks().slots[&(2 - number)],
            super::Luks::clone(&luks_of(&before.volume)).slots[&(2 - number)]
        );
        let state = fake.state.borrow();
        assert_eq!(
            state.taken.len(),
            before.taken.len() + 2,
            "the new key, then the header without the old one"
        );
        assert_eq!(state.stacks, before.stacks, "no stack was touched");
        drop(state);
        let lines = fake.state.borrow().lines.len();
        done(&fake);
        assert_eq!(fake.state.borrow().lines[lines..], super::LOOKS);
    }
}

fn luks_of(content: &Content) -> super::Luks {
    match content {
        Content::Luks(luks) => luks.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_words_are_tried_as_a_person_types_them() {
    let fake = ready();
    let typed = "cryptsetup open --test-passphrase --type luks2 --tries 1 --key-slot 2 /dev/sda";
    assert!(fake.state.borrow().lines.iter().any(|line| line == typed), "{:#?}", fake.state.borrow().lines);
    let words = String::from_utf8(fake.get(WORDS).unwrap()).unwrap();
    assert_eq!(words.split(' ').count(), 12, "{words}");
    fake.boot();
    let cx = Cx::begin(&fake).unwrap();
    assert!(matches!(unlock::open(&cx, &Secret::new(words.into_bytes())).unwrap(), Opened::Now));
}

#[test]
fn a_revoked_key_opens_nothing_and_stays_so_until_it_is_rotated() {
    for (slot, path, left) in [(Slot::Recovery, WORDS, 0), (Slot::Unlock, KEY, 2)] {
        let fake = ready();
        let old = fake.get(path).unwrap();
        change(&fake, Wish::Revoke(slot));
        assert!(!fake.luks().opens(&old, None));
        assert_settled(&fake, &[left], "revoked");
        done(&fake);
        assert_settled(&fake, &[left], "a run later");
        let last = if slot == Slot::Unlock { Slot::Recovery } else { Slot::Unlock };
        let refused = request(&fake, Wish::Revoke(last)).unwrap_err().to_string();
        assert!(refused.contains("last slot that the escrow can open"), "{refused}");
        assert!(fake.is_settled(), "a refusal leaves the server as it was");
        change(&fake, Wish::Rotate(slot));
        assert_settled(&fake, &[0, 2], "brought back");
    }
}

#[test]
fn a_slot_beyond_the_table_is_dropped_by_its_number() {
    let fake = ready();
    if let Content::Luks(luks) = &mut fake.state.borrow_mut().volume {
        luks.slots.insert(5, (b"somebody's".to_vec(), 0));
    }
    let listed = list(&Cx::read_only(&fake).unwrap()).unwrap();
    assert_eq!(listed.slots.iter().map(|slot| slot.number).collect::<Vec<_>>(), [0, 2, 5]);
    change(&fake, Wish::parse("revoke", "5").unwrap());
    assert_settled(&fake, &[0, 2], "dropped");
}

#[test]
fn what_is_asked_for_is_read_strictly() {
    assert_eq!(Wish::parse("rotate", "unlock").unwrap(), Wish::Rotate(Slot::Unlock));
    assert_eq!(Wish::parse("revoke", "2").unwrap(), Wish::Revoke(Slot::Recovery));
    for (verb, slot) in
        [("rotate", "spare"), ("rotate", "7"), ("revoke", "bootstrap"), ("revoke", "32"), ("rotate", "")]
    {
        let error = Wish::parse(verb, slot).unwrap_err().to_string();
        assert!(error.contains("`unlock` and `recovery`"), "{error}");
    }
}

#[test]
fn an_unfinished_or_locked_server_changes_no_keys() {
    let fake = ready();
    fake.boot();
    let locked = request(&fake, Wish::Rotate(Slot::Unlock)).unwrap_err().to_string();
    assert!(locked.contains("locked"), "{locked}");
    let fresh = Fake::new();
    assert!(request(&fresh, Wish::Rotate(Slot::Unlock)).unwrap_err().to_string().contains("no volume yet"));
}

#[test]
fn a_server_of_an_earlier_release_gets_its_recovery_slot_and_an_escrow_of_it() {
    let fake = ready();
    if let Content::Luks(luks) = &mut fake.state.borrow_mut().volume {
        luks.slots.remove(&2);
        let files = luks.files.as_mut().unwrap();
        files.remove(std::path::Path::new(WORDS));
        files.remove(std::path::Path::new("/srv/sovereign/secrets/acknowledged"));
        files.get_mut(std::path::Path::new("/srv/sovereign/secrets/escrowed")).unwrap().bytes =
            b"sha digest\n".to_vec();
    }
    fake.state.borrow_mut().filed.pop();
    let key = fake.get(KEY);
    done(&fake);
    assert_eq!(fake.get(KEY), key);
    assert_settled(&fake, &[0, 2], "upgraded");
}

#[test]
fn a_header_changed_by_hand_does_not_hold_up_an_unlock() {
    let fake = ready();
    if let Content::Luks(luks) = &mut fake.state.borrow_mut().volume {
        luks.slots.insert(3, (b"by hand".to_vec(), 0));
        luks.slots.insert(6, (b"by hand too".to_vec(), 0));
    }
    fake.state.borrow_mut().operator = false;
    done(&fake);
}

/// A server that is done, with its recovery slot emptied by somebody.
fn emptied() -> Fake {
    let fake = ready();
    if let Content::Luks(luks) = &mut fake.state.borrow_mut().volume {
        luks.slots.remove(&2);
    }
    fake.state.borrow_mut().filed.pop();
    fake
}

#[test]
fn a_slot_that_was_emptied_by_hand_is_filled_again_and_its_header_escrowed() {
    let fake = emptied();
    let taken = fake.state.borrow().taken.len();
    done(&fake);
    assert_eq!(fake.state.borrow().taken.len(), taken + 1, "the header on file is another one");
    assert_settled(&fake, &[0, 2], "filled again");
}

#[test]
fn the_power_is_cut_at_every_act_of_filling_a_slot_again() {
    cut_at_every_act(&emptied(), |fake, at| {
        fake.boot();
        bring_up(fake);
        assert_settled(fake, &[0, 2], at);
    });
}

#[test]
fn unlock_goes_on_alone_only_where_no_header_has_to_be_taken() {
    let unlocked = |fake: &Fake| goes_on_alone(fake, "0.0.0 test");
    let fake = emptied();
    assert!(!unlocked(&fake), "it would wait at a gate that nobody passes");
    done(&fake);
    assert!(unlocked(&fake), "nothing is left to be answered");
    let revoked = ready();
    change(&revoked, Wish::Revoke(Slot::Recovery));
    assert!(unlocked(&revoked), "a revoked key's slot is empty on purpose");
    let upgraded = ready();
    assert!(!goes_on_alone(&upgraded, "0.0.1 test"), "what another firstboot closes has to be confirmed");
    assert!(!upgraded.is_settled(), "the operator's command would not go on");
}

#[test]
fn a_new_secret_is_used_only_once_it_is_acknowledged_and_is_in_every_later_bundle() {
    let fake = ready();
    let fresh = |value: &str| {
        let (name, purpose) = ("vpn-key-laptop".into(), "lets the laptop into the VPN".into());
        [NewSecret { name, purpose, value: Secret::new(value.into()) }]
    };
    let cx = Cx::begin(&fake).unwrap();
    escrow_new(&cx, &fresh("one")).unwrap();
    assert_eq!(fake.state.borrow().taken.len(), 2);
    assert_eq!(fake.get(kept_path("vpn-key-laptop")).unwrap(), b"one");
    escrow_new(&cx, &fresh("one")).unwrap();
    escrow_new(&cx, &[]).unwrap();
    assert_eq!(fake.state.borrow().taken.len(), 2, "nothing changed");
    escrow_new(&cx, &fresh("two")).unwrap();
    change(&fake, Wish::Rotate(Slot::Unlock));
    let bundle = newest(&fake);
    assert_eq!(bundle.get("secrets/vpn-key-laptop").unwrap().value.expose(), b"two");
    assert_eq!(bundle.get("secrets/vpn-key-laptop").unwrap().purpose, "lets the laptop into the VPN");
    let bad = [NewSecret { name: "../x".into(), purpose: String::new(), value: Secret::new(vec![]) }];
    assert!(escrow_new(&cx, &bad).unwrap_err().to_string().contains("small letters"));
}

#[test]
fn a_secret_whose_escrow_was_cut_off_is_not_in_use_until_it_is_escrowed() {
    let value =
        || [NewSecret { name: "vpn-key".into(), purpose: "p".into(), value: Secret::new(b"v".to_vec()) }];
    let whole = ready();
    let before = whole.state.borrow().acts;
    escrow_new(&Cx::begin(&whole).unwrap(), &value()).unwrap();
    let acts = whole.state.borrow().acts;
    let start = ready();
    for at in before + 1..=acts {
        for cut in whole.ways(at, before + 1) {
            let fake = start.copy();
            fake.state.borrow_mut().cut = Some((at, cut));
            let _ = Cx::begin(&fake).and_then(|cx| escrow_new(&cx, &value()));
            fake.restart();
            let in_use = fake.get(kept_path("vpn-key")).is_some();
            let escrowed = newest(&fake).get("secrets/vpn-key").is_some();
            assert!(!in_use || escrowed, "{at} {cut:?}");
            escrow_new(&Cx::begin(&fake).unwrap(), &value()).unwrap();
            assert_eq!(fake.get(kept_path("vpn-key")).unwrap(), b"v", "{at} {cut:?}");
            assert!(newest(&fake).get("secrets/vpn-key").is_some(), "{at} {cut:?}");
            fake.state.borrow_mut().filed.clear();
            done(&fake);
            assert_settled(&fake, &[0, 2], &format!("{at} {cut:?}"));
        }
    }
}

/// Brings it up with what the operator's newest escrow holds, as `unlock` does.
pub(super) fn bring_up(fake: &Fake) {
    for _ in 0..3 {
        match fake.run().unwrap() {
            Ended::Done => return,
            Ended::Locked => {
                let keys = fake.state.borrow().filed.clone();
                let cx = Cx::begin(fake).unwrap();
                for key in keys {
                    assert!(!matches!(unlock::open(&cx, &Secret::new(key)).unwrap(), Opened::WrongKey));
                }
            }
            Ended::Failed(error) => panic!("{error:#}\n{:#?}", fake.state.borrow().lines),
        }
    }
    panic!("it is locked for ever");
}

/// Every act of a change, each cut in each way, and then the same wish again.
fn every_cut(wish: Wish, wanted: &[u32], after: impl Fn(&Fake)) {
    let start = ready();
    let whole = start.copy();
    change(&whole, wish);
    let (before, acts) = (start.state.borrow().acts, whole.state.borrow().acts);
    assert!(acts - before > 60, "{acts} - {before}");
    for at in before + 1..=acts {
        for cut in whole.ways(at, before + 1) {
            let fake = start.copy();
            fake.state.borrow_mut().cut = Some((at, cut));
            let _ = request(&fake, wish).and_then(|_| fake.run());
            let what =
                format!("{wish:?} cut {cut:?} at act {at}, after {:?}", fake.state.borrow().lines.last());
            after(&fake);
            bring_up(&fake);
            let changed = fake.luks().slots != start.luks().slots;
            assert_settled(&fake, if changed { wanted } else { &[0, 2] }, &what);
            assert!(matches!(fake.events().last(), Some(EventKind::Done)), "{what}");
        }
    }
}

#[test]
fn the_power_is_cut_at_every_act_of_a_rotation() {
    every_cut(Wish::Rotate(Slot::Unlock), &[0, 2], Fake::boot);
    every_cut(Wish::Rotate(Slot::Recovery), &[0, 2], Fake::boot);
}

#[test]
fn firstboot_is_killed_at_every_act_of_a_rotation() {
    every_cut(Wish::Rotate(Slot::Unlock), &[0, 2], Fake::restart);
}

#[test]
fn the_power_is_cut_at_every_act_of_a_revocation() {
    every_cut(Wish::Revoke(Slot::Recovery), &[0], Fake::boot);
    every_cut(Wish::Revoke(Slot::Unlock), &[2], Fake::boot);
}

#[test]
fn the_root_disk_is_overwritten_at_every_act_of_a_rotation() {
    every_cut(Wish::Rotate(Slot::Unlock), &[0, 2], Fake::rebuild);
}
