//! Which ports something listens on, as the kernel's own tables say.

use crate::run::Cx;
use crate::steps::firewall::Rules;
use anyhow::{Context as _, Result};
use spec::{Port, Protocol};

/// What a DHCP client holds open while it runs; it listens to nobody but the link.
const DHCP: [u16; 2] = [68, 546];
const TCP_LISTEN: &str = "0A";
const UDP_UNCONNECTED: &str = "07";

/// The ports somebody listens on, reachable from outside this machine, that nobody declared.
pub(crate) fn undeclared(cx: &Cx<'_>) -> Result<Vec<String>> {
    let declared = Rules::of(cx)?.declared();
    let mut found = Vec::new();
    for (table, protocol) in
        [("tcp", Protocol::Tcp), ("tcp6", Protocol::Tcp), ("udp", Protocol::Udp), ("udp6", Protocol::Udp)]
    {
        let path = format!("/proc/net/{table}");
        let text = cx.machine().text(&path)?.with_context(|| format!("reading {path}: it is not there"))?;
        found.extend(listening(&text, protocol, cx.spec.vpn.is_some()));
    }
    found.sort_unstable();
    found.dedup();
    found.retain(|port| !declared.contains(port));
    Ok(found.iter().map(|p| format!("something listens on {p}")).collect())
}

/// `private`: whether there is a private network. What listens at its addresses is not reachable from outside it, and
/// inside it the firewall decides.
pub(super) fn listening(table: &str, protocol: Protocol, private: bool) -> Vec<Port> {
    let state = if protocol == Protocol::Tcp { TCP_LISTEN } else { UDP_UNCONNECTED };
    let mut ports = Vec::new();
    for line in table.lines().skip(1) {
        let mut fields = line.split_ascii_whitespace();
        let (Some(local), Some(found)) = (fields.nth(1), fields.nth(1)) else { continue };
        let Some((address, port)) = local.split_once(':') else { continue };
        let Ok(port) = u16::from_str_radix(port, 16) else { continue };
        let dhcp = protocol == Protocol::Udp && DHCP.contains(&port);
        let inside = private && in_private_network(address);
        if found == state && !loopback(address) && !inside && !dhcp {
            ports.push(Port { port, protocol });
        }
    }
    ports
}

/// 100.64.0.0/10 or fd7a:115c:a1e0::/48, in the form that [`loopback`] tells of.
fn in_private_network(address: &str) -> bool {
    match address.len() {
        8 => {
            address.ends_with("64") && u8::from_str_radix(&address[4..6], 16).is_ok_and(|b| b & 0xc0 == 0x40)
        }
        32 => address.starts_with("5C117AFD") && &address[12..16] == "E0A1",
        _ => false,
    }
}

/// Addresses stand there as words in the processor's byte order, which is little-endian on every server we know.
fn loopback(address: &str) -> bool {
    let v4 = |word: &str| word.ends_with("7F");
    match address.len() {
        8 => v4(address),
        32 => {
            address == "00000000000000000000000001000000"
                || address.starts_with("0000000000000000FFFF0000") && v4(&address[24..])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        \x20  0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n\
        \x20  1: 3500007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 2 1\n\
        \x20  2: 0F01FEA9:0016 0201FEA9:D431 01 00000000:00000000 00:00000000 00000000     0        0 3 1\n";
    const TCP6: &str = "  sl  local_address remote_address st\n\
        \x20  0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A x\n\
        \x20  1: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A x\n";
    const UDP: &str = "  sl  local_address rem_address   st\n\
        \x20  0: 0F01FEA9:0044 00000000:0000 07 x\n\
        \x20  1: 00000000:14EB 00000000:0000 07 x\n";

    #[test]
    fn only_what_listens_to_others_counts() {
        let port = |port, protocol| Port { port, protocol };
        assert_eq!(listening(TCP, Protocol::Tcp, false), [port(22, Protocol::Tcp)]);
        assert_eq!(listening(TCP6, Protocol::Tcp, false), [port(8080, Protocol::Tcp)]);
        assert_eq!(listening(UDP, Protocol::Udp, false), [port(5355, Protocol::Udp)]);
    }

    #[test]
    fn what_listens_inside_the_private_network_counts_only_where_there_is_none() {
        for (address, inside) in [
            ("01004064", true),
            ("FEFF7F64", true),
            ("01008064", false),
            ("01003F64", false),
            ("00000000", false),
            ("5C117AFD0000E0A10000000001000000", true),
            ("5C117AFD0000E0A20000000001000000", false),
        ] {
            let line = format!("head\n0: {address}:C001 00000000:0000 0A 0\n");
            assert_eq!(listening(&line, Protocol::Tcp, true).is_empty(), inside, "{address}");
            assert_eq!(listening(&line, Protocol::Tcp, false).len(), 1, "{address}");
        }
    }
}
