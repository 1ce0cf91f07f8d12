//! Section 3 and this product's own files: who owns what, and who may write it.

use super::{Facts, Found, Judge};
use crate::machine::Kind;
use std::collections::BTreeMap;

/// Every path that is looked at.
pub(super) const PATHS: &[&str] = &[
    SERVICE,
    SOCKET_UNIT,
    "/etc/docker",
    "/etc/docker/daemon.json",
    "/etc/default/docker",
    "/etc/containerd/config.toml",
    SOCKET,
    CONTAINERD_SOCKET,
    "/run/containerd",
    crate::steps::docker::DATA_ROOT,
    "/usr/bin/dockerd",
    "/usr/sbin/dockerd",
    "/usr/bin/containerd",
    "/usr/bin/containerd-shim",
    "/usr/bin/containerd-shim-runc-v1",
    "/usr/bin/containerd-shim-runc-v2",
    "/usr/bin/runc",
    "/usr/sbin/runc",
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/ssh/sshd_config",
    "/etc/ssh/ssh_host_ed25519_key",
    spec::paths::BINARY,
    spec::paths::NODE_SPEC,
    spec::paths::STATE,
    spec::paths::RECEIPT,
    SECRETS,
    "/var/log/journal",
];
/// Directories whose files are looked at too.
pub(super) const DIRECTORIES: &[&str] = &[SECRETS, CERTIFICATES, DROP_INS];

const SERVICE: &str = "/usr/lib/systemd/system/docker.service";
const SOCKET_UNIT: &str = "/usr/lib/systemd/system/docker.socket";
const SOCKET: &str = "/run/docker.sock";
const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
const SECRETS: &str = "/srv/sovereign/secrets";
const CERTIFICATES: &str = "/etc/docker/certs.d";
const DROP_INS: &str = "/etc/ssh/sshd_config.d";

pub(super) const JUDGES: &[(&str, Judge)] = &[
    ("docker-3.1", |f| owned(f, SERVICE)),
    ("docker-3.2", |f| at_most(f, SERVICE, 0o644)),
    ("docker-3.3", |f| owned(f, SOCKET_UNIT)),
    ("docker-3.4", |f| at_most(f, SOCKET_UNIT, 0o644)),
    ("docker-3.5", |f| owned(f, "/etc/docker")),
    ("docker-3.6", |f| at_most(f, "/etc/docker", 0o755)),
    ("docker-3.7", |f| below(f, CERTIFICATES, owned)),
    ("docker-3.8", |f| below(f, CERTIFICATES, |f, path| at_most(f, path, 0o444))),
    ("docker-3.15", |f| {
        let docker = group(f, "docker")?;
        owned_by(f, SOCKET, |gid| gid == 0 || Some(gid) == docker)
    }),
    ("docker-3.16", |f| at_most(f, SOCKET, 0o660)),
    ("docker-3.17", |f| owned(f, "/etc/docker/daemon.json")),
    ("docker-3.18", |f| at_most(f, "/etc/docker/daemon.json", 0o644)),
    ("docker-3.19", |f| owned(f, "/etc/default/docker")),
    ("docker-3.20", |f| at_most(f, "/etc/default/docker", 0o644)),
    ("docker-3.23", |f| owned(f, CONTAINERD_SOCKET)),
    ("docker-3.24", |f| at_most(f, CONTAINERD_SOCKET, 0o660)),
    ("host-2.4", |f| {
        let mut wrong = Vec::new();
        for (path, mode) in
            [("/etc/passwd", 0o644), ("/etc/group", 0o644), ("/etc/shadow", 0o640), ("/etc/gshadow", 0o640)]
        {
            wrong.extend(owned_by(f, path, |_| true)?);
            wrong.extend(at_most(f, path, mode)?);
        }
        Ok(wrong)
    }),
    ("host-2.5", |f| {
        let shadow = group(f, "shadow")?;
        let mut wrong = Vec::new();
        for path in ["/etc/shadow", "/etc/gshadow"] {
            wrong.extend(owned_by(f, path, |gid| gid == 0 || Some(gid) == shadow)?);
            wrong.extend(at_most(f, path, 0o640)?);
        }
        Ok(wrong)
    }),
    ("host-3.3", |f| {
        let mut wrong = owned(f, "/etc/ssh/sshd_config")?;
        wrong.extend(at_most(f, "/etc/ssh/sshd_config", 0o644)?);
        wrong.extend(owned(f, "/etc/ssh/ssh_host_ed25519_key")?);
        wrong.extend(at_most(f, "/etc/ssh/ssh_host_ed25519_key", 0o600)?);
        wrong.extend(below(f, DROP_INS, owned)?);
        wrong.extend(below(f, DROP_INS, |f, path| at_most(f, path, 0o644))?);
        Ok(wrong)
    }),
    ("host-7.1", |f| {
        let mut wrong = Vec::new();
        for (path, mode) in [
            (spec::paths::BINARY, 0o755),
            (spec::paths::NODE_SPEC, 0o644),
            (spec::paths::STATE, 0o755),
            (spec::paths::RECEIPT, 0o644),
            (SECRETS, 0o700),
        ] {
            wrong.extend(owned(f, path)?);
            wrong.extend(at_most(f, path, mode)?);
        }
        wrong.extend(below(f, SECRETS, owned)?);
        // A key that changes and one that was revoked leave directories.
        wrong.extend(below(f, SECRETS, |f, path| {
            let directory = f.stat(path)?.is_some_and(|stat| stat.kind == Kind::Directory);
            at_most(f, path, if directory { 0o700 } else { 0o400 })
        })?);
        Ok(wrong)
    }),
    ("host-7.2", |f| odd(f, |odd| !odd.directory && odd.mode & 0o002 != 0)),
    ("host-7.3", |f| odd(f, |odd| odd.directory && odd.mode & 0o002 != 0 && odd.mode & 0o1000 == 0)),
    ("host-7.4", |f| odd(f, |odd| !odd.directory && odd.mode & 0o6000 != 0 && !known(&odd.path))),
    ("host-7.5", |f| odd(f, |odd| !odd.owned)),
];

/// Programs of Debian's and Ubuntu's packages that come with set-user-id or set-group-id.
const SET_ID: &[&str] = &[
    "/usr/bin/at",
    "/usr/bin/chage",
    "/usr/bin/chfn",
    "/usr/bin/chsh",
    "/usr/bin/crontab",
    "/usr/bin/dotlockfile",
    "/usr/bin/expiry",
    "/usr/bin/fusermount3",
    "/usr/bin/gpasswd",
    "/usr/bin/mount",
    "/usr/bin/newgrp",
    "/usr/bin/passwd",
    "/usr/bin/pkexec",
    "/usr/bin/ssh-agent",
    "/usr/bin/su",
    "/usr/bin/sudo",
    "/usr/bin/umount",
    "/usr/bin/wall",
    "/usr/bin/write",
    "/usr/bin/write.ul",
    "/usr/lib/dbus-1.0/dbus-daemon-launch-helper",
    "/usr/lib/openssh/ssh-keysign",
    "/usr/lib/polkit-1/polkit-agent-helper-1",
    "/usr/lib/snapd/snap-confine",
    "/usr/sbin/pam_extrausers_chkpwd",
    "/usr/sbin/unix_chkpwd",
];

fn known(path: &str) -> bool {
    SET_ID.contains(&path)
}

/// The paths of the files in the listed directories; a registry's certificates lie one further down.
pub(super) fn listed(names: &BTreeMap<String, Result<Vec<String>, String>>) -> impl Iterator<Item = String> {
    let inside = |(dir, names): (&String, &Result<Vec<String>, String>)| {
        let names = names.as_deref().unwrap_or_default();
        let certificate = if dir == CERTIFICATES { "/ca.crt" } else { "" };
        names.iter().map(|name| format!("{dir}/{name}{certificate}")).collect::<Vec<_>>()
    };
    names.iter().flat_map(inside)
}

/// Judges every file of a listed directory.
fn below(f: &Facts, dir: &str, judge: impl Fn(&Facts, &str) -> Found) -> Found {
    let names = f.names.get(dir).cloned().unwrap_or_else(|| Err(format!("{dir} was not gathered")))?;
    let paths = listed(&BTreeMap::from([(dir.to_owned(), Ok(names))])).collect::<Vec<_>>();
    let mut wrong = Vec::new();
    for path in paths {
        wrong.extend(judge(f, &path)?);
    }
    Ok(wrong)
}

fn group(f: &Facts, name: &str) -> Result<Option<u32>, String> {
    let groups = f.needed("/etc/group")?;
    let line = groups.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.and_then(|rest| rest.split(':').nth(1)?.parse().ok()))
}

/// A file that is there belongs to root and root's group.
fn owned(f: &Facts, path: &str) -> Found {
    owned_by(f, path, |gid| gid == 0)
}

fn owned_by(f: &Facts, path: &str, group: impl Fn(u32) -> bool) -> Found {
    let wrong = f.stat(path)?.filter(|stat| stat.uid != 0 || !group(stat.gid));
    Ok(wrong.map(|stat| format!("{path} belongs to {}:{}", stat.uid, stat.gid)).into_iter().collect())
}

/// A file that is there has no permission beyond these.
fn at_most(f: &Facts, path: &str, mode: u32) -> Found {
    let wrong = f.stat(path)?.filter(|stat| stat.mode & 0o777 & !mode != 0);
    let what = |kind| if kind == Kind::Directory { "directory " } else { "" };
    Ok(wrong
        .map(|stat| format!("{}{path} has mode {:04o}", what(stat.kind), stat.mode))
        .into_iter()
        .collect())
}

fn odd(f: &Facts, is: impl Fn(&super::facts::Odd) -> bool) -> Found {
    Ok(f.odd.clone()?.into_iter().filter(is).map(|odd| format!("{} ({:04o})", odd.path, odd.mode)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::facts::Odd;
    use crate::machine::Stat;

    fn judge(id: &str, facts: &Facts) -> Found {
        JUDGES.iter().find(|(name, _)| *name == id).unwrap().1(facts)
    }

    fn file(mode: u32, uid: u32, gid: u32) -> Result<Option<Stat>, String> {
        Ok(Some(Stat { kind: Kind::File, mode, uid, gid, len: 0 }))
    }

    #[test]
    fn another_owner_and_one_bit_more_are_found() {
        for (id, path, fine, loose) in [
            ("docker-3.2", SERVICE, file(0o600, 0, 0), file(0o664, 0, 0)),
            ("docker-3.1", SERVICE, file(0o644, 0, 0), file(0o644, 0, 5)),
            ("docker-3.17", "/etc/docker/daemon.json", Ok(None), file(0o644, 1000, 0)),
            ("docker-3.18", "/etc/docker/daemon.json", file(0o644, 0, 0), file(0o646, 0, 0)),
            ("docker-3.16", SOCKET, file(0o660, 0, 0), file(0o666, 0, 0)),
        ] {
            let mut facts = Facts::default();
            facts.stats.insert(path.into(), fine);
            assert_eq!(judge(id, &facts), Ok(vec![]), "{id}");
            facts.stats.insert(path.into(), loose);
            assert_eq!(judge(id, &facts).unwrap().len(), 1, "{id}");
        }
    }

    #[test]
    fn the_socket_may_belong_to_the_group_docker_and_no_other() {
        let mut facts = Facts::default();
        facts.texts.insert("/etc/group".into(), Ok(Some("dockerish:x:7:\ndocker:x:101:\n".into())));
        for (gid, wrong) in [(101, 0), (0, 0), (7, 1)] {
            facts.stats.insert(SOCKET.into(), file(0o660, 0, gid));
            assert_eq!(judge("docker-3.15", &facts).unwrap().len(), wrong, "{gid}");
        }
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_sorted_into_its_check() {
        let odd = |mode, directory, owned, path: &str| Odd { mode, directory, owned, path: path.into() };
        let found = vec![
            odd(0o4755, false, true, "/usr/bin/sudo"),
            odd(0o4755, false, true, "/usr/local/bin/sudo"),
            odd(0o666, false, true, "/etc/anybody"),
            odd(0o1777, true, true, "/tmp"),
            odd(0o777, true, true, "/opt/anybody"),
            odd(0o644, false, false, "/etc/nobody"),
        ];
        let facts = Facts { odd: Ok(found), ..Facts::default() };
        for (id, path) in [
            ("host-7.2", "/etc/anybody (0666)"),
            ("host-7.3", "/opt/anybody (0777)"),
            ("host-7.4", "/usr/local/bin/sudo (4755)"),
            ("host-7.5", "/etc/nobody (0644)"),
        ] {
            assert_eq!(judge(id, &facts).unwrap(), [path], "{id}");
        }
    }

    #[test]
    fn a_secret_others_can_read_is_found_below_its_directory() {
        let mut facts = Facts::default();
        for path in PATHS {
            facts.stats.insert((*path).into(), Ok(None));
        }
        facts.names.insert(SECRETS.into(), Ok(vec!["luks-key".into(), "revoked".into()]));
        facts.stats.insert(format!("{SECRETS}/luks-key"), file(0o400, 0, 0));
        let directory = |mode| Ok(Some(Stat { kind: Kind::Directory, mode, uid: 0, gid: 0, len: 0 }));
        facts.stats.insert(format!("{SECRETS}/revoked"), directory(0o755));
        assert_eq!(judge("host-7.1", &facts).unwrap().len(), 1);
        facts.stats.insert(format!("{SECRETS}/revoked"), directory(0o700));
        assert_eq!(judge("host-7.1", &facts), Ok(vec![]));
        facts.stats.insert(format!("{SECRETS}/luks-key"), file(0o440, 0, 0));
        assert_eq!(judge("host-7.1", &facts).unwrap(), [format!("{SECRETS}/luks-key has mode 0440")]);
    }
}
