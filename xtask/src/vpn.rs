//! `vpn list|renew|certificate`.

use crate::args::{List, Server};
use crate::project;
use anyhow::Result;
use provisioner::context::Context;
use provisioner::vpn::{Device, Devices};
use std::path::Path;

/// What to do with the private network. A device is added by naming it in project.toml.
#[derive(clap::Subcommand)]
pub(crate) enum Vpn {
    /// Show the operator's devices, and whether a key was issued to each.
    ///
    /// Example: cargo xtask vpn list --project demo-vpn
    List(List),
    /// Give a device a new key, where the old one was used, is lost, or has expired. It comes by way of the escrow.
    ///
    /// Example: cargo xtask vpn renew --project demo-vpn laptop
    Renew {
        #[command(flatten)]
        server: Server,
        /// The device, as project.toml names it.
        device: String,
    },
    /// Print the certificate that the control server answers with: a device trusts it before it joins.
    ///
    /// Example: cargo xtask vpn certificate --project demo-vpn > vpn.pem
    Certificate {
        #[command(flatten)]
        server: Server,
    },
}

/// Runs it.
pub(crate) async fn run(projects: &Path, verb: &Vpn) -> Result<u8> {
    let (Vpn::List(List { server, .. }) | Vpn::Renew { server, .. } | Vpn::Certificate { server }) = verb;
    let opened = project::with_server(projects, server)?;
    let _lock = matches!(verb, Vpn::Renew { .. }).then(|| opened.folder.lock()).transpose()?;
    let work = |context: &Context<'_>, prepared: &_, world: &_| {
        let devices = Devices::new(context, prepared, world)?;
        match verb {
            Vpn::List(List { print, .. }) => print.show(&devices.list()?, |listed| show(listed)),
            Vpn::Renew { device, .. } => {
                devices.renew(device)?;
                say!("The new key of {device}:")?;
                let project = &server.name.project;
                Ok(say!(
                    "    cargo xtask escrow open --project {project} --identity FILE --show secrets/vpn-device-{device}"
                )?)
            }
            Vpn::Certificate { .. } => Ok(host::say::out(devices.certificate()?)?),
        }
    };
    opened.reach("vpn", work).await?;
    Ok(0)
}

fn show(devices: &[Device]) -> Result<(), host::Error> {
    devices.iter().try_for_each(|device| {
        say!("{:<24} {}", device.name, if device.issued { "key issued" } else { "no key yet" })
    })
}
