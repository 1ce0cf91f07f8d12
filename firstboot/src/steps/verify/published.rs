//! What containers publish answers over IPv4 and over IPv6 alike: a name leads a client to either address, and it takes
//! the one it likes better.

use super::listening;
use crate::run::Cx;
use crate::steps::docker::engine;
use anyhow::Result;
use serde_json::Value;
use spec::{Port, Protocol};
use std::net::IpAddr;

/// The published ports that answer over one of the two only.
pub(super) fn one_sided(cx: &Cx<'_>) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for stack in &cx.spec.stacks {
        for container in engine::containers(cx, &stack.name)? {
            wrong.extend(complaints(cx, &container)?);
        }
    }
    Ok(wrong)
}

fn complaints(cx: &Cx<'_>, container: &Value) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (inside, by_v4, by_v6) in published(container) {
        let name = format!("{inside} of container {}", engine::name(container));
        if by_v4 != by_v6 {
            let only = if by_v4 { "IPv4" } else { "IPv6" };
            wrong.push(format!("port {name} is published over {only} only"));
        } else if !listens_on_v6(cx, &container["State"]["Pid"], inside)? {
            wrong.push(format!("what listens on port {name} takes IPv4 only: have it listen on [::]"));
        }
    }
    Ok(wrong)
}

/// Each port inside that somebody outside may reach, and whether over IPv4 and IPv6.
fn published(container: &Value) -> Vec<(Port, bool, bool)> {
    let mut published = Vec::new();
    for (key, bindings) in container["NetworkSettings"]["Ports"].as_object().into_iter().flatten() {
        let Some(inside) = port(key) else { continue };
        let bindings = bindings.as_array().into_iter().flatten();
        let addresses = bindings.filter_map(|binding| binding["HostIp"].as_str()?.parse::<IpAddr>().ok());
        let outside: Vec<IpAddr> = addresses.filter(|address| !address.is_loopback()).collect();
        if !outside.is_empty() {
            let any = |v6: bool| outside.iter().any(|address| address.is_ipv6() == v6);
            published.push((inside, any(false), any(true)));
        }
    }
    published
}

/// As `443/tcp`.
fn port(text: &str) -> Option<Port> {
    let (port, protocol) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    Some(Port { port: port.parse().ok()?, protocol })
}

/// Whether something listens there, by the container's own tables; one that has ended meanwhile has none.
fn listens_on_v6(cx: &Cx<'_>, pid: &Value, port: Port) -> Result<bool> {
    let table = match port.protocol {
        Protocol::Tcp => "tcp6",
        Protocol::Udp => "udp6",
    };
    let table = cx.machine().text(format!("/proc/{pid}/net/{table}"))?;
    Ok(table.is_none_or(|table| listening::listening(&table, port.protocol, false).contains(&port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;
    use crate::testing::flow::done;
    use serde_json::json;

    fn found(bindings: &Value, tcp6: &str) -> Vec<String> {
        let fake = Fake::new();
        done(&fake);
        fake.put("/proc/77/net/tcp6", tcp6.as_bytes());
        fake.state.borrow_mut().published = json!({ "443/tcp": bindings });
        one_sided(&Cx::read_only(&fake).unwrap()).unwrap()
    }

    const LISTENS: &str = "head\n0: 00000000000000000000000000000000:01BB 0:0 0A 0\n";

    #[test]
    fn a_port_that_answers_over_one_family_only_is_named() {
        let (v4, v6) = (json!({ "HostIp": "0.0.0.0" }), json!({ "HostIp": "::" }));
        let none: Vec<String> = vec![];
        assert_eq!(found(&json!([v4, v6]), LISTENS), none);
        assert_eq!(found(&Value::Null, "head\n"), none, "it is not published");
        assert_eq!(found(&json!([{ "HostIp": "127.0.0.1" }]), "head\n"), none, "to nobody outside");
        let narrow = found(&json!([v4]), LISTENS);
        assert!(narrow[0].contains("443/tcp") && narrow[0].contains("over IPv4 only"), "{narrow:?}");
        assert!(found(&json!([v6]), LISTENS)[0].contains("over IPv6 only"));
        let deaf = found(&json!([v4, v6]), "head\n");
        assert!(deaf[0].contains("takes IPv4 only"), "{deaf:?}");
    }
}
