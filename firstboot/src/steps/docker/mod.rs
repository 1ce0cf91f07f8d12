//! Docker, hardened, with all its data and containerd's on the volume.
//!
//! `config` says what it is told, by its version. It is not enabled: it is started here, after the volume is open, and at no other time.

pub(crate) mod config;
pub(crate) mod engine;
pub(crate) mod pulls;

use super::disk::Volume;
use super::firewall::Closed;
use crate::run::{Cx, Step};
use crate::system::{managed, systemd};
use anyhow::{Context as _, Result, bail};
use config::Version;
use host::{Cmd, Host as _};
use serde_json::Value;
use spec::StepName;
use std::path::{Path, PathBuf};

/// Where Docker keeps everything.
pub(crate) const DATA_ROOT: &str = "/srv/sovereign/docker";
/// Where containerd keeps everything.
pub(crate) const CONTAINERD_ROOT: &str = "/srv/sovereign/containerd";
const DAEMON: &str = "/etc/docker/daemon.json";
/// The file while it is judged.
const CANDIDATE: &str = "/etc/docker/daemon.json.candidate";
const CONTAINERD: &str = "/etc/containerd/config.toml";
const UNITS: [&str; 3] = ["docker.service", "docker.socket", "containerd.service"];

/// The container engine runs as it must.
#[derive(Debug, Clone, Copy)]
pub struct Engine(());

/// See the module.
pub struct Docker<'a> {
    /// Where the data goes.
    pub volume: &'a Volume,
    /// No container before the door is closed.
    pub closed: Closed,
}

impl Step for Docker<'_> {
    const NAME: StepName = StepName::Docker;
    type Output = Engine;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Engine>> {
        let holds =
            !pulls::was_cut_off(cx)? && configured(cx)? && enabled(cx)?.is_empty() && runs_as_configured(cx)?;
        Ok(holds.then_some(Engine(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        let torn = pulls::was_cut_off(cx)?;
        let version = installed(cx)?;
        let [daemon, containerd] = daemons_files(version);
        let configured = daemon.has_its_text(cx)? && containerd.has_its_text(cx)?;
        // Where no engine was configured yet, its start says as much, and asking it first takes as long.
        if !configured && cx.machine().exists(DAEMON)? {
            validate(cx, version)?;
        }
        if torn || !configured || !runs_as_configured(cx)? {
            // Stopped before its files change, so that what runs is always what the files say.
            cx.run(&Cmd::new("systemctl").arg("stop").args(UNITS)).context("stopping Docker")?;
        }
        if torn {
            pulls::empty_store(cx)?;
        }
        for file in files(cx, version) {
            file.ensure(cx)?;
        }
        let enabled = enabled(cx)?;
        if !enabled.is_empty() {
            systemd::at_boot(cx, "disable", enabled).context("disabling Docker at boot")?;
        }
        cx.say("starting Docker")?;
        systemd::systemctl(cx, ["start", "docker.service"])
            .context("starting Docker; see `journalctl -u docker`")?;
        Ok(())
    }
}

/// A file of the engine's configuration.
struct File {
    path: PathBuf,
    text: String,
    mode: u32,
}

impl File {
    fn has_its_text(&self, cx: &Cx<'_>) -> Result<bool> {
        managed::holds(cx, &self.path, self.text.as_bytes())
    }

    fn has_its_mode(&self, cx: &Cx<'_>) -> Result<bool> {
        Ok(cx.machine().stat(&self.path)?.is_some_and(|stat| stat.mode == self.mode))
    }

    fn ensure(&self, cx: &Cx<'_>) -> Result<()> {
        managed::ensure_file(cx, &self.path, self.text.as_bytes(), self.mode)?;
        if !self.has_its_mode(cx)? {
            // As it is: an edit may have been accepted.
            let there = cx.read(&self.path)?.unwrap_or_default();
            cx.write(&self.path, &there, self.mode)?;
        }
        Ok(())
    }
}

/// The files the daemons read when they start.
fn daemons_files(version: Version) -> [File; 2] {
    let file = |path: &str, text| File { path: path.into(), text, mode: 0o644 };
    [file(DAEMON, config::daemon(version)), file(CONTAINERD, config::containerd())]
}

/// Every file of the engine's configuration; the registries' authorities are read anew at each pull.
fn files(cx: &Cx<'_>, version: Version) -> Vec<File> {
    let authority = |registry: &spec::Registry| {
        let path = format!("/etc/docker/certs.d/{}/ca.crt", registry.address).into();
        File { path, text: registry.ca_pem.clone(), mode: 0o444 }
    };
    daemons_files(version).into_iter().chain(cx.spec.registries.iter().map(authority)).collect()
}

/// Whether every file of the configuration is as the engine that runs needs it; not where none runs.
pub(crate) fn configured(cx: &Cx<'_>) -> Result<bool> {
    let Some(info) = engine::info(cx)? else { return Ok(false) };
    for file in files(cx, running(&info)?) {
        if !file.has_its_text(cx)? || !file.has_its_mode(cx)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The version of the engine that runs.
fn running(info: &Value) -> Result<Version> {
    let text = info["ServerVersion"].as_str().unwrap_or_default();
    Version::parse(text).with_context(|| format!("reading Docker's version: it says {text:?}"))
}

/// The version of the engine that is installed: it may be newer than the one that runs.
fn installed(cx: &Cx<'_>) -> Result<Version> {
    let said = cx.run(&Cmd::new("dockerd").arg("--version")).context("asking Docker for its version")?.text();
    let number = said.split_once("version ").map(|(_, rest)| rest).unwrap_or_default();
    let version =
        Version::parse(number).with_context(|| format!("reading Docker's version: it says {said:?}"))?;
    if !version.is_known() {
        bail!("configuring Docker: version {version} is older than 20.10; upgrade it, then try again");
    }
    Ok(version)
}

/// Lets the engine judge a file before it takes the place of one that works. Up to 20.10 it cannot.
fn validate(cx: &Cx<'_>, version: Version) -> Result<()> {
    if !version.validates() {
        return Ok(());
    }
    cx.write(Path::new(CANDIDATE), config::daemon(version).as_bytes(), 0o644)?;
    let judged = cx.run(&Cmd::new("dockerd").args(["--validate", "--config-file", CANDIDATE]));
    cx.remove(Path::new(CANDIDATE))?;
    judged
        .with_context(|| format!("configuring Docker {version}: it does not take {DAEMON} as it would be"))?;
    Ok(())
}

/// The units that would start at boot, before the volume is open.
pub(crate) fn enabled(cx: &Cx<'_>) -> Result<Vec<&'static str>> {
    let mut enabled = Vec::new();
    for unit in UNITS {
        for target in ["multi-user.target", "sockets.target"] {
            if cx.machine().exists(format!("/etc/systemd/system/{target}.wants/{unit}"))? {
                enabled.push(unit);
            }
        }
    }
    Ok(enabled)
}

/// Whether the daemon that answers is one that read this configuration.
fn runs_as_configured(cx: &Cx<'_>) -> Result<bool> {
    Ok(engine::info(cx)?
        .is_some_and(|info| info["DockerRootDir"] == DATA_ROOT && info["LiveRestoreEnabled"] == true))
}

#[cfg(test)]
mod tests {
    use crate::flow::boot::Ended;
    use crate::testing::Fake;
    use std::path::Path;

    #[test]
    fn a_certificate_of_an_earlier_release_is_given_its_mode_and_the_engine_goes_on() {
        let fake = Fake::new();
        assert!(matches!(fake.run().unwrap(), Ended::Done));
        let certificate = Path::new("/etc/docker/certs.d/registry.test:5000/ca.crt");
        let mode = || fake.state.borrow().root[certificate].mode;
        assert_eq!(mode(), 0o444);
        fake.state.borrow_mut().root.get_mut(certificate).unwrap().mode = 0o644;
        let lines = fake.state.borrow().lines.len();
        assert!(matches!(fake.run().unwrap(), Ended::Done));
        assert_eq!(mode(), 0o444);
        let stopped = |line: &String| line.starts_with("systemctl stop");
        assert!(!fake.state.borrow().lines[lines..].iter().any(stopped));
    }
}
