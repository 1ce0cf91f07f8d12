//! The certificate that a stack answers with where no public authority vouches for it.
//!
//! It is signed by its own key and by nobody else's, and may sign nothing: a device that is told to trust it trusts this
//! one server by this one name. The key is drawn on the volume and leaves it never.

use super::compose;
use crate::run::Cx;
use crate::system::units::VPN;
use crate::system::{FollowUp, managed, systemd};
use ::stacks::manifest::Owner;
use ::stacks::{Plan, Planned};
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _};
use spec::{VpnSpec, paths};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How long it lasts: what Apple's systems accept at most is 825 days.
const DAYS: &str = "820";
/// A certificate that ends within this many seconds is made anew: 30 days.
const RENEWED_BEFORE: &str = "2592000";

/// The host's node has to read it.
const RESTART: FollowUp = FollowUp("certificate");

/// The files of a certificate.
pub(crate) struct Certificate {
    folder: PathBuf,
    host: String,
    reader: Owner,
}

/// The certificates that a stack answers with, one for each name, where no public authority vouches for that.
pub(crate) fn of(plan: &Plan, stack: &Planned) -> Vec<Certificate> {
    let names = plan.certificates.get(&stack.name).into_iter().flatten();
    let reader = stack.manifest.certificate.as_ref().map(|certificate| certificate.reader);
    let tls = compose::folder(&stack.name).join("tls");
    let one =
        |name: &String| Some(Certificate { folder: tls.join(name), host: name.clone(), reader: reader? });
    names.filter_map(one).collect()
}

/// The certificate that whoever answers for the private network has, where it is one of these.
pub(crate) fn of_network(cx: &Cx<'_>, vpn: &VpnSpec) -> Result<Option<Certificate>> {
    let plan = cx.plan()?;
    let all = plan.stacks.iter().flat_map(|stack| of(plan, stack));
    Ok(all.into_iter().find(|certificate| certificate.host == vpn.host))
}

impl Certificate {
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
        let make = || if holds { Ok(()) } else { self.take_over_or_make(cx) };
        RESTART.ensure(cx, holds, make, || Ok(systemd::systemctl(cx, ["try-restart", VPN]).map(drop)?))
    }

    /// Whether it is there, for this name, lasts, and is the one that the host's node has read.
    pub(crate) fn holds(&self, cx: &Cx<'_>) -> Result<bool> {
        Ok(self.made(cx)? && !RESTART.is_due(cx)?)
    }

    fn made(&self, cx: &Cx<'_>) -> Result<bool> {
        is_good(cx, &self.folder, &self.host)
    }

    /// Of the same name there may be one already, in the folder of whoever answered by it before: whoever was told to
    /// trust that goes on to.
    fn take_over_or_make(&self, cx: &Cx<'_>) -> Result<()> {
        for other in folders(cx)? {
            if other != self.folder && is_good(cx, &other, &self.host)? {
                return self.take_over(cx, &other);
            }
        }
        self.make(cx)
    }

    fn take_over(&self, cx: &Cx<'_>, from: &Path) -> Result<()> {
        cx.machine().make_dir(&self.folder, 0o755, 0, 0)?;
        for (name, mode) in [("key.pem", 0o400), ("certificate.pem", 0o644)] {
            let bytes = cx
                .read(&from.join(name))?
                .with_context(|| format!("reading {name} in {}", from.display()))?;
            cx.write(&self.folder.join(name), Zeroizing::new(bytes).as_slice(), mode)?;
        }
        self.finish(cx)
    }

    /// The note of its name comes last, so that a half-made one never counts.
    fn finish(&self, cx: &Cx<'_>) -> Result<()> {
        cx.machine().chown(&self.key(), self.reader.uid, self.reader.gid)?;
        Ok(cx.write(&self.named(), format!("{}\n", self.host).as_bytes(), 0o644)?)
    }

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
        self.finish(cx)
    }
}

/// Whether a folder holds a certificate for this name that lasts.
fn is_good(cx: &Cx<'_>, folder: &Path, host: &str) -> Result<bool> {
    let name = format!("{host}\n");
    if !managed::holds(cx, folder.join("name"), name.as_bytes())?
        || !cx.machine().exists(folder.join("key.pem"))?
    {
        return Ok(false);
    }
    let cmd = Cmd::new("openssl").args(["x509", "-noout", "-checkend", RENEWED_BEFORE, "-in"]);
    Ok(cx.probe(&cmd.path(folder.join("certificate.pem")))?.success())
}

/// Every folder that a certificate may lie in, of whatever stack there was.
fn folders(cx: &Cx<'_>) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for stack in cx.machine().list(&Path::new(paths::DATA).join("stacks"))? {
        let tls = compose::folder(&stack).join("tls");
        folders.extend(cx.machine().list(&tls)?.iter().map(|host| tls.join(host)));
        folders.push(tls);
    }
    Ok(folders)
}
