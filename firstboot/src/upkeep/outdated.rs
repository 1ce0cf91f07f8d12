//! What runs as it was before an upgrade: a program whose file, or a library of which, was replaced under it, and a kernel
//! that is older than the newest installed.
//!
//! The kernel itself says so: a replaced file that is still mapped is shown as deleted. Of a unit its main process counts,
//! since what it leaves behind by design at a restart, as sshd its sessions, ends by itself. Programs in containers are
//! their image's matter. What an interpreter reads besides its program and libraries is not mapped, and not seen.

use crate::machine::Machine;
use anyhow::{Context as _, Result};
use host::Cmd;
use spec::{Cure, Outdated, paths};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where what packages bring lies; elsewhere are buffers and the like that only look like files.
const PROGRAMS: [&str; 6] = ["/usr/", "/lib", "/bin/", "/sbin/", "/opt/", "/srv/sovereign/vpn/"];
/// It holds a container, outlives the engine's restart, and is in its unit.
const SHIM: &str = "/containerd-shim";
/// Restarting them takes what is connected to them along.
const NEED_REBOOT: [&str; 2] = ["dbus.service", "dbus-broker.service"];
/// The first process' own.
pub(crate) const INIT: &str = "init.scope";

/// Looks; changes nothing.
pub(crate) fn outdated(machine: &dyn Machine) -> Result<Vec<Outdated>> {
    let mut found = services(machine)?;
    found.extend(kernel(machine)?);
    Ok(found)
}

/// For `verify`: a sentence about each.
pub(crate) fn complaints(machine: &dyn Machine) -> Result<Vec<String>> {
    Ok(outdated(machine)?.iter().map(Outdated::to_string).collect())
}

fn services(machine: &dyn Machine) -> Result<Vec<Outdated>> {
    let mut replaced: BTreeMap<String, BTreeMap<u32, String>> = BTreeMap::new();
    for name in machine.list(Path::new("/proc"))? {
        let Ok(pid) = name.parse() else { continue };
        if let Some((unit, file)) = look(machine, pid)? {
            replaced.entry(unit).or_default().insert(pid, file);
        }
    }
    let main = main_processes(machine, &replaced)?;
    let mut found = Vec::new();
    for (unit, processes) in replaced {
        let shim = processes.values().find(|file| file.contains(SHIM));
        found.extend(shim.map(|file| Outdated {
            unit: unit.clone(),
            file: file.clone(),
            cure: Cure::Stacks,
        }));
        let cure = if NEED_REBOOT.contains(&&*unit) { Cure::Reboot } else { Cure::Restart };
        let file = main.get(&unit).and_then(|pid| processes.get(pid));
        found.extend(file.map(|file| Outdated { unit, file: file.clone(), cure }));
    }
    Ok(found)
}

/// The unit of a process and the file that was replaced under it; a process may end while it is looked at.
fn look(machine: &dyn Machine, pid: u32) -> Result<Option<(String, String)>> {
    let text = |name: &str| {
        let bytes = machine.read(Path::new(&format!("/proc/{pid}/{name}")));
        // The first process is always there: what cannot be read of it, nobody may read.
        let bytes = if pid == 1 { bytes? } else { bytes.ok().flatten() };
        anyhow::Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    let maps = text("maps").context("looking at what runs")?;
    let Some(file) = replaced_file(&maps) else { return Ok(None) };
    Ok(unit(&text("cgroup")?).map(|unit| (unit.to_owned(), file.to_owned())))
}

/// The first file of a process' executable mappings that is no longer where it was.
fn replaced_file(maps: &str) -> Option<&str> {
    maps.lines().find_map(|line| {
        let mut fields = line.splitn(6, ' ');
        let executable = fields.nth(1)?.contains('x');
        let file = fields.nth(3)?.trim_start().strip_suffix(" (deleted)")?;
        (executable && PROGRAMS.iter().any(|top| file.starts_with(top))).then_some(file)
    })
}

/// The service that a process is of, or the first process' scope; none for one in a container, or of somebody who logged in.
fn unit(cgroup: &str) -> Option<&str> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut parts = path.split('/');
    if parts.clone().any(|part| part.starts_with("docker-") || part.starts_with("user@")) {
        return None;
    }
    parts.rfind(|part| part.ends_with(".service") || *part == INIT)
}

/// The main process of each unit that goes on until it is stopped.
fn main_processes(
    machine: &dyn Machine,
    units: &BTreeMap<String, BTreeMap<u32, String>>,
) -> Result<BTreeMap<String, u32>> {
    let mut main = BTreeMap::from([(INIT.to_owned(), 1)]);
    let services: BTreeSet<_> = units.keys().map(String::as_str).filter(|unit| *unit != INIT).collect();
    if services.is_empty() {
        return Ok(main);
    }
    let show = Cmd::new("systemctl").args(["show", "--property=Id,MainPID,Type", "--"]).args(services);
    let said = machine.run(&show).context("asking systemd for the processes of its units")?.text();
    for block in said.split("\n\n") {
        let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let lasts = value("Type") != Some("oneshot");
        if let (Some(id), Some(Ok(pid)), true) = (value("Id"), value("MainPID").map(str::parse), lasts) {
            main.insert(id.to_owned(), pid);
        }
    }
    // A run of firstboot's ends by itself.
    main.remove(paths::UNIT);
    Ok(main)
}

/// The kernel, where a newer one is installed, or the distribution says that one is.
fn kernel(machine: &dyn Machine) -> Result<Option<Outdated>> {
    let text = |path: &str| {
        let bytes = machine.read(Path::new(path))?;
        anyhow::Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
    };
    let running = text("/proc/sys/kernel/osrelease")?.unwrap_or_default();
    let boot = machine.list(Path::new("/boot"))?;
    let newest = boot.iter().filter_map(|name| name.strip_prefix("vmlinuz-")).max_by(|a, b| by_number(a, b));
    let newer = newest.filter(|newest| by_number(newest, &running) == Ordering::Greater);
    let file = match newer {
        Some(newer) => Some(format!("/boot/vmlinuz-{newer}")),
        None => text("/run/reboot-required")?
            .map(|_| text("/run/reboot-required.pkgs"))
            .transpose()?
            .map(|packages| packages.unwrap_or_default().replace('\n', ", ")),
    };
    Ok(file.map(|file| Outdated { unit: "kernel".into(), file, cure: Cure::Reboot }))
}

/// Compares as people count: what is a number in both, by its value.
fn by_number(one: &str, other: &str) -> Ordering {
    let pieces = |text: &str| {
        let mut pieces: Vec<(u64, String)> = Vec::new();
        for part in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
            let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
            pieces.push((digits.parse().unwrap_or(0), part[digits.len()..].to_owned()));
        }
        pieces
    };
    pieces(one).cmp(&pieces(other))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::Fake;

    /// A process of a unit, by its own id the unit's main one, with a mapped file that is there no more, or that is.
    pub(crate) fn runs(fake: &Fake, pid: u32, cgroup: &str, file: &str) {
        let maps = format!(
            "aaaac0000000-aaaac0100000 r--p 00000000 fe:01 1234                       /usr/sbin/x (deleted)\n\
             ffff80000000-ffff80100000 r-xp 00010000 fe:01 4321                       {file}\n"
        );
        fake.put(&format!("/proc/{pid}"), b"");
        fake.put(&format!("/proc/{pid}/maps"), maps.as_bytes());
        fake.put(&format!("/proc/{pid}/cgroup"), format!("0::{cgroup}\n").as_bytes());
    }

    fn found(fake: &Fake) -> Vec<(String, String, Cure)> {
        outdated(fake).unwrap().into_iter().map(|found| (found.unit, found.file, found.cure)).collect()
    }

    fn one(unit: &str, file: &str, cure: Cure) -> Vec<(String, String, Cure)> {
        vec![(unit.into(), file.into(), cure)]
    }

    #[test]
    fn a_program_or_library_that_was_replaced_under_a_service_is_found_with_its_cure() {
        for (cgroup, file, cure) in [
            ("/system.slice/ssh.service", "/usr/sbin/sshd", Cure::Restart),
            ("/system.slice/docker.service", "/usr/sbin/dockerd", Cure::Restart),
            (
                "/system.slice/systemd-udevd.service/udev",
                "/usr/lib/aarch64-linux-gnu/libc.so.6",
                Cure::Restart,
            ),
            ("/system.slice/sovereign-vpn.service", "/srv/sovereign/vpn/bin/tailscaled", Cure::Restart),
            ("/system.slice/dbus.service", "/usr/lib/aarch64-linux-gnu/libexpat.so.1.10.2", Cure::Reboot),
            ("/system.slice/containerd.service", "/usr/bin/containerd-shim-runc-v2", Cure::Stacks),
        ] {
            let fake = Fake::new();
            let pid = if cure == Cure::Stacks { 700 } else { 40 };
            runs(&fake, pid, cgroup, file);
            assert_eq!(found(&fake), [], "{file} is as its package has it");
            runs(&fake, pid, cgroup, &format!("{file} (deleted)"));
            let unit = cgroup.split('/').find(|part| part.ends_with(".service")).unwrap();
            assert_eq!(found(&fake), one(unit, file, cure));
        }
        let fake = Fake::new();
        runs(&fake, 1, "/init.scope", "/usr/lib/systemd/libsystemd-shared-257.so (deleted)");
        assert_eq!(found(&fake)[0].0, INIT);
    }

    #[test]
    fn what_ends_by_itself_or_is_no_program_is_none() {
        let fake = Fake::new();
        // The sessions that sshd leaves when it is restarted; its main process has another id.
        runs(&fake, 900, "/system.slice/ssh.service", "/usr/sbin/sshd (deleted)");
        runs(&fake, 41, "/system.slice/docker-0a1b.scope", "/usr/lib/libc.so.6 (deleted)");
        runs(
            &fake,
            42,
            "/user.slice/user-0.slice/user@0.service/app.slice/x.service",
            "/usr/bin/bash (deleted)",
        );
        runs(&fake, 43, "/user.slice/user-0.slice/session-3.scope", "/usr/bin/bash (deleted)");
        runs(
            &fake,
            44,
            "/system.slice/sovereign-firstboot.service",
            "/usr/local/lib/sovereign/firstboot (deleted)",
        );
        runs(&fake, 45, "/system.slice/chrony.service", "/memfd:buffer (deleted)");
        runs(&fake, 46, "/system.slice/apt-daily-upgrade.service", "/usr/bin/python3.13 (deleted)");
        assert_eq!(found(&fake), []);
    }

    #[test]
    fn a_newer_kernel_or_the_distributions_word_wants_a_reboot() {
        let fake = Fake::new();
        fake.put("/proc/sys/kernel/osrelease", b"6.1.0-9-cloud-arm64\n");
        fake.put("/boot/vmlinuz-6.1.0-9-cloud-arm64", b"");
        fake.put("/boot/vmlinuz-6.1.0-8-cloud-arm64", b"");
        assert_eq!(found(&fake), []);
        fake.put("/run/reboot-required", b"*** System restart required ***\n");
        fake.put("/run/reboot-required.pkgs", b"linux-image-6.1.0-9-cloud-arm64\nlibc6\n");
        assert_eq!(found(&fake), one("kernel", "linux-image-6.1.0-9-cloud-arm64, libc6", Cure::Reboot));
        fake.put("/boot/vmlinuz-6.1.0-10-cloud-arm64", b"");
        assert_eq!(found(&fake), one("kernel", "/boot/vmlinuz-6.1.0-10-cloud-arm64", Cure::Reboot));
    }
}
