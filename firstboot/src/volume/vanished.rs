//! A volume that was taken away while it was open: the mapping stays, and everything on it fails.

use super::{device, luks};
use crate::machine::Machine;
use crate::run::Cx;
use anyhow::{Result, bail};
use std::path::Path;

/// What happened and the way back.
pub(crate) const SENTENCE: &str = "the volume was taken away while it was open, and what is mounted of it is dead; \
     nothing on the volume itself was changed since. Attach it again with `cargo xtask provision --project NAME`, restart the server \
     with `cargo xtask ssh --project NAME -- systemctl reboot --force`, then open it with `cargo xtask unlock --project NAME --identity FILE`";

/// Whether the mapping is there and the device below it is not.
pub(crate) fn vanished(machine: &dyn Machine) -> Result<bool> {
    let Some(mapped) = machine.resolve(&luks::mapping())? else { return Ok(false) };
    for name in machine.list(&device::sysfs(&mapped).join("slaves"))? {
        if machine.stat(&device::sysfs(Path::new(&name)).join("size"))?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses to go on with such a volume: nothing that writes to it could succeed.
pub(crate) fn refuse(cx: &Cx<'_>) -> Result<()> {
    if vanished(cx.machine())? {
        bail!("looking at the volume: {SENTENCE}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::boot::Ended;
    use crate::testing::Fake;
    use spec::State;

    #[test]
    fn a_volume_taken_away_while_open_is_said_everywhere_and_nothing_is_done_to_it() {
        let fake = Fake::new();
        assert!(!vanished(&fake).unwrap(), "before it is open");
        assert!(matches!(fake.run().unwrap(), Ended::Done));
        assert!(!vanished(&fake).unwrap(), "while it is there");
        let size = Path::new("/sys/class/block/sda/size");
        fake.state.borrow_mut().memory.remove(size).unwrap();
        let before = fake.state.borrow().volume.clone();
        let Ended::Failed(error) = fake.run().unwrap() else { panic!("it went on") };
        assert!(error.to_string().contains("taken away while it was open"), "{error}");
        assert_eq!(fake.state.borrow().volume, before);
        let pending = crate::steps::pending::reason(&Cx::read_only(&fake).unwrap()).unwrap();
        assert!(pending.is_some(), "`provision` would find nothing to do");
        let status = crate::flow::status::status(&fake, false).unwrap();
        assert_eq!((status.state, status.error.as_deref()), (State::Failed, Some(SENTENCE)));
        let checks = crate::steps::verify::checks(&Cx::read_only(&fake).unwrap());
        assert!(checks[0].complaint().unwrap().contains("taken away"), "{:?}", checks[0]);
    }
}
