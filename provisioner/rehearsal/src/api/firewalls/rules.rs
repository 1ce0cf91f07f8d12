//! The rules of a firewall, checked as Hetzner checks them.

use crate::api::input::Input;
use crate::cloud::forwards::parse_ports;
use crate::cloud::state::Rule;
use std::net::IpAddr;

const MOST_RULES: usize = 50;
const MOST_NETWORKS: usize = 100;

/// The rules in the body, complained about where they are wrong; `None` where there are none.
pub(super) fn parse_rules(input: &mut Input) -> Option<Vec<Rule>> {
    let mut rules: Vec<Rule> = input.optional("rules")?;
    if rules.len() > MOST_RULES {
        input.complain("rules", format!("at most {MOST_RULES}"));
    }
    for (index, rule) in rules.iter_mut().enumerate() {
        // Hetzner answers with the port in its shortest form and the description as it is.
        rule.port = rule.port.take().filter(|port| !port.is_empty());
        if let Err(why) = check(rule) {
            input.complain(&format!("rules[{index}]"), why);
        }
    }
    Some(rules)
}

fn check(rule: &Rule) -> Result<(), String> {
    let with_ports = ["tcp", "udp"].contains(&rule.protocol.as_str());
    if !with_ports && !["icmp", "esp", "gre"].contains(&rule.protocol.as_str()) {
        return Err(format!("protocol '{}' is none of tcp, udp, icmp, esp, gre", rule.protocol));
    }
    match (&rule.port, with_ports) {
        (Some(port), true) if parse_ports(port).is_none() => {
            return Err(format!("port '{port}' is no port, range or 'any'"));
        }
        (None, true) => return Err(format!("protocol {} needs a port", rule.protocol)),
        (Some(_), false) => return Err(format!("protocol {} has no ports", rule.protocol)),
        _ => {}
    }
    let (needed, unneeded) = match rule.direction.as_str() {
        "in" => (&rule.source_ips, &rule.destination_ips),
        "out" => (&rule.destination_ips, &rule.source_ips),
        other => return Err(format!("direction '{other}' is neither in nor out")),
    };
    if needed.is_empty() || !unneeded.is_empty() {
        return Err(
            "needs source_ips with direction in, destination_ips with direction out, and not the other"
                .into(),
        );
    }
    if needed.len() > MOST_NETWORKS {
        return Err(format!("at most {MOST_NETWORKS} networks"));
    }
    if rule.description.as_ref().is_some_and(|text| text.len() > 255) {
        return Err("the description has more than 255 bytes".into());
    }
    needed.iter().try_for_each(|network| check_network(network))
}

/// A network in CIDR notation whose host bits are zero.
fn check_network(text: &str) -> Result<(), String> {
    let wrong = || format!("'{text}' is no network in CIDR notation");
    let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
    let bits: u32 = bits.parse().map_err(|_| wrong())?;
    let (host_bits, width) = match address.parse().map_err(|_| wrong())? {
        IpAddr::V4(a) => (u32::from(a).checked_shl(bits).unwrap_or(0) != 0, 32),
        IpAddr::V6(a) => (u128::from(a).checked_shl(bits).unwrap_or(0) != 0, 128),
    };
    if bits > width {
        return Err(wrong());
    }
    if host_bits { Err(format!("'{text}' has host bits set")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_checked() {
        for text in ["0.0.0.0/0", "::/0", "10.0.0.0/8", "127.0.0.1/32", "2001:db8::/32"] {
            assert_eq!(check_network(text), Ok(()), "{text}");
        }
        for text in ["10.0.0.1", "10.0.0.1/8", "10.0.0.0/33", "x/8", "2001:db8::1/64", ""] {
            assert!(check_network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rules_are_checked() {
        let table = [
            (r#"{"direction":"in","protocol":"tcp","port":"22","source_ips":["0.0.0.0/0"]}"#, true),
            (r#"{"direction":"in","protocol":"icmp","source_ips":["0.0.0.0/0"]}"#, true),
            (r#"{"direction":"out","protocol":"udp","port":"any","destination_ips":["::/0"]}"#, true),
            (r#"{"direction":"in","protocol":"tcp","source_ips":["0.0.0.0/0"]}"#, false),
            (r#"{"direction":"in","protocol":"icmp","port":"1","source_ips":["0.0.0.0/0"]}"#, false),
            (r#"{"direction":"in","protocol":"tcp","port":"22"}"#, false),
            (r#"{"direction":"up","protocol":"tcp","port":"22","source_ips":["0.0.0.0/0"]}"#, false),
            (r#"{"direction":"in","protocol":"sctp","port":"22","source_ips":["0.0.0.0/0"]}"#, false),
        ];
        for (text, expected) in table {
            assert_eq!(check(&serde_json::from_str(text).unwrap()).is_ok(), expected, "{text}");
        }
    }
}
