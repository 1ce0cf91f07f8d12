//! Addresses of container networks: the same for the same name, whatever other networks there are.

use sha2::{Digest as _, Sha256};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// 10.128.0.0/10: apart from what Hetzner's own networks begin with by default, and from Docker's pools.
const BASE4: u32 = u32::from_be_bytes([10, 128, 0, 0]);
/// Networks of 32 addresses in it.
const SLOTS4: u32 = 1 << 17;
/// fd5a:9c1e:7b31::/48, beside the pool of Docker's own networks.
const BASE6: u128 = 0xfd5a_9c1e_7b31_u128 << 80;
const SLOTS6: u32 = 1 << 16;

/// A network of 32 IPv4 addresses: the first half of them are handed out by the plan, the second by Docker, to whatever is
/// run in it for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet4(u32);

/// A network of 2^64 IPv6 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet6(u128);

/// How many members a network may have: the first address is the host's.
pub(super) const MEMBERS: u32 = 14;

impl Subnet4 {
    /// That of a network of this name; `taken` are those of others.
    pub(super) fn of(name: &str, taken: &[Self]) -> Self {
        probe(name, SLOTS4, |slot| Self(BASE4 + slot * 32), taken)
    }

    /// The host's own address in it.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.0 + 1)
    }

    /// The address of a member, counted from 0.
    pub(super) fn member(self, at: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.0 + 2 + at)
    }

    /// The part that Docker hands out addresses from.
    pub fn for_docker(self) -> String {
        format!("{}/28", Ipv4Addr::from(self.0 + 16))
    }

    /// Whether an address is in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & !31 == self.0
    }
}

impl fmt::Display for Subnet4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/27", Ipv4Addr::from(self.0))
    }
}

impl Subnet6 {
    pub(super) fn of(name: &str, taken: &[Self]) -> Self {
        probe(name, SLOTS6, |slot| Self(BASE6 | (u128::from(slot) << 64)), taken)
    }

    pub(super) fn member(self, at: u32) -> Ipv6Addr {
        Ipv6Addr::from(self.0 + 2 + u128::from(at))
    }
}

impl fmt::Display for Subnet6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/64", Ipv6Addr::from(self.0))
    }
}

/// The slot that a name's hash says, or the next one that is free.
fn probe<T: PartialEq>(name: &str, slots: u32, at: impl Fn(u32) -> T, taken: &[T]) -> T {
    let hash = Sha256::digest(name);
    let first = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % slots;
    let free = (0..slots).map(|next| at((first + next) % slots)).find(|subnet| !taken.contains(subnet));
    // There are more slots than anybody has networks.
    free.unwrap_or_else(|| at(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_subnet_whatever_others_there_are() {
        let alone = Subnet4::of("ghost.edge", &[]);
        let others = [Subnet4::of("keycloak.edge", &[]), Subnet4::of("nextcloud.edge", &[])];
        assert_eq!(Subnet4::of("ghost.edge", &others), alone);
        assert_eq!(alone.to_string(), "10.150.51.32/27");
        assert_eq!(Subnet6::of("ghost.edge", &[]).to_string(), "fd5a:9c1e:7b31:b199::/64");
    }

    #[test]
    fn nobody_gets_what_is_taken() {
        let alone = Subnet4::of("x", &[]);
        let next = Subnet4::of("x", &[alone]);
        assert_ne!(alone, next);
        assert_eq!(Subnet4::of("x", &[alone, next]), Subnet4(next.0 + 32));
    }

    #[test]
    fn members_and_docker_hand_out_different_halves() {
        let subnet = Subnet4::of("x", &[]);
        let docker: Ipv4Addr = subnet.for_docker().trim_end_matches("/28").parse().unwrap();
        assert!(subnet.member(MEMBERS - 1) < docker && subnet.contains(docker));
        assert!(subnet.contains(subnet.gateway()) && !subnet.contains(Ipv4Addr::from(subnet.0 + 32)));
        assert!(subnet.member(0).is_private());
    }
}
