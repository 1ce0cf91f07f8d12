//! The ports a server is reached at: whether they are free, and who has them if not.

use super::{Failure, Forward, Protocol};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::path::Path;

/// Fails with a sentence when one of the ports cannot be had.
pub(crate) fn check(address: Ipv4Addr, forwards: &[Forward]) -> Result<(), Failure> {
    for forward in forwards {
        bind(address, *forward).map_err(|error| refused(address, *forward, &error))?;
    }
    Ok(())
}

/// Whether all of the ports can be had.
pub(crate) fn are_free(address: Ipv4Addr, forwards: &[Forward]) -> bool {
    forwards.iter().all(|forward| bind(address, *forward).is_ok())
}

fn bind(address: Ipv4Addr, forward: Forward) -> std::io::Result<()> {
    let address = SocketAddrV4::new(address, forward.port);
    match forward.protocol {
        Protocol::Tcp => TcpListener::bind(address).map(drop),
        Protocol::Udp => UdpSocket::bind(address).map(drop),
    }
}

fn refused(address: Ipv4Addr, forward: Forward, error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            let port = forward.port;
            Failure::new(
                "port_forbidden",
                format!(
                    "listening on {address}:{port} for the server: not allowed; ports below 1024 need root, or \
                     `sysctl net.ipv4.ip_unprivileged_port_start={port}`, or another port in project.toml"
                ),
            )
        }
        _ => taken(address, forward, &error.to_string()),
    }
}

/// The sentence for a port that somebody else has.
pub(crate) fn taken(address: Ipv4Addr, forward: Forward, why: &str) -> Failure {
    let (protocol, port) = (forward.protocol.name(), forward.port);
    let who = holder(forward).map_or_else(|| format!("({why})"), |who| format!("by {who}"));
    let remedy = if port == 22 {
        "set another `[ssh] port` in project.toml, or stop it or let it listen on one address only".to_owned()
    } else {
        format!(
            "stop it, let it listen on one address only, or declare another port than {port} in project.toml"
        )
    };
    Failure::new(
        "port_taken",
        format!(
            "listening on {protocol} {address}:{port} for the server: the port is taken {who}; {remedy}, then power the server on"
        ),
    )
}

/// Who listens on the port: `sshd (process 123, on 0.0.0.0:22)`.
fn holder(forward: Forward) -> Option<String> {
    let tables: &[&str] = match forward.protocol {
        Protocol::Tcp => &["/proc/net/tcp", "/proc/net/tcp6"],
        Protocol::Udp => &["/proc/net/udp", "/proc/net/udp6"],
    };
    let text = tables.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect::<String>();
    let (address, inode) = listener(&text, forward)?;
    let place = format!("on {address}:{}", forward.port);
    match owner(&inode) {
        Some((pid, name)) => Some(format!("{name} (process {pid}, {place})")),
        None => Some(format!("a process of another user ({place})")),
    }
}

/// The address and inode of the socket that listens on the port, from the kernel's table of sockets.
fn listener(table: &str, forward: Forward) -> Option<(String, String)> {
    // 0A is LISTEN for TCP; a bound, unconnected UDP socket has 07.
    let state = if forward.protocol == Protocol::Tcp { "0A" } else { "07" };
    table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        let same = u16::from_str_radix(port, 16).ok()? == forward.port && fields.get(3) == Some(&state);
        same.then(|| (readable(address), fields.get(9).copied().unwrap_or_default().to_owned()))
    })
}

fn readable(hex: &str) -> String {
    match u32::from_str_radix(hex, 16) {
        Ok(number) if hex.len() == 8 => Ipv4Addr::from(number.to_le_bytes()).to_string(),
        _ => "all addresses".into(),
    }
}

fn owner(inode: &str) -> Option<(u32, String)> {
    let wanted = format!("socket:[{inode}]");
    std::fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let mut descriptors = std::fs::read_dir(entry.path().join("fd")).ok()?.filter_map(Result::ok);
        descriptors.find(|d| std::fs::read_link(d.path()).is_ok_and(|link| link == Path::new(&wanted)))?;
        let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        Some((pid, name.trim().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_told_with_its_holder_and_a_remedy() {
        let address = Ipv4Addr::new(127, 77, 255, 1);
        let all = TcpListener::bind("0.0.0.0:0").unwrap();
        let forward = Forward { protocol: Protocol::Tcp, port: all.local_addr().unwrap().port() };
        let failure = check(address, &[forward]).unwrap_err();
        assert_eq!(failure.code, "port_taken");
        let me = format!("process {}", std::process::id());
        assert!(failure.message.contains(&me) && failure.message.contains("0.0.0.0"), "{}", failure.message);
        assert!(failure.message.contains("project.toml"));
        drop(all);
        check(address, &[forward]).unwrap();
    }

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address st tx rx tr tm->when retrnsmt uid timeout inode\n   \
                     0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1\n";
        let forward = Forward { protocol: Protocol::Tcp, port: 22 };
        assert_eq!(listener(table, forward), Some(("127.0.0.1".into(), "4711".into())));
    }
}
