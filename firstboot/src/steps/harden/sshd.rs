//! sshd offers what is strong and forwards nothing. Its port, host key and who may log in are said in a file that
//! [`identity`] takes over from cloud-init; when a later release says them otherwise, they are changed here, where a
//! change that shuts the operator out is put back.

use crate::access::closing::{Closing, Door};
use crate::run::Cx;
use crate::steps::identity::{self, RELOAD};
use crate::system::{managed, systemd};
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _};
use stacks::release::Release;

/// Read after identity's, and before what a stock image or cloud-init adds: the first word on a matter wins.
pub(super) const PATH: &str = "/etc/ssh/sshd_config.d/20-sovereign-hardening.conf";
const IN_FORCE: &str = "systemctl reload ssh.service";

pub(super) fn holds(cx: &Cx<'_>, release: &Release) -> Result<bool> {
    for (path, text) in files(cx, release) {
        if !managed::holds(cx, path, text.as_bytes())? {
            return Ok(false);
        }
    }
    Ok(!RELOAD.is_due(cx)? && closing(&text(cx, release)).confirmed(cx)?)
}

fn text(cx: &Cx<'_>, release: &Release) -> String {
    files(cx, release).map(|(_, text)| text).concat()
}

/// Both files, in the order in which sshd reads them.
fn files(cx: &Cx<'_>, release: &Release) -> [(&'static str, String); 2] {
    [(identity::SSHD, identity::sshd_config(cx.spec.ssh.port)), (PATH, config(release))]
}

pub(super) fn apply(cx: &Cx<'_>, release: &Release) -> Result<()> {
    if holds(cx, release)? {
        return Ok(());
    }
    closing(&text(cx, release)).make(cx, || {
        RELOAD.mark_due(cx)?;
        for (path, text) in files(cx, release) {
            managed::ensure_file(cx, path, text.as_bytes(), 0o644)?;
        }
        cx.run(&Cmd::new("sshd").arg("-t")).context("checking sshd's configuration")?;
        systemd::systemctl(cx, ["reload", "ssh.service"])?;
        RELOAD.done(cx)
    })
}

fn closing(text: &str) -> Closing<'_> {
    Closing { door: Door::Sshd, text, files: &[identity::SSHD, PATH], in_force: IN_FORCE }
}

/// Ciphers that authenticate by themselves first; of message authentication only what covers the encrypted text.
pub(super) fn config(release: &Release) -> String {
    format!(
        "# Written by firstboot. For OpenSSH {}.\n\
         AuthenticationMethods publickey\n\
         DisableForwarding yes\n\
         PermitTunnel no\n\
         PermitUserEnvironment no\n\
         LoginGraceTime 30\n\
         LogLevel VERBOSE\n\
         KexAlgorithms {}\n\
         HostKeyAlgorithms ssh-ed25519\n\
         Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr\n\
         MACs hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,umac-128-etm@openssh.com\n",
        release.openssh,
        release.key_exchanges.join(",")
    )
}
