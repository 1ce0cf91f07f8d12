//! Sections 1, 2 and 4: the host Docker runs on, the daemon, images.

use super::{Facts, Found, Judge};
use crate::steps::docker::config::Version;
use crate::steps::docker::{DATA_ROOT, engine};
use serde_json::{Value, json};

pub(super) const DAEMON: &str = "/etc/docker/daemon.json";
const UNIT: &str = "/usr/lib/systemd/system/docker.service";

pub(super) const JUDGES: &[(&str, Judge)] = &[
    ("docker-1.1.1", |f| {
        let mounts = f.needed("/proc/self/mountinfo")?;
        let is_mount = |path| mounts.lines().filter_map(|line| line.split(' ').nth(4)).any(|at| at == path);
        let where_else =
            if is_mount(spec::paths::DATA) { "the volume, with all other data" } else { "the root disk" };
        Ok(if is_mount(DATA_ROOT) { vec![] } else { vec![format!("{DATA_ROOT} lies on {where_else}")] })
    }),
    ("docker-1.1.2", |f| {
        let groups = f.needed("/etc/group")?;
        let docker = groups.lines().filter_map(|line| line.strip_prefix("docker:"));
        let members = docker.filter_map(|rest| rest.rsplit(':').next()).flat_map(|list| list.split(','));
        Ok(members.filter(|name| !name.is_empty()).map(|name| format!("{name} is")).collect())
    }),
    ("docker-1.1.3", |f| watched(f, "/usr/bin/dockerd", "/usr/sbin/dockerd")),
    ("docker-1.1.4", |f| watched(f, "/run/containerd", "/run/containerd")),
    ("docker-1.1.5", |f| watched(f, DATA_ROOT, DATA_ROOT)),
    ("docker-1.1.6", |f| watched(f, "/etc/docker", "/etc/docker")),
    ("docker-1.1.7", |f| watched(f, UNIT, UNIT)),
    ("docker-1.1.8", |f| watched(f, "/run/containerd/containerd.sock", "/run/containerd/containerd.sock")),
    ("docker-1.1.9", |f| {
        let unit = "/usr/lib/systemd/system/docker.socket";
        watched(f, unit, unit)
    }),
    ("docker-1.1.10", |f| watched(f, "/etc/default/docker", "/etc/default/docker")),
    ("docker-1.1.11", |f| watched(f, DAEMON, DAEMON)),
    ("docker-1.1.12", |f| watched(f, "/etc/containerd/config.toml", "/etc/containerd/config.toml")),
    ("docker-1.1.14", |f| watched(f, "/usr/bin/containerd", "/usr/bin/containerd")),
    ("docker-1.1.15", |f| watched(f, "/usr/bin/containerd-shim", "/usr/bin/containerd-shim")),
    ("docker-1.1.16", |f| watched(f, "/usr/bin/containerd-shim-runc-v1", "/usr/bin/containerd-shim-runc-v1")),
    ("docker-1.1.17", |f| watched(f, "/usr/bin/containerd-shim-runc-v2", "/usr/bin/containerd-shim-runc-v2")),
    ("docker-1.1.18", |f| watched(f, "/usr/bin/runc", "/usr/sbin/runc")),
    ("docker-2.1", |f| {
        let rootless = security_options(f)?.iter().any(|option| option == "name=rootless");
        Ok(if rootless { vec![] } else { vec!["it runs as root".into()] })
    }),
    ("docker-2.2", |f| set(f, "icc", &json!(false))),
    ("docker-2.3", |f| unless(f, "log-level", &json!("info"))),
    ("docker-2.4", |f| unless(f, "iptables", &json!(true))),
    ("docker-2.5", |f| {
        let registries = f.engine.clone()?["RegistryConfig"]["InsecureRegistryCIDRs"].clone();
        // The daemon itself counts loopback among them.
        let loopback = |range: &str| range.starts_with("127.") || range.starts_with("::1");
        let open = texts(&registries).into_iter().filter(|range| !loopback(range));
        let mut wrong: Vec<String> = open.map(|range| format!("{range} is spoken to in the clear")).collect();
        wrong.extend(unless(f, "insecure-registries", &json!([]))?);
        Ok(wrong)
    }),
    ("docker-2.6", |f| {
        let driver = f.engine.clone()?["Driver"].clone();
        Ok(if driver == "aufs" { vec!["it is".into()] } else { vec![] })
    }),
    ("docker-2.7", |f| {
        let open =
            listens(f)?.into_iter().filter(|host| !host.starts_with("unix:") && !host.starts_with("fd:"));
        let verified = daemon(f)?["tlsverify"] == true;
        Ok(open.filter(|_| !verified).map(|host| format!("it listens on {host}")).collect())
    }),
    ("docker-2.8", |f| {
        let limits = daemon(f)?["default-ulimits"]["nofile"].is_object();
        Ok(if limits { vec![] } else { vec!["daemon.json sets no default-ulimits for nofile".into()] })
    }),
    ("docker-2.9", |f| {
        let mapped = security_options(f)?.iter().any(|option| option == "name=userns");
        Ok(if mapped { vec![] } else { vec!["daemon.json sets no userns-remap".into()] })
    }),
    ("docker-2.10", |f| unless(f, "cgroup-parent", &json!(""))),
    ("docker-2.11", |f| {
        let options = texts(&daemon(f)?["storage-opts"]);
        Ok(options.into_iter().filter(|option| option.starts_with("dm.basesize")).collect())
    }),
    ("docker-2.12", |f| {
        let plugins = texts(&f.engine.clone()?["Plugins"]["Authorization"]);
        Ok(if plugins.is_empty() { vec!["none does".into()] } else { vec![] })
    }),
    ("docker-2.13", |f| {
        let driver = f.engine.clone()?["LoggingDriver"].clone();
        let away =
            ["syslog", "fluentd", "gelf", "splunk", "awslogs", "gcplogs"].iter().any(|name| driver == *name);
        Ok(if away { vec![] } else { vec![format!("the daemon logs to {driver}")] })
    }),
    ("docker-2.14", |f| set(f, "no-new-privileges", &json!(true))),
    ("docker-2.15", |f| {
        let on = f.engine.clone()?["LiveRestoreEnabled"] == true;
        Ok(if on { vec![] } else { vec!["the running daemon has it off".into()] })
    }),
    ("docker-2.16", |f| set(f, "userland-proxy", &json!(false))),
    ("docker-2.17", |f| {
        let options = security_options(f)?;
        let seccomp = options.iter().find(|option| option.starts_with("name=seccomp"));
        Ok(match seccomp {
            None => vec!["it is off".into()],
            Some(option) if option.contains("unconfined") => vec![format!("the daemon says {option}")],
            Some(_) => vec![],
        })
    }),
    ("docker-2.18", |f| {
        let engine = f.engine.clone()?;
        let version = Version::parse(engine["ServerVersion"].as_str().unwrap_or_default());
        // Up to 26 an engine's rules for IPv6 are among them, and nothing else that is used here.
        let needless = engine["ExperimentalBuild"] == true && !version.is_some_and(Version::is_experimental);
        Ok(if needless { vec!["the running daemon has them on".into()] } else { vec![] })
    }),
    ("docker-4.1", |f| {
        f.each(|container| {
            let user = container["Config"]["User"].as_str().unwrap_or_default();
            let root = ["", "0", "root"].contains(&user.split(':').next().unwrap_or_default());
            root.then(|| "runs as root".into())
        })
    }),
    ("docker-4.2", |f| {
        let ours = f.images.clone()?;
        f.each(|container| {
            let image = container["Config"]["Image"].as_str().unwrap_or_default();
            (!ours.contains(image)).then(|| format!("runs {image}, which no stack names"))
        })
    }),
    ("docker-4.5", |f| {
        let environment = f.text("/etc/environment")?.unwrap_or_default();
        let on = environment.lines().any(|line| line.trim() == "DOCKER_CONTENT_TRUST=1");
        Ok(if on { vec![] } else { vec!["DOCKER_CONTENT_TRUST is not set".into()] })
    }),
    ("docker-4.6", |f| {
        f.each(|container| {
            let test = texts(&container["Config"]["Healthcheck"]["Test"]);
            let none = test.is_empty() || test == ["NONE"];
            none.then(|| format!("({}) does not", engine::name(container)))
        })
    }),
];

/// The texts of a list.
pub(super) fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn daemon(f: &Facts) -> Result<Value, String> {
    let text = f.needed(DAEMON)?;
    serde_json::from_str(&text).map_err(|error| format!("{DAEMON} is no JSON: {error}"))
}

/// A setting that daemon.json must make, since the daemon would else do otherwise.
fn set(f: &Facts, key: &str, wanted: &Value) -> Found {
    let found = daemon(f)?[key].clone();
    Ok(if found == *wanted { vec![] } else { vec![format!("daemon.json says {key} {found}")] })
}

/// A setting that is right where daemon.json leaves it alone.
fn unless(f: &Facts, key: &str, wanted: &Value) -> Found {
    let found = daemon(f)?[key].clone();
    Ok(if found.is_null() || found == *wanted {
        vec![]
    } else {
        vec![format!("daemon.json says {key} {found}")]
    })
}

fn security_options(f: &Facts) -> Result<Vec<String>, String> {
    Ok(texts(&f.engine.clone()?["SecurityOptions"]))
}

/// Where the daemon listens, by its configuration and its unit's command line.
fn listens(f: &Facts) -> Result<Vec<String>, String> {
    let mut hosts = texts(&daemon(f)?["hosts"]);
    let unit = f.text(UNIT)?.unwrap_or_default();
    let mut words =
        unit.lines().filter(|line| line.starts_with("ExecStart=")).flat_map(str::split_whitespace);
    while let Some(word) = words.next() {
        match word {
            "-H" | "--host" => hosts.extend(words.next().map(str::to_owned)),
            _ => hosts.extend(word.strip_prefix("--host=").map(str::to_owned)),
        }
    }
    Ok(hosts)
}

/// Whether the kernel's audit rules speak of a path, or of a directory above it; Debian and Docker's own packages do not
/// keep every program at the same place. What is not there needs no watching.
fn watched(f: &Facts, path: &str, other: &str) -> Found {
    let rules = f.audit_rules.clone()?;
    let there = f.stat(path)?.is_some();
    let path = if there { path } else { other };
    if f.stat(path)?.is_none() {
        return Ok(vec![]);
    }
    let covered = rules.split_whitespace().map(|word| {
        let word = word.strip_prefix("dir=").or(word.strip_prefix("path=")).unwrap_or(word);
        word.trim_end_matches('/')
    });
    let above = |watched: &str| {
        path == watched || path.strip_prefix(watched).is_some_and(|rest| rest.starts_with('/'))
    };
    let mut covered = covered.filter(|word| word.starts_with('/'));
    Ok(if covered.any(above) { vec![] } else { vec![format!("no rule speaks of {path}")] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::judges;
    use crate::machine::{Kind, Stat};
    use crate::steps::docker::config;

    pub(super) fn facts(daemon: &Value, info: &Value, rules: &str) -> Facts {
        let mut facts = Facts { engine: Ok(info.clone()), audit_rules: Ok(rules.into()), ..Facts::default() };
        facts.texts.insert(DAEMON.into(), Ok(Some(daemon.to_string())));
        facts.texts.insert(UNIT.into(), Ok(Some("ExecStart=/usr/sbin/dockerd -H fd:// $OPTS\n".into())));
        facts
    }

    fn judge(id: &str, facts: &Facts) -> Found {
        judges().find(|(name, _)| *name == id).unwrap().1(facts)
    }

    #[test]
    fn the_daemons_own_settings_pass_and_each_one_turned_round_fails() {
        let version = config::Version::parse("26.1.5").unwrap();
        let ours: Value = serde_json::from_str(&config::daemon(version)).unwrap();
        for (key, id, other) in [
            ("icc", "docker-2.2", json!(true)),
            ("log-level", "docker-2.3", json!("debug")),
            ("iptables", "docker-2.4", json!(false)),
            ("cgroup-parent", "docker-2.10", json!("/other")),
            ("storage-opts", "docker-2.11", json!(["dm.basesize=100G"])),
            ("no-new-privileges", "docker-2.14", json!(false)),
            ("userland-proxy", "docker-2.16", json!(null)),
            ("hosts", "docker-2.7", json!(["tcp://0.0.0.0:2375"])),
        ] {
            assert_eq!(judge(id, &facts(&ours, &json!({}), "")), Ok(vec![]), "{id}");
            let mut turned = ours.clone();
            turned[key] = other;
            assert_eq!(judge(id, &facts(&turned, &json!({}), "")).unwrap().len(), 1, "{id}");
        }
    }

    #[test]
    fn what_the_running_daemon_says_counts() {
        let well = json!({
            "Driver": "overlay2", "LiveRestoreEnabled": true, "ExperimentalBuild": false,
            "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin"],
            "RegistryConfig": { "InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128"] },
        });
        for (id, pointer, other) in [
            ("docker-2.5", "/RegistryConfig/InsecureRegistryCIDRs", json!(["10.0.0.0/8"])),
            ("docker-2.6", "/Driver", json!("aufs")),
            ("docker-2.15", "/LiveRestoreEnabled", json!(false)),
            ("docker-2.17", "/SecurityOptions", json!(["name=apparmor"])),
            ("docker-2.17", "/SecurityOptions", json!(["name=seccomp,profile=unconfined"])),
            ("docker-2.18", "/ExperimentalBuild", json!(true)),
        ] {
            assert_eq!(judge(id, &facts(&json!({}), &well, "")), Ok(vec![]), "{id}");
            let mut turned = well.clone();
            *turned.pointer_mut(pointer).unwrap() = other;
            assert_eq!(judge(id, &facts(&json!({}), &turned, "")).unwrap().len(), 1, "{id}");
        }
    }

    #[test]
    fn a_path_is_watched_by_its_own_rule_or_one_for_a_directory_above() {
        let stat = Stat { kind: Kind::File, mode: 0o644, uid: 0, gid: 0, len: 0 };
        for (rules, watched) in [
            ("-w /etc/docker/daemon.json -p wa -k docker", true),
            ("-w /etc/docker -p wa", true),
            ("-a always,exit -S all -F dir=/etc/docker/ -F perm=wa", true),
            ("-a always,exit -F path=/etc/docker/daemon.json -F perm=wa", true),
            ("-w /etc/dock -p wa", false),
            ("No rules", false),
        ] {
            let mut facts = facts(&json!({}), &json!({}), rules);
            facts.stats.insert(DAEMON.into(), Ok(Some(stat)));
            assert_eq!(judge("docker-1.1.11", &facts).unwrap().is_empty(), watched, "{rules}");
            facts.stats.insert(DAEMON.into(), Ok(None));
            assert_eq!(judge("docker-1.1.11", &facts), Ok(vec![]), "what is not there needs no watching");
        }
    }

    #[test]
    fn only_a_mount_of_its_own_is_a_file_system_of_its_own() {
        for (mounted, found) in [
            (&["/"][..], Some("the root disk")),
            (&["/", "/srv/sovereign"], Some("the volume")),
            (&["/", "/srv/sovereign", DATA_ROOT], None),
        ] {
            let mut facts = Facts::default();
            let line = |at: &&str| format!("25 1 0:22 / {at} rw - ext4 /dev/x rw\n");
            facts.texts.insert("/proc/self/mountinfo".into(), Ok(Some(mounted.iter().map(line).collect())));
            let wrong = judge("docker-1.1.1", &facts).unwrap();
            assert_eq!(wrong.len(), usize::from(found.is_some()), "{mounted:?}");
            assert!(found.is_none_or(|found| wrong[0].contains(found)), "{wrong:?}");
        }
    }

    #[test]
    fn members_of_the_group_docker_are_named() {
        let mut facts = Facts::default();
        for (line, members) in
            [("docker:x:101:\n", 0), ("docker:x:101:ann,bob\n", 2), ("dockerx:x:1:ann\n", 0)]
        {
            facts.texts.insert("/etc/group".into(), Ok(Some(line.into())));
            assert_eq!(judge("docker-1.1.2", &facts).unwrap().len(), members, "{line}");
        }
    }
}
