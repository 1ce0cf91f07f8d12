//! The volume was made bigger at the cloud; LUKS and the file system follow, whatever cuts it off.

use super::Fake;
use super::flow::done;
use crate::boot::Ended;
use crate::steps::disk::Refusal;
use host::Secret;

const BIGGER: u64 = 20 << 30;

/// A server that is done, whose volume has been made bigger at the cloud, and which was told so.
fn told() -> Fake {
    let fake = Fake::new();
    done(&fake);
    fake.put("/srv/sovereign/data/row", b"still here");
    let mut spec = fake.spec();
    (spec.disk.format, spec.disk.size_gb) = (None, 20);
    fake.state.borrow_mut().size = BIGGER;
    assert_ne!(crate::install::install(&fake, &spec.to_json(), &|| false).unwrap(), "done");
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
                    let cx = crate::Cx::begin(&fake).unwrap();
                    crate::unlock::open(&cx, &Secret::new(key)).unwrap();
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
