//! QEMU's command line: a pure function of the machine and of the host it runs on.

use super::{Disk, Files, Forward, Machine, mac_address};
use crate::config::Architecture;
use host::Cmd;
use std::net::Ipv4Addr;
use std::path::Path;

const FIRMWARE_ARM: &str = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd";

/// The slot for a second network card, the card's backend, and the card itself.
pub(crate) const SLOT: &str = "second-slot";
pub(crate) const SECOND_NETWORK: &str = "second";
pub(crate) const SECOND_CARD: &str = "second-card";

/// What is added to the kernel's command line where the processor is emulated. Address-space randomisation forces kernel
/// page-table isolation on those processors, and each system call then empties the emulated TLB: together with the
/// guards against flaws an emulated processor does not have, a fifth of the boot.
const EMULATED_CMDLINE: &str = "nokaslr kpti=off mitigations=off";

/// What the host can do.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) cores: u32,
    /// Whether `/dev/kvm` can be used.
    pub(crate) kvm: bool,
    /// What emulates Arm machines.
    pub(crate) emulator: String,
}

impl Host {
    pub(crate) fn look(emulator: Option<&Path>) -> Self {
        use rustix::fs::{Access, access};
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        let emulator = emulator.filter(|path| path.exists()).map(|path| path.display().to_string());
        Self {
            cores,
            kvm: access("/dev/kvm", Access::READ_OK | Access::WRITE_OK).is_ok(),
            emulator: emulator.unwrap_or_else(|| "qemu-system-aarch64".to_owned()),
        }
    }
}

/// The command that starts a machine in the background and ends once it runs.
pub(crate) fn command(machine: &Machine, files: &Files, host: &Host) -> Cmd {
    let id = machine.server;
    let kvm = host.kvm && machine.architecture.is_this_machine();
    let mut cmd = match machine.architecture {
        Architecture::Arm => Cmd::new(&host.emulator).args(["-M", board_arm(kvm), "-bios", FIRMWARE_ARM]),
        Architecture::X86 => Cmd::new("qemu-system-x86_64").args(["-M", "q35"]),
    };
    cmd = cmd.args(["-accel", if kvm { "kvm" } else { "tcg,thread=multi" }]);
    cmd = cmd.args(["-cpu", cpu(machine.architecture, kvm)]);
    cmd = cmd.arg("-smp").arg(machine.cores.min(host.cores).max(1).to_string());
    cmd = cmd.arg("-m").arg(machine.memory_mb.to_string());
    cmd = cmd.arg("-name").arg(format!("server-{id}"));
    // cloud-init takes the machine for a Hetzner server by these.
    cmd = cmd.arg("-smbios").arg(format!("type=1,manufacturer=Hetzner,product=vServer,serial={id}"));
    if let Some(boot) = &machine.boot {
        cmd = cmd.arg("-kernel").path(&boot.kernel);
        if let Some(initrd) = &boot.initrd {
            cmd = cmd.arg("-initrd").path(initrd);
        }
        let emulated = if kvm { String::new() } else { format!(" {EMULATED_CMDLINE}") };
        let cmdline =
            if machine.rescue.is_some() { rescue_cmdline(&boot.cmdline) } else { boot.cmdline.clone() };
        cmd = cmd.arg("-append").arg(format!("{cmdline}{emulated}"));
    }
    cmd = cmd.arg("-blockdev").arg(format!(
        "driver=qcow2,node-name=root,discard=unmap,file.driver=file,file.filename={}",
        quote(&files.root(id))
    ));
    cmd = cmd.args(["-device", "virtio-blk-pci,drive=root"]);
    if machine.rescue.is_some() {
        cmd = cmd.arg("-blockdev").arg(format!(
            "driver=qcow2,node-name=rescue,discard=unmap,file.driver=file,file.filename={}",
            quote(&files.rescue(id))
        ));
        // Where no kernel is given, the firmware tries this disk first.
        let order = if machine.boot.is_some() { "" } else { ",bootindex=0" };
        cmd = cmd.arg("-device").arg(format!("virtio-blk-pci,drive=rescue{order}"));
    }
    cmd = cmd.args(["-device", "virtio-scsi-pci,id=scsi"]);
    for disk in &machine.volumes {
        let node = volume_node(disk.volume);
        cmd = cmd.arg("-blockdev").arg(format!(
            "driver={},node-name={node},discard=unmap,file.driver=file,file.filename={}",
            disk.format.name(),
            quote(&disk.path)
        ));
        cmd = cmd.arg("-device").arg(format!(
            "scsi-hd,bus=scsi.0,drive={node},id={node},vendor=HC,product=Volume,serial={}",
            disk.volume
        ));
    }
    cmd = cmd.arg("-netdev").arg(network(machine, files));
    // Without a ROM nothing is asked to boot over the network, and no package with ROMs is needed.
    cmd = cmd.arg("-device").arg(format!("virtio-net-pci,netdev=net,mac={},romfile=", mac_address(id)));
    // An empty slot, since nothing can be plugged into the root bus itself.
    cmd = cmd.arg("-device").arg(format!("pcie-root-port,id={SLOT},chassis=1"));
    cmd = cmd.args(["-object", "rng-random,id=random,filename=/dev/urandom"]);
    cmd = cmd.args(["-device", "virtio-rng-pci,rng=random"]);
    cmd = cmd.arg("-chardev").arg(format!("file,id=console,append=on,path={}", quote(&files.console(id))));
    cmd = cmd.args(["-serial", "chardev:console"]);
    cmd = cmd.arg("-qmp").arg(format!("unix:{},server=on,wait=off", quote(&files.qmp(id))));
    if let Some(memory) = &machine.memory {
        cmd = cmd.arg("-incoming").arg(format!("exec:cat {}", word(memory)));
    }
    cmd = cmd.args(["-no-user-config", "-nodefaults", "-display", "none"]);
    cmd.arg("-pidfile").path(files.pid(id)).arg("-daemonize")
}

/// KVM brings the host's interrupt controller, emulation the board's own.
fn board_arm(kvm: bool) -> &'static str {
    if kvm { "virt,gic-version=host" } else { "virt" }
}

fn cpu(architecture: Architecture, kvm: bool) -> &'static str {
    match (kvm, architecture) {
        (true, _) => "host",
        // Newer models only add work for the emulator, pointer authentication above all.
        (false, Architecture::Arm) => "cortex-a72",
        (false, Architecture::X86) => "max",
    }
}

/// The kernel's command line with the rescue disk for its root. Labels and UUIDs name nothing here: the server's own disk
/// may be made from the same image.
fn rescue_cmdline(cmdline: &str) -> String {
    let mut partition = "";
    let mut words = Vec::new();
    for word in cmdline.split_whitespace() {
        match word.strip_prefix("root=") {
            Some(root) => partition = root.strip_prefix("/dev/vda").unwrap_or_default(),
            None => words.push(word),
        }
    }
    format!("root=/dev/vdb{partition} {}", words.join(" ")).trim_end().to_owned()
}

/// The node and device name of a volume, on the command line and when it is plugged in later.
pub(crate) fn volume_node(volume: u64) -> String {
    format!("volume-{volume}")
}

/// The network is QEMU's own (slirp), laid out so that 169.254.169.254 is inside it: connections there go to
/// a relay that speaks to the daemon's metadata socket.
fn network(machine: &Machine, files: &Files) -> String {
    let mut text = "user,id=net,ipv6=off,net=169.254.0.0/16,host=169.254.1.1,dns=169.254.1.3,\
                    dhcpstart=169.254.1.15"
        .to_owned();
    if let Some(address) = machine.address {
        for forward in &machine.forwards {
            text.push_str(&format!(",hostfwd={}", forwarding(address, *forward)));
        }
    }
    let relay = format!("{} cloud relay {}", word(&files.daemon()), word(&files.metadata(machine.server)));
    text.push_str(&format!(",guestfwd=tcp:169.254.169.254:80-cmd:{relay}"));
    text
}

/// `tcp:ADDRESS:PORT-:PORT`, as QEMU's options and monitor take it.
pub(crate) fn forwarding(address: Ipv4Addr, forward: Forward) -> String {
    format!("{}-:{}", key(address, forward), forward.port)
}

/// `tcp:ADDRESS:PORT`, as the monitor takes it to undo a forwarding.
pub(crate) fn key(address: Ipv4Addr, forward: Forward) -> String {
    format!("{}:{address}:{}", forward.protocol.name(), forward.port)
}

/// A path inside a QEMU option, where a comma is doubled.
fn quote(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// A path inside QEMU's command for a guest's connection, which is split into words as by a shell.
fn word(path: &Path) -> String {
    let text = quote(path);
    if text.contains(|c: char| c.is_whitespace() || "'\"\\".contains(c)) {
        format!("'{}'", text.replace('\'', r"'\''"))
    } else {
        text
    }
}

/// What plugs a volume into a running machine: the arguments of `blockdev-add` and of `device_add`.
pub(crate) fn plug(disk: &Disk) -> (serde_json::Value, serde_json::Value) {
    let node = volume_node(disk.volume);
    (
        serde_json::json!({"driver": disk.format.name(), "node-name": node, "discard": "unmap",
            "file": {"driver": "file", "filename": disk.path}}),
        serde_json::json!({"driver": "scsi-hd", "bus": "scsi.0", "drive": node, "id": node,
            "vendor": "HC", "product": "Volume", "serial": disk.volume.to_string()}),
    )
}

/// What plugs a second network card into a running machine, at the other end of a tap device: the arguments of
/// `netdev_add` and of `device_add`.
pub(crate) fn plug_card(server: u64, tap: &str) -> (serde_json::Value, serde_json::Value) {
    let mac = mac_address(server).replacen("92:00", "92:01", 1);
    (
        serde_json::json!({"type": "tap", "id": SECOND_NETWORK, "ifname": tap, "script": "no", "downscript": "no"}),
        serde_json::json!({"driver": "virtio-net-pci", "id": SECOND_CARD, "netdev": SECOND_NETWORK, "bus": SLOT,
            "mac": mac, "romfile": ""}),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Boot, Format, Protocol, Template};

    fn lines(machine: &Machine, host: &Host) -> String {
        let cmd = command(machine, &Files::new(Path::new("/state")), host);
        let mut text = cmd.program().into_owned();
        for arg in cmd.arguments() {
            text.push(if arg.starts_with('-') { '\n' } else { ' ' });
            text.push_str(&arg);
        }
        text + "\n"
    }

    fn on(cores: u32, kvm: bool) -> Host {
        Host { cores, kvm, emulator: "qemu-system-aarch64".into() }
    }

    fn machine() -> Machine {
        Machine {
            server: 100_042,
            architecture: Architecture::Arm,
            cores: 8,
            memory_mb: 3072,
            boot: Some(Boot {
                kernel: "/state/images/1/kernel".into(),
                initrd: Some("/state/images/1/initrd".into()),
                cmdline: "root=LABEL=root console=ttyAMA0".into(),
            }),
            rescue: None,
            volumes: vec![Disk {
                volume: 100_123,
                path: "/state/volumes/100123.raw".into(),
                format: Format::Raw,
            }],
            address: Some(Ipv4Addr::new(127, 77, 3, 1)),
            forwards: vec![
                Forward { protocol: Protocol::Tcp, port: 22 },
                Forward { protocol: Protocol::Udp, port: 51820 },
            ],
            memory: None,
        }
    }

    #[test]
    fn an_emulated_arm_machine() {
        let text = lines(&machine(), &on(2, false));
        assert_eq!(text, include_str!("../../tests/golden/arm-tcg.txt"));
    }

    #[test]
    fn another_emulator_is_started_where_it_is_there() {
        let there = std::env::current_exe().unwrap();
        let started =
            |host: &Host| command(&machine(), &Files::new(Path::new("/state")), host).program().into_owned();
        assert_eq!(started(&Host::look(Some(&there))), there.display().to_string());
        for none in [None, Some(Path::new("/removed/from/the/cache"))] {
            assert_eq!(started(&Host::look(none)), "qemu-system-aarch64");
        }
    }

    #[test]
    fn an_x86_machine_that_boots_its_disk() {
        let machine = Machine {
            architecture: Architecture::X86,
            cores: 2,
            boot: None,
            volumes: Vec::new(),
            forwards: Vec::new(),
            ..machine()
        };
        let text = lines(&machine, &on(4, cfg!(target_arch = "x86_64")));
        let golden = include_str!("../../tests/golden/x86-kvm.txt");
        if cfg!(target_arch = "x86_64") {
            assert_eq!(text, golden);
        } else {
            assert!(text.contains("-accel tcg"), "{text}");
        }
    }

    #[test]
    fn a_rescue_system_boots_from_a_second_disk() {
        let rescue = Some(Template { image: "/state/images/1/disk.raw".into(), bytes: 1 << 30 });
        let text = lines(&Machine { rescue: rescue.clone(), ..machine() }, &on(2, false));
        assert_eq!(text, include_str!("../../tests/golden/arm-rescue.txt"));
        let text = lines(&Machine { rescue, boot: None, ..machine() }, &on(2, false));
        assert!(text.contains("-device virtio-blk-pci,drive=rescue,bootindex=0\n"), "{text}");
    }

    #[test]
    fn the_rescue_disk_is_the_root_whatever_the_image_says() {
        let table = [
            ("root=UUID=1-2 console=ttyS0 quiet", "root=/dev/vdb console=ttyS0 quiet"),
            ("quiet root=/dev/vda1", "root=/dev/vdb1 quiet"),
            ("quiet", "root=/dev/vdb quiet"),
            ("", "root=/dev/vdb"),
        ];
        for (cmdline, expected) in table {
            assert_eq!(rescue_cmdline(cmdline), expected);
        }
    }

    #[test]
    fn a_suspended_machine_goes_on_with_its_memory_and_its_forked_volume() {
        let forked =
            Disk { volume: 100_123, path: "/state/volumes/100123.qcow2".into(), format: Format::Qcow2 };
        let memory = Some("/state/servers/100042/memory".into());
        let text = lines(&Machine { volumes: vec![forked], memory, ..machine() }, &on(2, false));
        assert!(text.contains("-incoming exec:cat /state/servers/100042/memory\n"), "{text}");
        assert!(text.contains("-blockdev driver=qcow2,node-name=volume-100123,"), "{text}");
    }

    #[test]
    fn a_path_with_a_comma_stays_one_option() {
        assert_eq!(quote(Path::new("/a,b/c")), "/a,,b/c");
        assert_eq!(word(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }

    #[test]
    fn a_forwarding_is_named_for_the_monitor_as_for_the_command_line() {
        let forward = Forward { protocol: Protocol::Tcp, port: 443 };
        let address = Ipv4Addr::new(127, 77, 0, 9);
        assert_eq!(forwarding(address, forward), "tcp:127.77.0.9:443-:443");
        assert_eq!(key(address, forward), "tcp:127.77.0.9:443");
    }
}
