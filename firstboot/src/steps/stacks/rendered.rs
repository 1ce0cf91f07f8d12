//! One stack as it shall be: its files, and its containers.

use super::certificate::Certificate;
use super::compose::{self, compose, compose_file, folder, unit};
use crate::access::store::{DIGEST_KEY, stored};
use crate::machine::Stat;
use crate::machine::digest::sha256;
use crate::run::Cx;
use crate::steps::docker::engine;
use crate::system::{managed, units};
use ::stacks::{Labelled, SecretNeed, Stack};
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _, Secret};
use spec::{StackSpec, paths};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long their last words may take.
const LOGS: Duration = Duration::from_secs(60);

/// A stack's compose file as it shall lie on the volume. The volume is mounted.
pub(crate) fn labelled(cx: &Cx<'_>, wanted: &StackSpec) -> Result<Labelled> {
    Rendered::new(cx, wanted)?.labelled(cx)
}

/// Whether a secret's file is its reader's alone.
fn belongs(cx: &Cx<'_>, file: &Path, need: &SecretNeed) -> Result<bool> {
    Ok(cx.machine().stat(file)?.is_some_and(|found| found.uid == need.uid && found.mode == 0o400))
}

/// Rendered stack, rendered.
pub(super) struct Rendered<'a> {
    pub(super) stack: &'static Stack,
    compose: String,
    folder: PathBuf,
    /// Its configuration: where each file lies, and its text.
    config: Vec<(PathBuf, String)>,
    certificate: Option<Certificate<'a>>,
}

impl<'a> Rendered<'a> {
    pub(super) fn new(cx: &'a Cx<'_>, wanted: &StackSpec) -> Result<Self> {
        let compose = ::stacks::render(wanted, &cx.spec.inbound)?;
        let folder = folder(&wanted.name);
        let stack = ::stacks::find(&wanted.name)?;
        let vpn = cx.spec.vpn.as_ref();
        let config = ::stacks::config(stack, vpn)?;
        let config =
            config.into_iter().map(|(name, text)| (folder.join("config").join(name), text)).collect();
        let certificate =
            stack.certificate.zip(vpn).map(|(uid, vpn)| Certificate::new(&folder, &vpn.host, uid));
        Ok(Self { stack, compose, folder, config, certificate })
    }

    fn labelled(&self, cx: &Cx<'_>) -> Result<Labelled> {
        let key = Zeroizing::new(cx.read(Path::new(DIGEST_KEY))?.unwrap_or_default());
        let read = self.read_at_start(cx)?;
        let digest = |definition: &str, paths: &[PathBuf]| {
            let mut all = Zeroizing::new(Vec::with_capacity(1 << 16));
            let mut add = |bytes: &[u8]| {
                all.extend((bytes.len() as u64).to_be_bytes());
                all.extend(bytes);
            };
            add(&key);
            add(definition.as_bytes());
            for (path, content) in
                read.iter().filter(|(path, _)| paths.iter().any(|dir| path.starts_with(dir)))
            {
                add(path.as_os_str().as_encoded_bytes());
                add(content);
            }
            sha256(&all)
        };
        Ok(::stacks::label(self.stack.name, &self.compose, digest)?)
    }

    /// What its containers read when they start, as it must be: secrets, configuration, certificate.
    fn read_at_start(&self, cx: &Cx<'_>) -> Result<Vec<(PathBuf, Zeroizing<Vec<u8>>)>> {
        let mut read = Vec::new();
        for need in self.stack.secrets {
            read.push((self.folder.join("secrets").join(need.name), cx.read(&stored(need.name))?));
        }
        read.extend(self.config.iter().map(|(path, text)| (path.clone(), Some(text.clone().into_bytes()))));
        if let Some(certificate) = &self.certificate {
            read.push((certificate.file(), cx.read(&certificate.file())?));
        }
        Ok(read
            .into_iter()
            .map(|(path, content)| (path, Zeroizing::new(content.unwrap_or_default())))
            .collect())
    }

    /// Whether all its files are as they must be.
    fn files_hold(&self, cx: &Cx<'_>, labelled: &Labelled) -> Result<bool> {
        for need in self.stack.secrets {
            let file = self.folder.join("secrets").join(need.name);
            let value = Zeroizing::new(cx.read(&stored(need.name))?.unwrap_or_default());
            if !managed::holds(cx, &file, &value)? || !belongs(cx, &file, need)? {
                return Ok(false);
            }
        }
        for (path, text) in &self.config {
            if !managed::holds(cx, path, text.as_bytes())? {
                return Ok(false);
            }
        }
        Ok(self.certificate.as_ref().map_or(Ok(true), |certificate| certificate.holds(cx))?
            && managed::holds(cx, compose_file(self.stack.name), labelled.yaml.as_bytes())?)
    }

    /// Whether what runs is what is wanted, and nothing besides.
    pub(super) fn holds(&self, cx: &Cx<'_>) -> Result<bool> {
        let labelled = self.labelled(cx)?;
        if !self.files_hold(cx, &labelled)? || !units::is_wanted(cx, &unit(self.stack.name))? {
            return Ok(false);
        }
        let containers = engine::containers(cx, self.stack.name)?;
        let is_up = |(service, digest): (&String, &String)| {
            let of = containers.iter().filter(|container| engine::service(container) == Some(service));
            of.filter(|container| engine::label(container, ::stacks::DIGEST) == Some(digest))
                .any(engine::healthy)
        };
        let surplus = |service: &str| !labelled.digests.contains_key(service);
        Ok(labelled.digests.iter().all(is_up) && !containers.iter().filter_map(engine::service).any(surplus))
    }

    pub(super) fn start(&self, cx: &Cx<'_>) -> Result<()> {
        let name = self.stack.name;
        cx.say(format!("starting stack {name}"))?;
        self.drop_networks_without_ipv6(cx)?;
        let unit = unit(name);
        // The engine's own start may have begun with it: until that has ended, systemd takes no reload.
        let state =
            cx.probe(&Cmd::new("systemctl").args(["show", "--property=ActiveState", "--value", &unit]))?;
        if state.text() == "activating" {
            cx.probe(&Cmd::new("systemctl").args(["start", &unit]))?;
        }
        // A container that runs and is not well is left alone by compose.
        let unwell = engine::containers(cx, name)?.iter().any(engine::unhealthy);
        let verb = if unwell { "restart" } else { "reload-or-restart" };
        if cx.run(&Cmd::new("systemctl").args([verb, &unit])).is_err() {
            bail!(
                "starting stack {name}: it did not become healthy; see `journalctl -u {unit}` on the server, then try \
                 again. Its containers' last words:\n{}",
                self.recent_logs(cx)?
            );
        }
        Ok(())
    }

    /// Compose makes a network once and leaves it as it is: one of an earlier release, without IPv6, has to go first.
    fn drop_networks_without_ipv6(&self, cx: &Cx<'_>) -> Result<()> {
        let wanted = ::stacks::networks_with_ipv6(&self.compose);
        let networks = engine::networks(cx, self.stack.name)?;
        if networks.iter().any(|(key, has_ipv6)| !has_ipv6 && wanted.contains(key)) {
            cx.say(format!("making the networks of stack {} anew, with IPv6", self.stack.name))?;
            cx.run(&compose(self.stack.name, &["down"])).context("taking its networks down")?;
        }
        Ok(())
    }

    /// What the containers said last: why a stack did not come up is mostly there.
    fn recent_logs(&self, cx: &Cx<'_>) -> Result<String> {
        let logs = compose(self.stack.name, &["logs", "--no-color", "--tail", "10"]);
        let output = cx.probe(&logs.timeout(LOGS))?;
        Ok(format!("{}{}", output.text(), output.stderr.trim_end()))
    }

    pub(super) fn put_files(&self, cx: &Cx<'_>) -> Result<()> {
        let machine = cx.machine();
        if !cx.machine().exists(&self.folder)? {
            machine.make_dir(&self.folder, 0o700, 0, 0)?;
        }
        let secrets = self.folder.join("secrets");
        machine.make_dir(&secrets, 0o700, 0, 0)?;
        for need in self.stack.secrets {
            let file = secrets.join(need.name);
            let value = cx.read(&stored(need.name))?;
            let value = Secret::new(value.with_context(|| format!("{} is not on the volume", need.name))?);
            if !managed::ensure_file(cx, &file, value.expose(), 0o400)? && !belongs(cx, &file, need)? {
                cx.write(&file, value.expose(), 0o400)?;
            }
            if !belongs(cx, &file, need)? {
                machine.chown(&file, need.uid, need.uid)?;
            }
        }
        for dir in self.stack.data {
            let path = Path::new(paths::DATA).join("data").join(dir.path);
            let right = |s: &Stat| (s.uid, s.gid, s.mode) == (dir.uid, dir.gid, dir.mode);
            if !machine.stat(&path)?.is_some_and(|s| right(&s)) {
                machine.make_dir(&path, dir.mode, dir.uid, dir.gid)?;
            }
        }
        self.put_config(cx)?;
        // Last: it carries the digest of what the others say.
        managed::ensure_file(cx, compose_file(self.stack.name), self.labelled(cx)?.yaml.as_bytes(), 0o600)?;
        Ok(())
    }

    fn put_config(&self, cx: &Cx<'_>) -> Result<()> {
        if !self.config.is_empty() {
            cx.machine().make_dir(&self.folder.join("config"), 0o755, 0, 0)?;
        }
        for (path, text) in &self.config {
            managed::ensure_file(cx, path, text.as_bytes(), 0o644)?;
        }
        if self.stack.name == ::stacks::HEADSCALE && !cx.machine().exists(compose::names_file())? {
            cx.write(&compose::names_file(), compose::NO_NAMES.as_bytes(), 0o644)?;
        }
        match &self.certificate {
            Some(certificate) => certificate.ensure(cx),
            None => Ok(()),
        }
    }
}
