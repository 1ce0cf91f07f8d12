//! Stacks that the node spec no longer names: stopped, their data and their secrets kept, until somebody asks for them to be
//! removed. What there is of stacks, the volume says.

use super::compose::{compose, compose_file, folder};
use crate::access::store::stored;
use crate::run::{Cx, phase};
use crate::steps::docker::engine;
use crate::system::{managed, units};
use crate::volume::{self, Locked};
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _};
use spec::{StackState, paths};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a stack may take to end.
const DOWN: Duration = Duration::from_secs(330);

/// Every stack that lies on the volume, by name.
fn on_volume(cx: &Cx<'_>) -> Result<Vec<String>> {
    let mut there = Vec::new();
    for name in cx.machine().list(&Path::new(paths::DATA).join("stacks"))? {
        if cx.machine().exists(compose_file(&name))? || cx.machine().exists(mark(&name))? {
            there.push(name);
        }
    }
    Ok(there)
}

/// The wish to remove a stack with its data.
fn mark(name: &str) -> PathBuf {
    folder(name).join("removing")
}

fn is_wanted(cx: &Cx<'_>, name: &str) -> bool {
    cx.spec.stacks.iter().any(|stack| stack.name == name)
}

/// What is not as it must be of the stacks that nobody wants; nothing where all is well.
pub(crate) fn complaints(cx: &Cx<'_>) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for name in on_volume(cx)? {
        if cx.machine().exists(mark(&name))? {
            wrong.push(format!("stack {name} is not removed yet"));
        } else if !is_wanted(cx, &name) && !is_down(cx, &name)? {
            wrong.push(format!("stack {name} is up, and the project does not enable it"));
        }
    }
    Ok(wrong)
}

/// Makes it so. A stack that is to be removed and is wanted again begins with nothing.
pub(super) fn stop_and_remove(cx: &Cx<'_>) -> Result<()> {
    for name in on_volume(cx)? {
        let removed = cx.machine().exists(mark(&name))?;
        if (removed || !is_wanted(cx, &name)) && !is_down(cx, &name)? {
            take_down(cx, &name).with_context(|| format!("stopping stack {name}"))?;
        }
        if removed {
            remove(cx, &name).with_context(|| format!("removing stack {name}"))?;
        }
    }
    Ok(())
}

/// Whether it has no containers and is not started at boot.
fn is_down(cx: &Cx<'_>, name: &str) -> Result<bool> {
    Ok(!units::is_wanted(cx, &units::stack_unit(name))? && engine::containers(cx, name)?.is_empty())
}

fn take_down(cx: &Cx<'_>, name: &str) -> Result<()> {
    cx.say(format!("stopping stack {name}: it is not enabled; its data is kept"))?;
    let unit = units::stack_unit(name);
    units::unwant(cx, &unit)?;
    cx.run(&Cmd::new("systemctl").args(["stop", &unit]).timeout(DOWN))?;
    cx.run(&compose(name, &["down", "--remove-orphans"]).timeout(DOWN))?;
    for file in units::files_of_stack(cx, name)?.into_iter().map(PathBuf::from) {
        managed::forget(cx, &file)?;
        wipe(cx, [file])?;
    }
    Ok(())
}

/// First what is of value, last the folder with the wish: cut off anywhere, the next run goes on.
fn remove(cx: &Cx<'_>, name: &str) -> Result<()> {
    cx.say(format!("removing stack {name} with its data"))?;
    if let Some(compose) = cx.machine().text(compose_file(name))? {
        let left = ::stacks::left(name, &compose)?;
        wipe(cx, left.data)?;
        for secret in left.secrets {
            cx.machine().shred(&stored(&secret))?;
        }
    }
    managed::forget(cx, &folder(name))?;
    wipe(cx, [folder(name)])
}

fn wipe(cx: &Cx<'_>, dirs: impl IntoIterator<Item = PathBuf>) -> Result<()> {
    for dir in dirs {
        cx.run(&Cmd::new("rm").args(["-rf", "--one-file-system", "--"]).path(dir))?;
    }
    cx.machine().sync_all();
    Ok(())
}

/// `firstboot stacks remove NAME`: asks for it; the unit is to be started then. Gives the number of the first event to
/// follow, since the secrets leave the escrow, too.
pub(crate) fn request_removal(cx: &Cx<'_>, name: &str) -> Result<u64> {
    if !volume::mounted(cx)? {
        return Err(Locked.into());
    }
    if is_wanted(cx, name) {
        bail!(
            "removing stack {name}: the project enables it; take it out of `enabled` in project.toml, run \
             `cargo xtask provision --project NAME`, then remove it"
        );
    }
    let there = on_volume(cx)?;
    if !there.iter().any(|found| found == name) {
        bail!("removing stack {name}: there is none on the volume, which has: {}", there.join(", "));
    }
    // First of all: a cut in between must not leave a wish that nobody follows.
    phase::unsettle(cx.machine(), format!("stack {name} is to be removed with its data"))?;
    cx.write(&mark(name), b"", 0o600)?;
    cx.next_event()
}

/// `firstboot stacks list`: what there is on the volume, and what is wanted.
pub(crate) fn list(cx: &Cx<'_>) -> Result<Vec<StackState>> {
    if !volume::mounted(cx)? {
        return Err(Locked.into());
    }
    let mut names = on_volume(cx)?;
    names.extend(cx.spec.stacks.iter().map(|stack| stack.name.clone()));
    names.sort_unstable();
    names.dedup();
    let state = |name: String| {
        let containers = engine::containers(cx, &name)?;
        let compose = cx.machine().text(compose_file(&name))?;
        let left = compose.map(|compose| ::stacks::left(&name, &compose)).transpose()?.unwrap_or_default();
        Ok(StackState {
            enabled: is_wanted(cx, &name),
            containers: containers.len(),
            healthy: containers.iter().filter(|container| engine::healthy(container)).count(),
            data: left.data.into_iter().collect(),
            secrets: left.secrets.into_iter().collect(),
            name,
        })
    };
    names.into_iter().map(state).collect()
}
