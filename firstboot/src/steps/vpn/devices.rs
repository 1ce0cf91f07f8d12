//! The operator's devices: each gets a key that lets it in once, and only by way of the escrow.
//!
//! What was issued is noted beside the node, without the key: `devices/NAME` holds the control server's number for it.
//! A note that is removed is the wish for a new key.

use super::control::Control;
use super::node::folder;
use crate::access::reseal::{NewSecret, escrow_new};
use crate::run::{Cx, phase};
use crate::volume::Locked;
use anyhow::{Context as _, Result, bail};
use host::{Host as _, Secret};
use spec::VpnSpec;
use std::path::PathBuf;

/// How long a device may take to use its key.
const KEY_LASTS: &str = "30d";

fn note(device: &str) -> PathBuf {
    folder().join("devices").join(device)
}

/// Where a key is kept from the moment the control server has made it until the escrow has it.
fn drawn(device: &str) -> PathBuf {
    folder().join("drawn").join(device)
}

/// The devices that have no key yet.
pub(super) fn without_key<'v>(cx: &Cx<'_>, vpn: &'v VpnSpec) -> Result<Vec<&'v String>> {
    let mut without = Vec::new();
    for device in &vpn.devices {
        if !cx.machine().exists(note(device))? {
            without.push(device);
        }
    }
    Ok(without)
}

/// Makes the keys that are missing, and waits until the operator's side has them in its escrow.
pub(super) fn issue(cx: &Cx<'_>, vpn: &VpnSpec) -> Result<()> {
    let without = without_key(cx, vpn)?;
    if without.is_empty() {
        return Ok(());
    }
    let control = Control::find(cx)?;
    let operator = control.operator()?;
    cx.machine().make_dir(&folder().join("drawn"), 0o700, 0, 0)?;
    cx.machine().make_dir(&folder().join("devices"), 0o755, 0, 0)?;
    let mut fresh = Vec::new();
    for device in &without {
        if !cx.machine().exists(drawn(device))? {
            cx.say(format!("making the key of device {device}"))?;
            let key = control.key_for_device(operator, KEY_LASTS)?;
            // The control server's database is not synced with every change: a power cut must not leave a key here that
            // it does not know.
            cx.machine().sync_all();
            // One file, so that key and number are both there or neither.
            let both = [format!("{}\n", key.id).as_bytes(), key.value.expose()].concat();
            let both = Secret::new(both);
            cx.write(&drawn(device), both.expose(), 0o400)?;
        }
        fresh.push(NewSecret {
            name: format!("vpn-device-{device}"),
            purpose: format!("lets device {device} into the private network, once"),
            value: read(cx, device)?.1,
        });
    }
    escrow_new(cx, &fresh)?;
    for device in &without {
        let (id, _) = read(cx, device)?;
        cx.write(&note(device), id.as_bytes(), 0o644)?;
        cx.machine().shred(&drawn(device))?;
    }
    Ok(())
}

fn read(cx: &Cx<'_>, device: &str) -> Result<(String, Secret)> {
    let both = cx
        .read(&drawn(device))?
        .with_context(|| format!("reading the key of device {device}: it is gone"))?;
    let both = Secret::new(both);
    let end = both.expose().iter().position(|b| *b == b'\n');
    let end = end.with_context(|| format!("reading the key of device {device}: it has no number"))?;
    let (id, key) = both.expose().split_at(end);
    Ok((String::from_utf8_lossy(id).into_owned(), Secret::new(key.trim_ascii().to_vec())))
}

/// `firstboot vpn renew DEVICE`: makes the old key worthless and asks for a new one, which first boot's next run makes.
/// Gives the number of the first event of that.
pub(crate) fn renew(cx: &Cx<'_>, device: &str) -> Result<u64> {
    let known = cx.spec.vpn.as_ref().is_some_and(|vpn| vpn.devices.iter().any(|name| name == device));
    if !known {
        bail!(
            "renewing the key of device {device}: the project names no such device; add it to `devices` in [vpn]"
        );
    }
    if !crate::volume::mounted(cx)? {
        return Err(Locked.into());
    }
    if let Some(id) = cx.machine().text(note(device))?.and_then(|id| id.trim().parse().ok()) {
        Control::find(cx)?.expire(id)?;
    }
    // First of all: a cut in between must not leave a wish that nobody follows.
    phase::unsettle(cx.machine(), format!("device {device} gets a new key"))?;
    cx.remove(&note(device))?;
    cx.next_event()
}

/// `firstboot vpn list`: each device, and whether a key was issued to it.
pub(crate) fn list(cx: &Cx<'_>) -> Result<Vec<(String, bool)>> {
    let Some(vpn) = &cx.spec.vpn else { return Ok(Vec::new()) };
    vpn.devices.iter().map(|device| Ok((device.clone(), cx.machine().exists(note(device))?))).collect()
}
