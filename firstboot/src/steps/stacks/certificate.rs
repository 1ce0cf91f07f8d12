//! The certificate that a stack answers with where no public authority vouches for it.
//!
//! It is signed by its own key and by nobody else's, and may sign nothing: a device that is told to trust it trusts this
//! one server by this one name. The key is drawn on the volume and leaves it never.

use crate::run::Cx;
use crate::system::units::VPN;
use crate::system::{FollowUp, managed, systemd};
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _};
use std::path::{Path, PathBuf};

/// How long it lasts: what Apple's systems accept at most is 825 days.
const DAYS: &str = "820";
/// A certificate that ends within this many seconds is made anew: 30 days.
const RENEWED_BEFORE: &str = "2592000";

/// The host's node has to read it.
const RESTART: FollowUp = FollowUp("certificate");

/// The files of a stack's certificate.
pub(crate) struct Certificate<'a> {
    folder: PathBuf,
    host: &'a str,
    uid: u32,
}

impl<'a> Certificate<'a> {
    /// Of a stack in this folder that answers as `host` and runs as `uid`.
    pub(crate) fn new(stack: &Path, host: &'a str, uid: u32) -> Self {
        Self { folder: stack.join("tls"), host, uid }
    }

    fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// The certificate itself, PEM.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    fn named(&self) -> PathBuf {
        self.folder.join("name")
    }

    /// Has one that holds, and the host's node read it.
    pub(crate) fn ensure(&self, cx: &Cx<'_>) -> Result<()> {
        let holds = self.made(cx)?;
        let make = || if holds { Ok(()) } else { self.make(cx) };
        RESTART.ensure(cx, holds, make, || Ok(systemd::systemctl(cx, ["try-restart", VPN]).map(drop)?))
    }

    /// Whether it is there, for this name, lasts, and is the one that the host's node has read.
    pub(crate) fn holds(&self, cx: &Cx<'_>) -> Result<bool> {
        Ok(self.made(cx)? && !RESTART.is_due(cx)?)
    }

    fn made(&self, cx: &Cx<'_>) -> Result<bool> {
        let name = format!("{}\n", self.host);
        if !managed::holds(cx, self.named(), name.as_bytes())? || !cx.machine().exists(self.key())? {
            return Ok(false);
        }
        let cmd = Cmd::new("openssl").args(["x509", "-noout", "-checkend", RENEWED_BEFORE, "-in"]);
        Ok(cx.probe(&cmd.path(self.file()))?.success())
    }

    /// Makes it; the note of its name comes last, so that a half-made one never counts.
    fn make(&self, cx: &Cx<'_>) -> Result<()> {
        cx.say(format!("making the certificate of {}", self.host))?;
        let machine = cx.machine();
        machine.make_dir(&self.folder, 0o755, 0, 0)?;
        cx.remove(&self.named())?;
        let cmd = Cmd::new("openssl").args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ]);
        let cmd = cmd.args(["-noenc", "-sha256", "-days", DAYS, "-subj"]).arg(format!("/CN={}", self.host));
        let cmd = cmd.args(["-addext", &format!("subjectAltName=DNS:{}", self.host)]);
        let cmd = cmd.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        let cmd = cmd.args([
            "-addext",
            "keyUsage=critical,digitalSignature",
            "-addext",
            "extendedKeyUsage=serverAuth",
        ]);
        let cmd = cmd.arg("-keyout").path(self.key()).arg("-out").path(self.file());
        cx.run(&cmd).with_context(|| format!("making the certificate of {}", self.host))?;
        machine.chown(&self.key(), self.uid, self.uid)?;
        Ok(cx.write(&self.named(), format!("{}\n", self.host).as_bytes(), 0o644)?)
    }
}
