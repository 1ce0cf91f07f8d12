//! A volume with something on it, a registry that fails or lies.

use super::{PROGRAMS, act, once_it_answers, volume_image};
use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::{Rig, World, can_run};

/// A volume that turns out to carry a file system: firstboot names it and leaves every byte. Before that, a server whose
/// clock is a year ahead is told nothing.
pub(crate) fn volume_not_blank() -> Result<()> {
    if !can_run("vm_volume_not_blank", &PROGRAMS)? {
        return Ok(());
    }
    another_program_has_the_port()?;
    let rig = World::Connected.fork()?;
    // Long before the disk step, somebody's data appears on the volume.
    once_it_answers(&rig, "mkfs.ext4 -q -F -L precious /dev/disk/by-id/scsi-0HC_Volume_* && sync")?;
    let (volume, before) = (volume_image(&rig)?, rig.path().join("before.qcow2"));
    std::fs::copy(&volume, &before)?;
    once_it_answers(&rig, "systemctl stop chrony; date -s '+1 year'")?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(1)?.says(&[
        "the server's clock is 36",
        "days ahead",
        "then try again",
    ])?;
    once_it_answers(&rig, "! test -e /etc/sovereign/node.json && date -s '-1 year'")?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(1)?.says(&["disk", "ext4"])?;
    act(&rig, "poweroff")?;
    let compared = Cmd::new("qemu-img").arg("compare").path(&before).path(&volume);
    let compared = Local.probe(&compared.timeout(Duration::from_secs(600)))?;
    ensure!(compared.success(), "the volume was written to: {}", compared.text());
    Ok(())
}

/// Another program sits on the server's ssh port, on every address: the cloud says who and what to do.
fn another_program_has_the_port() -> Result<()> {
    let rig = Rig::new()?;
    rig.demo("demo")?;
    let _squatter = std::net::TcpListener::bind("0.0.0.0:2222").context("taking port 2222")?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(1)?.says(&["2222", "process"])?;
    Ok(())
}

/// The registry is down, then serves other bytes than the digest says, then is well again.
pub(crate) fn registry_bad_days() -> Result<()> {
    if !can_run("vm_registry_bad_days", &PROGRAMS)? {
        return Ok(());
    }
    let rig = World::Connected.fork()?;
    let registry = rig.path().join("state/registry");
    let mut stopped = Ok(());
    let gone = |line: &str| {
        if line.starts_with("... first boot: docker") {
            stopped = rig.registry().stop();
        }
        false
    };
    let (ended, _) = rig.run_until(&["provision", "--project", "demo", "--yes"], gone)?;
    stopped?;
    ended.expect(1)?.says(&["images", "the registry cannot be reached", "try again"])?;

    let layer = largest_file(&registry.join("storage"))?;
    let whole = layer.with_extension("whole");
    std::fs::rename(&layer, &whole)?;
    let mut bytes = std::fs::read(&whole)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&layer, bytes)?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(1)?.says(&["images", "digest"])?;

    std::fs::rename(&whole, &layer)?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?.says(&["is ready at"])?;
    Ok(())
}

fn largest_file(dir: &Path) -> Result<PathBuf> {
    let mut largest = (0, PathBuf::new());
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                open.push(entry.path());
            } else if meta.len() > largest.0 {
                largest = (meta.len(), entry.path());
            }
        }
    }
    Ok(largest.1)
}
