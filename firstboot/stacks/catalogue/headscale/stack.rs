//! Headscale: the control server of the private network.

use crate::{ConfigFile, DataDir, Stack};
use spec::{Port, Protocol};

/// The user both images run as, by the compose file.
const UID: u32 = 65532;

/// See `compose.yaml` beside this file.
pub(crate) const STACK: Stack = Stack {
    name: "headscale",
    compose: include_str!("compose.yaml"),
    images: &["headscale", "tailscale"],
    secrets: &[],
    data: &[DataDir { path: "headscale", uid: UID, gid: UID, mode: 0o700 }],
    config: &[
        ConfigFile { name: "config.yaml", text: include_str!("config.yaml") },
        ConfigFile { name: "policy.hujson", text: include_str!("policy.hujson") },
    ],
    certificate: Some(UID),
    ports: &[
        Port { port: 443, protocol: Protocol::Tcp },
        Port { port: 3478, protocol: Protocol::Udp },
        // The host's own node: other nodes send to it directly here, and over the relay where they cannot.
        Port { port: 41641, protocol: Protocol::Udp },
    ],
    vpn_ports: &[Port { port: 9090, protocol: Protocol::Tcp }],
    mail: None,
    records: &["vpn A {ipv4}", "vpn AAAA {ipv6}"],
};
