//! How every service is confined: the policy, stated once. A rule says what is set on a service, what breaks it in a
//! rendered compose file, and what breaks it in a container as the engine describes it; the lint, the server's own look and
//! the audit read it here.
//!
//! Confinement is set whatever the compose file says; limits only where it names none, because a database knows better how
//! much memory it needs.

use crate::finding::Rule;
use crate::manifest::{DEFAULT_MEMORY, Loosened};
use crate::value::{list, scalar};
use serde_json::{Value, json};

/// How often Docker starts a container that crashed; CIS allows five times at most.
const STARTS: i64 = 5;

/// What is wrong, in words that follow "it" or "container NAME".
type Look = fn(&Value) -> Option<String>;

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Confinement {
    /// Its item in the CIS benchmark for Docker, where it has one: `docker-5.4`.
    pub benchmark: Option<&'static str>,
    /// What is set for it.
    set: Option<Set>,
    /// What breaks it in a service of a compose file, and as which rule of the lint. What cannot be written there at all needs
    /// no look.
    file: Option<(Rule, Look)>,
    /// What breaks it in a container.
    container: Option<Look>,
    /// The exception that there may be.
    loosened: Option<Loosened>,
}

/// A key of a service and its value.
#[derive(Debug, Clone, Copy)]
enum Set {
    /// Over whatever stood there.
    Always(&'static str, fn() -> Value),
    /// Where nothing stands there.
    Unless(&'static str, fn() -> Value),
}

const NONE: Confinement =
    Confinement { benchmark: None, set: None, file: None, container: None, loosened: None };

/// All rules.
pub const CONFINEMENT: [Confinement; 16] = [
    Confinement {
        benchmark: Some("docker-5.27"),
        file: Some((Rule::Healthcheck, |s| {
            let test = s.get("healthcheck").and_then(|health| health.get("test"));
            let none =
                test.is_none_or(|test| test == "NONE" || test.get(0).is_some_and(|word| word == "NONE"));
            none.then(|| "has no health check".into())
        })),
        container: Some(|c| {
            let well = c["State"]["Running"] != false && c["State"]["Health"]["Status"] == "healthy";
            (!well).then(|| "is not healthy".into())
        }),
        ..NONE
    },
    Confinement {
        benchmark: Some("docker-5.5"),
        container: Some(|c| (c["HostConfig"]["Privileged"] == true).then(|| "is privileged".into())),
        ..NONE
    },
    Confinement {
        benchmark: Some("docker-5.13"),
        set: Some(Set::Always("read_only", || true.into())),
        file: Some((Rule::ReadOnly, |s| {
            (s.get("read_only") != Some(&Value::Bool(true))).then(|| "can write its root file system".into())
        })),
        container: Some(|c| {
            (c["HostConfig"]["ReadonlyRootfs"] != true).then(|| "can write its root file system".into())
        }),
        loosened: Some(Loosened::ReadOnly),
    },
    Confinement {
        benchmark: Some("docker-5.4"),
        set: Some(Set::Always("cap_drop", || json!(["ALL"]))),
        file: Some((Rule::Capabilities, |s| {
            (list(s, "cap_drop") != ["ALL"]).then(|| "does not drop all capabilities".into())
        })),
        container: Some(|c| {
            let dropped = texts(&c["HostConfig"]["CapDrop"]).any(|name| name.eq_ignore_ascii_case("ALL"));
            let added: Vec<&str> = texts(&c["HostConfig"]["CapAdd"]).collect();
            match (dropped, added.is_empty()) {
                (false, _) => Some("keeps capabilities".into()),
                (true, false) => Some(format!("has added capabilities: {}", added.join(" "))),
                (true, true) => None,
            }
        }),
        ..NONE
    },
    Confinement {
        benchmark: Some("docker-5.26"),
        set: Some(Set::Always("security_opt", || json!(["no-new-privileges:true"]))),
        file: Some((Rule::SecurityOptions, |s| {
            let alone = list(s, "security_opt") == ["no-new-privileges:true"];
            (!alone).then(|| "has other security options than no-new-privileges alone".into())
        })),
        container: Some(|c| {
            let bound = texts(&c["HostConfig"]["SecurityOpt"])
                .any(|option| ["no-new-privileges", "no-new-privileges:true"].contains(&option));
            (!bound).then(|| "may gain new privileges".into())
        }),
        ..NONE
    },
    Confinement {
        benchmark: Some("docker-5.11"),
        set: Some(Set::Unless("mem_limit", || format!("{}m", DEFAULT_MEMORY.mib()).into())),
        file: Some((Rule::Limits, |s| unlimited(s, "mem_limit"))),
        container: Some(|c| (!positive(c, "Memory")).then(|| "has no limit of memory".into())),
        ..NONE
    },
    Confinement {
        benchmark: Some("docker-5.12"),
        set: Some(Set::Unless("cpus", || json!(1.0))),
        file: Some((Rule::Limits, |s| unlimited(s, "cpus"))),
        container: Some(|c| {
            let limited = ["NanoCpus", "CpuShares", "CpuQuota"].iter().any(|limit| positive(c, limit));
            (!limited).then(|| "has no limit of processors".into())
        }),
        ..NONE
    },
    Confinement {
        benchmark: Some("docker-5.29"),
        set: Some(Set::Unless("pids_limit", || 200.into())),
        file: Some((Rule::Limits, |s| unlimited(s, "pids_limit"))),
        container: Some(|c| (!positive(c, "PidsLimit")).then(|| "has no limit of processes".into())),
        ..NONE
    },
    Confinement {
        benchmark: Some("docker-5.10"),
        container: Some(|c| {
            (c["HostConfig"]["NetworkMode"] == "host").then(|| "is on the host's network".into())
        }),
        ..NONE
    },
    Confinement {
        benchmark: Some("docker-5.16"),
        container: Some(|c| {
            (c["HostConfig"]["PidMode"] == "host").then(|| "sees the host's processes".into())
        }),
        ..NONE
    },
    Confinement {
        file: Some((Rule::Root, |s| {
            let user = s.get("user").map(scalar).unwrap_or_default();
            is_root(&user).then(|| "does not name a user by number that is not root".into())
        })),
        container: Some(|c| {
            is_root(c["Config"]["User"].as_str().unwrap_or_default()).then(|| "runs as root".into())
        }),
        loosened: Some(Loosened::Root),
        ..NONE
    },
    Confinement {
        benchmark: Some("docker-5.2"),
        container: Some(|c| {
            let profile = c["AppArmorProfile"].as_str().unwrap_or_default();
            ["", "unconfined"].contains(&profile).then(|| "is not confined by AppArmor".into())
        }),
        ..NONE
    },
    Confinement {
        benchmark: Some("docker-5.28"),
        file: Some((Rule::Digest, |s| {
            let pinned = s.get("image").map(scalar).is_some_and(|image| image.contains("@sha256:"));
            (!pinned).then(|| "runs an image that is not pinned by digest".into())
        })),
        container: Some(|c| {
            let image = c["Config"]["Image"].as_str().unwrap_or_default();
            (!image.contains("@sha256:")).then(|| format!("runs {image}, which is not pinned by digest"))
        }),
        ..NONE
    },
    Confinement {
        benchmark: Some("docker-5.15"),
        // systemd brings stacks up after the volume is unlocked; Docker only catches a crash in between.
        set: Some(Set::Always("restart", || format!("on-failure:{STARTS}").into())),
        container: Some(|c| {
            let policy = &c["HostConfig"]["RestartPolicy"];
            let name = policy["Name"].as_str().unwrap_or_default();
            let starts = policy["MaximumRetryCount"].as_i64().unwrap_or(0);
            let fine = ["", "no"].contains(&name) || name == "on-failure" && (1..=STARTS).contains(&starts);
            (!fine).then(|| format!("is started again by the policy {name}:{starts}"))
        }),
        ..NONE
    },
    Confinement { set: Some(Set::Always("init", || true.into())), ..NONE },
    Confinement {
        set: Some(Set::Always(
            "logging",
            || json!({ "driver": "local", "options": { "max-size": "10m", "max-file": "3" } }),
        )),
        ..NONE
    },
];

/// Confines one service.
pub(crate) fn confine(service: &mut Value) {
    let Some(service) = service.as_object_mut() else { return };
    for rule in CONFINEMENT.iter().filter_map(|rule| rule.set) {
        match rule {
            Set::Always(key, value) => drop(service.insert(key.into(), value())),
            Set::Unless(key, value) => drop(service.entry(key).or_insert_with(value)),
        }
    }
}

/// What of the policy a service of a compose file breaks.
pub(crate) fn broken_in_file(service: &Value, excepted: &dyn Fn(Loosened) -> bool) -> Vec<(Rule, String)> {
    let strict = CONFINEMENT.iter().filter(|rule| !rule.loosened.is_some_and(excepted));
    let looks = strict.filter_map(|rule| rule.file);
    looks.filter_map(|(rule, look)| Some((rule, format!("it {}", look(service)?)))).collect()
}

/// What of the policy a container breaks, as the engine describes it.
pub fn broken_by_container(container: &Value, excepted: &dyn Fn(Loosened) -> bool) -> Vec<String> {
    let strict = CONFINEMENT.iter().filter(|rule| !rule.loosened.is_some_and(excepted));
    strict.filter_map(|rule| rule.container).filter_map(|look| look(container)).collect()
}

/// How a container breaks the rule of this item of the benchmark.
pub fn breaks(benchmark: &str, container: &Value) -> Option<String> {
    let rule = CONFINEMENT.iter().find(|rule| rule.benchmark == Some(benchmark));
    rule.and_then(|rule| rule.container)?(container)
}

fn unlimited(service: &Value, key: &str) -> Option<String> {
    let value = service.get(key).map(scalar);
    let none = value.is_none_or(|value| ["", "0", "-1", "0.0", "null"].contains(&value.as_str()));
    none.then(|| format!("has no {key}"))
}

fn positive(container: &Value, limit: &str) -> bool {
    container["HostConfig"][limit].as_i64().is_some_and(|n| n > 0)
}

/// Whether a user is root, or is not named by number.
fn is_root(user: &str) -> bool {
    let uid = user.split(':').next().unwrap_or_default();
    uid.parse::<u32>().ok().is_none_or(|uid| uid == 0)
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confinement_cannot_be_loosened() {
        let mut service = json!({ "read_only": false, "security_opt": ["seccomp=unconfined"] });
        confine(&mut service);
        assert_eq!(service["read_only"], true);
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]));
        assert_eq!(service["cap_drop"], json!(["ALL"]));
    }

    #[test]
    fn a_limit_of_its_own_is_kept() {
        let mut service = json!({ "mem_limit": "2g" });
        confine(&mut service);
        assert_eq!(service["mem_limit"], "2g");
        assert_eq!(service["pids_limit"], 200);
    }

    #[test]
    fn what_is_set_breaks_nothing() {
        let mut service =
            json!({ "image": "x@sha256:0", "user": "7", "healthcheck": { "test": ["CMD", "x"] } });
        confine(&mut service);
        assert_eq!(broken_in_file(&service, &|_| false), []);
    }

    fn confined() -> Value {
        json!({
            "State": { "Running": true, "Health": { "Status": "healthy" } },
            "Config": { "User": "999:999", "Image": "r/x@sha256:00" },
            "AppArmorProfile": "docker-default",
            "HostConfig": {
                "Privileged": false, "ReadonlyRootfs": true, "CapDrop": ["ALL"], "CapAdd": null,
                "SecurityOpt": ["no-new-privileges:true"], "PidsLimit": 200, "Memory": 1, "NanoCpus": 1,
                "NetworkMode": "postgres_internal", "PidMode": "",
                "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 5 },
            },
        })
    }

    #[test]
    fn a_confined_container_breaks_nothing() {
        assert_eq!(broken_by_container(&confined(), &|_| false), Vec::<String>::new());
    }

    #[test]
    fn every_loosened_screw_is_found_and_pardoned_only_where_there_may_be_an_exception() {
        for (pointer, value) in [
            ("/State/Health/Status", json!("unhealthy")),
            ("/State/Running", json!(false)),
            ("/HostConfig/Privileged", json!(true)),
            ("/HostConfig/ReadonlyRootfs", json!(false)),
            ("/HostConfig/CapDrop", json!(null)),
            ("/HostConfig/CapAdd", json!(["SYS_ADMIN"])),
            ("/HostConfig/SecurityOpt", json!([])),
            ("/HostConfig/PidsLimit", json!(null)),
            ("/HostConfig/Memory", json!(0)),
            ("/HostConfig/NanoCpus", json!(0)),
            ("/HostConfig/NetworkMode", json!("host")),
            ("/HostConfig/PidMode", json!("host")),
            ("/HostConfig/RestartPolicy/Name", json!("always")),
            ("/HostConfig/RestartPolicy/MaximumRetryCount", json!(0)),
            ("/Config/User", json!("")),
            ("/Config/User", json!("0:0")),
            ("/Config/Image", json!("r/x:1")),
            ("/AppArmorProfile", json!("unconfined")),
        ] {
            let mut container = confined();
            *container.pointer_mut(pointer).unwrap() = value;
            assert_eq!(broken_by_container(&container, &|_| false).len(), 1, "{pointer}");
            let may_be_excepted = ["/HostConfig/ReadonlyRootfs", "/Config/User"].contains(&pointer);
            assert_eq!(broken_by_container(&container, &|_| true).is_empty(), may_be_excepted, "{pointer}");
        }
    }
}
