//! The one table of what is written and started.

use spec::NodeSpec;
use stacks::release::Release;

/// A file that is ours, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ManagedFile {
    /// Where.
    pub(super) path: &'static str,
    /// What it says.
    pub(super) text: String,
    /// Its mode.
    pub(super) mode: u32,
    /// What brings it into force.
    pub(super) handler: Handler,
}

/// What brings a file into force. In their order: drop-ins of units before their units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Handler {
    /// It is read whenever it is needed.
    Nothing,
    /// systemd reads its units again.
    Reload,
    /// This unit is restarted.
    Restart(&'static str),
    /// The kernel is given the audit rules.
    AuditRules,
    /// This unit is restarted, and not waited for.
    Later(&'static str),
}

pub(super) const AUDIT_RULES: &str = "/etc/audit/rules.d/50-sovereign.rules";

/// Additions to units of others.
pub(crate) const DROP_INS: [&str; 2] = [
    "/etc/systemd/system/docker.service.d/20-sovereign-audit.conf",
    "/etc/systemd/system/fail2ban.service.d/10-sovereign.conf",
];

/// What is started at boot, and the target that does.
pub(super) const STARTED: [(&str, &str); 6] = [
    ("apparmor.service", "sysinit.target"),
    ("chrony.service", "multi-user.target"),
    ("auditd.service", "multi-user.target"),
    ("apt-daily.timer", "timers.target"),
    ("apt-daily-upgrade.timer", "timers.target"),
    ("fail2ban.service", "multi-user.target"),
];

/// What no server has a use for, on whatever release. `swap.target` is among them: what is in memory may be a key, and
/// must not reach the root disk.
pub(super) const NEEDLESS: &[&str] = &[
    "swap.target",
    "ctrl-alt-del.target",
    "avahi-daemon.service",
    "avahi-daemon.socket",
    "rpcbind.service",
    "rpcbind.socket",
];

macro_rules! ours {
    ($name:literal) => {
        include_str!(concat!("../../../hardening/", $name)).to_owned()
    };
}

/// Every file, for one release and one node spec.
pub(super) fn files(release: &Release, spec: &NodeSpec) -> Vec<ManagedFile> {
    use Handler::{AuditRules, Later, Nothing, Reload, Restart};
    let file = |path, text, handler| ManagedFile { path, text, mode: 0o644, handler };
    vec![
        file("/etc/sysctl.d/90-sovereign.conf", ours!("sysctl.conf"), Restart("systemd-sysctl.service")),
        file("/etc/modprobe.d/90-sovereign.conf", ours!("modprobe.conf"), Nothing),
        file("/etc/security/limits.d/90-sovereign.conf", ours!("limits.conf"), Nothing),
        file("/etc/systemd/coredump.conf.d/90-sovereign.conf", ours!("coredump.conf"), Nothing),
        file(
            "/etc/systemd/journald.conf.d/90-sovereign.conf",
            ours!("journald.conf"),
            Restart("systemd-journald.service"),
        ),
        file("/etc/chrony/chrony.conf", ours!("chrony.conf"), Restart("chrony.service")),
        ManagedFile { mode: 0o640, ..file(AUDIT_RULES, ours!("audit.rules"), AuditRules) },
        file(DROP_INS[0], ours!("docker-audit.conf"), Reload),
        file(DROP_INS[1], ours!("fail2ban.conf"), Reload),
        file("/etc/fail2ban/jail.d/sovereign.local", jail(spec), Later("fail2ban.service")),
        file("/etc/apt/apt.conf.d/20auto-upgrades", ours!("auto-upgrades.conf"), Nothing),
        file("/etc/apt/apt.conf.d/52sovereign-upgrades", upgrades(release, spec), Nothing),
    ]
}

/// Who guesses is shut out for an hour. Keys alone get in, so only refused keys and users that do not exist count, and
/// so many of them that an operator whose agent offers every key it has is not among them.
fn jail(spec: &NodeSpec) -> String {
    // Whoever is in the private network has been let in already.
    let vpn = if spec.vpn.is_some() { " 100.64.0.0/10 fd7a:115c:a1e0::/48" } else { "" };
    let port = spec.ssh.port;
    format!(
        "# Written by firstboot.\n\
         [DEFAULT]\n\
         ignoreip = 127.0.0.1/8 ::1{vpn}\n\
         banaction = nftables\n\
         banaction_allports = nftables[type=allports]\n\
         \n\
         [sshd]\n\
         enabled = true\n\
         port = {port}\n\
         filter = sshd[mode=normal, publickey=any]\n\
         backend = systemd\n\
         # Every process of the service: newer sshds serve each connection by a program of another name.\n\
         journalmatch = _SYSTEMD_UNIT=ssh.service\n\
         maxretry = 20\n\
         findtime = 10m\n\
         bantime = 1h\n"
    )
}

/// Security upgrades by themselves; a reboot only where, and when, the operator said so.
fn upgrades(release: &Release, spec: &NodeSpec) -> String {
    let reboot = spec.reboot.map_or_else(
        || "Unattended-Upgrade::Automatic-Reboot \"false\";\n".to_owned(),
        |at| {
            format!(
                "Unattended-Upgrade::Automatic-Reboot \"true\";\n\
                 Unattended-Upgrade::Automatic-Reboot-WithUsers \"true\";\n\
                 // The server's clock is set to UTC.\n\
                 Unattended-Upgrade::Automatic-Reboot-Time \"{:02}:{:02}\";\n",
                at.hour, at.minute
            )
        },
    );
    let security = release.security;
    format!(
        "// Written by firstboot.\n\
         #clear Unattended-Upgrade::Allowed-Origins;\n\
         #clear Unattended-Upgrade::Origins-Pattern;\n\
         Unattended-Upgrade::Origins-Pattern {{ \"{security}\"; }};\n\
         Unattended-Upgrade::Remove-Unused-Kernel-Packages \"true\";\n\
         // Files that firstboot wrote are kept.\n\
         Dpkg::Options {{ \"--force-confdef\"; \"--force-confold\"; }};\n\
         {reboot}"
    )
}
