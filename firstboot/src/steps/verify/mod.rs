//! Everything is looked at once more, as data. `firstboot verify` prints the same list.

mod listening;
mod published;

pub(crate) use listening::undeclared;

use super::docker::{self, engine};
use super::harden::{self, Hardened};
use super::stacks::{Running, disabled, networks};
use super::{firewall, identity};
use crate::access::store::{BOOTSTRAP_KEY, HOST_KEY, WAITING};
use crate::machine::free_space;
use crate::run::{Cx, Step, phase};
use crate::system::managed::drift;
use crate::system::units;
use crate::volume::{self, device, luks, vanished};
use anyhow::{Result, bail};
use host::{Cmd, Host as _};
use serde_json::Value;
use spec::{Check, Phase, StepName, Verdict, paths};

/// Everything was looked at and is as it must be.
#[derive(Debug, Clone, Copy)]
pub struct Verified(());

/// See the module.
pub struct Verify {
    /// The stacks run.
    pub running: Running,
    /// The host is hardened.
    pub hardened: Hardened,
}

impl Step for Verify {
    const NAME: StepName = StepName::Verify;
    type Output = Verified;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Verified>> {
        let checks = checks(cx);
        Ok(checks.iter().all(|c| c.verdict == Verdict::Pass).then_some(Verified(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        units::reload_unread(cx, &harden::DROP_INS)?;
        let wrong: Vec<String> = checks(cx).iter().filter_map(Check::complaint).collect();
        if wrong.is_empty() { Ok(()) } else { bail!("verifying the server: {}", wrong.join("; ")) }
    }
}

/// Looks at everything. Reads only.
pub fn checks(cx: &Cx<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut look = |what: String, found: Result<Vec<String>>| checks.push(check(what, found));
    look("all data lies on this server's LUKS volume".into(), volume(cx));
    look("sshd answers with the lasting host key alone and takes no passwords".into(), sshd(cx));
    look("the firewall lets in what is declared and nothing else".into(), firewall::complaints(cx));
    look("Docker runs hardened and never before the volume is open".into(), engine_hardened(cx));
    for stack in &cx.spec.stacks {
        look(format!("stack {} is healthy and confined", stack.name), stack_confined(cx, &stack.name));
    }
    look("no other stack is up".into(), disabled::complaints(cx));
    look("containers' networks are those that the plan has".into(), networks::complaints(cx));
    if cx.spec.vpn.is_some() {
        look(
            "this server and its administrators' names are in the private network".into(),
            super::vpn::complaints(cx),
        );
    }
    look("nothing listens on a port that is not declared".into(), listening::undeclared(cx));
    look("what containers publish answers over IPv4 and IPv6".into(), published::one_sided(cx));
    look("no secret lies outside the volume".into(), stray_secrets(cx));
    look("systemd knows its units as they lie on disk".into(), unread_units(cx));
    look("no file of firstboot's was edited by hand".into(), drift::complaints(cx.machine()));
    look("there is room on the root disk and the volume".into(), free_space::complaints(cx.machine()));
    checks
}

/// What must hold, and what was found that does not.
pub(crate) fn check(what: impl Into<String>, found: Result<Vec<String>>) -> Check {
    let verdict = match found {
        Ok(wrong) if wrong.is_empty() => Verdict::Pass,
        Ok(wrong) => Verdict::Fail(wrong.join(", ")),
        Err(e) => Verdict::CouldNotLook(format!("{e:#}")),
    };
    Check::new(what, verdict)
}

fn volume(cx: &Cx<'_>) -> Result<Vec<String>> {
    let Some(record) = cx.receipt().volume.clone() else { return Ok(vec!["there is no volume yet".into()]) };
    let Some(device) = luks::opened_from(cx, &record.luks_uuid)? else {
        return Ok(vec!["the volume is not open".into()]);
    };
    if vanished::vanished(cx.machine())? {
        return Ok(vec![vanished::SENTENCE.into()]);
    }
    let mut wrong = Vec::new();
    let serial = device::serial(cx, &device)?;
    if serial != cx.spec.disk.volume_id.to_string() {
        wrong.push(format!("the open volume is {serial}"));
    }
    if !volume::mounted(cx)? {
        wrong.push(format!("it is not mounted on {}", paths::DATA));
    }
    for dir in [docker::DATA_ROOT, docker::CONTAINERD_ROOT] {
        if !cx.machine().exists(dir)? {
            wrong.push(format!("{dir} is not there"));
        }
    }
    Ok(wrong)
}

fn sshd(cx: &Cx<'_>) -> Result<Vec<String>> {
    let mut wrong: Vec<String> =
        identity::others(cx)?.iter().map(|key| format!("{} is there too", key.display())).collect();
    let output = cx.run(&Cmd::new("sshd").arg("-T"))?.text();
    let keys = output.lines().filter(|l| l.starts_with("hostkey "));
    if keys.ne([format!("hostkey {HOST_KEY}").as_str()]) {
        wrong.push("sshd is configured with other host keys".into());
    }
    let port = format!("port {}", cx.spec.ssh.port);
    for setting in [
        port.as_str(),
        "passwordauthentication no",
        "kbdinteractiveauthentication no",
        "permitrootlogin without-password",
        "allowtcpforwarding no",
        "x11forwarding no",
    ] {
        if !output.lines().any(|l| l == setting) {
            wrong.push(format!("sshd is not configured with {setting:?}"));
        }
    }
    Ok(wrong)
}

fn engine_hardened(cx: &Cx<'_>) -> Result<Vec<String>> {
    let mut wrong: Vec<String> =
        docker::enabled(cx)?.iter().map(|unit| format!("{unit} would start at boot")).collect();
    if !docker::configured(cx)? {
        wrong.push("its files say otherwise".into());
    }
    let Some(info) = engine::info(cx)? else {
        wrong.push("it does not run".into());
        return Ok(wrong);
    };
    for (key, value) in [
        ("DockerRootDir", docker::DATA_ROOT.into()),
        ("LiveRestoreEnabled", Value::Bool(true)),
        ("LoggingDriver", "local".into()),
        ("Driver", "overlay2".into()),
    ] {
        if info[key] != value {
            wrong.push(format!("its {key} is {}", info[key]));
        }
    }
    for option in ["name=apparmor", "name=seccomp"] {
        let options = info["SecurityOptions"].as_array().into_iter().flatten();
        if !options.filter_map(Value::as_str).any(|o| o.starts_with(option)) {
            wrong.push(format!("it does not confine containers with {}", &option[5..]));
        }
    }
    Ok(wrong)
}

fn stack_confined(cx: &Cx<'_>, stack: &str) -> Result<Vec<String>> {
    let containers = engine::containers(cx, stack)?;
    if containers.is_empty() {
        return Ok(vec!["it has no containers".into()]);
    }
    let planned = cx.plan()?.stack(stack);
    let excepted = |container: &Value, rule| {
        let service = engine::service(container);
        planned.is_some_and(|planned| service.is_some_and(|service| planned.is_excepted(service, rule)))
    };
    let wrong = |one: &Value| -> Vec<String> {
        let broken = ::stacks::confinement::broken_by_container(one, &|rule| excepted(one, rule));
        broken.into_iter().map(|what| format!("container {} {what}", engine::name(one))).collect()
    };
    Ok(containers.iter().flat_map(wrong).collect())
}

fn unread_units(cx: &Cx<'_>) -> Result<Vec<String>> {
    let unread = units::unread(cx, &harden::DROP_INS)?;
    Ok(unread.iter().map(|unit| format!("{unit} is read anew by `systemctl daemon-reload` only")).collect())
}

fn stray_secrets(cx: &Cx<'_>) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for name in cx.machine().list(WAITING.as_ref())? {
        wrong.push(format!("{WAITING}/{name} is still in memory"));
    }
    if phase::read(cx.machine())? == Phase::Settled && cx.machine().exists(BOOTSTRAP_KEY)? {
        wrong.push(format!("{BOOTSTRAP_KEY} is still there"));
    }
    for name in ["staged-host-key", "luks-header.img"] {
        if cx.machine().exists(format!("{}/{name}", paths::STATE))? {
            wrong.push(format!("{}/{name} is there", paths::STATE));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_having_looked_is_no_pass() {
        let check = Check::new("x holds", Verdict::CouldNotLook("no such file".into()));
        assert_eq!(check.complaint().unwrap(), "could not look whether x holds: no such file");
        let json = serde_json::to_string(&check).unwrap();
        assert_eq!(json, r#"{"what":"x holds","result":"could-not-look","why":"no such file"}"#);
    }
}
