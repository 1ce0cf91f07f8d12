//! Public addresses: loopback addresses of this machine for IPv4, the documentation range for IPv6.

use super::state::{Address, State};
use crate::machine::{Forward, Protocol, ports};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// How many addresses are looked at for one on which nothing listens.
const TRIES: u32 = 16;

/// A new IPv4 address, 127.77.a.b, where a comes from the state directory so that two clouds do not meet.
/// If they do, an address on which something listens already is passed over.
pub(crate) fn new_ipv4(state: &mut State, state_dir: &Path) -> Address {
    let a = (hash(state_dir) % 254 + 1) as u8;
    let probe = [22, 80, 443].map(|port| Forward { protocol: Protocol::Tcp, port });
    let mut first = None;
    for _ in 0..TRIES {
        let address = candidate(state, a);
        if ports::are_free(address, &probe) {
            return Address::Ipv4(address);
        }
        first.get_or_insert(address);
    }
    // All are taken: something listens on every address, which the start of the server will tell.
    Address::Ipv4(first.unwrap_or(Ipv4Addr::new(127, 77, a, 1)))
}

fn candidate(state: &mut State, a: u8) -> Ipv4Addr {
    loop {
        let n = state.new_address();
        let address = Ipv4Addr::new(127, 77, a.wrapping_add((n / 254) as u8), (n % 254 + 1) as u8);
        let used = state.primary_ips.values().any(|ip| ip.address == Address::Ipv4(address));
        if !used {
            return address;
        }
    }
}

/// A new IPv6 network.
pub(crate) fn new_ipv6(state: &mut State, state_dir: &Path) -> Address {
    let part = (hash(state_dir) & 0xffff) as u16;
    let n = state.new_address();
    Address::Ipv6(Ipv6Addr::new(0x2001, 0xdb8, part, (n & 0xffff) as u16, 0, 0, 0, 0))
}

/// FNV-1a: the same on every run, unlike the standard library's hasher.
fn hash(path: &Path) -> u64 {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
