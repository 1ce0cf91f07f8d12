//! What every service of every stack shares, added in this one place.
//!
//! Confinement is set whatever the compose file says; limits only where it names none, because a database
//! knows better how much memory it needs.

use crate::manifest::Size;
use serde_json::{Value, json};

/// What a service may use that says nothing of it.
pub(crate) const MEMORY: Size = Size::from_mib(256);

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
    json!({ "pids_limit": 200, "mem_limit": format!("{}m", MEMORY.mib()), "cpus": 1.0 })
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
    fn a_limit_of_its_own_is_kept() {
        let mut service = json!({ "mem_limit": "2g" });
        harden(&mut service);
        assert_eq!(service["mem_limit"], "2g");
        assert_eq!(service["pids_limit"], 200);
    }
}
