//! The host: disks, users, ssh, the kernel, services.

use super::{Facts, Found, Judge};
use crate::access::unattended;
use spec::{Slot, UnlockSpec};
use std::collections::BTreeMap;

/// Every text that is looked at.
pub(super) const TEXTS: &[&str] = &[
    "/proc/self/mountinfo",
    SWAPS,
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/environment",
    "/usr/lib/systemd/system/docker.service",
    super::docker::DAEMON,
    CORE_PATTERN,
    APPARMOR,
    PROFILES,
    UPGRADES,
    OLD_SOURCES,
    "/etc/systemd/journald.conf",
    "/proc/sys/kernel/kptr_restrict",
    "/proc/sys/kernel/dmesg_restrict",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/yama/ptrace_scope",
    "/proc/sys/fs/protected_hardlinks",
    "/proc/sys/fs/protected_symlinks",
    "/proc/sys/fs/protected_fifos",
    "/proc/sys/fs/protected_regular",
    "/proc/sys/fs/suid_dumpable",
];
/// The units that are looked at.
pub(super) const UNITS: &[&str] = &[
    "auditd.service",
    "chrony.service",
    "systemd-timesyncd.service",
    "fail2ban.service",
    "unattended-upgrades.service",
    "apt-daily-upgrade.timer",
    "ufw.service",
];

/// Folders whose every file is read.
pub(super) const FOLDERS: &[&str] = &[JOURNALD, SOURCES, MODPROBE];
/// Drop-ins of the journal's daemon.
const JOURNALD: &str = "/etc/systemd/journald.conf.d";
/// Where packages come from: this folder and, of old, one file.
const SOURCES: &str = "/etc/apt/sources.list.d";
const OLD_SOURCES: &str = "/etc/apt/sources.list";
const SWAPS: &str = "/proc/swaps";
const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";
const APPARMOR: &str = "/sys/module/apparmor/parameters/enabled";
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";
const UPGRADES: &str = "/etc/apt/apt.conf.d/20auto-upgrades";
/// What is loaded how.
const MODPROBE: &str = "/etc/modprobe.d";
/// Protocols that a socket of any user's would have loaded.
const RARE: [&str; 4] = ["dccp", "rds", "sctp", "tipc"];
/// Seconds a connection may take to log in.
const LOGIN_GRACE: u32 = 60;

pub(super) const JUDGES: &[(&str, Judge)] = &[
    ("host-1.1", |f| mounted_with(f, &["/dev/shm", "/run", "/tmp"], "nosuid")),
    ("host-1.2", |f| mounted_with(f, &["/dev/shm"], "nodev")),
    ("host-1.3", swap),
    ("host-1.4", |f| {
        let own = unattended::slot(&f.unlock.clone()?);
        let known = |slot: Slot| matches!(slot, Slot::Unlock | Slot::Recovery) || Some(slot) == own;
        let unknown = f.keyslots.clone()?.into_iter().map(Slot::from_number).filter(|slot| !known(*slot));
        Ok(unknown.map(|slot| format!("{slot} is in use")).collect())
    }),
    ("host-1.5", |f| {
        let pattern = f.needed(CORE_PATTERN)?;
        let nowhere = ["|/bin/false", "|/usr/bin/false", "|/bin/true", "|/usr/bin/true", "/dev/null"];
        let pattern = pattern.trim();
        Ok(if nowhere.contains(&pattern) { vec![] } else { vec![format!("they go to {pattern:?}")] })
    }),
    ("host-1.6", |f| {
        let keyfile = f.unlock.clone()? == UnlockSpec::Keyfile;
        let found = format!("with [unlock] mode = \"keyfile\" it lies in {}", unattended::KEYFILE);
        Ok(if keyfile { vec![found] } else { vec![] })
    }),
    ("host-2.1", |f| {
        Ok(shadow(f)?.into_iter().filter(|(_, hash)| hash.is_empty()).map(|(user, _)| user).collect())
    }),
    ("host-2.2", |f| {
        let open = |hash: &str| !hash.is_empty() && !hash.starts_with(['!', '*']);
        Ok(shadow(f)?
            .into_iter()
            .filter(|(_, hash)| open(hash))
            .map(|(user, _)| format!("{user} can"))
            .collect())
    }),
    ("host-2.3", |f| {
        let users = f.needed("/etc/passwd")?;
        let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let others = fields.filter(|fields| fields.get(2) == Some(&"0") && fields[0] != "root");
        Ok(others.map(|fields| format!("{} has it too", fields[0])).collect())
    }),
    ("host-3.1", |f| {
        sshd(f, &["passwordauthentication no", "kbdinteractiveauthentication no", "permitemptypasswords no"])
    }),
    ("host-3.2", |f| sshd(f, &["allowtcpforwarding no", "x11forwarding no", "allowagentforwarding no"])),
    ("host-3.4", |f| {
        let settings = f.sshd.clone()?;
        let grace =
            settings.iter().find_map(|line| line.strip_prefix("logingracetime ")?.parse::<u32>().ok());
        let ends = grace.is_some_and(|seconds| (1..=LOGIN_GRACE).contains(&seconds));
        Ok(if ends { vec![] } else { vec![format!("logingracetime is {}", grace.unwrap_or(0))] })
    }),
    ("host-4.1", |f| kernel(f, &[("kernel/kptr_restrict", &[1, 2]), ("kernel/dmesg_restrict", &[1])])),
    ("host-4.2", |f| kernel(f, &[("kernel/randomize_va_space", &[2])])),
    ("host-4.3", |f| {
        kernel(
            f,
            &[
                ("fs/protected_hardlinks", &[1]),
                ("fs/protected_symlinks", &[1]),
                ("fs/protected_fifos", &[1, 2]),
                ("fs/protected_regular", &[1, 2]),
            ],
        )
    }),
    ("host-4.4", |f| kernel(f, &[("kernel/yama/ptrace_scope", &[1, 2, 3])])),
    ("host-4.5", |f| kernel(f, &[("fs/suid_dumpable", &[0])])),
    ("host-4.8", |f| {
        let on = f.needed(APPARMOR)?.trim() == "Y";
        let profiles = f.needed(PROFILES)?;
        let enforced = profiles.lines().filter(|line| line.ends_with("(enforce)")).count();
        let docker = profiles.lines().any(|line| line == "docker-default (enforce)");
        let mut wrong = Vec::new();
        if !on || enforced == 0 {
            wrong.push("it enforces nothing".to_owned());
        } else if !docker {
            wrong.push("docker-default is not enforced".to_owned());
        }
        Ok(wrong)
    }),
    ("host-4.9", |f| {
        let lines = settings(f, &[], MODPROBE)?;
        let refused = |module: &&str| {
            ["false", "true"].iter().any(|with| lines.contains(&format!("install {module} /bin/{with}")))
        };
        let open = RARE.iter().filter(|module| !refused(module));
        Ok(open.map(|module| format!("{module} can be, says {MODPROBE}")).collect())
    }),
    ("host-5.1", |f| {
        let mut wrong = runs(f, &["auditd.service"])?;
        let rules = f.audit_rules.clone()?;
        if !rules.lines().any(|line| line.starts_with('-')) {
            wrong.push("it has no rules".into());
        }
        Ok(wrong)
    }),
    ("host-5.2", |f| {
        let settings = settings(f, &["/etc/systemd/journald.conf"], JOURNALD)?;
        let mut wrong = Vec::new();
        if f.stat("/var/log/journal")?.is_none() && !settings.iter().any(|line| line == "Storage=persistent")
        {
            wrong.push("it is kept in memory".to_owned());
        }
        if !settings.iter().any(|line| line.starts_with("SystemMaxUse=")) {
            wrong.push("nothing sets SystemMaxUse".to_owned());
        }
        Ok(wrong)
    }),
    ("host-5.3", |f| {
        let wrong = runs(f, &["chrony.service"])?;
        Ok(if f.unit("systemd-timesyncd.service")?.active { vec![] } else { wrong })
    }),
    ("host-5.4", |f| {
        let mut wrong = Vec::new();
        let asked = f.text(UPGRADES)?.unwrap_or_default();
        if !asked.lines().any(|line| line.starts_with("APT::Periodic::Unattended-Upgrade \"1\"")) {
            wrong.push(format!("{UPGRADES} does not ask for it"));
        }
        if !f.unit("apt-daily-upgrade.timer")?.active {
            wrong.push("apt-daily-upgrade.timer does not run".into());
        }
        // A suite, `RELEASE-security` with Debian and Ubuntu alike.
        let sources = settings(f, &[OLD_SOURCES], SOURCES)?;
        let mut words =
            sources.iter().filter(|line| !line.starts_with('#')).flat_map(|line| line.split_whitespace());
        if !words.any(|word| word.ends_with("-security")) {
            wrong.push(format!("neither {OLD_SOURCES} nor {SOURCES} names a security archive"));
        }
        Ok(wrong)
    }),
    ("host-5.5", |f| runs(f, &["fail2ban.service"])),
    ("host-5.6", |f| Ok(f.failed_units.clone()?.into_iter().map(|unit| format!("{unit} has")).collect())),
];

/// Users and the second field of their shadow entries.
fn shadow(f: &Facts) -> Result<Vec<(String, String)>, String> {
    let text = f.needed("/etc/shadow")?;
    let entry = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    };
    Ok(text.lines().filter_map(entry).collect())
}

/// Every one of these that is a mount of its own has the option.
fn mounted_with(f: &Facts, paths: &[&str], option: &str) -> Found {
    let mounts = f.needed("/proc/self/mountinfo")?;
    let mut wrong = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (Some(path), Some(options)) = (fields.get(4), fields.get(5)) else { continue };
        if paths.contains(path) && !options.split(',').any(|o| o == option) {
            wrong.push(format!("{path} is mounted without {option}"));
        }
    }
    Ok(wrong)
}

/// The device-mapper devices that serve as swap.
pub(super) fn swap_devices(texts: &BTreeMap<String, Result<Option<String>, String>>) -> Vec<String> {
    let text = texts.get(SWAPS).cloned().and_then(Result::ok).flatten().unwrap_or_default();
    let named = text.lines().skip(1).filter_map(|line| line.split_whitespace().next()?.strip_prefix("/dev/"));
    named.filter(|name| name.starts_with("dm-")).map(str::to_owned).collect()
}

fn swap(f: &Facts) -> Found {
    let text = f.needed(SWAPS)?;
    let mut wrong = Vec::new();
    for name in text.lines().skip(1).filter_map(|line| line.split_whitespace().next()) {
        let below_the_volume = name.strip_prefix(spec::paths::DATA).is_some_and(|rest| rest.starts_with('/'));
        let in_memory = name.starts_with("/dev/zram");
        let encrypted = match name.strip_prefix("/dev/").filter(|name| name.starts_with("dm-")) {
            Some(device) => f
                .text(&format!("/sys/class/block/{device}/dm/uuid"))?
                .is_some_and(|uuid| uuid.starts_with("CRYPT-")),
            None => false,
        };
        if !(below_the_volume || in_memory || encrypted) {
            wrong.push(format!("{name} is in the clear"));
        }
    }
    Ok(wrong)
}

fn sshd(f: &Facts, wanted: &[&str]) -> Found {
    let settings = f.sshd.clone()?;
    let lacking = wanted.iter().filter(|line| !settings.contains(**line));
    Ok(lacking.map(|line| format!("sshd is not configured with {line:?}")).collect())
}

/// Settings of the kernel's and the values that will do.
pub(super) fn kernel(f: &Facts, wanted: &[(&str, &[i64])]) -> Found {
    let mut wrong = Vec::new();
    for (name, values) in wanted {
        let text = f.needed(&format!("/proc/sys/{name}"))?;
        let found = text.trim();
        if !found.parse().is_ok_and(|n: i64| values.contains(&n)) {
            wrong.push(format!("{} is {found}", name.replace('/', ".")));
        }
    }
    Ok(wrong)
}

/// What of these units does not run.
fn runs(f: &Facts, units: &[&str]) -> Found {
    let mut wrong = Vec::new();
    for name in units {
        let unit = f.unit(name)?;
        if !unit.active {
            let how = if unit.there { "does not run" } else { "is not installed" };
            wrong.push(format!("{name} {how}"));
        }
    }
    Ok(wrong)
}

/// The lines of these files and of every file in a folder.
fn settings(f: &Facts, files: &[&str], folder: &str) -> Result<Vec<String>, String> {
    let beside = f.names.get(folder).cloned().unwrap_or_else(|| Err(format!("{folder} was not gathered")))?;
    let beside = beside.into_iter().map(|name| format!("{folder}/{name}"));
    let mut lines = Vec::new();
    for path in files.iter().map(|path| (*path).to_owned()).chain(beside) {
        lines.extend(f.text(&path)?.unwrap_or_default().lines().map(|line| line.trim().to_owned()));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::facts::Unit;

    fn judge(id: &str, facts: &Facts) -> Found {
        JUDGES.iter().find(|(name, _)| *name == id).unwrap().1(facts)
    }

    fn with(path: &str, text: &str) -> Facts {
        let mut facts = Facts::default();
        facts.texts.insert(path.into(), Ok(Some(text.into())));
        facts
    }

    fn with_in(folder: &str, name: &str, text: &str) -> Facts {
        let mut facts = with(&format!("{folder}/{name}"), text);
        facts.names.insert(folder.into(), Ok(vec![name.into()]));
        facts
    }

    #[test]
    fn users_with_empty_and_with_any_password_and_a_second_root() {
        let facts = with("/etc/shadow", "root:!:1::\nann::1::\nbob:$y$j9T$x:1::\ndaemon:*:1::\n");
        assert_eq!(judge("host-2.1", &facts).unwrap(), ["ann"]);
        assert_eq!(judge("host-2.2", &facts).unwrap(), ["bob can"]);
        let facts = with(
            "/etc/passwd",
            "root:x:0:0::/root:/bin/bash\ntoor:x:0:0::/:/bin/sh\nten:x:10:0::/:/bin/sh\n",
        );
        assert_eq!(judge("host-2.3", &facts).unwrap(), ["toor has it too"]);
    }

    #[test]
    fn security_upgrades_need_an_archive_to_come_from() {
        let judged = |old: &str, sources: &str| {
            let mut facts = with_in(SOURCES, "some.sources", sources);
            let asked = "APT::Periodic::Unattended-Upgrade \"1\";\n";
            for (path, text) in [(OLD_SOURCES, old), (UPGRADES, asked)] {
                facts.texts.insert(path.into(), Ok(Some(text.into())));
            }
            let timer = Unit { there: true, active: true, enabled: true };
            facts.units = Ok([("apt-daily-upgrade.timer".to_owned(), timer)].into());
            judge("host-5.4", &facts).unwrap()
        };
        assert!(judged("", "Types: deb\nSuites: trixie trixie-security\n").is_empty());
        assert!(judged("deb http://archive.example/ubuntu noble-security main\n", "").is_empty());
        for without in
            ["", "Suites: trixie trixie-updates\n", "# deb http://archive.example trixie-security main\n"]
        {
            assert!(judged("", without)[0].contains("names a security archive"), "{without}");
        }
    }

    #[test]
    fn each_rare_protocol_is_refused() {
        let facts = with_in(MODPROBE, "90.conf", include_str!("../../hardening/modprobe.conf"));
        assert!(judge("host-4.9", &facts).unwrap().is_empty());
        let some = "install dccp /bin/true\ninstall rds /bin/false\n#install tipc";
        let facts = with_in(MODPROBE, "90.conf", some);
        let open = judge("host-4.9", &facts).unwrap();
        assert!(open.len() == 2 && open[0].starts_with("sctp") && open[1].starts_with("tipc"), "{open:?}");
    }

    #[test]
    fn swap_is_accepted_encrypted_in_memory_or_on_the_volume() {
        let head = "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n";
        for (name, uuid, fine) in [
            ("", "", true),
            ("/dev/zram0", "", true),
            ("/srv/sovereign/swap", "", true),
            ("/dev/dm-1", "CRYPT-PLAIN-swap", true),
            ("/dev/dm-1", "LVM-x", false),
            ("/dev/vda2", "", false),
            ("/swapfile", "", false),
            ("/srv/sovereignty", "", false),
        ] {
            let mut facts = with(SWAPS, &format!("{head}{name} partition 1 0 -2\n"));
            if name.is_empty() {
                facts = with(SWAPS, head);
            }
            facts.texts.insert("/sys/class/block/dm-1/dm/uuid".into(), Ok(Some(uuid.into())));
            assert_eq!(judge("host-1.3", &facts).unwrap().is_empty(), fine, "{name}");
        }
    }

    #[test]
    fn a_keyslot_counts_by_what_it_is_for() {
        let tang = || UnlockSpec::Tang { threshold: 1, servers: vec![] };
        for (slots, unlock, wrong) in [
            (&[0, 2][..], UnlockSpec::Operator, 0),
            (&[0, 1, 2], UnlockSpec::Operator, 1),
            (&[0, 2, 3, 7], UnlockSpec::Operator, 2),
            (&[0, 2, 4], tang(), 0),
            (&[0, 2, 3, 4], tang(), 1),
            (&[0, 2, 5], tang(), 1),
            (&[0, 2, 5], UnlockSpec::Keyfile, 0),
            (&[0, 2, 4], UnlockSpec::Keyfile, 1),
        ] {
            let facts = Facts { keyslots: Ok(slots.to_vec()), unlock: Ok(unlock), ..Facts::default() };
            assert_eq!(judge("host-1.4", &facts).unwrap().len(), wrong, "{slots:?}");
        }
    }

    #[test]
    fn a_key_in_the_clear_is_a_finding() {
        for (unlock, wrong) in [(UnlockSpec::Operator, 0), (UnlockSpec::Keyfile, 1)] {
            let facts = Facts { unlock: Ok(unlock), ..Facts::default() };
            assert_eq!(judge("host-1.6", &facts).unwrap().len(), wrong);
        }
    }

    #[test]
    fn a_mount_without_the_option_is_found() {
        let line = |path: &str, options: &str| format!("25 1 0:22 / {path} {options} - tmpfs tmpfs rw\n");
        let facts =
            with("/proc/self/mountinfo", &(line("/run", "rw,nosuid") + &line("/dev/shm", "rw,nodev")));
        assert_eq!(judge("host-1.1", &facts).unwrap(), ["/dev/shm is mounted without nosuid"]);
        assert_eq!(judge("host-1.2", &facts).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn kernel_settings_of_other_values_are_named() {
        let facts = with("/proc/sys/kernel/randomize_va_space", "2\n");
        assert_eq!(judge("host-4.2", &facts), Ok(vec![]));
        let facts = with("/proc/sys/kernel/randomize_va_space", "1\n");
        assert_eq!(judge("host-4.2", &facts).unwrap(), ["kernel.randomize_va_space is 1"]);
        assert!(judge("host-4.2", &Facts::default()).is_err(), "not having looked is no pass");
    }

    #[test]
    fn apparmor_must_enforce_and_docker_s_profile_among_others() {
        for (enabled, profiles, fine) in [
            ("Y\n", "man (enforce)\ndocker-default (enforce)\n", true),
            ("Y\n", "man (enforce)\ndocker-default (complain)\n", false),
            ("Y\n", "", false),
            ("N\n", "docker-default (enforce)\n", false),
        ] {
            let mut facts = with(APPARMOR, enabled);
            facts.texts.insert(PROFILES.into(), Ok(Some(profiles.into())));
            assert_eq!(judge("host-4.8", &facts).unwrap().is_empty(), fine, "{enabled} {profiles}");
        }
    }

    #[test]
    fn one_time_service_will_do_and_none_will_not() {
        let unit = |active| Unit { there: true, active, enabled: true };
        for (chrony, timesyncd, fine) in [(true, false, true), (false, true, true), (false, false, false)] {
            let units = [("chrony.service", unit(chrony)), ("systemd-timesyncd.service", unit(timesyncd))];
            let units = units.into_iter().map(|(name, unit)| (name.to_owned(), unit)).collect();
            let facts = Facts { units: Ok(units), ..Facts::default() };
            assert_eq!(judge("host-5.3", &facts).unwrap().is_empty(), fine);
        }
    }

    #[test]
    fn sshd_must_say_each_setting() {
        let all =
            ["allowtcpforwarding no", "x11forwarding no", "allowagentforwarding no", "logingracetime 30"];
        let facts = |lines: &[&str]| Facts {
            sshd: Ok(lines.iter().map(|l| (*l).to_owned()).collect()),
            ..Facts::default()
        };
        assert_eq!(judge("host-3.2", &facts(&all)), Ok(vec![]));
        assert_eq!(judge("host-3.2", &facts(&all[1..])).unwrap().len(), 1);
        assert_eq!(judge("host-3.4", &facts(&all)), Ok(vec![]));
        assert_eq!(judge("host-3.4", &facts(&["logingracetime 0"])).unwrap().len(), 1);
    }
}
