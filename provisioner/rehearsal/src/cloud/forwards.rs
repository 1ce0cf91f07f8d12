//! Which ports of a server are reached from outside, as its firewalls say.
//!
//! QEMU's user network forwards named ports from named addresses, so a firewall here is the list of ports that
//! are forwarded. The one who asks is the operator on this machine, so a rule counts when its sources hold the
//! loopback network or everybody. Rules for `out`, and protocols without ports, change nothing.

use super::state::{Rule, State};
use crate::machine::{Forward, Protocol};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// A range wider than this is not forwarded port by port: only the usual ports in it are.
const WIDE: u16 = 64;
const USUAL: [u16; 14] = [22, 25, 53, 80, 143, 443, 465, 587, 993, 995, 2222, 8080, 8443, 51820];

/// The ports to forward, sorted. Without a firewall these are the cloud's `open_ports`.
pub(crate) fn wanted(state: &State, server: u64, open_ports: &[u16]) -> Vec<Forward> {
    let firewalls = state.firewalls_of(server);
    let mut forwards = BTreeSet::new();
    if firewalls.is_empty() {
        forwards.extend(open_ports.iter().map(|port| Forward { protocol: Protocol::Tcp, port: *port }));
    }
    let rules =
        firewalls.iter().filter_map(|id| state.firewalls.get(id)).flat_map(|firewall| &firewall.rules);
    for rule in rules.filter(|rule| rule.direction == "in" && admits_operator(rule)) {
        let protocol = match rule.protocol.as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => continue,
        };
        let Some((first, last)) = rule.port.as_deref().and_then(parse_ports) else { continue };
        let ports = if last - first < WIDE {
            (first..=last).collect()
        } else {
            USUAL.iter().copied().filter(|port| (first..=last).contains(port)).collect::<Vec<_>>()
        };
        forwards.extend(ports.into_iter().map(|port| Forward { protocol, port }));
    }
    forwards.into_iter().collect()
}

/// `22`, `80-90` or `any`, as first and last port.
pub(crate) fn parse_ports(text: &str) -> Option<(u16, u16)> {
    if text == "any" {
        return Some((1, u16::MAX));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (1 <= first && first <= last).then_some((first, last))
}

fn admits_operator(rule: &Rule) -> bool {
    rule.source_ips.iter().filter_map(|text| parse_network(text)).any(|(network, bits)| {
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        u32::from(Ipv4Addr::LOCALHOST) & mask == u32::from(network) & mask
    })
}

fn parse_network(text: &str) -> Option<(Ipv4Addr, u32)> {
    let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
    let bits = bits.parse().ok().filter(|bits| *bits <= 32)?;
    Some((address.parse().ok()?, bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::state::{Firewall, Server, Target};

    fn rule(direction: &str, protocol: &str, port: Option<&str>, source: &str) -> Rule {
        Rule {
            description: None,
            direction: direction.into(),
            protocol: protocol.into(),
            port: port.map(Into::into),
            source_ips: vec![source.into()],
            destination_ips: Vec::new(),
        }
    }

    fn ports(rules: Vec<Rule>) -> String {
        let mut state = State::default();
        let server = serde_json::json!({"name": "a", "labels": {}, "created": "", "status": "running",
            "server_type": "cax11", "location": "fsn1", "image": 1, "public_keys": [], "protected": false});
        let server: Server = serde_json::from_value(server).unwrap();
        state.servers.insert(1, server);
        let firewall = Firewall {
            name: "f".into(),
            labels: std::collections::BTreeMap::new(),
            created: String::new(),
            rules,
            applied_to: vec![Target::Server(1)],
        };
        state.firewalls.insert(2, firewall);
        let list = wanted(&state, 1, &[22]);
        list.iter().map(|f| format!("{}/{}", f.protocol.name(), f.port)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn rules_become_ports() {
        let all = "0.0.0.0/0";
        let table = [
            (vec![], ""),
            (vec![rule("in", "tcp", Some("22"), all)], "tcp/22"),
            (
                vec![rule("in", "udp", Some("51820"), all), rule("in", "tcp", Some("22"), all)],
                "tcp/22 udp/51820",
            ),
            (vec![rule("in", "tcp", Some("80-82"), "127.0.0.0/8")], "tcp/80 tcp/81 tcp/82"),
            (
                vec![rule("in", "tcp", Some("440-65535"), all)],
                "tcp/443 tcp/465 tcp/587 tcp/993 tcp/995 tcp/2222 tcp/8080 tcp/8443 tcp/51820",
            ),
            (vec![rule("in", "tcp", Some("22"), "127.0.0.1/32")], "tcp/22"),
            (vec![rule("in", "tcp", Some("22"), "127.0.0.2/32")], ""),
            (vec![rule("in", "tcp", Some("22"), "203.0.113.0/24")], ""),
            (vec![rule("in", "tcp", Some("22"), "::/0")], ""),
            (vec![rule("out", "tcp", Some("22"), all)], ""),
            (vec![rule("in", "icmp", None, all)], ""),
        ];
        for (rules, expected) in table {
            assert_eq!(ports(rules), expected);
        }
    }

    #[test]
    fn a_server_without_firewall_has_the_open_ports() {
        let list = wanted(&State::default(), 1, &[80, 22]);
        assert_eq!(list.iter().map(|f| f.port).collect::<Vec<_>>(), [22, 80]);
    }

    #[test]
    fn ports_are_parsed() {
        assert_eq!(parse_ports("any"), Some((1, 65535)));
        assert_eq!(parse_ports("80-90"), Some((80, 90)));
        for text in ["", "0", "90-80", "x", "1-70000", "-1"] {
            assert_eq!(parse_ports(text), None, "{text}");
        }
    }
}
