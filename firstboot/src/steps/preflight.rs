//! This is the server that is meant, and what the first steps run is there; [`packages`](super::packages) sees to the rest.

use super::{docker_compose, dpkg, release};
use crate::run::{Cx, Step};
use crate::volume::vanished;
use anyhow::{Result, bail};
use spec::StepName;
use std::time::Duration;

/// The server is the one the node spec speaks of.
#[derive(Debug, Clone, Copy)]
pub struct ThisServer(());

/// See the module.
#[derive(Debug)]
pub struct Preflight;

/// Each program the later steps run, and the package of Debian 13 that carries it.
const PROGRAMS: [(&str, &str); 16] = [
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
    ("systemctl", "systemd"),
    ("systemd-run", "systemd"),
    ("blkid", "util-linux"),
    ("wipefs", "util-linux"),
    ("cryptsetup", "cryptsetup-bin"),
    ("mkfs.ext4", "e2fsprogs"),
    ("openssl", "openssl"),
    ("resize2fs", "e2fsprogs"),
    ("ufw", "ufw"),
    ("iptables", "iptables"),
    ("ip6tables", "iptables"),
    ("dockerd", "docker.io"),
    ("docker", "docker-cli"),
    ("docker-compose", "docker-compose"),
];

/// What runs before [`packages`](super::packages) has been seen to.
const FIRST: [&str; 8] =
    ["ssh-keygen", "sshd", "systemctl", "blkid", "wipefs", "cryptsetup", "mkfs.ext4", "resize2fs"];

/// Which of the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that the first steps run.
    First,
    /// The others.
    Rest,
}

/// How long cloud-init may take to install packages; a stock image has none of them at first.
const CLOUD_INIT: Duration = Duration::from_secs(15 * 60);
const POLL: Duration = Duration::from_secs(1);

impl Step for Preflight {
    const NAME: StepName = StepName::Preflight;
    type Output = ThisServer;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<ThisServer>> {
        check_server(cx)?;
        release::release(cx)?;
        release::require_apparmor(cx)?;
        vanished::refuse(cx)?;
        for recipient in &cx.spec.recipients {
            ::escrow::Recipient::parse(recipient)?;
        }
        for stack in &cx.spec.stacks {
            cx.plan()?.render(stack, &cx.spec.inbound)?;
        }
        fits(cx)?;
        Ok(missing(cx, Which::First)?.is_empty().then_some(ThisServer(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        wait(cx, Which::First)
    }
}

/// The stacks' budgets fit into this server's memory, beside what the system and the engine need.
fn fits(cx: &Cx<'_>) -> Result<()> {
    let info = cx.machine().text("/proc/meminfo")?.unwrap_or_default();
    let total = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let Some(there) = total.map(|kib| kib / 1024) else { return Ok(()) };
    match cx.plan()?.lacks_memory(there) {
        Some(why) => bail!("checking the server's memory: {why}"),
        None => Ok(()),
    }
}

/// Waits while cloud-init installs what is missing.
pub(super) fn wait(cx: &Cx<'_>, which: Which) -> Result<()> {
    let start = cx.machine().ticks();
    let mut said = Vec::new();
    loop {
        docker_compose::from_plugin(cx)?;
        let missing = lacking(cx, which)?;
        if missing.is_empty() {
            return Ok(());
        }
        let list = missing.join(" ");
        if !installing(cx)? || cx.machine().ticks().saturating_sub(start) > CLOUD_INIT {
            bail!(
                "looking for programs: the packages {list} are not installed; run `apt-get install -y {list}` on the server, then try again"
            );
        }
        if said != missing {
            cx.say(format!("waiting for cloud-init to install {}", missing.join(", ")))?;
            said = missing;
        }
        cx.machine().sleep(POLL);
    }
}

/// What the later steps cannot go on without. While cloud-init installs, these are besides programs all packages that dpkg
/// has not configured: their scripts would start or change, behind firstboot's back, what it is setting up. Afterwards
/// only the programs count, whatever package somebody chose to bring them.
pub(super) fn lacking(cx: &Cx<'_>, which: Which) -> Result<Vec<&'static str>> {
    let mut lacking = missing(cx, which)?;
    if which == Which::Rest && installing(cx)? {
        let record = cx.machine().text(dpkg::RECORD)?.unwrap_or_default();
        let wanted = release::release(cx)?.packages();
        lacking.extend(wanted.into_iter().filter(|package| !dpkg::configured(&record, package)));
        lacking.sort_unstable();
        lacking.dedup();
    }
    Ok(lacking)
}

/// Whether cloud-init is still at work.
fn installing(cx: &Cx<'_>) -> Result<bool> {
    Ok(cx.machine().exists("/run/cloud-init/instance-data.json")?
        && !cx.machine().exists("/run/cloud-init/result.json")?)
}

/// The packages that are not there yet, each once.
pub(super) fn missing(cx: &Cx<'_>, which: Which) -> Result<Vec<&'static str>> {
    let release = release::release(cx)?;
    let asked = PROGRAMS.iter().filter(|(program, _)| FIRST.contains(program) == (which == Which::First));
    let mut packages: Vec<_> = asked
        .filter(|(program, _)| !cx.machine().has_program(program))
        .map(|(_, p)| release.carrier(p))
        .collect();
    packages.dedup();
    Ok(packages)
}

/// Refuses to work on another server than the one meant. The cloud writes the id into the firmware's tables;
/// where it does not, cloud-init knows it from the metadata service.
fn check_server(cx: &Cx<'_>) -> Result<()> {
    let wanted = cx.spec.server.id.to_string();
    let vendor = cx.machine().text("/sys/class/dmi/id/sys_vendor")?.unwrap_or_default();
    let (found, source) = if vendor.trim() == "Hetzner" {
        (cx.machine().text("/sys/class/dmi/id/product_serial")?, "its firmware says")
    } else {
        (cx.machine().text("/var/lib/cloud/data/instance-id")?, "cloud-init says")
    };
    match found.as_deref().map(str::trim) {
        Some(id) if id == wanted => Ok(()),
        Some(id) => bail!(
            "checking which server this is: {source} {id}, the node spec is for server {wanted}; \
             install the node spec on the server it was made for"
        ),
        None => bail!(
            "checking which server this is: neither its firmware nor cloud-init says; \
             wait for cloud-init to finish, then try again"
        ),
    }
}
