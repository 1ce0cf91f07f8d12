//! Networks in CIDR notation, as firewall rules name their sources.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network, e.g. `203.0.113.0/24`, or one address, e.g. `203.0.113.7/32`. Its host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of one address alone: /32, or /128.
    pub fn of(address: IpAddr) -> Self {
        Self { address, bits: width(address) }
    }

    /// Everybody, over either protocol.
    pub fn everybody() -> [Self; 2] {
        [
            Self { address: std::net::Ipv4Addr::UNSPECIFIED.into(), bits: 0 },
            Self { address: std::net::Ipv6Addr::UNSPECIFIED.into(), bits: 0 },
        ]
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        width(address) == width(self.address) && masked(address, self.bits) == masked(self.address, self.bits)
    }
}

impl FromStr for Network {
    type Err = String;

    /// Reads `ADDRESS/BITS`, or an address alone.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "is no network such as \"203.0.113.0/24\" or \"2001:db8::/48\", and no address".to_owned();
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = bits.map_or(Ok(width(address)), str::parse).map_err(|_| wrong())?;
        if bits > width(address) {
            return Err(wrong());
        }
        let network = Self { address, bits };
        if masked(address, bits) != bits_of(address) {
            return Err(format!(
                "has bits set beyond its /{bits}: name the network's first address, or a single one"
            ));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn masked(address: IpAddr, bits: u8) -> u128 {
    let beyond = u32::from(width(address).saturating_sub(bits));
    bits_of(address).checked_shr(beyond).and_then(|kept| kept.checked_shl(beyond)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_written() {
        let table = [
            ("203.0.113.7", Some("203.0.113.7/32")),
            ("203.0.113.0/24", Some("203.0.113.0/24")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("::/0", Some("::/0")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("203.0.113.7/24", None),
            ("203.0.113.0/33", None),
            ("2001:db8::1/64", None),
            ("example.org", None),
            ("", None),
            ("1.2.3.4/", None),
            ("1.2.3.4/-1", None),
        ];
        for (text, expected) in table {
            let read = text.parse::<Network>().ok().map(|network| network.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn an_address_is_in_its_network_and_in_no_other() {
        let within = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(within("203.0.113.0/24", "203.0.113.255") && !within("203.0.113.0/24", "203.0.114.0"));
        assert!(within("0.0.0.0/0", "8.8.8.8") && !within("0.0.0.0/0", "::1"));
        assert!(within("2001:db8::/32", "2001:db8:ffff::1") && !within("::/0", "1.2.3.4"));
        assert!(Network::of("::1".parse().unwrap()).contains("::1".parse().unwrap()));
        assert!(Network::everybody().iter().any(|all| all.contains("1.2.3.4".parse().unwrap())));
    }
}
