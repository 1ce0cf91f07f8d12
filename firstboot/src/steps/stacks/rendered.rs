//! One stack as it shall be: its files, and its containers.

use super::certificate::{self, Certificate};
use super::compose::{compose, compose_file, folder, names_file};
use super::{in_service, settings};
use crate::access::store::{DIGEST_KEY, stored};
use crate::machine::Stat;
use crate::machine::digest::sha256;
use crate::run::Cx;
use crate::steps::docker::engine;
use crate::system::{managed, units};
use ::stacks::manifest::Owner;
use ::stacks::{Labelled, Planned, Text};
use anyhow::{Context as _, Result, anyhow, bail};
use host::Host as _;
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

/// A stack, rendered.
pub(super) struct Rendered<'a> {
    pub(super) stack: &'a Planned,
    compose: String,
    /// Its configuration, with marks where secrets belong: each file's path below `config/`.
    config: Vec<(String, Text)>,
    certificates: Vec<Certificate>,
}

/// A file that containers read.
struct Read {
    path: PathBuf,
    content: Zeroizing<Vec<u8>>,
    /// Whose alone it is; everybody's where it is nobody's.
    owner: Option<Owner>,
    /// Whether its reader sees a change by itself.
    live: bool,
}

impl Read {
    fn mode(&self) -> u32 {
        if self.owner.is_some() { 0o400 } else { 0o644 }
    }

    fn holds(&self, cx: &Cx<'_>) -> Result<bool> {
        Ok(managed::holds(cx, &self.path, &self.content)? && self.belongs(cx)?)
    }

    /// Whether it is its reader's alone.
    fn belongs(&self, cx: &Cx<'_>) -> Result<bool> {
        let Some(owner) = self.owner else { return Ok(true) };
        let found = cx.machine().stat(&self.path)?;
        Ok(found.is_some_and(|found| (found.uid, found.gid, found.mode) == (owner.uid, owner.gid, 0o400)))
    }

    fn put(&self, cx: &Cx<'_>) -> Result<()> {
        if !managed::ensure_file(cx, &self.path, &self.content, self.mode())? && !self.belongs(cx)? {
            cx.write(&self.path, &self.content, self.mode())?;
        }
        match self.owner {
            Some(owner) if !self.belongs(cx)? => Ok(cx.machine().chown(&self.path, owner.uid, owner.gid)?),
            _ => Ok(()),
        }
    }
}

impl<'a> Rendered<'a> {
    pub(super) fn new(cx: &'a Cx<'_>, wanted: &StackSpec) -> Result<Self> {
        let plan = cx.plan()?;
        let compose = plan.render(wanted, &cx.spec.inbound)?;
        let stack =
            plan.stack(&wanted.name).with_context(|| format!("stack {} is not planned", wanted.name))?;
        let mut config = plan.config(stack)?;
        // What names lead where is known only once the server has its place in the network.
        config.retain(|(file, _)| names_file(stack).is_none_or(|names| names != config_path(stack, file)));
        let certificates = certificate::of(plan, stack);
        Ok(Self { stack, compose, config, certificates })
    }

    fn labelled(&self, cx: &Cx<'_>) -> Result<Labelled> {
        let key = Zeroizing::new(cx.read(Path::new(DIGEST_KEY))?.unwrap_or_default());
        let mut read: Vec<(PathBuf, Zeroizing<Vec<u8>>)> = self
            .reads(cx)?
            .into_iter()
            .filter(|read| !read.live)
            .map(|read| (read.path, read.content))
            .collect();
        for certificate in &self.certificates {
            read.push((
                certificate.file(),
                Zeroizing::new(cx.read(&certificate.file())?.unwrap_or_default()),
            ));
        }
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
        Ok(::stacks::label(&self.stack.name, &self.compose, digest)?)
    }

    /// What its containers read, as it must be: secrets and configuration.
    fn reads(&self, cx: &Cx<'_>) -> Result<Vec<Read>> {
        let mut all = Vec::new();
        for (secret, owner) in cx.plan()?.secrets_of(&self.stack.name) {
            let path = folder(&self.stack.name).join("secrets").join(&secret.name);
            let content = Zeroizing::new(cx.read(&stored(&secret.name))?.unwrap_or_default());
            all.push(Read { path, content, owner: Some(owner), live: false });
        }
        for (file, text) in &self.config {
            let said = self.stack.manifest.config.iter().find(|config| config.file.as_str() == file);
            all.push(Read {
                path: config_path(self.stack, file),
                content: with_secrets(cx, text)
                    .with_context(|| format!("filling in {file} of stack {}", self.stack.name))?,
                owner: said.and_then(|said| said.reader),
                live: said.is_some_and(|said| said.live),
            });
        }
        Ok(all)
    }

    /// Whether all its files are as they must be.
    fn files_hold(&self, cx: &Cx<'_>, labelled: &Labelled) -> Result<bool> {
        for read in self.reads(cx)? {
            if !read.holds(cx)? {
                return Ok(false);
            }
        }
        for certificate in &self.certificates {
            if !certificate.holds(cx)? {
                return Ok(false);
            }
        }
        managed::holds(cx, compose_file(&self.stack.name), labelled.yaml.as_bytes())
    }

    /// Whether all is as it must be: what runs, and what was done once it ran.
    pub(super) fn holds(&self, cx: &Cx<'_>) -> Result<bool> {
        let settled =
            cx.machine().text(self.note())?.is_some_and(|note| note == self.settled(cx).unwrap_or_default());
        Ok(settled && self.runs(cx)?)
    }

    /// Where it is noted as what it was settled.
    fn note(&self) -> PathBuf {
        folder(&self.stack.name).join("settled")
    }

    /// Digest of all that is done once it runs, and of what that rests on.
    fn settled(&self, cx: &Cx<'_>) -> Result<String> {
        let manifest = &self.stack.manifest;
        let mut all = Zeroizing::new(self.labelled(cx)?.yaml.into_bytes());
        all.extend(format!("{:?}{:?}", manifest.hooks.ready, manifest.api).into_bytes());
        for read in self.reads(cx)? {
            all.extend(read.content.iter());
        }
        all.extend(Zeroizing::new(cx.read(Path::new(DIGEST_KEY))?.unwrap_or_default()).iter());
        Ok(sha256(&all))
    }

    /// Does what its manifest says is to be done once it runs. Done again, that changes nothing.
    pub(super) fn settle(&self, cx: &Cx<'_>) -> Result<()> {
        let stack = self.stack;
        for change in settings::put_right(cx, stack)? {
            cx.say(format!("stack {}: put right: {change}", stack.name))?;
        }
        for hook in &stack.manifest.hooks.ready {
            in_service::run(cx, stack, &hook.service, &hook.command)
                .with_context(|| format!("once stack {} was up", stack.name))?;
        }
        Ok(cx.write(&self.note(), self.settled(cx)?.as_bytes(), 0o600)?)
    }

    /// Whether what runs is what is wanted, and nothing besides.
    pub(super) fn runs(&self, cx: &Cx<'_>) -> Result<bool> {
        let labelled = self.labelled(cx)?;
        let unit = units::stack_unit(&self.stack.name);
        if !self.files_hold(cx, &labelled)? || !units::is_wanted(cx, &unit)? {
            return Ok(false);
        }
        let containers = engine::containers(cx, &self.stack.name)?;
        let is_up = |(service, digest): (&String, &String)| {
            let of = containers.iter().filter(|container| engine::service(container) == Some(service));
            of.filter(|container| engine::label(container, ::stacks::DIGEST) == Some(digest))
                .any(engine::healthy)
        };
        let surplus = |service: &str| !labelled.digests.contains_key(service);
        Ok(labelled.digests.iter().all(is_up) && !containers.iter().filter_map(engine::service).any(surplus))
    }

    /// Why it did not come up, with its containers' last words, which mostly say it.
    pub(super) fn failure(&self, cx: &Cx<'_>) -> Result<String> {
        let name = &self.stack.name;
        let output = cx.probe(&compose(name, &["logs", "--no-color", "--tail", "10"]).timeout(LOGS))?;
        Ok(format!(
            "stack {name} did not become healthy; see `journalctl -u {}` on the server, then try again. Its containers' last words:\n{}{}",
            units::stack_unit(name),
            output.text(),
            output.stderr.trim_end()
        ))
    }

    /// Its files that are not as they must be, each with a diff; of what is one reader's alone it says no more than that.
    pub(super) fn differences(&self, cx: &Cx<'_>) -> Result<Vec<(PathBuf, String)>> {
        let mut found = Vec::new();
        let mut look = |path: &Path, wanted: &[u8], hidden: bool| -> Result<()> {
            let there = Zeroizing::new(cx.read(path)?.unwrap_or_default());
            if there.as_slice() != wanted {
                let shown =
                    if hidden { "  its content, which is not shown\n".into() } else { diff(&there, wanted) };
                found.push((path.to_owned(), shown));
            }
            Ok(())
        };
        for read in self.reads(cx)? {
            look(&read.path, &read.content, read.owner.is_some())?;
        }
        look(&compose_file(&self.stack.name), self.labelled(cx)?.yaml.as_bytes(), false)?;
        Ok(found)
    }

    pub(super) fn put_files(&self, cx: &Cx<'_>) -> Result<()> {
        let machine = cx.machine();
        let folder = folder(&self.stack.name);
        if !machine.exists(&folder)? {
            machine.make_dir(&folder, 0o700, 0, 0)?;
        }
        machine.make_dir(&folder.join("secrets"), 0o700, 0, 0)?;
        for dir in &self.stack.manifest.data {
            let path = Path::new(paths::DATA).join("data").join(dir.path.as_str());
            let right = |s: &Stat| (s.uid, s.gid, s.mode) == (dir.owner.uid, dir.owner.gid, dir.mode.0);
            if !machine.stat(&path)?.is_some_and(|s| right(&s)) {
                machine.make_dir(&path, dir.mode.0, dir.owner.uid, dir.owner.gid)?;
            }
        }
        for (file, _) in &self.config {
            let dir = config_path(self.stack, file);
            for dir in dir
                .ancestors()
                .skip(1)
                .take_while(|dir| **dir != folder)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
            {
                machine.make_dir(dir, 0o755, 0, 0)?;
            }
        }
        for read in self.reads(cx)? {
            if read.content.is_empty() && read.owner.is_some() {
                bail!(
                    "writing {}: the secret is not on the volume; one that you give has to be sent first",
                    read.path.display()
                );
            }
            read.put(cx)?;
        }
        if let Some(names) =
            names_file(self.stack).filter(|names| cx.machine().exists(names).is_ok_and(|there| !there))
        {
            cx.write(&names, super::compose::NO_NAMES.as_bytes(), 0o644)?;
        }
        if self.stack.manifest.certificate.is_some() {
            // Also where it has none at the time: it is mounted.
            machine.make_dir(&folder.join("tls"), 0o755, 0, 0)?;
        }
        for certificate in &self.certificates {
            certificate.ensure(cx)?;
        }
        // Last: it carries the digest of what the others say.
        managed::ensure_file(cx, compose_file(&self.stack.name), self.labelled(cx)?.yaml.as_bytes(), 0o600)?;
        Ok(())
    }
}

/// From what is there to what is wanted.
fn diff(there: &[u8], wanted: &[u8]) -> String {
    let (there, wanted) = (String::from_utf8_lossy(there), String::from_utf8_lossy(wanted));
    let diff = similar::TextDiff::from_lines(there.as_ref(), wanted.as_ref());
    diff.unified_diff().header("as it is", "as it will be").to_string()
}

fn config_path(stack: &Planned, file: &str) -> PathBuf {
    folder(&stack.name).join("config").join(file)
}

/// Puts the secrets where their marks are.
fn with_secrets(cx: &Cx<'_>, text: &Text) -> Result<Zeroizing<Vec<u8>>> {
    let whole = text.with(|name| cx.read(&stored(name)).ok().flatten());
    whole.map(Zeroizing::new).map_err(|why| anyhow!("{why}"))
}
