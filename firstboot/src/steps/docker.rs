//! Docker, hardened, with all its data and containerd's on the volume.
//!
//! It is not enabled: it is started here, after the volume is open, and at no other time.

use super::disk::Volume;
use super::firewall::Closed;
use super::pulls;
use crate::step::Step;
use crate::{Cx, engine};
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _};
use serde_json::{Value, json};
use spec::StepName;
use std::path::PathBuf;

/// Where Docker keeps everything.
pub(crate) const DATA_ROOT: &str = "/srv/sovereign/docker";
/// Where containerd keeps everything.
pub(crate) const CONTAINERD_ROOT: &str = "/srv/sovereign/containerd";
const DAEMON: &str = "/etc/docker/daemon.json";
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
            !pulls::torn(cx)? && configured(cx)? && enabled(cx)?.is_empty() && runs_as_configured(cx)?;
        Ok(holds.then_some(Engine(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        let torn = pulls::torn(cx)?;
        if torn || !daemons_configured(cx)? || !runs_as_configured(cx)? {
            // Stopped before its files change, so that what runs is always what the files say.
            cx.run(&Cmd::new("systemctl").arg("stop").args(UNITS)).context("stopping Docker")?;
        }
        if torn {
            pulls::forget(cx)?;
        }
        for (path, content) in files(cx) {
            cx.ensure_file(&path, &content, 0o644)?;
        }
        let enabled = enabled(cx)?;
        if !enabled.is_empty() {
            cx.run(&Cmd::new("systemctl").arg("disable").args(enabled))
                .context("disabling Docker at boot")?;
        }
        cx.say("starting Docker")?;
        cx.systemctl(["start", "docker.service"]).context("starting Docker; see `journalctl -u docker`")?;
        Ok(())
    }
}

/// What Docker is told. Sorted, so that the same settings are the same bytes.
pub(crate) fn daemon() -> Value {
    json!({
        "data-root": DATA_ROOT,
        "default-address-pools": [{ "base": "172.30.0.0/16", "size": 24 }],
        "icc": false,
        "live-restore": true,
        "log-driver": "local",
        "log-opts": { "max-file": "3", "max-size": "10m" },
        "no-new-privileges": true,
        "storage-driver": "overlay2",
        "userland-proxy": false,
    })
}

/// The files the daemons read when they start.
fn daemons_files() -> [(PathBuf, Vec<u8>); 2] {
    let daemon = format!("{:#}\n", daemon());
    let containerd = format!(
        "# Written by firstboot; changes here are overwritten.\nversion = 2\nroot = \"{CONTAINERD_ROOT}\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\n[plugins.\"io.containerd.internal.v1.opt\"]\n  \
         path = \"{CONTAINERD_ROOT}/opt\"\n"
    );
    [(DAEMON.into(), daemon.into_bytes()), (CONTAINERD.into(), containerd.into_bytes())]
}

/// Every file of the engine's configuration; the registries' authorities are read anew at each pull.
fn files(cx: &Cx<'_>) -> Vec<(PathBuf, Vec<u8>)> {
    let authority = |registry: &spec::Registry| {
        let path = format!("/etc/docker/certs.d/{}/ca.crt", registry.address);
        (path.into(), registry.ca_pem.clone().into_bytes())
    };
    daemons_files().into_iter().chain(cx.spec.registries.iter().map(authority)).collect()
}

/// Whether every file of the configuration is as it must be.
pub(crate) fn configured(cx: &Cx<'_>) -> Result<bool> {
    all_hold(cx, files(cx))
}

fn daemons_configured(cx: &Cx<'_>) -> Result<bool> {
    all_hold(cx, daemons_files())
}

fn all_hold(cx: &Cx<'_>, files: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) -> Result<bool> {
    for (path, content) in files {
        if !cx.holds(&path, &content)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The units that would start at boot, before the volume is open.
pub(crate) fn enabled(cx: &Cx<'_>) -> Result<Vec<&'static str>> {
    let mut enabled = Vec::new();
    for unit in UNITS {
        for target in ["multi-user.target", "sockets.target"] {
            if cx.exists(format!("/etc/systemd/system/{target}.wants/{unit}"))? {
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
