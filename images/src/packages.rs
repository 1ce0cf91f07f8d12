//! The package lists, each in one place.

/// The Debian release everything is made from.
pub const SUITE: &str = "trixie";

/// What a stock Debian cloud image brings along: a machine that boots, gets an address and lets one in.
/// Without libpam-systemd, as in Debian's own minimal images: every ssh session would start a user manager, two seconds
/// each time on an emulated machine.
pub(crate) const BASE: &[&str] = &[
    "cloud-init",
    "dbus",
    "iproute2",
    "kmod",
    "netbase",
    "openssh-server",
    "sudo",
    "systemd",
    "systemd-resolved",
    "systemd-sysv",
    "udev",
];

/// The packages whose programs maintainer scripts run, unpacked for this machine's own architecture. One that
/// is missing shows as "Exec format error" in the failed build, with the program's name.
pub const TOOLS: &[&str] = &[
    "apparmor",
    "auditd",
    "ca-certificates",
    "chrony",
    "cracklib-runtime",
    "dbus",
    "e2fsprogs",
    "iptables",
    "kmod",
    "libcap2-bin",
    "locales",
    "nftables",
    "openssh-server",
    "openssl",
    "python3",
    "sudo",
    "systemd",
    "systemd-resolved",
    "udev",
    "ufw",
];

/// The shell and tools of the initramfs and of the containers: one static program.
pub(crate) const BUSYBOX: &str = "busybox-static";

/// Drivers and file systems of the initramfs, with what they depend on; those built into the kernel cost nothing.
pub(crate) const BOOT_MODULES: &[&str] = &["virtio_pci", "virtio_blk", "ext4"];

/// Modules a server's work depends on, so that their lack shows in the build and not on the server.
pub(crate) const NEEDED_MODULES: &[&str] = &[
    "virtio_net",
    "virtio_scsi",
    "sd_mod",
    "dm_crypt",
    "overlay",
    "bridge",
    "veth",
    "br_netfilter",
    "nf_tables",
    "nft_compat",
    "xt_conntrack",
    "iptable_nat",
    "xt_addrtype",
];
