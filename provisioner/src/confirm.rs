//! Ready means probed from outside: only the declared ports answer, and the server's own checks pass over a
//! fresh connection.

use crate::clock;
use crate::ssh::Session;
use anyhow::{Result, bail};
use host::{Cmd, Host as _};
use spec::{Check, Port, Protocol, Verdict, paths};
pub use spec::{Tally, for_people};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

/// What attackers and mistakes open first: looked at besides the declared ports.
const COMMONLY_OPEN: [u16; 16] =
    [21, 22, 23, 25, 80, 111, 443, 2375, 2376, 3306, 5000, 5432, 6379, 8080, 9090, 9100];
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// RFC 4253, 4.2.
const LONGEST_BANNER: u64 = 255;

/// How much the server looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What must hold for it to be ready.
    Ready,
    /// That, and the whole audit.
    Audit,
}

/// A server as it is seen from outside.
#[derive(Debug, Clone, Copy)]
pub struct Outside<'a> {
    /// Where it is reached.
    pub address: &'a str,
    /// The port of its ssh.
    pub ssh_port: u16,
    /// What it declares besides.
    pub open: &'a [Port],
    /// Where names lead its clients to.
    pub names: Option<Names<'a>>,
}

/// Names that lead to a server's address over either protocol.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Those with an AAAA record, to be shown.
    pub names: &'a str,
    /// Where their A records lead.
    pub ipv4: Ipv4Addr,
    /// Where their AAAA records lead.
    pub ipv6: Ipv6Addr,
}

/// Looks from outside at the ports and the clock, and has the server look at itself.
pub fn confirm(session: &Session, outside: Outside<'_>, depth: Depth) -> Result<Vec<Check>> {
    let Outside { address, ssh_port, open, names } = outside;
    let mut checks = vec![
        ssh_answers(address, ssh_port),
        nothing_else_answers(address, ssh_port, open),
        clock::agrees(session),
    ];
    if let Some(names) = names.filter(|names| depth == Depth::Audit && is_reached_from_here(names.ipv6)) {
        let answers = |ip: IpAddr, port| connect(&ip.to_string(), port).is_ok();
        checks.push(same_over_both(names, &for_everybody(open), answers));
    }
    let quick = (depth == Depth::Ready).then_some("--quick");
    let said = session.probe(&Cmd::new(paths::BINARY).args(["verify", "--json"]).args(quick))?;
    match Check::list_from_json(&said.stdout) {
        Ok(own) => checks.extend(own),
        Err(error) => bail!("confirming from outside: {error}; {}", said.stderr.trim()),
    }
    Ok(checks)
}

fn ssh_answers(address: &str, port: u16) -> Check {
    let verdict = match banner(address, port) {
        Ok(banner) if banner.starts_with("SSH-2.0-") => Verdict::Pass,
        Ok(banner) => Verdict::Fail(format!("it says {banner:?}")),
        Err(error) => Verdict::Fail(error.to_string()),
    };
    Check::new(format!("ssh answers on port {port}"), verdict)
}

fn nothing_else_answers(address: &str, ssh_port: u16, open: &[Port]) -> Check {
    let declared = |port: u16| port == ssh_port || open.contains(&Port { port, protocol: Protocol::Tcp });
    let probed: Vec<u16> = COMMONLY_OPEN.into_iter().filter(|port| !declared(*port)).collect();
    let answers = |port: &u16| connect(address, *port).is_ok();
    let found: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = probed.iter().map(|port| (port, scope.spawn(move || answers(port)))).collect();
        let open = threads
            .into_iter()
            .filter_map(|(port, thread)| thread.join().unwrap_or(true).then(|| port.to_string()));
        open.collect()
    });
    let verdict =
        if found.is_empty() { Verdict::Pass } else { Verdict::Fail(format!("open: {}", found.join(", "))) };
    Check::new(format!("none of {} commonly open ports answers undeclared", probed.len()), verdict)
}

/// The TCP ports that clients come to. Not ssh's: that may be open to one address of the operator's alone.
fn for_everybody(open: &[Port]) -> Vec<u16> {
    open.iter().filter(|port| port.protocol == Protocol::Tcp).map(|port| port.port).collect()
}

/// Whether this machine has a way to an IPv6 address. Where it has none the server's own look at what listens must do.
fn is_reached_from_here(address: Ipv6Addr) -> bool {
    // Nothing is sent: connecting such a socket only asks the kernel for a route.
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok_and(|socket| socket.connect((address, 9)).is_ok())
}

/// A name with both records takes its clients to either address: what answers over one protocol must over the other.
fn same_over_both(names: Names<'_>, ports: &[u16], answers: impl Fn(IpAddr, u16) -> bool) -> Check {
    let differ = ports.iter().filter_map(|port| {
        match (answers(names.ipv4.into(), *port), answers(names.ipv6.into(), *port)) {
            (true, false) => Some(format!("port {port} answers at {} and not at {}", names.ipv4, names.ipv6)),
            (false, true) => Some(format!("port {port} answers at {} and not at {}", names.ipv6, names.ipv4)),
            _ => None,
        }
    });
    let differ: Vec<_> = differ.collect();
    let verdict = if differ.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Fail(format!("{}; {} leads clients to both", differ.join(", "), names.names))
    };
    Check::new("what answers over IPv4 answers over IPv6, where names lead to both", verdict)
}

fn connect(address: &str, port: u16) -> std::io::Result<TcpStream> {
    let mut found = (address, port).to_socket_addrs()?;
    let target = found.next().ok_or_else(|| std::io::Error::other("no such address"))?;
    TcpStream::connect_timeout(&target, PROBE_LIMIT)
}

fn banner(address: &str, port: u16) -> std::io::Result<String> {
    use std::io::{BufRead as _, BufReader, Read as _};
    let stream = connect(address, port)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_BANNER)).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_over_one_protocol_alone_is_told_with_the_names_that_lead_there() {
        let names = Names { names: "www, @", ipv4: Ipv4Addr::LOCALHOST, ipv6: Ipv6Addr::LOCALHOST };
        let over_v4_alone = |ip: IpAddr, port| ip.is_ipv4() || port == 22;
        let Verdict::Fail(said) = same_over_both(names, &[22, 443], over_v4_alone).verdict else {
            panic!("it passed")
        };
        assert_eq!(said, "port 443 answers at 127.0.0.1 and not at ::1; www, @ leads clients to both");
        assert_eq!(same_over_both(names, &[22], over_v4_alone).verdict, Verdict::Pass);
        assert_eq!(same_over_both(names, &[443], |_, _| false).verdict, Verdict::Pass);
        let over_v6_alone = |ip: IpAddr, _| ip.is_ipv6();
        assert!(matches!(same_over_both(names, &[443], over_v6_alone).verdict, Verdict::Fail(_)));
    }

    #[test]
    fn ssh_which_may_be_open_to_one_address_alone_is_not_compared() {
        let port = |port, protocol| Port { port, protocol };
        let open = [port(443, Protocol::Tcp), port(443, Protocol::Udp), port(80, Protocol::Tcp)];
        assert_eq!(for_everybody(&open), [443, 80]);
    }

    #[test]
    fn a_real_port_is_seen_over_the_protocol_it_listens_on() {
        if !is_reached_from_here(Ipv6Addr::LOCALHOST) {
            host::say::err("SKIPPED a_real_port_is_seen_over_the_protocol_it_listens_on: there is no IPv6");
            return;
        }
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let names = Names { names: "www", ipv4: Ipv4Addr::LOCALHOST, ipv6: Ipv6Addr::LOCALHOST };
        let check = same_over_both(names, &[port], |ip, port| connect(&ip.to_string(), port).is_ok());
        assert!(matches!(check.verdict, Verdict::Fail(_)), "{check:?}");
    }
}
