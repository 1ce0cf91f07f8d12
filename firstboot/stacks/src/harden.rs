//! What every service of every stack shares, added in this one place.
//!
//! Confinement is set whatever the compose file says; limits only where it names none, because a database
//! knows better how much memory it needs. What is published answers over IPv6 as over IPv4: names lead to both.

use serde_json::{Value, json};

/// Set on every service, over whatever stood there.
fn confinement() -> Value {
    json!({
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "read_only": true,
        "init": true,
        // systemd brings stacks up after the volume is unlocked; Docker only catches a crash in between.
        "restart": "on-failure:5",
        "logging": { "driver": "local", "options": { "max-size": "10m", "max-file": "3" } },
    })
}

/// Set on a service that names no limit of its own.
fn limits() -> Value {
    json!({ "pids_limit": 200, "mem_limit": "256m", "cpus": 1.0 })
}

/// Hardens one service.
pub fn harden(service: &mut Value) {
    let Some(service) = service.as_object_mut() else { return };
    for (key, value) in confinement().as_object().into_iter().flatten() {
        service.insert(key.clone(), value.clone());
    }
    for (key, value) in limits().as_object().into_iter().flatten() {
        service.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

/// Gives the networks of services that publish ports IPv6, beside IPv4.
pub fn publish_on_both(compose: &mut Value) {
    let mut keys: Vec<String> = Vec::new();
    for service in compose["services"].as_object().into_iter().flat_map(|services| services.values()) {
        if service.get("ports").is_none() {
            continue;
        }
        match &service["networks"] {
            Value::Object(named) => keys.extend(named.keys().cloned()),
            Value::Array(named) => keys.extend(named.iter().filter_map(Value::as_str).map(str::to_owned)),
            _ => keys.push("default".into()),
        }
    }
    for key in keys {
        let network = &mut compose["networks"][&key];
        if network["internal"] != true {
            network["enable_ipv6"] = true.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confinement_cannot_be_loosened() {
        let mut service = json!({ "read_only": false, "security_opt": ["seccomp=unconfined"] });
        harden(&mut service);
        assert_eq!(service["read_only"], true);
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]));
        assert_eq!(service["cap_drop"], json!(["ALL"]));
    }

    #[test]
    fn only_networks_that_something_is_published_from_get_ipv6() {
        for (networks, key) in [
            (json!({ "web": { "ipv4_address": "172.29.0.2" } }), "web"),
            (json!(["web", "inside"]), "web"),
            (Value::Null, "default"),
        ] {
            let mut compose = json!({
                "services": {
                    "proxy": { "ports": ["443:443"], "networks": networks },
                    "database": { "networks": ["data"] },
                },
                "networks": { "web": null, "inside": { "internal": true }, "data": {} },
            });
            publish_on_both(&mut compose);
            assert_eq!(compose["networks"][key]["enable_ipv6"], true, "{compose}");
            assert_eq!(compose["networks"]["inside"], json!({ "internal": true }));
            assert_eq!(compose["networks"]["data"], json!({}));
        }
    }

    #[test]
    fn a_limit_of_its_own_is_kept() {
        let mut service = json!({ "mem_limit": "2g" });
        harden(&mut service);
        assert_eq!(service["mem_limit"], "2g");
        assert_eq!(service["pids_limit"], 200);
    }
}
