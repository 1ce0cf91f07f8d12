//! The root disk was overwritten, the volume was not: the server takes its data up, locked until the operator's key comes.

use super::crash::assert_converged;
use super::flow::done;
use super::{Content, Fake, Files};
use crate::access::unlock::{self, Opened};
use crate::flow::boot::Ended;
use crate::flow::status;
use crate::run::Cx;
use crate::volume::Refusal;
use host::Secret;
use spec::{EventKind, NodeSpec, State, paths};

const PASSWORD: &str = "/srv/sovereign/secrets/postgres-superuser-password";

/// A server that was done, with a row in its database, and was then rebuilt.
fn rebuilt() -> Fake {
    let fake = Fake::new();
    done(&fake);
    fake.put("/srv/sovereign/data/row", b"still here");
    fake.rebuild();
    fake
}

/// A server that was rebuilt just before its first boot was done: the bootstrap key went, its slot did not.
fn rebuilt_too_early() -> Fake {
    let fake = rebuilt();
    if let Content::Luks(luks) = &mut fake.state.borrow_mut().volume {
        luks.slots.insert(1, (b"on the root disk before".to_vec(), 0));
    }
    fake
}

fn unlocked(fake: &Fake, key: &[u8]) -> anyhow::Result<Opened> {
    unlock::open(&Cx::begin(fake)?, &Secret::new(key.to_vec()))
}

/// What the volume holds, looked at from outside.
fn inside(fake: &Fake) -> Files {
    fake.luks().files.unwrap()
}

fn key(fake: &Fake) -> Vec<u8> {
    inside(fake)[std::path::Path::new("/srv/sovereign/secrets/luks-key")].bytes.clone()
}

/// The operator's side: runs, and brings the key whenever it is wanted.
fn bring_up(fake: &Fake, key: &[u8]) -> anyhow::Result<()> {
    for _ in 0..3 {
        match fake.run()? {
            Ended::Done => return Ok(()),
            Ended::Locked => assert!(!matches!(unlocked(fake, key)?, Opened::WrongKey)),
            Ended::Failed(error) => return Err(error),
        }
    }
    panic!("it is locked for ever: {:#?}", fake.state.borrow().lines)
}

#[test]
fn without_a_key_it_is_locked_and_untouched() {
    let fake = rebuilt();
    let before = fake.state.borrow().volume.clone();
    for _ in 0..2 {
        assert!(matches!(fake.run().unwrap(), Ended::Locked));
        assert_eq!(fake.events().last(), Some(&EventKind::Locked));
        assert_eq!(status::status(&fake, false).unwrap().state, State::Locked);
        let state = fake.state.borrow();
        assert!(!state.docker && !state.open && state.volume == before);
        drop(state);
        fake.boot();
    }
    assert!(matches!(fake.run().unwrap(), Ended::Locked));
    assert!(matches!(unlocked(&fake, b"wrong").unwrap(), Opened::WrongKey));
    assert_eq!(fake.state.borrow().volume, before);
}

#[test]
fn the_key_brings_all_back_with_the_secrets_the_data_was_made_with() {
    for fake in [rebuilt(), rebuilt_too_early()] {
        let before = inside(&fake);
        bring_up(&fake, &key(&fake)).unwrap();
        assert_converged(&fake, "rebuilt");
        let after = inside(&fake);
        for path in ["/srv/sovereign/data/row", PASSWORD, "/srv/sovereign/secrets/luks-key"] {
            let path = std::path::Path::new(path);
            assert_eq!(before.get(path), after.get(path), "{}", path.display());
        }
        assert_eq!(fake.state.borrow().formats, 1);
        assert_eq!(
            fake.state.borrow().taken.len(),
            2,
            "another host key signs, so the escrow is sealed again"
        );
        assert_eq!(fake.state.borrow().stacks.len(), 1);
        assert_eq!(status::status(&fake, false).unwrap().state, State::Done);
        let lines = fake.state.borrow().lines.len();
        done(&fake);
        assert_eq!(fake.state.borrow().lines[lines..], super::LOOKS);
    }
}

#[test]
fn the_host_key_is_another_and_the_new_escrow_says_which_volume_it_opens() {
    let fake = rebuilt();
    let uuid = fake.luks().uuid;
    bring_up(&fake, &key(&fake)).unwrap();
    let manifest = spec::EscrowManifest::from_json(&fake.get(paths::ESCROW_MANIFEST).unwrap()).unwrap();
    assert_eq!((manifest.volume_id, manifest.luks_uuid.as_deref()), (7, Some(uuid.as_str())));
}

#[test]
fn what_a_new_stack_needs_is_drawn_and_the_rest_stays() {
    let fake = rebuilt();
    let luks_key = key(&fake);
    // As if the stack had not been enabled before the rebuild.
    if let Content::Luks(luks) = &mut fake.state.borrow_mut().volume {
        luks.files.as_mut().unwrap().remove(std::path::Path::new(PASSWORD));
    }
    fake.state.borrow_mut().taken.clear();
    bring_up(&fake, &luks_key).unwrap();
    assert_eq!(key(&fake), luks_key);
    assert_converged(&fake, "a new stack");
}

fn refused(fake: &Fake) -> Refusal {
    let before = fake.state.borrow().volume.clone();
    let Ended::Failed(error) = fake.run().unwrap() else { panic!("it was not refused") };
    assert_eq!(fake.state.borrow().volume, before, "the volume was touched");
    assert!(!fake.state.borrow().docker);
    error.downcast::<Refusal>().unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn another_luks_header_than_the_one_on_file_is_refused() {
    let fake = rebuilt();
    let found = fake.luks().uuid;
    let mut spec = NodeSpec::from_json(&fake.get(paths::NODE_SPEC).unwrap()).unwrap();
    let wanted = "11111111-2222-4333-8444-555555555555";
    spec.disk.known.as_mut().unwrap().luks_uuid = wanted.into();
    fake.install(&spec);
    let refusal = refused(&fake);
    assert!(matches!(&refusal, Refusal::HeaderLost { uuid, .. } if uuid == wanted), "{refusal}");
    assert!(refusal.to_string().contains(&found), "{refusal}");
    // Nor does the right key open what is not known.
    let error = unlocked(&fake, &key(&fake)).err().unwrap().to_string();
    assert!(error.contains("has not come as far"), "{error}");
}

#[test]
fn a_volume_that_lost_its_header_is_refused() {
    for content in [Content::Zero, Content::Foreign("ext4"), Content::Bytes(0, vec![1])] {
        let fake = rebuilt();
        fake.state.borrow_mut().volume = content;
        assert!(matches!(refused(&fake), Refusal::HeaderLost { .. }));
    }
}

#[test]
fn another_serial_is_refused() {
    let fake = rebuilt();
    fake.state.borrow_mut().serial = "8".into();
    fake.boot();
    assert!(matches!(refused(&fake), Refusal::Serial { found, wanted: 7, .. } if found == "8"));
}

#[test]
fn a_volume_nobody_knows_is_refused() {
    let fake = rebuilt();
    let mut spec = NodeSpec::from_json(&fake.get(paths::NODE_SPEC).unwrap()).unwrap();
    spec.disk.known = None;
    fake.install(&spec);
    assert!(matches!(refused(&fake), Refusal::Signature { .. }));
}

#[test]
fn what_is_known_of_a_volume_alone_is_no_new_wish() {
    let fake = Fake::new();
    done(&fake);
    let mut spec = fake.spec();
    spec.disk.format = None;
    spec.disk.known = Some(spec::KnownVolume { volume_id: 7, luks_uuid: fake.luks().uuid });
    assert_eq!(crate::flow::install::install(&fake, &spec.to_json(), &|| false).unwrap(), "done");
    done(&fake);
}

/// Every act of a whole take-up, each cut in each way.
fn every_cut(rebuilt: &Fake, power: bool) {
    let whole = rebuilt.copy();
    let (before, key) = (whole.state.borrow().acts, key(&whole));
    bring_up(&whole, &key).unwrap();
    assert_converged(&whole, "never cut");
    let acts = whole.state.borrow().acts;
    assert!(acts - before > 60, "{acts} - {before}");
    for at in before + 1..=acts {
        for cut in whole.ways(at, before + 1) {
            let fake = rebuilt.copy();
            fake.state.borrow_mut().cut = Some((at, cut));
            let first = bring_up(&fake, &key);
            assert!(first.is_err() || at == acts, "{at} {cut:?}");
            let what = format!("cut {cut:?} at act {at}, after {:?}", fake.state.borrow().lines.last());
            if power {
                fake.boot();
            } else {
                fake.restart();
            }
            if let Err(error) = bring_up(&fake, &key) {
                panic!("{what}: {error:#}\n{:#?}", fake.state.borrow().lines);
            }
            assert_converged(&fake, &what);
            assert_eq!(fake.state.borrow().formats, 1, "{what}");
        }
    }
}

#[test]
fn the_power_is_cut_at_every_act() {
    every_cut(&rebuilt(), true);
}

#[test]
fn firstboot_is_killed_at_every_act() {
    every_cut(&rebuilt(), false);
}

#[test]
fn the_power_is_cut_at_every_act_with_a_slot_left_over() {
    every_cut(&rebuilt_too_early(), true);
}
