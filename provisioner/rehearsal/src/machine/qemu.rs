use super::command::{self, Host};
use super::files::{copy, make_dir_of};
use super::qmp::Qmp;
use super::{
    Boot, Disk, Failure, Files, Format, Forward, Hypervisor, Machine, Template, backup, host_packages,
    memory, ports,
};
use crate::config::Architecture;
use host::{Cmd, Host as _, Local, files};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long QEMU has to come up, firmware and disks on a busy host included.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a killed QEMU has to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(20);
/// How long a QEMU that was being started takes to write its process id.
const MOMENT: Duration = Duration::from_secs(1);
const GIGABYTE: u64 = 1 << 30;

/// Machines that are QEMU processes in sessions of their own: they outlive the daemon, which finds them again
/// by their pid files and command lines.
pub(crate) struct Qemu {
    files: Files,
    /// What emulates Arm machines; none for this machine's own.
    emulator: Option<PathBuf>,
}

impl Qemu {
    pub(crate) fn new(files: Files, emulator: Option<PathBuf>) -> Self {
        Self { files, emulator }
    }

    /// The machine's process, if it runs. The process is ours only if its command line names our monitor socket.
    fn process(&self, server: u64) -> Option<Pid> {
        let text = std::fs::read_to_string(self.files.pid(server)).ok()?;
        let pid = Pid::from_raw(text.trim().parse().ok()?)?;
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
        let socket = self.files.qmp(server);
        let socket = socket.to_string_lossy();
        let ours = if line.is_empty() {
            is_ending(&std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?)
        } else {
            String::from_utf8_lossy(&line).contains(&*socket)
        };
        ours.then_some(pid)
    }

    fn launch(&self, machine: &Machine) -> Result<(), Failure> {
        if let Some(address) = machine.address {
            ports::check(address, &machine.forwards)?;
        }
        let _ = std::fs::remove_file(self.files.qmp(machine.server));
        let cmd = command::command(machine, &self.files, &Host::look(self.emulator.as_deref()))
            .timeout(START_LIMIT);
        let log = self.files.server(machine.server).join("qemu.log");
        let line = format!("{}\n", cmd.line());
        files::write(&log, line.as_bytes(), 0o600).map_err(|e| failed(&e))?;
        Local.run(&cmd).map(drop).map_err(|e| {
            Failure::new("action_failed", format!("{e}\nthe whole command is in {}", log.display()))
        })
    }

    /// Whether the machine is found to run within a moment.
    fn shows_up(&self, server: u64) -> bool {
        let start = Instant::now();
        while start.elapsed() < MOMENT {
            if self.process(server).is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    fn monitor(&self, server: u64) -> Result<Qmp, Failure> {
        Qmp::connect(&self.files.qmp(server))
    }
}

/// Whether this is the state of a QEMU that is ending: its memory and command line are gone, its ports and disks are
/// not yet. They are once it is a zombie without another thread: the first thread may end before those that hold them.
fn is_ending(stat: &str) -> bool {
    let Some((name, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_whitespace();
    let dead = matches!(fields.next(), Some("Z" | "X"));
    let threads: u32 = fields.nth(16).and_then(|number| number.parse().ok()).unwrap_or(0);
    name.contains("(qemu-system") && (!dead || threads > 1)
}

/// Fails with the packages to install when a machine of this architecture lacks something on this machine.
fn check_host(architecture: Architecture) -> Result<(), Failure> {
    let lacks = |(name, _): &&(&str, &str)| match Path::new(name).is_absolute() {
        true => !Path::new(name).exists(),
        false => host::find_program(name).is_err(),
    };
    let lacking: Vec<_> = host_packages(architecture).iter().filter(lacks).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = lacking.iter().map(|(name, _)| *name).collect();
    let packages: Vec<_> = lacking.iter().map(|(_, package)| *package).collect();
    Err(Failure::new(
        "program_missing",
        format!(
            "starting a machine: {} is not there; run `apt-get install {}` and power the server on",
            names.join(", "),
            packages.join(" ")
        ),
    ))
}

/// Makes a disk that begins as an image, in place of the one that may be there.
fn make_disk(template: &Template, path: &Path) -> Result<(), Failure> {
    overlay(&template.image, Format::Raw, path, Some(template.bytes)).map_err(|e| failed(&e))
}

/// Makes a disk that begins as another file, which is never written to through it; as large as that, or of this size.
pub(crate) fn overlay(
    base: &Path,
    format: Format,
    path: &Path,
    bytes: Option<u64>,
) -> Result<(), host::Error> {
    make_dir_of(path)?;
    let part = path.with_extension("part");
    let cmd = Cmd::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", format.name(), "-b"]);
    Local.run(&cmd.path(base).path(&part).args(bytes.map(|bytes| bytes.to_string())))?;
    std::fs::rename(&part, path).map_err(|e| host::Error::io("making", path, e))
}

/// Makes a disk larger that no machine has open.
fn resize(path: &Path, bytes: u64) -> Result<(), Failure> {
    let cmd = Cmd::new("qemu-img").args(["resize", "-q", "-f", "qcow2"]).path(path).arg(bytes.to_string());
    Local.run(&cmd).map(drop).map_err(|e| failed(&e))
}

/// A host error as an action's error.
fn failed(error: &host::Error) -> Failure {
    Failure::new("action_failed", error.to_string())
}

impl Hypervisor for Qemu {
    fn make_root(&self, server: u64, template: &Template) -> Result<(), Failure> {
        make_disk(template, &self.files.root(server))
    }

    fn grow_root(&self, server: u64, bytes: u64) -> Result<(), Failure> {
        resize(&self.files.root(server), bytes)
    }

    fn copy_root(&self, server: u64, disk: &Path, kernel: Option<(&Boot, &Boot)>) -> Result<(), Failure> {
        let root = self.files.root(server);
        make_dir_of(disk).map_err(|e| failed(&e))?;
        if let Some((from, to)) = kernel {
            copy(&from.kernel, &to.kernel).map_err(|e| failed(&e))?;
            if let (Some(from), Some(to)) = (&from.initrd, &to.initrd) {
                copy(from, to).map_err(|e| failed(&e))?;
            }
        }
        let (moment, part) = (disk.with_extension("qcow2"), disk.with_extension("part"));
        let runs = self.runs(server);
        if runs {
            backup::copy_running(&mut self.monitor(server)?, &moment)?;
        }
        // The raw file has holes where the disk has only zeros.
        let cmd = Cmd::new("qemu-img").args(["convert", "-q", "-f", "qcow2", "-O", "raw"]);
        let cmd = cmd.path(if runs { &moment } else { &root }).path(&part);
        Local.run(&cmd).map_err(|e| failed(&e))?;
        files::remove(&moment).map_err(|e| failed(&e))?;
        std::fs::rename(&part, disk).map_err(|e| failed(&host::Error::io("making", disk, e)))
    }

    fn has_root(&self, server: u64) -> bool {
        self.files.root(server).exists()
    }

    fn suspend(&self, server: u64) -> Result<(), Failure> {
        memory::save(&mut self.monitor(server)?, &self.files.memory(server))?;
        self.cut_power(server)
    }

    fn start(&self, machine: &Machine) -> Result<(), Failure> {
        check_host(machine.architecture)?;
        let rescue = self.files.rescue(machine.server);
        match &machine.rescue {
            Some(template) => make_disk(template, &rescue)?,
            None => files::remove(&rescue).map_err(|e| failed(&e))?,
        }
        let first = self.launch(machine);
        // A QEMU that a killed daemon had begun to start shows up only now, and has the disks and ports.
        if first.is_err() && self.shows_up(machine.server) {
            self.cut_power(machine.server)?;
            self.launch(machine)?;
        } else {
            first?;
        }
        match machine.memory {
            Some(_) => memory::go_on(&mut self.monitor(machine.server)?),
            None => Ok(()),
        }
    }

    fn runs(&self, server: u64) -> bool {
        self.process(server).is_some()
    }

    fn cut_power(&self, server: u64) -> Result<(), Failure> {
        let Some(pid) = self.process(server) else { return Ok(()) };
        // A power cut loses what the guest has not flushed; what it has is in the files or the host's page cache.
        let _ = kill_process(pid, Signal::KILL);
        let start = Instant::now();
        while self.process(server) == Some(pid) {
            if start.elapsed() > KILL_LIMIT {
                let message = format!("waiting for QEMU, process {pid:?}, to be gone: it does not end");
                return Err(Failure::new("action_failed", message));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn reset(&self, server: u64) -> Result<(), Failure> {
        self.monitor(server)?.run("system_reset", &json!({})).map(drop)
    }

    fn press_power(&self, server: u64) -> Result<(), Failure> {
        self.monitor(server)?.run("system_powerdown", &json!({})).map(drop)
    }

    fn attach(&self, server: u64, disk: &Disk) -> Result<(), Failure> {
        let mut qmp = self.monitor(server)?;
        let (node, device) = command::plug(disk);
        // An attach that is repeated after a crash finds the first one's work done.
        let nodes = qmp.run("query-named-block-nodes", &json!({"flat": true}))?;
        let name = command::volume_node(disk.volume);
        let plugged = nodes.as_array().is_some_and(|n| n.iter().any(|n| n["node-name"] == name.as_str()));
        if !plugged {
            qmp.run("blockdev-add", &node)?;
        }
        match qmp.run("device_add", &device) {
            Err(failure) if failure.message.contains("Duplicate") => Ok(()),
            Err(failure) => {
                let _ = qmp.run("blockdev-del", &json!({"node-name": name}));
                Err(failure)
            }
            Ok(_) => Ok(()),
        }
    }

    fn detach(&self, server: u64, volume: u64) -> Result<(), Failure> {
        let mut qmp = self.monitor(server)?;
        let name = command::volume_node(volume);
        match qmp.run("device_del", &json!({"id": name})) {
            Ok(_) => qmp.wait_for("DEVICE_DELETED", &name)?,
            Err(failure) if failure.message.contains("not found") => {}
            Err(failure) => return Err(failure),
        }
        match qmp.run("blockdev-del", &json!({"node-name": name})) {
            Err(failure) if !failure.message.contains("Failed to find") => Err(failure),
            _ => Ok(()),
        }
    }

    fn open_port(&self, server: u64, address: Ipv4Addr, forward: Forward) -> Result<(), Failure> {
        ports::check(address, &[forward])?;
        let line = format!("hostfwd_add net {}", command::forwarding(address, forward));
        let said = self.monitor(server)?.human(&line)?;
        if said.is_empty() { Ok(()) } else { Err(ports::taken(address, forward, &said)) }
    }

    fn close_port(&self, server: u64, address: Ipv4Addr, forward: Forward) -> Result<(), Failure> {
        let line = format!("hostfwd_remove net {}", command::key(address, forward));
        self.monitor(server)?.human(&line).map(drop)
    }

    fn plug_tap(&self, server: u64, tap: &str) -> Result<(), Failure> {
        let mut qmp = self.monitor(server)?;
        let (network, card) = command::plug_card(server, tap);
        qmp.run("netdev_add", &network)?;
        if let Err(failure) = qmp.run("device_add", &card) {
            let _ = qmp.run("netdev_del", &json!({"id": command::SECOND_NETWORK}));
            return Err(failure);
        }
        Ok(())
    }

    fn unplug_tap(&self, server: u64) -> Result<(), Failure> {
        let mut qmp = self.monitor(server)?;
        match qmp.run("device_del", &json!({"id": command::SECOND_CARD})) {
            Ok(_) => qmp.wait_for("DEVICE_DELETED", command::SECOND_CARD)?,
            Err(failure) if failure.message.contains("not found") => {}
            Err(failure) => return Err(failure),
        }
        match qmp.run("netdev_del", &json!({"id": command::SECOND_NETWORK})) {
            Err(failure) if !failure.message.contains("not found") => Err(failure),
            _ => Ok(()),
        }
    }

    fn remove(&self, server: u64) -> Result<(), Failure> {
        self.cut_power(server)?;
        let dir = self.files.server(server);
        let _ = std::fs::remove_file(self.files.qmp(server));
        match std::fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(failed(&host::Error::io("removing", &dir, e)))
            }
            _ => Ok(()),
        }
    }

    fn size_volume(&self, volume: u64, gigabytes: u64, machine: Option<u64>) -> Result<(), Failure> {
        let disk = self.files.volume(volume);
        let bytes = gigabytes * GIGABYTE;
        if let Some(server) = machine {
            let name = command::volume_node(volume);
            return self
                .monitor(server)?
                .run("block_resize", &json!({"node-name": name, "size": bytes}))
                .map(drop);
        }
        if disk.format == Format::Qcow2 {
            return resize(&disk.path, bytes);
        }
        let io = |e| failed(&host::Error::io("making", &disk.path, e));
        make_dir_of(&disk.path).map_err(|e| failed(&e))?;
        let file =
            std::fs::File::options().write(true).create(true).truncate(false).open(&disk.path).map_err(io)?;
        // The file has holes: it takes up what is written to it, not what was ordered.
        if file.metadata().map_err(io)?.len() < bytes {
            file.set_len(bytes).map_err(io)?;
        }
        file.sync_all().map_err(io)
    }

    fn remove_volume(&self, volume: u64) -> Result<(), Failure> {
        files::remove(&self.files.volume(volume).path).map_err(|e| failed(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_machine_is_told_from_an_ended_one_and_from_others() {
        assert!(is_ending("42 (qemu-system-aar) R 1 42"));
        let dead =
            |threads| format!("42 (qemu-system-aar) Z 1 42 42 0 -1 4 0 0 0 0 9 9 0 0 20 0 {threads} 0 77");
        assert!(!is_ending(&dead(1)));
        assert!(is_ending(&dead(3)), "the others have the ports and disks still");
        assert!(!is_ending("42 (kworker/0:1) I 2 0"));
        assert!(!is_ending(""));
    }
}
