//! The secrets are drawn, in memory.
//!
//! One key touches the root disk: the bootstrap key. It opens a temporary slot of the volume, so that first boot
//! survives a reboot without an operator, and opens nothing once first boot is done. Every other secret is drawn
//! into memory and moves onto the volume as soon as that is open; there it stays.

use super::preflight::ThisServer;
use crate::access::store::{BOOTSTRAP_KEY, WAITING, draw_one, waiting, wanted};
use crate::machine::random::{HEX, draw};
use crate::run::{Cx, Step};
use crate::volume;
use anyhow::Result;
use host::Host as _;
use spec::{StepName, paths};
use std::path::Path;

/// Every key the disk step needs is there, or was used up.
#[derive(Debug, Clone, Copy)]
pub struct Keys(());

/// See the module.
pub struct Secrets {
    /// It is the right server.
    pub server: ThisServer,
}

impl Step for Secrets {
    const NAME: StepName = StepName::Secrets;
    type Output = Keys;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Keys>> {
        if volume::on_record(cx).is_some_and(|volume| volume.formatted) {
            // From here on the secrets are the volume's; drawing others would only confuse.
            return Ok(Some(Keys(())));
        }
        if !cx.machine().exists(BOOTSTRAP_KEY)? {
            return Ok(None);
        }
        for wanted in wanted(cx)? {
            if !cx.machine().exists(waiting(&wanted.name))? {
                return Ok(None);
            }
        }
        Ok(Some(Keys(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        cx.machine().make_dir(Path::new(paths::STATE), 0o755, 0, 0)?;
        if !cx.machine().exists(BOOTSTRAP_KEY)? {
            let key = draw(cx.machine(), HEX, 128)?;
            cx.write(Path::new(BOOTSTRAP_KEY), key.expose(), 0o400)?;
        }
        cx.machine().make_dir(Path::new("/run/sovereign"), 0o700, 0, 0)?;
        cx.machine().make_dir(Path::new(WAITING), 0o700, 0, 0)?;
        for wanted in wanted(cx)? {
            if !cx.machine().exists(waiting(&wanted.name))? {
                cx.write(&waiting(&wanted.name), draw_one(cx, &wanted)?.expose(), 0o400)?;
            }
        }
        Ok(())
    }
}
