//! Pulled images and power cuts: Docker does not make what it unpacks durable, so a cut shortly after a pull leaves
//! layers it believes whole whose files are empty.
//!
//! A note on the volume is written before a pull and removed once everything is on disk. A note from an earlier boot
//! means that the engine's store cannot be trusted: it is emptied, but for volumes, and everything is pulled again.

use super::DATA_ROOT;
use crate::run::Cx;
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _};
use spec::paths;
use std::path::Path;

const NOTE: &str = "/srv/sovereign/pulling";
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// What is data and not a copy of something a registry has.
const KEPT: &str = "volumes";

/// Runs a pull between the note and its removal.
pub(crate) fn durably(cx: &Cx<'_>, pull: impl FnOnce() -> Result<()>) -> Result<()> {
    let boot = cx.machine().text(BOOT)?.unwrap_or_default();
    cx.write(Path::new(NOTE), boot.as_bytes(), 0o600)?;
    pull()?;
    cx.run(&Cmd::new("sync").args(["--file-system", paths::DATA])).context("making the image durable")?;
    cx.remove(Path::new(NOTE))?;
    Ok(())
}

/// Whether the power was cut before a pulled image was on disk.
pub(crate) fn was_cut_off(cx: &Cx<'_>) -> Result<bool> {
    Ok(cx.machine().text(NOTE)?.is_some_and(|boot| Some(boot) != cx.machine().text(BOOT).unwrap_or_default()))
}

/// Empties the stopped engine's store.
pub(crate) fn empty_store(cx: &Cx<'_>) -> Result<()> {
    cx.say("the power was cut while an image was pulled: emptying Docker's store")?;
    let inside = cx.machine().list(Path::new(DATA_ROOT))?;
    let paths = inside.iter().filter(|name| *name != KEPT).map(|name| format!("{DATA_ROOT}/{name}"));
    let cmd = Cmd::new("rm").args(["-rf", "--one-file-system", "--"]).args(paths);
    cx.run(&cmd).context("emptying Docker's store")?;
    cx.run(&Cmd::new("sync").args(["--file-system", paths::DATA]))?;
    cx.remove(Path::new(NOTE))?;
    Ok(())
}
