//! UFW lets in ssh and what the project declares, and traffic forwarded to containers obeys the same list.
//!
//! Closing the door can undo itself: a timer that opens it again is armed first, and is only called off by a
//! confirmation that came in over a fresh connection.

mod kernel;
mod rules;
mod ufw;

pub(crate) use kernel::ask_docker_user_first;
pub(crate) use rules::Rules;
pub(crate) use ufw::FILES;

use super::packages::Programs;
use crate::access::closing::{Closing, Door};
use crate::run::{Cx, Step};
use crate::system::managed::{self, Part};
use crate::system::{FollowUp, systemd};
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _};
use kernel::Kernel;
use rules::Family;
use spec::StepName;

const CONF: &str = "/etc/ufw/ufw.conf";
const INIT: &str = "/usr/lib/ufw/ufw-init";
const AT_BOOT: &str = "/etc/systemd/system/multi-user.target.wants/ufw.service";
/// Whatever UFW's files say, on or off, is in force afterwards.
const IN_FORCE: &str = "/usr/lib/ufw/ufw-init force-stop; /usr/lib/ufw/ufw-init start";
/// systemd-resolved answers its neighbours' name lookups on every interface unless told not to.
const RESOLVED: &str = "/etc/systemd/resolved.conf.d/10-sovereign.conf";
const RESOLVED_TEXT: &str = "# Written by firstboot.\n[Resolve]\nLLMNR=no\nMulticastDNS=no\n";

/// systemd-resolved has to read it.
const RELOAD: FollowUp = FollowUp("resolved");

/// The door is closed, and the operator's side still comes in.
#[derive(Debug, Clone, Copy)]
pub struct Closed(());

/// See the module.
pub struct Firewall {
    /// UFW is installed.
    pub programs: Programs,
}

impl Step for Firewall {
    const NAME: StepName = StepName::Firewall;
    type Output = Closed;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Closed>> {
        let rules = Rules::of(cx)?;
        let holds = closing(&rules.text()).confirmed(cx)?
            && enabled(cx)?
            && rules.on_disk(cx)?
            && lost(cx, &rules)?.is_empty()
            && managed::holds(cx, RESOLVED, RESOLVED_TEXT.as_bytes())?
            && !RELOAD.is_due(cx)?;
        Ok(holds.then_some(Closed(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        let write = || managed::ensure_file(cx, RESOLVED, RESOLVED_TEXT.as_bytes(), 0o644).map(drop);
        let tell = || Ok(systemd::systemctl(cx, ["try-restart", "systemd-resolved.service"]).map(drop)?);
        RELOAD.ensure(cx, managed::holds(cx, RESOLVED, RESOLVED_TEXT.as_bytes())?, write, tell)?;
        let rules = Rules::of(cx)?;
        closing(&rules.text()).make(cx, || {
            rules.write(cx).context("writing the firewall's rules")?;
            close(cx, &rules)
        })
    }
}

/// The change that these rules are.
fn closing(text: &str) -> Closing<'_> {
    Closing { door: Door::Firewall, text, files: &ufw::FILES, in_force: IN_FORCE }
}

/// Whether UFW is switched on, now and at every boot.
fn enabled(cx: &Cx<'_>) -> Result<bool> {
    let (part, on) = switched_on();
    Ok(managed::part_holds(cx, CONF, &part, &on)? && cx.machine().exists(AT_BOOT)?)
}

/// What `ufw.conf` says where UFW is on, and how much of the file that is.
fn switched_on() -> (Part, String) {
    (Part::settings(ufw::ON.map(|(key, _)| key)), ufw::settings(&ufw::ON))
}

/// What is not as declared, in UFW's files or in the kernel, and what others let past it; nothing where all is well.
pub(crate) fn complaints(cx: &Cx<'_>) -> Result<Vec<String>> {
    let rules = Rules::of(cx)?;
    let mut wrong = Vec::new();
    if !rules.on_disk(cx)? {
        wrong.push("UFW's files say otherwise".into());
    }
    for family in Family::BOTH {
        let kernel = Kernel::look(cx, family)?;
        wrong.extend(kernel.lost(&rules));
        wrong.extend(kernel.foreign());
    }
    Ok(wrong)
}

/// What of the rules is not in force.
fn lost(cx: &Cx<'_>, rules: &Rules) -> Result<Vec<String>> {
    let families = Family::BOTH.map(|family| Ok(Kernel::look(cx, family)?.lost(rules)));
    Ok(families.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// Switches UFW on with its own start script: the same rules as `ufw enable` loads, without the hundred programs that
/// its Python part runs to put the logging rules in one by one.
fn close(cx: &Cx<'_>, rules: &Rules) -> Result<()> {
    cx.say("closing the firewall")?;
    if !cx.machine().exists(AT_BOOT)? {
        systemd::at_boot(cx, "enable", ["ufw.service"])?;
    }
    let (part, on) = switched_on();
    managed::ensure_part(cx, CONF, &part, &on, 0o644)?;
    let init = |word: &str| cx.run(&Cmd::new(INIT).arg(word)).context("closing the firewall");
    if init("start")?.text().contains("already started") {
        init("force-reload")?;
        // A reload fills UFW's chains; the ways into them it makes only when it starts.
        if !lost(cx, rules)?.is_empty() {
            init("force-stop")?;
            init("start")?;
        }
    }
    ask_docker_user_first(cx)
}
