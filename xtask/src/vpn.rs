//! `vpn list|renew|certificate`.

use crate::Name;
use crate::project::{From, Opened};
use crate::verbs::print_json;
use anyhow::Result;
use provisioner::vpn::Devices;
use std::path::Path;

/// What to do with the private network. A device is added by naming it in project.toml.
#[derive(clap::Subcommand)]
pub(crate) enum Vpn {
    /// Show the operator's devices, and whether a key was issued to each.
    ///
    /// Example: cargo xtask vpn list --project demo-vpn
    List {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        from: From,
        /// One JSON document on stdout, nothing else there.
        #[arg(long)]
        json: bool,
    },
    /// Give a device a new key, where the old one was used, is lost, or has expired. It comes by way of the escrow.
    ///
    /// Example: cargo xtask vpn renew --project demo-vpn laptop
    Renew {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        from: From,
        /// The device, as project.toml names it.
        device: String,
    },
    /// Print the certificate that the control server answers with: a device trusts it before it joins.
    ///
    /// Example: cargo xtask vpn certificate --project demo-vpn > vpn.pem
    Certificate {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        from: From,
    },
}

/// Runs it.
pub(crate) async fn run(projects: &Path, verb: &Vpn) -> Result<u8> {
    let (Vpn::List { name, from, .. } | Vpn::Renew { name, from, .. } | Vpn::Certificate { name, from }) =
        verb;
    let opened = Opened::existing(projects, &name.project)?.from(from);
    let _lock = matches!(verb, Vpn::Renew { .. }).then(|| opened.folder.lock()).transpose()?;
    let (prepared, world) = opened.look().await?;
    let context = opened.context();
    let work = || {
        let devices = Devices::new(&context, &prepared, &world)?;
        match verb {
            Vpn::List { json, .. } => {
                let listed = devices.list()?;
                if *json {
                    return print_json(&listed);
                }
                for device in listed {
                    say!("{:<24} {}", device.name, if device.issued { "key issued" } else { "no key yet" })?;
                }
            }
            Vpn::Renew { device, .. } => {
                devices.renew(device)?;
                say!("The new key of {device}:")?;
                say!(
                    "    cargo xtask escrow open --project {} --identity FILE --show secrets/vpn-device-{device}",
                    name.project
                )?;
            }
            Vpn::Certificate { .. } => host::say::out(devices.certificate()?)?,
        }
        Ok(())
    };
    context.through_the_door(&world, "vpn", async || tokio::task::block_in_place(work)).await?;
    Ok(0)
}
