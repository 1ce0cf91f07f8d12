//! The private network from the operator's chair: its devices, and the certificate they trust.
//!
//! A key is made on the server and comes over in an escrow bundle; nothing secret passes through here in the clear.

use crate::first_boot::Server;
use crate::known_hosts::KnownHosts;
use crate::observe::World;
use crate::provision::{Context, Prepared};
use crate::report::Stage;
use crate::ssh::Session;
use anyhow::{Context as _, Result, bail};
use escrow::Expected;
use host::{Cmd, Host as _};
use serde::Serialize;
use spec::paths;

/// One device of the operator's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// As project.toml names it.
    pub name: String,
    /// Whether a key was issued to it and is in the escrow.
    pub issued: bool,
}

/// The server whose network it is.
pub struct Devices<'a> {
    context: &'a Context<'a>,
    prepared: &'a Prepared,
    world: &'a World,
    known_hosts: KnownHosts<'a>,
    session: Session,
}

impl<'a> Devices<'a> {
    /// For the project's server.
    pub fn new(context: &'a Context<'a>, prepared: &'a Prepared, world: &'a World) -> Result<Self> {
        let server = world.server.as_ref().context("looking at the private network: there is no server")?;
        let known_hosts = KnownHosts::new(context.folder, server.id);
        let session = context.session(prepared, world, &known_hosts)?;
        Ok(Self { context, prepared, world, known_hosts, session })
    }

    /// Every device.
    pub fn list(&self) -> Result<Vec<Device>> {
        let listed: Vec<(String, bool)> = serde_json::from_str(&self.run(&["list"])?)
            .context("reading the list of devices: the server said something else")?;
        Ok(listed.into_iter().map(|(name, issued)| Device { name, issued }).collect())
    }

    /// The certificate that the control server answers with, PEM.
    pub fn certificate(&self) -> Result<String> {
        self.run(&["certificate"])
    }

    /// Has the server make a new key for a device, and takes it into the escrow.
    pub fn renew(&self, device: &str) -> Result<()> {
        let server = Server {
            folder: self.context.folder,
            session: &self.session,
            known_hosts: &self.known_hosts,
            report: self.context.report,
        };
        let there = server.connect()?;
        if !there.unlocked {
            return Err(server.locked());
        }
        let volume = self.world.volume.as_ref().context("renewing a key: the volume is not there")?;
        let project = &self.context.project.name;
        let expected = Expected { project, volume_id: volume.id, recipients: &self.prepared.recipients };
        if let Some(from) = there.running_from {
            server.follow(from, &expected)?;
        }
        let stage = Stage::begin(self.context.report, format!("asking for a new key of device {device}"));
        let said = self.run(&["renew", device])?;
        stage.done("begun");
        let from = said.trim().parse();
        let from = from.with_context(|| {
            format!("renewing a key: the server said {said:?} instead of an event's number")
        })?;
        server.follow(from, &expected)?;
        let receipt = server.observe(|_| {})?.receipt;
        let receipt = receipt.context("reading the receipt: the key is renewed but it is gone")?;
        self.context.confirm_and_file(self.prepared, self.world, &receipt)?;
        Ok(())
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        let cmd = Cmd::new(paths::BINARY).arg("vpn").args(words.iter().copied());
        let output = self.session.probe(&cmd)?;
        if output.code == Some(2) {
            bail!(
                "asking the server about its private network: its firstboot is of an earlier release; run `cargo xtask provision` first"
            );
        }
        if !output.success() {
            let said = output.stderr.trim();
            bail!("on the server: {}", said.strip_prefix("error: ").unwrap_or(said));
        }
        Ok(output.text())
    }
}
