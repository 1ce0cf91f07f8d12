//! Section 5: what the running containers may.

use super::docker::texts;
use super::{Facts, Judge};
use crate::steps::docker::engine;
use serde_json::Value;
use spec::{Port, Protocol};

/// Directories of the host's system, as the benchmark lists them.
const SENSITIVE: [&str; 8] = ["/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr"];
const PRIVILEGED: u16 = 1024;

pub(super) const JUDGES: &[(&str, Judge)] = &[
    ("docker-5.1", |f| {
        let state = f.engine.clone()?["Swarm"]["LocalNodeState"].clone();
        let off = state.is_null() || state == "inactive";
        Ok(if off { vec![] } else { vec![format!("it is {state}")] })
    }),
    ("docker-5.2", |f| f.confined("docker-5.2")),
    ("docker-5.4", |f| f.confined("docker-5.4")),
    ("docker-5.5", |f| f.confined("docker-5.5")),
    ("docker-5.6", |f| {
        f.each(|c| {
            let found: Vec<String> =
                sources(c).into_iter().filter(|s| SENSITIVE.contains(&s.as_str())).collect();
            (!found.is_empty()).then(|| format!("has {}", found.join(" ")))
        })
    }),
    ("docker-5.7", |f| {
        let mut wrong = Vec::new();
        for container in f.containers.clone()? {
            let sshd =
                |program: &String| program.split_whitespace().any(|w| w == "sshd" || w.ends_with("/sshd"));
            if container.programs?.iter().any(sshd) {
                wrong.push(format!("container {} does", engine::name(&container.inspected)));
            }
        }
        Ok(wrong)
    }),
    ("docker-5.8", |f| undeclared(f, |published| published.port.port < PRIVILEGED)),
    ("docker-5.9", |f| undeclared(f, |_| true)),
    ("docker-5.10", |f| f.confined("docker-5.10")),
    ("docker-5.11", |f| f.confined("docker-5.11")),
    ("docker-5.12", |f| f.confined("docker-5.12")),
    ("docker-5.13", |f| f.confined("docker-5.13")),
    ("docker-5.14", |f| {
        undeclared(f, |published| {
            published.address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified())
        })
    }),
    ("docker-5.15", |f| f.confined("docker-5.15")),
    ("docker-5.16", |f| f.confined("docker-5.16")),
    ("docker-5.17", |f| f.each(|c| (c["HostConfig"]["IpcMode"] == "host").then(|| "shares it".into()))),
    ("docker-5.18", |f| {
        f.each(|c| {
            let devices = c["HostConfig"]["Devices"].as_array().is_some_and(|list| !list.is_empty());
            devices.then(|| "has some".into())
        })
    }),
    ("docker-5.19", |f| {
        f.each(|c| {
            let own = c["HostConfig"]["Ulimits"].as_array().into_iter().flatten();
            let names: Vec<_> =
                own.filter_map(|limit| limit["Name"].as_str()).filter(|n| *n != "nofile").collect();
            (!names.is_empty()).then(|| format!("sets {}", names.join(" ")))
        })
    }),
    ("docker-5.20", |f| {
        f.each(|c| {
            let mounts = c["Mounts"].as_array().into_iter().flatten();
            let shared: Vec<_> = mounts
                .filter(|mount| mount["Propagation"].as_str().is_some_and(|p| p.ends_with("shared")))
                .filter_map(|mount| mount["Destination"].as_str())
                .collect();
            (!shared.is_empty()).then(|| format!("propagates {}", shared.join(" ")))
        })
    }),
    ("docker-5.21", |f| f.each(|c| (c["HostConfig"]["UTSMode"] == "host").then(|| "shares it".into()))),
    ("docker-5.22", |f| {
        f.each(|c| {
            let options = texts(&c["HostConfig"]["SecurityOpt"]);
            let off = options.iter().any(|o| o.starts_with("seccomp") && o.ends_with("unconfined"));
            off.then(|| "has it off".into())
        })
    }),
    ("docker-5.25", |f| {
        f.each(|c| {
            let parent = c["HostConfig"]["CgroupParent"].as_str().unwrap_or_default();
            (!parent.is_empty()).then(|| format!("is in {parent}"))
        })
    }),
    ("docker-5.26", |f| f.confined("docker-5.26")),
    ("docker-5.27", |f| f.confined("docker-5.27")),
    ("docker-5.28", |f| f.confined("docker-5.28")),
    ("docker-5.29", |f| f.confined("docker-5.29")),
    ("docker-5.30", |f| {
        f.each(|c| {
            let network = c["HostConfig"]["NetworkMode"].as_str().unwrap_or_default();
            ["", "default", "bridge"].contains(&network).then(|| "is".into())
        })
    }),
    ("docker-5.31", |f| f.each(|c| (c["HostConfig"]["UsernsMode"] == "host").then(|| "does".into()))),
    ("docker-5.32", |f| {
        f.each(|c| {
            let socket = |path: &String| path.ends_with("/docker.sock") || path.ends_with("/containerd.sock");
            sources(c).iter().any(socket).then(|| "has it".into())
        })
    }),
];

/// What of the host's is mounted in a container.
fn sources(container: &Value) -> Vec<String> {
    let mounts = container["Mounts"].as_array().into_iter().flatten();
    mounts.filter_map(|mount| mount["Source"].as_str()).map(str::to_owned).collect()
}

struct Published {
    address: String,
    port: Port,
}

/// The ports a container publishes on the host.
fn published(container: &Value) -> Vec<Published> {
    let ports = container["NetworkSettings"]["Ports"].as_object().into_iter().flatten();
    let bindings = ports.flat_map(|(inside, bindings)| {
        let protocol = if inside.ends_with("/udp") { Protocol::Udp } else { Protocol::Tcp };
        bindings.as_array().into_iter().flatten().map(move |binding| (protocol, binding))
    });
    bindings
        .filter_map(|(protocol, binding)| {
            let port = binding["HostPort"].as_str()?.parse().ok()?;
            Some(Published { address: binding["HostIp"].as_str()?.into(), port: Port { port, protocol } })
        })
        .collect()
}

/// Published ports of a kind that the project does not declare as open.
fn undeclared(f: &Facts, of_kind: impl Fn(&Published) -> bool) -> super::Found {
    let declared = f.declared.clone()?;
    f.each(|container| {
        let found: Vec<String> = published(container)
            .into_iter()
            .filter(|published| of_kind(published) && !declared.contains(&published.port))
            .map(|published| format!("{} on {}", published.port, published.address))
            .collect();
        (!found.is_empty()).then(|| format!("publishes {}", found.join(" and ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::facts::Container;
    use serde_json::json;

    fn confined() -> Value {
        json!({
            "Name": "/postgres-1", "AppArmorProfile": "docker-default",
            "State": { "Health": { "Status": "healthy" } },
            "Config": { "Image": "r/postgres@sha256:00" },
            "Mounts": [{ "Source": "/srv/sovereign/stacks/postgres/data", "Destination": "/data", "Propagation": "rprivate" }],
            "NetworkSettings": { "Ports": { "5432/tcp": null, "443/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "443" }] } },
            "HostConfig": {
                "Privileged": false, "ReadonlyRootfs": true, "CapDrop": ["ALL"], "CapAdd": null, "Devices": null,
                "SecurityOpt": ["no-new-privileges:true"], "PidsLimit": 200, "Memory": 1, "NanoCpus": 1,
                "NetworkMode": "postgres_internal", "PidMode": "", "IpcMode": "private", "UTSMode": "",
                "UsernsMode": "", "CgroupParent": "", "Ulimits": null,
                "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 5 },
            },
        })
    }

    fn judged(id: &str, container: Value, programs: &[&str]) -> Vec<String> {
        let programs = Ok(programs.iter().map(|p| (*p).to_owned()).collect());
        let facts = Facts {
            containers: Ok(vec![Container { inspected: container, programs }]),
            engine: Ok(json!({ "Swarm": { "LocalNodeState": "inactive" } })),
            declared: Ok(vec![Port { port: 443, protocol: Protocol::Tcp }]),
            ..Facts::default()
        };
        JUDGES.iter().find(|(name, _)| *name == id).unwrap().1(&facts).unwrap()
    }

    #[test]
    fn a_confined_container_passes_every_judge() {
        for (id, _) in JUDGES {
            assert_eq!(judged(id, confined(), &["postgres: writer"]), Vec::<String>::new(), "{id}");
        }
    }

    #[test]
    fn every_loosened_screw_is_found_by_its_judge() {
        let port = |address: &str, port: &str| json!({ "80/tcp": [{ "HostIp": address, "HostPort": port }] });
        for (id, pointer, value) in [
            ("docker-5.2", "/AppArmorProfile", json!("unconfined")),
            ("docker-5.4", "/HostConfig/CapDrop", json!(null)),
            ("docker-5.4", "/HostConfig/CapAdd", json!(["NET_ADMIN"])),
            ("docker-5.5", "/HostConfig/Privileged", json!(true)),
            ("docker-5.6", "/Mounts/0/Source", json!("/etc")),
            ("docker-5.8", "/NetworkSettings/Ports", port("10.0.0.1", "80")),
            ("docker-5.9", "/NetworkSettings/Ports", port("10.0.0.1", "8080")),
            ("docker-5.10", "/HostConfig/NetworkMode", json!("host")),
            ("docker-5.11", "/HostConfig/Memory", json!(0)),
            ("docker-5.12", "/HostConfig/NanoCpus", json!(0)),
            ("docker-5.13", "/HostConfig/ReadonlyRootfs", json!(false)),
            ("docker-5.14", "/NetworkSettings/Ports", port("::", "8080")),
            ("docker-5.15", "/HostConfig/RestartPolicy/Name", json!("always")),
            ("docker-5.15", "/HostConfig/RestartPolicy/MaximumRetryCount", json!(0)),
            ("docker-5.16", "/HostConfig/PidMode", json!("host")),
            ("docker-5.17", "/HostConfig/IpcMode", json!("host")),
            ("docker-5.18", "/HostConfig/Devices", json!([{ "PathOnHost": "/dev/sda" }])),
            ("docker-5.19", "/HostConfig/Ulimits", json!([{ "Name": "nproc" }])),
            ("docker-5.20", "/Mounts/0/Propagation", json!("rshared")),
            ("docker-5.21", "/HostConfig/UTSMode", json!("host")),
            ("docker-5.22", "/HostConfig/SecurityOpt", json!(["seccomp=unconfined"])),
            ("docker-5.25", "/HostConfig/CgroupParent", json!("/other")),
            ("docker-5.26", "/HostConfig/SecurityOpt", json!([])),
            ("docker-5.27", "/State/Health/Status", json!("unhealthy")),
            ("docker-5.28", "/Config/Image", json!("r/postgres:16")),
            ("docker-5.29", "/HostConfig/PidsLimit", json!(null)),
            ("docker-5.30", "/HostConfig/NetworkMode", json!("bridge")),
            ("docker-5.31", "/HostConfig/UsernsMode", json!("host")),
            ("docker-5.32", "/Mounts/0/Source", json!("/run/docker.sock")),
        ] {
            let mut container = confined();
            *container.pointer_mut(pointer).unwrap() = value;
            assert_eq!(judged(id, container, &[]).len(), 1, "{id} {pointer}");
        }
    }

    #[test]
    fn sshd_in_a_container_is_found_by_its_name_and_not_by_a_likeness() {
        for (program, found) in [("/usr/sbin/sshd -D", 1), ("sshd", 1), ("tail -f sshd.log", 0), ("nossh", 0)]
        {
            assert_eq!(judged("docker-5.7", confined(), &[program]).len(), found, "{program}");
        }
    }
}
