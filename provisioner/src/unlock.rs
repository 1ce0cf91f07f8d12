//! Opens the volume after a reboot: the key goes from the escrow over the pinned channel into firstboot's stdin.

use crate::errors::NeedsOperator;
use crate::escrow_folder::need_current;
use crate::known_hosts::KnownHosts;
use crate::observe::World;
use crate::provision::{Context, Prepared};
use crate::report::Stage;
use anyhow::{Context as _, Result, bail};
use escrow::{Identity, LUKS_KEY};
use host::{Cmd, Host as _};
use spec::paths;
use std::time::Duration;

/// A rebooting server, emulated on a busy host, takes this long at the most.
const BOOT_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Unlocks the server's volume with the escrowed key. The key never touches a disk on the way.
pub fn unlock(context: &Context<'_>, prepared: &Prepared, world: &World, identity: &Identity) -> Result<()> {
    let server = world.server.as_ref().context("unlocking: there is no server")?;
    let bundle = need_current(context.folder)?.open(identity)?;
    let key = bundle.get(LUKS_KEY).with_context(|| format!("unlocking: the escrow holds no {LUKS_KEY}"))?;
    let known_hosts = KnownHosts::new(context.folder, server.id);
    let session = context.session(prepared, world, &known_hosts)?;
    let stage = Stage::begin(context.report, "waiting for the server");
    session.wait("true", BOOT_LIMIT, |said| stage.detail(said))?;
    stage.done("connected");
    let stage = Stage::begin(context.report, "unlocking the volume, starting the stacks");
    let output = session.probe(&Cmd::new(paths::BINARY).arg("unlock").stdin_secret(&key.value))?;
    match output.code {
        Some(0) => stage.done("unlocked"),
        Some(4) => return Err(NeedsOperator(output.stderr.trim().to_owned()).into()),
        _ => bail!("unlocking: {}", output.stderr.trim()),
    }
    Ok(())
}
