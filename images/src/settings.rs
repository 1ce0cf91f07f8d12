//! What makes a server of a configured root: what it starts, what it is told, and what it must not carry.

use crate::{Arch, Error, Result, files};
use host::{Cmd, Host, Local};
use std::path::Path;

/// Files of ours, with their modes.
const FILES: &[(&str, u32, &str)] = &[
    // A server's cloud is known: asking only for it saves the search, and no other source is ever believed.
    ("etc/cloud/cloud.cfg.d/90-sovereign.cfg", 0o644, "datasource_list: [Hetzner]\n"),
    ("etc/fstab", 0o644, "LABEL=root / ext4 errors=remount-ro 0 0\n"),
    ("etc/hostname", 0o644, "debian\n"),
    ("etc/hosts", 0o644, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"),
    // Where upgrades come from: without the security archive the unattended ones find nothing, silently.
    (
        "etc/apt/sources.list.d/debian.sources",
        0o644,
        "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: trixie trixie-updates\nComponents: main\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
         Types: deb\nURIs: http://deb.debian.org/debian-security\nSuites: trixie-security\nComponents: main\n\
         Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
    ),
    // Empty, not "uninitialized": the id is made at first boot either way, but "uninitialized" has systemd apply its
    // presets, which would enable again what is disabled here.
    ("etc/machine-id", 0o444, ""),
];

/// Not started at boot: Docker waits for the disk to be unlocked, nftables.service would flush what UFW and Docker set;
/// firstboot starts fail2ban and the upgrades' timers once it has configured them; unattended-upgrades.service only holds up
/// a shutdown while an upgrade runs, as the upgrade's own service does; the others are housekeeping that a machine rebuilt
/// from an image does not need.
const DISABLED: &[&str] = &[
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "containerd.service",
    "docker.service",
    "docker.socket",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fail2ban.service",
    "getty@tty1.service",
    "nftables.service",
    "systemd-pstore.service",
    "unattended-upgrades.service",
];

/// Units others pull in, without use on a server; each costs a process or a module on an emulated processor.
const MASKED: &[&str] = &[
    "dev-hugepages.mount",
    "modprobe@drm.service",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
];

/// udev rules for devices a server does not have; each of six hundred devices is matched against every rule.
const RULES_OFF: &[&str] = &[
    "60-autosuspend",
    "60-drm",
    "60-evdev",
    "60-fido-id",
    "60-infiniband",
    "60-persistent-alsa",
    "60-persistent-input",
    "60-persistent-storage-mtd",
    "60-persistent-storage-tape",
    "60-persistent-v4l",
    "60-sensor",
    "66-azure-ephemeral",
    "70-camera",
    "70-joystick",
    "70-mouse",
    "70-touchpad",
    "70-uaccess",
    "71-seat",
    "73-seat-late",
    "75-probe_mtd",
    "78-sound-card",
];

/// The AppArmor profiles that matter here. Debian ships a hundred, nearly all for desktop programs, and
/// compiling them takes an emulated machine fifteen seconds. Docker loads its own.
const PROFILES_ON: &[&str] = &["runc", "unix-chkpwd", "unprivileged_userns"];

/// What scripts left behind that differs from run to run, or would be the same on every server.
const REMOVED: &[&str] = &[
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/ld.so.cache",
    "etc/passwd-",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "etc/ssh/ssh_host_ecdsa_key",
    "etc/ssh/ssh_host_ecdsa_key.pub",
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_ed25519_key.pub",
    "etc/ssh/ssh_host_rsa_key",
    "etc/ssh/ssh_host_rsa_key.pub",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/cache/ldconfig",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/statoverride-old",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
];

/// What goes into the cache key.
pub(crate) fn inputs() -> Vec<String> {
    let files = FILES.iter().map(|(path, mode, text)| format!("{path} {mode:o} {text}"));
    let lists = [DISABLED, MASKED, RULES_OFF, PROFILES_ON, REMOVED].map(|list| list.join(" "));
    files.chain(lists).collect()
}

/// Makes a server of a configured root.
pub(crate) fn apply(root: &Path, arch: Arch, host_arch: Arch, epoch: i64) -> Result<()> {
    for (path, mode, text) in FILES {
        files::write(&root.join(path), text, *mode)?;
    }
    files::link(&root.join("etc/resolv.conf"), "../run/systemd/resolve/stub-resolv.conf")?;
    choose_units(root)?;
    for rule in RULES_OFF {
        files::link(&root.join(format!("etc/udev/rules.d/{rule}.rules")), "/dev/null")?;
    }
    choose_profiles(root)?;
    remove_traces(root)?;
    cache_libraries(root, arch, host_arch)?;
    // systemd takes older stamps for a new /usr, and would rebuild the library cache and the journal's catalogue.
    for stamp in ["etc/.updated", "var/.updated"] {
        files::write(&root.join(stamp), "", 0o644)?;
    }
    files::clamp_times(root, epoch)
}

fn choose_units(root: &Path) -> Result<()> {
    let system = root.join("etc/systemd/system");
    for entry in files::sorted(&system)? {
        let is_wants = entry.extension().is_some_and(|e| e == "wants");
        for unit in DISABLED.iter().filter(|_| is_wants) {
            files::remove(&entry.join(unit))?;
        }
    }
    for unit in MASKED {
        files::link(&system.join(unit), "/dev/null")?;
    }
    // cloud-init describes the network to networkd, the only one there; Debian leaves it disabled.
    let networkd = "/usr/lib/systemd/system/systemd-networkd";
    files::link(
        &system.join("multi-user.target.wants/systemd-networkd.service"),
        &format!("{networkd}.service"),
    )?;
    files::link(&system.join("sockets.target.wants/systemd-networkd.socket"), &format!("{networkd}.socket"))?;
    let wait = "systemd-networkd-wait-online.service";
    files::link(
        &system.join("network-online.target.wants").join(wait),
        &format!("/usr/lib/systemd/system/{wait}"),
    )
}

fn choose_profiles(root: &Path) -> Result<()> {
    let profiles = root.join("etc/apparmor.d");
    for profile in files::sorted(&profiles)? {
        let name = profile.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if profile.is_file() && !PROFILES_ON.contains(&name.as_str()) {
            files::link(&profiles.join("disable").join(&name), &format!("/etc/apparmor.d/{name}"))?;
        }
    }
    Ok(())
}

fn remove_traces(root: &Path) -> Result<()> {
    for path in REMOVED {
        files::remove(&root.join(path))?;
    }
    for dir in ["var/log", "var/cache/apt", "var/lib/apt/lists"] {
        let dir = root.join(dir);
        let mut logs = Vec::new();
        files::walk(&dir, &mut |path, metadata| {
            logs.extend((!metadata.is_dir()).then(|| path.to_owned()));
            Ok(())
        })?;
        logs.iter().try_for_each(|path| files::remove(path))?;
    }
    // Mount points, which may have been written to before anything was mounted on them.
    for (dir, mode) in [("dev", 0o755), ("proc", 0o555), ("run", 0o755), ("sys", 0o555), ("tmp", 0o1777)] {
        let dir = root.join(dir);
        files::remove(&dir)?;
        files::make_dir(&dir)?;
        std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .map_err(Error::io("setting the mode of", &dir))?;
    }
    Ok(())
}

/// The loader's cache, by the root's own static ldconfig: the one program of the whole build that is emulated.
fn cache_libraries(root: &Path, arch: Arch, host_arch: Arch) -> Result<()> {
    let ldconfig = root.join("usr/sbin/ldconfig");
    let cmd = if arch == host_arch { Cmd::new(ldconfig) } else { Cmd::new(arch.emulator()).path(&ldconfig) };
    // Without its auxiliary cache, which holds inode numbers.
    Local.run(&cmd.args(["-X", "-r"]).path(root))?;
    files::remove(&root.join("var/cache/ldconfig"))
}
