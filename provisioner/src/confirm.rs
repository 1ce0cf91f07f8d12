//! Ready means probed from outside: only the declared ports answer, and the server's own checks pass over a
//! fresh connection.

use crate::clock;
use crate::ssh::Session;
use anyhow::{Result, bail};
use host::{Cmd, Host as _};
use spec::{Check, Port, Protocol, Verdict, paths};
pub use spec::{Tally, for_people};
use std::net::{TcpStream, ToSocketAddrs};
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

/// Looks from outside at the ports and the clock, and has the server look at itself.
pub fn confirm(
    session: &Session,
    address: &str,
    ssh_port: u16,
    open: &[Port],
    depth: Depth,
) -> Result<Vec<Check>> {
    let mut checks = vec![
        ssh_answers(address, ssh_port),
        nothing_else_answers(address, ssh_port, open),
        clock::agrees(session),
    ];
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
