//! Who may come in by ssh, and from where the operator does.

use super::reader::Document;
use crate::network::Network;
use std::net::IpAddr;

/// `[ssh]`.
pub(super) struct Ssh {
    pub(super) port: u16,
    pub(super) authorized_keys: Vec<String>,
    pub(super) from: Vec<Network>,
}

pub(super) fn read_ssh(document: &mut Document<'_>) -> Ssh {
    let mut section = document.section("ssh");
    let port = u16::try_from(section.number("port", 22, 1..=65_535)).unwrap_or(22);
    let authorized_keys =
        section.list("authorized_keys", "a public ssh key such as \"ssh-ed25519 AAAA…\"", |line| {
            line.split_whitespace().nth(1).filter(|body| body.starts_with("AAAA")).map(|_| line.to_owned())
        });
    let from = if section.has("from") {
        section.list_checked("from", |text| match text {
            "any" => Ok(Network::everybody().to_vec()),
            network => network.parse().map(|network| vec![network]),
        })
    } else {
        vec![Network::everybody().to_vec()]
    };
    section.finish();
    let mut from = from.concat();
    from.sort_unstable();
    from.dedup();
    Ssh { port, authorized_keys, from }
}

/// `[operator] address`: an IPv4 address, since that is what a server is reached at.
pub(super) fn read_operator(document: &mut Document<'_>) -> Option<IpAddr> {
    let mut section = document.section("operator");
    let address = section.checked("address", parse_operator);
    section.finish();
    address
}

/// Reads the address the operator comes from.
pub fn parse_operator(text: &str) -> Result<IpAddr, String> {
    match text.parse() {
        Ok(address @ IpAddr::V4(_)) => Ok(address),
        Ok(IpAddr::V6(_)) => {
            Err("is an IPv6 address: the server is reached at its IPv4 address, so name yours".into())
        }
        Err(_) => Err("is no address such as \"203.0.113.7\"".into()),
    }
}
