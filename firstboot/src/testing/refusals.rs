//! What the disk step does not touch: each refusal, on the whole machine, with the volume compared before and after.

use super::{Content, Cut, Fake, Luks};
use crate::flow::boot::Ended;
use crate::volume::Refusal;

/// Runs into a refusal; nothing on the volume may have changed.
fn refused(fake: &Fake) -> Refusal {
    let before = fake.state.borrow().volume.clone();
    let Ended::Failed(e) = fake.run().unwrap() else { panic!("it was not refused") };
    assert_eq!(fake.state.borrow().volume, before, "the volume was touched");
    assert_eq!(fake.state.borrow().formats, 0);
    e.downcast::<Refusal>().unwrap_or_else(|e| panic!("{e:#}"))
}

fn with(volume: Content) -> Fake {
    let fake = Fake::new();
    fake.state.borrow_mut().volume = volume;
    fake
}

#[test]
fn a_foreign_file_system() {
    assert!(
        matches!(refused(&with(Content::Foreign("ext4"))), Refusal::Signature { found, .. } if found.contains("ext4"))
    );
}

#[test]
fn a_foreign_luks_volume() {
    let luks = Luks { uuid: "somebody-elses".into(), ..Luks::default() };
    let refusal = refused(&with(Content::Luks(luks)));
    assert!(matches!(refusal, Refusal::Signature { found, .. } if found.contains("somebody-elses")));
}

#[test]
fn bytes_anywhere_in_the_head_or_at_the_end() {
    for at in [0, 4096, 5 << 20, (16 << 20) - 1, super::volume::SIZE - 1] {
        let refusal = refused(&with(Content::Bytes(at, vec![1])));
        assert!(matches!(refusal, Refusal::NotEmpty { at: found, .. } if found == at), "{at}");
    }
}

#[test]
fn another_disks_serial() {
    let fake = Fake::new();
    fake.state.borrow_mut().serial = "8".into();
    fake.boot();
    assert!(matches!(refused(&fake), Refusal::Serial { found, wanted: 7, .. } if found == "8"));
}

#[test]
fn an_unreadable_sector() {
    for at in [0, 9 << 20, super::volume::SIZE - 512] {
        let fake = Fake::new();
        fake.state.borrow_mut().unreadable = Some(at);
        assert!(matches!(refused(&fake), Refusal::Unreadable { .. }), "{at}");
    }
}

#[test]
fn another_size() {
    let fake = Fake::new();
    fake.put("/sys/class/block/sda/size", b"1000000\n");
    assert!(matches!(refused(&fake), Refusal::Size { found: 512_000_000, .. }));
}

#[test]
fn no_leave_to_format() {
    let fake = Fake::new();
    let mut spec = fake.spec();
    spec.disk.format = None;
    fake.install(&spec);
    assert!(matches!(refused(&fake), Refusal::NoToken { .. }));
}

#[test]
fn a_volume_that_is_not_attached() {
    let fake = Fake::new();
    let mut spec = fake.spec();
    (spec.disk.volume_id, spec.disk.format) = (9, None);
    fake.install(&spec);
    assert!(matches!(refused(&fake), Refusal::NotAttached { .. }));
}

#[test]
fn a_volume_that_lost_our_header() {
    let fake = Fake::new();
    super::flow::done(&fake);
    fake.boot();
    fake.state.borrow_mut().volume = Content::Zero;
    let Ended::Failed(e) = fake.run().unwrap() else { panic!() };
    assert!(matches!(e.downcast::<Refusal>().unwrap(), Refusal::HeaderLost { .. }));
    assert_eq!(fake.state.borrow().volume, Content::Zero);
}

/// A server whose power was cut between luksFormat and mkfs.
fn cut_after_format() -> Fake {
    let formatted =
        |fake: &Fake| matches!(&fake.state.borrow().volume, Content::Luks(l) if !l.slots.is_empty());
    (1..).map(cut_at).find(formatted).unwrap()
}

fn cut_at(act: u64) -> Fake {
    let fake = Fake::new();
    fake.state.borrow_mut().cut = Some((act, Cut::After));
    let _ = fake.run();
    fake.boot();
    fake
}

/// Changes the volume behind firstboot's back.
fn change(fake: &Fake, change: impl FnOnce(&mut Luks)) {
    match &mut fake.state.borrow_mut().volume {
        Content::Luks(luks) => change(luks),
        other => panic!("{other:?}"),
    }
}

/// Runs into a refusal; the volume was formatted once, before, and not again.
fn refused_again(fake: &Fake) -> Refusal {
    let before = fake.state.borrow().volume.clone();
    let Ended::Failed(e) = fake.run().unwrap() else { panic!("it was not refused") };
    assert_eq!(fake.state.borrow().volume, before, "the volume was touched");
    assert_eq!(fake.state.borrow().formats, 1);
    e.downcast::<Refusal>().unwrap_or_else(|e| panic!("{e:#}"))
}

#[test]
fn what_lies_inside_luks_and_is_not_ours() {
    let fake = cut_after_format();
    change(&fake, |luks| luks.foreign = Some("xfs"));
    assert_eq!(refused_again(&fake), Refusal::ForeignContent { found: "xfs".into() });
}

#[test]
fn our_header_that_the_bootstrap_key_does_not_open_and_bytes_behind_it() {
    let fake = cut_after_format();
    change(&fake, |luks| {
        luks.used = true;
        luks.slots.clear();
    });
    assert!(matches!(refused_again(&fake), Refusal::OursButShut { .. }));
}

#[test]
fn a_volume_swapped_after_a_cut_off_format() {
    let fake = cut_after_format();
    change(&fake, |luks| luks.uuid = "somebody-elses".into());
    assert!(matches!(refused_again(&fake), Refusal::Signature { .. }));
}
