//! The volume was made bigger at the cloud; LUKS and the file system follow, whatever cuts it off.

use super::Fake;
use super::flow::done;
use crate::flow::boot::Ended;
use crate::volume::Refusal;
use host::Secret;
use spec::UnlockSpec;

const BIGGER: u64 = 20 << 30;

/// A server that is done, whose volume has been made bigger at the cloud, and which was told so.
fn told() -> Fake {
    told_of(UnlockSpec::Operator)
}

/// The same, of a server that opens its volume in this way.
fn told_of(unlock: UnlockSpec) -> Fake {
    let fake = Fake::new();
    let mut spec = spec::NodeSpec { unlock, ..fake.spec() };
    fake.install(&spec);
    done(&fake);
    fake.put("/srv/sovereign/data/row", b"still here");
    (spec.disk.format, spec.disk.size_gb) = (None, 20);
    fake.state.borrow_mut().size = BIGGER;
    assert_ne!(crate::flow::install::install(&fake, &spec.to_json(), &|| false).unwrap(), "done");
    fake
}

fn assert_grown(fake: &Fake, at: &str) {
    let room = BIGGER - (4 << 20);
    assert_eq!((fake.state.borrow().mapped, fake.luks().file_system), (room, room), "{at}");
    let row = std::path::Path::new("/srv/sovereign/data/row");
    assert_eq!(fake.luks().files.unwrap()[row].bytes, b"still here", "{at}");
    assert_eq!(fake.state.borrow().formats, 1, "{at}");
}

#[test]
fn everything_grows_while_the_stacks_run() {
    let fake = told();
    let (lines, stacks) = (fake.state.borrow().lines.len(), fake.state.borrow().stacks.clone());
    done(&fake);
    assert_grown(&fake, "grown");
    let state = fake.state.borrow();
    let growing: Vec<_> = state.lines[lines..].iter().filter(|line| line.contains("resize")).collect();
    assert_eq!(
        growing,
        [
            "cryptsetup resize --batch-mode --key-file /srv/sovereign/secrets/luks-key sovereign",
            "resize2fs /dev/mapper/sovereign"
        ]
    );
    assert_eq!(state.stacks, stacks, "no stack was touched");
    assert_eq!(state.taken.len(), 1, "no secret and no slot changed");
}

/// By a twentieth, which is less than a binary gigabyte has more than a decimal one; and the kernel sees it only when told.
#[test]
fn a_little_more_is_noticed_whatever_a_gigabyte_is() {
    for gigabyte in [1_000_000_000, 1 << 30] {
        let fake = Fake::new();
        let sized = |size_gb: u64| {
            let mut spec = fake.spec();
            spec.disk.size_gb = size_gb;
            fake.state.borrow_mut().size = size_gb * gigabyte;
            spec
        };
        fake.install(&sized(100));
        fake.boot();
        done(&fake);
        let mut spec = sized(105);
        spec.disk.format = None;
        crate::flow::install::install(&fake, &spec.to_json(), &|| false).unwrap();
        done(&fake);
        let room = (105 * gigabyte - (4 << 20)) / 4096 * 4096;
        assert_eq!(fake.luks().file_system, room, "gigabytes of {gigabyte} bytes");
    }
}

/// cryptsetup wants a key to grow what is open, and Tang opened this one: the volume's own copy of the key does it, whether
/// Tang answers or not.
#[test]
fn a_volume_that_tang_opened_grows_with_tang_there_and_with_tang_gone() {
    for (restarted, tang) in [(false, true), (false, false), (true, true), (true, false)] {
        let at = format!("restarted {restarted}, tang {tang}");
        let fake = told_of(super::unattended::tang());
        fake.state.borrow_mut().tang = tang;
        if restarted {
            fake.boot();
        }
        if restarted && !tang {
            assert!(matches!(fake.run().unwrap(), Ended::Locked), "{at}");
            let key = fake.state.borrow().filed[0].clone();
            crate::access::unlock::open(&crate::run::Cx::begin(&fake).unwrap(), &Secret::new(key)).unwrap();
        }
        done(&fake);
        assert_grown(&fake, &at);
        assert_eq!(fake.luks().slots.keys().copied().collect::<Vec<_>>(), [0, 2, 4], "{at}");
    }
}

#[test]
fn the_power_is_cut_at_every_act() {
    let start = told();
    let whole = start.copy();
    done(&whole);
    let (before, acts) = (start.state.borrow().acts, whole.state.borrow().acts);
    for at in before + 1..=acts {
        for cut in whole.ways(at, before + 1) {
            for power in [true, false] {
                let fake = start.copy();
                fake.state.borrow_mut().cut = Some((at, cut));
                let _ = fake.run();
                if power {
                    fake.boot();
                } else {
                    fake.restart();
                }
                let what =
                    format!("power {power}, cut {cut:?} at act {at}: {:?}", fake.state.borrow().lines.last());
                if matches!(fake.run().unwrap(), Ended::Locked) {
                    let key = fake.state.borrow().filed[0].clone();
                    let cx = crate::run::Cx::begin(&fake).unwrap();
                    crate::access::unlock::open(&cx, &Secret::new(key)).unwrap();
                    done(&fake);
                }
                assert_grown(&fake, &what);
                assert!(fake.is_settled(), "{what}");
            }
        }
    }
}

#[test]
fn a_disk_that_did_not_grow_is_said_and_nothing_is_changed() {
    let fake = told();
    fake.state.borrow_mut().size = super::volume::SIZE;
    let before = fake.luks().file_system;
    let Ended::Failed(error) = fake.run().unwrap() else { panic!() };
    assert!(error.to_string().contains("the kernel sees 10000000000"), "{error:#}");
    assert_eq!(fake.luks().file_system, before);
    fake.state.borrow_mut().size = BIGGER;
    done(&fake);
    assert_grown(&fake, "at last");
}

#[test]
fn a_disk_that_became_smaller_is_refused() {
    let fake = told();
    done(&fake);
    fake.put("/sys/class/block/sda/size", format!("{}\n", super::volume::SIZE / 512).as_bytes());
    let Ended::Failed(error) = fake.run().unwrap() else { panic!("it was not refused") };
    assert!(matches!(error.downcast_ref(), Some(Refusal::Shrunk { found: 10_000_000_000, .. })), "{error:#}");
}
