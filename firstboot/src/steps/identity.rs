//! The lasting ssh host key replaces the throw-away one, once the operator's side has pinned it.

use super::preflight::ThisServer;
use crate::access::gate;
use crate::access::store::HOST_KEY;
use crate::run::{Cx, Step};
use crate::system::{FollowUp, managed, systemd};
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _, Secret};
use spec::{Gate, StepName, paths};
use std::path::{Path, PathBuf};

const HOST_KEY_PUBLIC: &str = "/etc/ssh/ssh_host_ed25519_key.pub";
/// Where sshd is told of it, and of its port: cloud-init's until firstboot takes it over. Once it has, a change of this
/// file is [`harden`](super::harden)'s, whose changes of sshd can be put back.
pub(crate) const SSHD: &str = "/etc/ssh/sshd_config.d/10-sovereign.conf";
/// sshd has to read its files.
pub(crate) const RELOAD: FollowUp = FollowUp("sshd");
const OURS: &str = "# Written by firstboot";
const CLOUD_INIT: &str = "/etc/cloud/cloud.cfg.d/99-sovereign.cfg";
/// cloud-init must neither delete nor make host keys at the next boot.
const CLOUD_INIT_TEXT: &str = "# Written by firstboot: the lasting host key is not cloud-init's.\nssh_deletekeys: false\nssh_genkeytypes: []\n";

/// The server answers with its lasting host key.
#[derive(Debug)]
pub struct Lasting(());

/// See the module.
pub struct Identity {
    /// It is the right server.
    pub server: ThisServer,
}

impl Step for Identity {
    const NAME: StepName = StepName::Identity;
    type Output = Lasting;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Lasting>> {
        let Some(key) = cx.receipt().host_key.clone() else { return Ok(None) };
        let holds = in_place(cx, &key)?
            && others(cx)?.is_empty()
            && taken_over(cx)?
            && !RELOAD.is_due(cx)?
            && managed::holds(cx, CLOUD_INIT, CLOUD_INIT_TEXT.as_bytes())?
            // The staged copy goes last, after sshd was told: as long as it is there, sshd may not know.
            && !cx.machine().exists(staged())?;
        Ok(holds.then_some(Lasting(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        let recorded = cx.receipt().host_key.clone();
        let public_key = match recorded {
            Some(key) => key,
            None => draw(cx).context("making the lasting host key")?,
        };
        let gate = Gate::HostKey { public_key: public_key.clone() };
        if !gate::passed(cx, &gate)? {
            cx.say("waiting until the lasting host key is pinned")?;
            gate::wait(cx, &gate, || Ok(false))?;
        }
        put_in_place(cx, &public_key).context("replacing the ssh host keys")
    }
}

/// Draws the key in memory and stages it on the root disk; from then on it stays the same over any power cut.
fn draw(cx: &Cx<'_>) -> Result<String> {
    let fresh = "/run/sovereign/host-key";
    let public = format!("{fresh}.pub");
    cx.machine().make_dir(Path::new("/run/sovereign"), 0o700, 0, 0)?;
    for file in [fresh, &public] {
        cx.remove(Path::new(file))?;
    }
    let cmd = Cmd::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "sovereign", "-f", fresh]);
    cx.run(&cmd)?;
    let key = Secret::new(cx.read(Path::new(fresh))?.context("ssh-keygen wrote no key")?);
    let line = cx.machine().text(&public)?.context("ssh-keygen wrote no public key")?;
    let public_key = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    cx.machine().make_dir(Path::new(paths::STATE), 0o755, 0, 0)?;
    cx.write(&staged(), key.expose(), 0o600)?;
    cx.record(|receipt| receipt.host_key = Some(public_key.clone()))?;
    for file in [fresh, &public] {
        cx.machine().shred(Path::new(file))?;
    }
    Ok(public_key)
}

fn put_in_place(cx: &Cx<'_>, public_key: &str) -> Result<()> {
    // The public part is written after the private one. Once it is there, the staged copy is not looked at again: it
    // may be half overwritten already.
    if !in_place(cx, public_key)? {
        let key = cx
            .read(&staged())?
            .context("the staged host key is gone; run `cargo xtask provision --project NAME` again")?;
        cx.write(Path::new(HOST_KEY), Secret::new(key).expose(), 0o600)?;
    }
    let line = format!("{public_key} sovereign\n");
    managed::ensure_file(cx, HOST_KEY_PUBLIC, line.as_bytes(), 0o644)?;
    managed::ensure_file(cx, CLOUD_INIT, CLOUD_INIT_TEXT.as_bytes(), 0o644)?;
    RELOAD.mark_due(cx)?;
    if !taken_over(cx)? {
        take_over(cx)?;
    }
    for other in others(cx)? {
        cx.machine().shred(&other)?;
    }
    systemd::systemctl(cx, ["reload", "ssh.service"])?;
    RELOAD.done(cx)?;
    cx.machine().shred(&staged())?;
    Ok(())
}

fn taken_over(cx: &Cx<'_>) -> Result<bool> {
    let ours = cx.machine().text(SSHD)?.is_some_and(|text| text.starts_with(OURS));
    // An accepted edit holds, too.
    Ok(ours || managed::holds(cx, SSHD, sshd_config(cx.spec.ssh.port).as_bytes())?)
}

fn take_over(cx: &Cx<'_>) -> Result<()> {
    let before = cx.read(Path::new(SSHD))?;
    managed::ensure_file(cx, SSHD, sshd_config(cx.spec.ssh.port).as_bytes(), 0o644)?;
    let sound = cx.run(&Cmd::new("sshd").arg("-t"));
    if sound.is_err() {
        // sshd still runs with what it had; what it would not start with must not stay.
        match before {
            Some(text) => cx.write(Path::new(SSHD), &text, 0o644)?,
            None => cx.remove(Path::new(SSHD))?,
        }
        sound.context("checking the new sshd configuration; it was taken back, look at the other files in /etc/ssh/sshd_config.d")?;
    }
    Ok(())
}

fn in_place(cx: &Cx<'_>, public_key: &str) -> Result<bool> {
    let line = cx.machine().text(HOST_KEY_PUBLIC)?.unwrap_or_default();
    Ok(line.starts_with(public_key) && cx.machine().exists(HOST_KEY)?)
}

/// Every host key that is not the lasting one.
pub(crate) fn others(cx: &Cx<'_>) -> Result<Vec<PathBuf>> {
    let dir = Path::new("/etc/ssh");
    let names = cx.machine().list(dir)?.into_iter().filter(|n| n.starts_with("ssh_host_"));
    Ok(names
        .map(|n| dir.join(n))
        .filter(|p| p != Path::new(HOST_KEY) && p != Path::new(HOST_KEY_PUBLIC))
        .collect())
}

fn staged() -> PathBuf {
    Path::new(paths::STATE).join("staged-host-key")
}

/// What sshd is held to; the first value given to sshd wins, and this file is read early.
pub(crate) fn sshd_config(port: u16) -> String {
    format!(
        "{OURS}; changes here are overwritten.\n\
         Port {port}\n\
         HostKey {HOST_KEY}\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\n\
         AllowAgentForwarding no\n\
         AllowStreamLocalForwarding no\n\
         AllowTcpForwarding no\n\
         X11Forwarding no\n"
    )
}
