//! The power is cut, or firstboot killed, at every single act; the next run must come to the same end.

use super::flow::done;
use super::{Cut, Fake, Lanes};
use crate::access::store::BOOTSTRAP_KEY;
use crate::flow::boot::Ended;
use crate::flow::status;
use spec::{EventKind, Gate, paths};

/// The slots a header holds.
pub(super) fn slots(header: &[u8]) -> Vec<u32> {
    escrow::Header::parse(header).unwrap().slots.iter().map(|slot| slot.number).collect()
}

/// What must be true at the end, whatever happened on the way.
pub(super) fn assert_converged(fake: &Fake, at: &str) {
    let luks = fake.luks();
    assert_eq!(luks.slots.keys().copied().collect::<Vec<_>>(), [0, 2], "{at}: slots");
    assert!(fake.is_settled() && fake.get(BOOTSTRAP_KEY).is_none(), "{at}: marker");
    let stored = |name: &str| {
        let path = std::path::PathBuf::from("/srv/sovereign/secrets").join(name);
        luks.files.as_ref().and_then(|f| f.get(&path)).map(|n| n.bytes.clone()).unwrap_or_default()
    };
    assert!(
        fake.state.borrow().closed && fake.state.borrow().timers.is_empty(),
        "{at}: the firewall stays closed"
    );
    assert!(luks.opens(&stored("luks-key"), Some(0)), "{at}: the stored key opens the volume");
    assert!(luks.opens(&stored("luks-recovery"), Some(2)), "{at}: the stored words open the volume");
    // Every escrow that was ever acknowledged still holds what is true: nothing was drawn anew afterwards.
    assert!(!fake.state.borrow().taken.is_empty(), "{at}");
    for sealed in &fake.state.borrow().taken {
        let bundle = escrow::open(sealed, &fake.identity).unwrap();
        for name in ["luks-key", "luks-recovery", "postgres-superuser-password"] {
            let sealed = &bundle.get(&format!("secrets/{name}")).unwrap().value;
            assert!(sealed.expose() == stored(name), "{at}: {name} was drawn anew after it was acknowledged");
        }
        let header = bundle.get(escrow::LUKS_HEADER).unwrap().value.expose().to_vec();
        assert_eq!(slots(&header), [0, 2], "{at}: the copied header");
    }
    for (path, text) in crate::system::units::UNITS {
        let known = fake.state.borrow().loaded.get(std::path::Path::new(path)).map(|node| node.bytes.clone());
        assert!(known.as_deref() == Some(text.as_bytes()), "{at}: systemd has not read {path}");
    }
    let pinned = fake.events().into_iter().filter_map(|kind| match kind {
        EventKind::GatePassed { gate: Gate::HostKey { public_key } } => Some(public_key),
        _ => None,
    });
    let public = String::from_utf8(fake.get("/etc/ssh/ssh_host_ed25519_key.pub").unwrap()).unwrap();
    assert!(pinned.clone().all(|key| public.starts_with(&key)), "{at}: the pinned key is the lasting one");
    let private = fake.get("/etc/ssh/ssh_host_ed25519_key").unwrap();
    assert_eq!(fake.state.borrow().sshd, private, "{at}: sshd answers with the lasting key");
    assert_eq!(
        private.strip_prefix(b"host key ").unwrap(),
        public[16..].split(' ').next().unwrap().as_bytes(),
        "{at}"
    );
}

/// A fresh server whose lanes run in this order.
fn with(lanes: Lanes) -> Fake {
    let fake = Fake::new();
    fake.state.borrow_mut().lanes = lanes;
    fake
}

/// Every act of a whole run, each cut in each way.
fn every_cut(power: bool, lanes: Lanes) {
    let whole = with(lanes);
    done(&whole);
    assert_converged(&whole, "never cut");
    let acts = whole.state.borrow().acts;
    assert!(acts > 80, "{acts}");
    for at in 1..=acts {
        for cut in whole.ways(at, 1) {
            let fake = with(lanes);
            fake.state.borrow_mut().cut = Some((at, cut));
            let first = fake.run();
            assert!(first.is_err() || !matches!(first, Ok(Ended::Done)) || at == acts, "{at} {cut:?}");
            let what = format!(
                "{} cut {cut:?} at act {at}, after {:?}",
                if power { "power" } else { "process" },
                fake.state.borrow().lines.last()
            );
            if power {
                fake.boot();
            } else {
                fake.restart();
            }
            status::status(&fake, false).unwrap_or_else(|error| panic!("{what}: {error:#}"));
            match fake.run() {
                Ok(Ended::Done) => {}
                // The marker was written, and then the power failed: the locked server waits for its operator.
                Ok(Ended::Locked) if power && fake.is_settled() => {}
                other => panic!("{what}: {other:?}\n{:#?}", fake.state.borrow().lines),
            }
            assert_converged(&fake, &what);
        }
    }
}

#[test]
fn the_power_is_cut_at_every_act() {
    every_cut(true, Lanes::MainFirst);
}

#[test]
fn the_power_is_cut_at_every_act_of_lanes_in_the_other_order() {
    every_cut(true, Lanes::MainLast);
}

#[test]
fn the_power_is_cut_while_lanes_run_at_once() {
    for at in 1..150 {
        let fake = with(Lanes::AtOnce);
        fake.state.borrow_mut().cut = Some((at, Cut::Torn));
        let _ = fake.run();
        fake.boot();
        let what = format!("cut at act {at}");
        match fake.run() {
            Ok(Ended::Done) => {}
            Ok(Ended::Locked) if fake.is_settled() => {}
            other => panic!("{what}: {other:?}\n{:#?}", fake.state.borrow().lines),
        }
        assert_converged(&fake, &what);
        let receipt = spec::Receipt::from_json(&fake.get(paths::RECEIPT).unwrap()).unwrap();
        assert_eq!(receipt.steps.len(), spec::StepName::ALL.len(), "{what}: a record was lost");
    }
}

#[test]
fn firstboot_is_killed_at_every_act() {
    every_cut(false, Lanes::MainFirst);
}

#[test]
fn the_power_is_cut_twice() {
    for first in (1..110).step_by(7) {
        for second in (1..110).step_by(9) {
            let fake = Fake::new();
            for at in [first, second] {
                let acts = fake.state.borrow().acts;
                fake.state.borrow_mut().cut = Some((acts + at, Cut::After));
                let _ = fake.run();
                fake.boot();
            }
            let ended = fake.run();
            let what = format!("cut at {first}, then {second}");
            assert!(matches!(ended, Ok(Ended::Done | Ended::Locked)), "{what}: {ended:?}");
            assert_converged(&fake, &what);
        }
    }
}
