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
use super::stacks::certificate;
use super::stacks::compose::names_file;
use crate::run::{Cx, Step};
use crate::system::managed;
use anyhow::{Context as _, Result};
use serde_json::json;
use spec::{StepName, VpnSpec, paths};
use std::path::PathBuf;

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
        let names = names(cx, vpn, &node::addresses(cx, vpn)?)?;
        managed::ensure_file(cx, file_of_names(cx)?, names.as_bytes(), 0o644)?;
        devices::issue(cx, vpn)
    }
}

/// The certificate that a device is told to trust, where no public authority vouches for the control server.
pub(crate) fn certificate_file(cx: &Cx<'_>) -> Result<PathBuf> {
    let vpn =
        cx.spec.vpn.as_ref().context("looking for the certificate: the project has no private network")?;
    let certificate = certificate::of_network(cx, vpn)?;
    let file = certificate.map(|certificate| certificate.file());
    file.context("looking for the certificate: a public authority vouches for this server, so devices trust it already")
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
    if !managed::holds(cx, file_of_names(cx)?, names(cx, vpn, &addresses)?.as_bytes())? {
        wrong.push("the administrators' names do not lead to this server".into());
    }
    let certificate = certificate::of_network(cx, vpn)?;
    if !certificate.as_ref().map_or(Ok(true), |certificate| certificate.holds(cx))? {
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

fn file_of_names(cx: &Cx<'_>) -> Result<PathBuf> {
    let served = cx.plan()?.private_network().and_then(|(stack, _)| names_file(stack));
    served.context("looking for the file of names: no stack serves the private network")
}

/// The administrators' names, the project's own and those of routes, as records of this server's addresses. Same inputs,
/// same bytes.
fn names(cx: &Cx<'_>, vpn: &VpnSpec, addresses: &[String]) -> Result<String> {
    let own = vpn.names.iter().map(|name| format!("{name}.{}", vpn.base_domain));
    let routed = cx.plan()?.names_inside().into_iter().map(str::to_owned);
    let mut records = Vec::new();
    for name in own.chain(routed) {
        for address in addresses {
            let kind = if address.contains(':') { "AAAA" } else { "A" };
            records.push(json!({ "name": name, "type": kind, "value": address }));
        }
    }
    Ok(format!("{:#}\n", serde_json::Value::Array(records)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_every_address_of_the_server() {
        let fake = crate::testing::network::fresh();
        let cx = Cx::read_only(&fake).unwrap();
        let vpn = cx.spec.vpn.as_ref().unwrap();
        let text = names(&cx, vpn, &["100.64.0.1".into(), "fd7a:115c:a1e0::1".into()]).unwrap();
        let records: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            records[0],
            json!({ "name": "metrics.internal.example.org", "type": "A", "value": "100.64.0.1" })
        );
        assert_eq!(records[1]["type"], "AAAA");
        assert_eq!(names(&cx, vpn, &[]).unwrap(), crate::steps::stacks::compose::NO_NAMES);
    }
}
