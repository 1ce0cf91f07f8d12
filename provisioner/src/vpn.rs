//! The private network from the operator's chair: its devices, and the certificate they trust.
//!
//! A key is made on the server and comes over in an escrow bundle; nothing secret passes through here in the clear.

use crate::context::Context;
use crate::in_use::InUse;
use crate::provision::Prepared;
use crate::world::World;
use anyhow::{Result, ensure};
use serde::Serialize;

/// One device of the operator's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// As project.toml names it.
    pub name: String,
    /// Whether a key was issued to it and is in the escrow.
    pub issued: bool,
}

/// The server whose network it is.
pub struct Devices<'a>(InUse<'a>);

impl<'a> Devices<'a> {
    /// For the project's server.
    pub fn new(context: &'a Context<'a>, prepared: &'a Prepared, world: &'a World) -> Result<Self> {
        InUse::new(context, prepared, world, "its private network").map(Self)
    }

    /// Every device.
    pub fn list(&self) -> Result<Vec<Device>> {
        let said = self.0.ask(&["vpn", "list"])?;
        let listed: Vec<(String, bool)> = spec::from_outside("list of devices", &said.stdout)?;
        Ok(listed.into_iter().map(|(name, issued)| Device { name, issued }).collect())
    }

    /// The certificate that the control server answers with, PEM.
    pub fn certificate(&self) -> Result<String> {
        let certificate = self.0.ask(&["vpn", "certificate"])?.text();
        ensure!(
            certificate.ends_with("-----END CERTIFICATE-----"),
            "asking the server for its certificate: it arrived cut short; run the same command again"
        );
        Ok(certificate + "\n")
    }

    /// Has the server make a new key for a device, and takes it into the escrow.
    pub fn renew(&self, device: &str) -> Result<()> {
        let change = self.0.change()?;
        change.wait_for_what_runs()?;
        change.make(format!("asking for a new key of device {device}"), &["vpn", "renew", device])?;
        change.confirm()
    }
}
