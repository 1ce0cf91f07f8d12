//! The stacks run and are healthy.

use super::escrow::Escrowed;
use super::images::Pulled;
use super::secrets::stored;
use super::vpn::{self, Certificate};
use crate::cx::sha256;
use crate::machine::Stat;
use crate::step::Step;
use crate::{Cx, engine, units};
use ::stacks::Stack;
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _, Secret};
use spec::{StackSpec, StepName, paths};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long their last words may take.
const LOGS: Duration = Duration::from_secs(60);

/// All stacks are healthy.
#[derive(Debug, Clone, Copy)]
pub struct Running(());

/// See the module.
pub struct Stacks {
    /// The engine has all they run.
    pub pulled: Pulled,
    /// No data is accepted before the escrow is safe.
    pub escrowed: Escrowed,
}

impl Step for Stacks {
    const NAME: StepName = StepName::Stacks;
    type Output = Running;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Running>> {
        for stack in &cx.spec.stacks {
            if !One::new(cx, stack)?.holds(cx)? {
                return Ok(None);
            }
        }
        Ok(Some(Running(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        for stack in &cx.spec.stacks {
            let one = One::new(cx, stack)?;
            if !one.holds(cx)? {
                one.start(cx)?;
            }
        }
        // Until it is started, stopping it would stop nothing.
        cx.systemctl(["start", units::STACKS])?;
        Ok(())
    }
}

/// One stack, rendered.
struct One<'a> {
    stack: &'static Stack,
    compose: String,
    folder: PathBuf,
    /// Its configuration: where each file lies, and its text.
    config: Vec<(PathBuf, String)>,
    certificate: Option<Certificate<'a>>,
}

impl<'a> One<'a> {
    fn new(cx: &'a Cx<'_>, wanted: &StackSpec) -> Result<Self> {
        let compose = ::stacks::render(wanted, &cx.spec.inbound)?;
        let folder = Path::new(paths::DATA).join("stacks").join(&wanted.name);
        let stack = ::stacks::find(&wanted.name)?;
        let vpn = cx.spec.vpn.as_ref();
        let config = ::stacks::config(stack, vpn)?;
        let config =
            config.into_iter().map(|(name, text)| (folder.join("config").join(name), text)).collect();
        let certificate =
            stack.certificate.zip(vpn).map(|(uid, vpn)| Certificate::new(&folder, &vpn.host, uid));
        Ok(Self { stack, compose, folder, config, certificate })
    }

    /// Whether what the containers read when they start is as it must be.
    fn config_holds(&self, cx: &Cx<'_>) -> Result<bool> {
        for (path, text) in &self.config {
            if !cx.holds(path, text.as_bytes())? {
                return Ok(false);
            }
        }
        self.certificate.as_ref().map_or(Ok(true), |certificate| certificate.holds(cx))
    }

    fn unit(&self) -> String {
        format!("sovereign-stack@{}.service", self.stack.name)
    }

    /// Whether what runs is what is wanted: the marker is written once a start succeeded with this very file.
    fn holds(&self, cx: &Cx<'_>) -> Result<bool> {
        let started = format!("{}\n", sha256(self.compose.as_bytes()));
        if !cx.holds(self.folder.join("compose.yaml"), self.compose.as_bytes())?
            || !cx.holds(self.folder.join("started"), started.as_bytes())?
            || !cx.exists(format!("/etc/systemd/system/{}.wants/{}", units::STACKS, self.unit()))?
            || !self.config_holds(cx)?
        {
            return Ok(false);
        }
        let containers = engine::containers(cx, self.stack.name)?;
        Ok(!containers.is_empty() && containers.iter().all(engine::healthy))
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        let name = self.stack.name;
        // Containers whose compose file is the same are left alone by a reload; they would not read what is new.
        let verb = if self.config_holds(cx)? { "reload-or-restart" } else { "restart" };
        self.put_files(cx).with_context(|| format!("writing the files of stack {name}"))?;
        cx.say(format!("starting stack {name}"))?;
        self.drop_narrow_networks(cx)?;
        let unit = self.unit();
        cx.at_boot("enable", [&*unit])?;
        if cx.run(&Cmd::new("systemctl").args([verb, &unit])).is_err() {
            bail!(
                "starting stack {name}: it did not become healthy; see `journalctl -u {unit}` on the server, then try \
                 again. Its containers' last words:\n{}",
                self.last_words(cx)?
            );
        }
        let started = format!("{}\n", sha256(self.compose.as_bytes()));
        cx.write(&self.folder.join("started"), started.as_bytes(), 0o644)?;
        Ok(())
    }

    /// Compose makes a network once and leaves it as it is: one of an earlier release, without IPv6, has to go first.
    fn drop_narrow_networks(&self, cx: &Cx<'_>) -> Result<()> {
        let wanted = ::stacks::networks_with_ipv6(&self.compose);
        let networks = engine::networks(cx, self.stack.name)?;
        if networks.iter().any(|(key, has_ipv6)| !has_ipv6 && wanted.contains(key)) {
            cx.say(format!("making the networks of stack {} anew, with IPv6", self.stack.name))?;
            cx.run(&self.docker_compose().arg("down")).context("taking its networks down")?;
        }
        Ok(())
    }

    fn docker_compose(&self) -> Cmd {
        let cmd = Cmd::new("docker-compose").args(["--project-name", self.stack.name, "--file"]);
        cmd.path(self.folder.join("compose.yaml")).env("HOME", "/root")
    }

    /// What the containers said last: why a stack did not come up is mostly there.
    fn last_words(&self, cx: &Cx<'_>) -> Result<String> {
        let cmd = self.docker_compose().args(["logs", "--no-color", "--tail", "10"]);
        let output = cx.probe(&cmd.timeout(LOGS))?;
        Ok(format!("{}{}", output.text(), output.stderr.trim_end()))
    }

    fn put_files(&self, cx: &Cx<'_>) -> Result<()> {
        let machine = cx.machine();
        cx.remove(&self.folder.join("started"))?;
        machine.make_dir(&self.folder, 0o700, 0, 0)?;
        let secrets = self.folder.join("secrets");
        machine.make_dir(&secrets, 0o700, 0, 0)?;
        for need in self.stack.secrets {
            let file = secrets.join(need.name);
            let value = cx.read(&stored(need.name))?;
            let value = Secret::new(value.with_context(|| format!("{} is not on the volume", need.name))?);
            let theirs = |s: &Stat| s.uid == need.uid && s.mode == 0o400;
            let owned = machine.stat(&file)?.is_some_and(|s| theirs(&s));
            if !cx.ensure_file(&file, value.expose(), 0o400)? {
                if owned {
                    continue;
                }
                cx.write(&file, value.expose(), 0o400)?;
            }
            machine.chown(&file, need.uid, need.uid)?;
        }
        for dir in self.stack.data {
            let path = Path::new(paths::DATA).join("data").join(dir.path);
            let right = |s: &Stat| (s.uid, s.gid, s.mode) == (dir.uid, dir.gid, dir.mode);
            if !machine.stat(&path)?.is_some_and(|s| right(&s)) {
                machine.make_dir(&path, dir.mode, dir.uid, dir.gid)?;
            }
        }
        self.put_config(cx)?;
        cx.ensure_file(self.folder.join("compose.yaml"), self.compose.as_bytes(), 0o600)?;
        Ok(())
    }

    fn put_config(&self, cx: &Cx<'_>) -> Result<()> {
        if !self.config.is_empty() {
            cx.machine().make_dir(&self.folder.join("config"), 0o755, 0, 0)?;
        }
        for (path, text) in &self.config {
            cx.ensure_file(path, text.as_bytes(), 0o644)?;
        }
        if self.stack.name == ::stacks::HEADSCALE && !cx.exists(vpn::names_file())? {
            cx.write(&vpn::names_file(), vpn::NO_NAMES.as_bytes(), 0o644)?;
        }
        match &self.certificate {
            Some(certificate) if !certificate.holds(cx)? => {
                certificate.make(cx)?;
                // The host's node has read the old one.
                cx.systemctl(["try-restart", vpn::UNIT]).map(drop)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
