//! UFW lets in ssh and what the project declares, and traffic forwarded to containers obeys the same list.
//!
//! Closing the door can undo itself: a timer that opens it again is armed first, and is only called off by a
//! confirmation that came in over a fresh connection.

mod rules;

pub(crate) use rules::{Family, Rules};

use super::escrow::Escrowed;
use super::packages::Programs;
use crate::cx::{hex, sha256};
use crate::managed::Part;
use crate::step::Step;
use crate::{Cx, gate};
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _};
use spec::{Gate, StepName};
use std::path::Path;
use std::time::Duration;

/// How long the door stays closed without a confirmation.
const REVERT: Duration = Duration::from_secs(120);
const CONF: &str = "/etc/ufw/ufw.conf";
const INIT: &str = "/usr/lib/ufw/ufw-init";
const AT_BOOT: &str = "/etc/systemd/system/multi-user.target.wants/ufw.service";
const TIMER: &str = "sovereign-firewall-revert";
/// There as long as the timer is armed.
const ARMED: &str = "/run/systemd/transient/sovereign-firewall-revert.timer";
/// systemd-resolved answers its neighbours' name lookups on every interface unless told not to.
const RESOLVED: &str = "/etc/systemd/resolved.conf.d/10-sovereign.conf";
const RESOLVED_TEXT: &str = "# Written by firstboot.\n[Resolve]\nLLMNR=no\nMulticastDNS=no\n";
/// Which closing was asked to be confirmed: the digest of its rules and its nonce.
const CLOSING: &str = "/var/lib/sovereign/firewall";

/// The door is closed, and the operator's side still comes in.
#[derive(Debug, Clone, Copy)]
pub struct Closed(());

/// See the module.
pub struct Firewall {
    /// Nothing is reachable before the escrow is safe.
    pub escrowed: Escrowed,
    /// UFW is installed.
    pub programs: Programs,
}

impl Step for Firewall {
    const NAME: StepName = StepName::Firewall;
    type Output = Closed;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Closed>> {
        let rules = Rules::new(cx.spec.ssh.port, &cx.spec.inbound);
        let Some(gate) = closing(cx, &rules)? else { return Ok(None) };
        let holds = gate::passed(cx, &gate)?
            && enabled(cx)?
            && rules.on_disk(cx)?
            && cx.holds(RESOLVED, RESOLVED_TEXT.as_bytes())?
            && !cx.exists(ARMED)?;
        Ok(holds.then_some(Closed(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        let rules = Rules::new(cx.spec.ssh.port, &cx.spec.inbound);
        let written = rules.write(cx).context("writing the firewall's rules")?;
        if cx.ensure_file(RESOLVED, RESOLVED_TEXT.as_bytes(), 0o644)? {
            cx.systemctl(["try-restart", "systemd-resolved.service"])?;
        }
        let asked = closing(cx, &rules)?;
        let confirmed = asked.as_ref().map(|gate| gate::passed(cx, gate)).transpose()?.unwrap_or(false);
        let gate = match asked {
            Some(gate) => gate,
            None => name_closing(cx, &rules)?,
        };
        if confirmed {
            if written || !enabled(cx)? {
                close(cx)?;
            }
            return disarm(cx);
        }
        arm(cx)?;
        close(cx)?;
        cx.say("waiting for a fresh connection through the closed firewall")?;
        if !gate::wait(cx, &gate, Some(REVERT))? {
            // The next closing is another one, so a confirmation that comes too late does not count for it.
            cx.remove(Path::new(CLOSING))?;
            open_again(cx)?;
            bail!(
                "closing the firewall: no fresh ssh connection confirmed it within {} seconds, so it was opened \
                 again; see that port {} is open in the cloud's own firewall, then try again",
                REVERT.as_secs(),
                cx.spec.ssh.port
            );
        }
        disarm(cx)
    }
}

/// The closing of these very rules that was asked to be confirmed, if any.
fn closing(cx: &Cx<'_>, rules: &Rules) -> Result<Option<Gate>> {
    let text = cx.text(CLOSING)?.unwrap_or_default();
    let named =
        text.trim_end().split_once(' ').filter(|(digest, _)| *digest == sha256(rules.text().as_bytes()));
    Ok(named.map(|(_, nonce)| Gate::Firewall { nonce: nonce.into() }))
}

fn name_closing(cx: &Cx<'_>, rules: &Rules) -> Result<Gate> {
    let mut bytes = [0; 8];
    cx.machine().random(&mut bytes)?;
    let nonce = hex(&bytes);
    let line = format!("{} {nonce}\n", sha256(rules.text().as_bytes()));
    cx.write(Path::new(CLOSING), line.as_bytes(), 0o600)?;
    Ok(Gate::Firewall { nonce })
}

/// Whether UFW is switched on, now and at every boot.
fn enabled(cx: &Cx<'_>) -> Result<bool> {
    let (part, on) = switched_on();
    Ok(cx.part_holds(CONF, &part, &on)? && cx.exists(AT_BOOT)?)
}

/// What `ufw.conf` says where UFW is on, and how much of the file that is.
fn switched_on() -> (Part, String) {
    (Part::settings(rules::ON.map(|(key, _)| key)), rules::settings(&rules::ON))
}

/// Switches UFW on with its own start script: the same rules as `ufw enable` loads, without the hundred programs that
/// its Python part runs to put the logging rules in one by one.
fn close(cx: &Cx<'_>) -> Result<()> {
    cx.say("closing the firewall")?;
    if !cx.exists(AT_BOOT)? {
        cx.systemctl(["enable", "ufw.service"])?;
    }
    let (part, on) = switched_on();
    cx.ensure_part(CONF, &part, &on, 0o644)?;
    let init = |word: &str| cx.run(&Cmd::new(INIT).arg(word)).context("closing the firewall");
    if init("start")?.text().contains("already started") {
        init("force-reload")?;
    }
    Ok(())
}

/// The timer belongs to systemd, so that it fires whatever becomes of us.
fn arm(cx: &Cx<'_>) -> Result<()> {
    disarm(cx)?;
    let cmd = Cmd::new("systemd-run").args(["--quiet", "--collect", "--unit", TIMER]);
    let cmd = cmd.arg(format!("--on-active={}", REVERT.as_secs())).args(["ufw", "--force", "disable"]);
    cx.run(&cmd).context("arming the timer that opens the firewall again")?;
    Ok(())
}

fn disarm(cx: &Cx<'_>) -> Result<()> {
    // Stopping a timer that is not there is what we want, and systemctl says so by its exit code.
    cx.probe(&Cmd::new("systemctl").args(["stop", &format!("{TIMER}.timer")]))?;
    Ok(())
}

fn open_again(cx: &Cx<'_>) -> Result<()> {
    cx.run(&Cmd::new("ufw").args(["--force", "disable"])).context("opening the firewall again")?;
    disarm(cx)
}
