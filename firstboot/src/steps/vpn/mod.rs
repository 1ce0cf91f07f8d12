//! The server is in its own private network, administrators' names lead to it there, and every device of the operator's
//! has a key in the escrow.
//!
//! * `control` speaks to the control server through its container.
//! * `node` is the host's own place in the network.
//! * `devices` makes the keys that the operator's devices join with.

mod control;
mod devices;
mod node;

pub(crate) use devices::{list, renew};

use super::stacks::Running;
use super::stacks::certificate::Certificate;
use super::stacks::compose::names_file;
use crate::run::{Cx, Step};
use crate::system::managed;
use anyhow::Result;
use serde_json::json;
use spec::{StepName, VpnSpec, paths};
use std::path::Path;

/// The private network is as it must be.
#[derive(Debug, Clone, Copy)]
pub struct Joined(());

/// See the module.
pub struct Vpn {
    /// The control server runs.
    pub running: Running,
}

impl Step for Vpn {
    const NAME: StepName = StepName::Vpn;
    type Output = Joined;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Joined>> {
        Ok(complaints(cx)?.is_empty().then_some(Joined(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        let Some(vpn) = &cx.spec.vpn else { return node::leave(cx) };
        node::ensure_joined(cx, vpn)?;
        let names = names(vpn, &node::addresses(cx, vpn)?);
        managed::ensure_file(cx, names_file(), names.as_bytes(), 0o644)?;
        devices::issue(cx, vpn)
    }
}

/// What is not as it must be. Reads only.
pub(crate) fn complaints(cx: &Cx<'_>) -> Result<Vec<String>> {
    let Some(vpn) = &cx.spec.vpn else {
        let left = node::left_over(cx)?
            .then(|| "a node of a network that the project does not have is there".to_owned());
        return Ok(left.into_iter().collect());
    };
    if !node::control_runs(cx)? {
        return Ok(vec!["the control server does not run".into()]);
    }
    let addresses = node::addresses(cx, vpn)?;
    if addresses.is_empty() {
        return Ok(vec!["this server is not in its private network".into()]);
    }
    let mut wrong = Vec::new();
    if !managed::holds(cx, names_file(), names(vpn, &addresses).as_bytes())? {
        wrong.push("the administrators' names do not lead to this server".into());
    }
    let stack = Path::new(paths::DATA).join("stacks").join(::stacks::HEADSCALE);
    if !Certificate::new(&stack, &vpn.host, 0).holds(cx)? {
        wrong.push(format!(
            "the certificate of {} ends within 30 days: run `{} run` on the server, then have every device trust the new \
             one (`cargo xtask vpn certificate --project NAME`)",
            vpn.host,
            paths::BINARY
        ));
    }
    let without = devices::without_key(cx, vpn)?;
    wrong.extend(without.iter().map(|device| format!("device {device} has no key")));
    Ok(wrong)
}

/// The administrators' names, as records of this server's addresses. Same inputs, same bytes.
fn names(vpn: &VpnSpec, addresses: &[String]) -> String {
    let mut records = Vec::new();
    for name in &vpn.names {
        for address in addresses {
            let kind = if address.contains(':') { "AAAA" } else { "A" };
            let name = format!("{name}.{}", vpn.base_domain);
            records.push(json!({ "name": name, "type": kind, "value": address }));
        }
    }
    format!("{:#}\n", serde_json::Value::Array(records))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_every_address_of_the_server() {
        let vpn = VpnSpec {
            host: "vpn.example.org".into(),
            base_domain: "internal.example.org".into(),
            devices: vec![],
            names: vec!["metrics".into()],
        };
        let text = names(&vpn, &["100.64.0.1".into(), "fd7a:115c:a1e0::1".into()]);
        let records: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            records[0],
            json!({ "name": "metrics.internal.example.org", "type": "A", "value": "100.64.0.1" })
        );
        assert_eq!(records[1]["type"], "AAAA");
        assert_eq!(names(&vpn, &[]), crate::steps::stacks::compose::NO_NAMES);
    }
}
