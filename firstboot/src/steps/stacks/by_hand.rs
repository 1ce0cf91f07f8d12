//! What an administrator does to one stack that runs: reads its logs, restarts it, runs its tool, sees what would change.

use super::compose::{compose, folder};
use super::rendered::Rendered;
use super::{in_service, settings};
use crate::run::Cx;
use crate::system::units;
use crate::volume::{self, Locked};
use ::stacks::Planned;
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _};
use std::time::Duration;

/// How long a stack may take to stop and to be healthy again.
const RESTART: Duration = Duration::from_secs(660);

/// An enabled stack, on a server that is open.
pub(super) fn enabled<'p>(cx: &'p Cx<'_>, name: &str) -> Result<&'p Planned> {
    if !volume::mounted(cx)? {
        return Err(Locked.into());
    }
    cx.plan()?.stack(name).with_context(|| {
        let all: Vec<_> = cx.spec.stacks.iter().map(|stack| stack.name.as_str()).collect();
        format!("looking up stack {name}: it is not enabled; enabled are: {}", all.join(", "))
    })
}

/// `firstboot stacks logs NAME`: what its containers said, with these options of Compose's `logs`.
pub(crate) fn logs(cx: &Cx<'_>, name: &str, options: &[&str]) -> Result<i32> {
    enabled(cx, name)?;
    let words = [&["logs", "--no-color", "--timestamps"], options].concat();
    Ok(compose(name, &words).run_inherited()?)
}

/// `firstboot stacks restart NAME`: stops it, starts it, and waits until it is healthy.
pub(crate) fn restart(cx: &Cx<'_>, name: &str) -> Result<()> {
    enabled(cx, name)?;
    let unit = units::stack_unit(name);
    let ended = cx.probe(&Cmd::new("systemctl").args(["restart", &unit]).timeout(RESTART))?;
    let wanted = cx.spec.stacks.iter().find(|stack| stack.name == name);
    let rendered = Rendered::new(cx, wanted.context("it is planned and not wanted")?)?;
    if ended.success() && rendered.holds(cx)? {
        Ok(())
    } else {
        bail!("restarting: {}", rendered.failure(cx)?)
    }
}

/// `firstboot stacks run NAME ARGUMENTS`: what its manifest says is run for administrators, with these arguments.
pub(crate) fn run(cx: &Cx<'_>, name: &str, arguments: &[&str]) -> Result<i32> {
    let stack = enabled(cx, name)?;
    let hook = stack.manifest.hooks.run.as_ref();
    let hook = hook.with_context(|| format!("running the tool of stack {name}: its manifest names none"))?;
    let cmd = in_service::command(cx, stack, &hook.service, &hook.command)?;
    Ok(cmd.args(arguments.to_vec()).run_interactive()?)
}

/// `firstboot stacks diff`: how what lies on the volume differs from what is wanted, as a unified diff; nothing where it does not.
pub(crate) fn diff(cx: &Cx<'_>) -> Result<String> {
    if !volume::mounted(cx)? {
        return Err(Locked.into());
    }
    let mut text = String::new();
    for wanted in &cx.spec.stacks {
        for (path, shown) in Rendered::new(cx, wanted)?.differences(cx)? {
            let inside = path.strip_prefix(folder(&wanted.name)).unwrap_or(&path);
            text += &format!("stack {}, {}:\n{shown}", wanted.name, inside.display());
        }
    }
    for complaint in super::networks::complaints(cx)? {
        text += &format!("{complaint}\n");
    }
    for stack in &cx.plan()?.stacks {
        for change in settings::differing(cx, stack)? {
            text += &format!("stack {}, its settings: {change}\n", stack.name);
        }
    }
    Ok(text)
}
