//! The server's own registry, on its loopback, so that images are known by their digests as they are on a server.

use super::{last_lines, start};
use crate::network::{Reach, Space};
use anyhow::{Context as _, Result, ensure};
use host::Cmd;
use images::OciLayout;
use std::path::{Path, PathBuf};
use std::process::Child;

/// Docker asks what is on a loopback without TLS.
const ADDRESS: &str = "127.0.0.1:5000";
/// Where the server sees `registry` in the engine's place.
const CONFIGURATION: &str = "version: 0.1
log: { level: warn, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: /run/registry/storage }, maintenance: { readonly: { enabled: true } } }
http: { addr: \"127.0.0.1:5000\" }
";

pub(super) struct Registry {
    layout: images::registry::Registry,
    child: Child,
}

impl Registry {
    /// Starts it by this command, `docker-registry` on the server, with its files in `place`.
    pub(super) fn start(command: Cmd, place: &Path, server: &Space) -> Result<Self> {
        let directory: PathBuf = place.join("registry");
        host::files::write(&directory.join("config.yml"), CONFIGURATION.as_bytes(), 0o644)?;
        let log = place.join("registry.log");
        let mut child = start(&command.args(["serve", "/run/registry/config.yml"]), &log)?;
        let address = ADDRESS.parse().context("reading the registry's address")?;
        crate::until("the registry answers", || {
            ensure!(child.try_wait()?.is_none(), "starting the registry: {}", last_lines(&log)?);
            Ok(server.connect(&[address])? == [Reach::Open])
        })?;
        // Only its layout of files is taken, none of its ports.
        Ok(Self { layout: images::registry::Registry::new(directory, 0), child })
    }

    /// Makes an image known; gives its reference.
    pub(super) fn publish(&self, image: &OciLayout) -> Result<String> {
        self.layout.publish(image)?;
        Ok(format!("{ADDRESS}/{}@{}", image.name, image.digest))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // The server is gone, and with it what this was waiting for.
        let _ = self.child.wait();
    }
}
