//! Who reaches whom, measured: from each container and each network outside, to every port that any container listens on, and
//! at the server's own addresses to every port that is published. TCP, over IPv4 and IPv6.

use crate::engine::{Container, Engine, SERVER, SERVER_IN_VPN, Side};
use crate::network::{Reach, Space};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What one that asks is called: a container `stack/service`, or one of these.
pub const INTERNET: &str = "internet";
/// A device of the private network.
pub const VPN: &str = "vpn";

/// Who reached what: the asker, then what it reached — `stack/service:port` at a container's own address, `server:port`
/// at the server's — and at which addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    reached: BTreeMap<(String, String), BTreeSet<IpAddr>>,
    askers: BTreeSet<String>,
    asked: BTreeSet<String>,
}

struct Target {
    title: String,
    address: SocketAddr,
    /// Whose it is.
    of: String,
}

/// Measures it, for all containers that run; all at once, so that it takes as long as one silence.
pub fn measure(engine: &Engine) -> Result<Table> {
    let containers: Vec<Container> =
        engine.containers(None)?.into_iter().filter(|container| container.pid.is_some()).collect();
    for container in &containers {
        let settled = format!("the addresses of {} are settled", container.title());
        crate::until(&settled, || container.is_settled())?;
    }
    let mut askers: Vec<(String, Space)> = Vec::new();
    for container in &containers {
        askers.push((container.title(), container.network()?));
    }
    let mut targets = Vec::new();
    for container in &containers {
        targets.extend(at_its_own(container)?);
        targets.extend(at_the_server(container)?);
    }
    let mut table = Table::default();
    let outside = [(INTERNET, engine.outside(Side::Internet)), (VPN, engine.outside(Side::Vpn))];
    let all = askers.iter().map(|(name, space)| (name.as_str(), space)).chain(outside);
    let measured = std::thread::scope(|scope| {
        let ask = |(name, space)| {
            let targets = &targets;
            scope.spawn(move || (name, ask(name, space, targets)))
        };
        let threads: Vec<_> = all.map(ask).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    table.asked.extend(targets.iter().map(|target| target.title.clone()));
    for one in measured {
        let (name, reached) = one.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        table.askers.insert(name.to_owned());
        for (title, address) in reached.with_context(|| format!("trying what {name} reaches"))? {
            table.reached.entry((name.to_owned(), title)).or_default().insert(address);
        }
    }
    Ok(table)
}

fn ask(name: &str, space: &Space, targets: &[Target]) -> Result<Vec<(String, IpAddr)>> {
    // What a container reaches of itself is nobody's business.
    let targets: Vec<&Target> = targets.iter().filter(|target| target.of != name).collect();
    let addresses: Vec<SocketAddr> = targets.iter().map(|target| target.address).collect();
    let reached = space.connect(&addresses)?;
    let open = targets.iter().zip(reached).filter(|(_, reach)| *reach == Reach::Open);
    Ok(open.map(|(target, _)| (target.title.clone(), target.address.ip())).collect())
}

/// Its ports at its own addresses.
fn at_its_own(container: &Container) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for port in container.listening()? {
        targets.extend(container.addresses.iter().map(|address| Target {
            title: format!("{}:{port}", container.title()),
            address: SocketAddr::new(*address, port),
            of: container.title(),
        }));
    }
    Ok(targets)
}

/// What it publishes, at each address of the server's.
fn at_the_server(container: &Container) -> Result<Vec<Target>> {
    let mut ports = BTreeSet::new();
    let bindings = container.said["NetworkSettings"]["Ports"].as_object().into_iter().flatten();
    for binding in bindings.filter(|(port, _)| port.ends_with("/tcp")).filter_map(|(_, all)| all.as_array()) {
        for one in binding {
            let port = one["HostPort"].as_str().context("a published port without a number")?;
            ports.insert(port.parse::<u16>().context("reading a published port")?);
        }
    }
    let mut targets = Vec::new();
    for address in SERVER.into_iter().chain(SERVER_IN_VPN) {
        let address: IpAddr = address.parse().context("reading the server's address")?;
        targets.extend(ports.iter().map(|port| Target {
            title: format!("server:{port}"),
            address: SocketAddr::new(address, *port),
            of: container.title(),
        }));
    }
    Ok(targets)
}

impl Table {
    /// Whether exactly these pairs reached each other, asker and asked. A pair whose asker or asked was not there is a
    /// mistake of whoever expects it.
    pub fn is(&self, expected: &[(&str, &str)]) -> Result<()> {
        for (asker, asked) in expected {
            ensure!(self.askers.contains(*asker), "nobody is called {asker}: there are {:?}", self.askers);
            ensure!(self.asked.contains(*asked), "nothing is called {asked}: there are {:?}", self.asked);
        }
        let expected: BTreeSet<(String, String)> =
            expected.iter().map(|(asker, asked)| ((*asker).to_owned(), (*asked).to_owned())).collect();
        let reached: BTreeSet<(String, String)> = self.reached.keys().cloned().collect();
        let lines = |pairs: Vec<&(String, String)>, what: &str| -> String {
            pairs.iter().map(|(asker, asked)| format!("{asker} {what} {asked}\n")).collect()
        };
        let more = lines(reached.difference(&expected).collect(), "reaches and should not:");
        let less = lines(expected.difference(&reached).collect(), "does not reach and should:");
        if more.is_empty() && less.is_empty() {
            return Ok(());
        }
        bail!("who reaches whom is not as planned:\n{more}{less}{self}")
    }

    /// The server's addresses, or a container's own, that an asker reached something at.
    pub fn addresses(&self, asker: &str, asked: &str) -> BTreeSet<IpAddr> {
        self.reached.get(&(asker.to_owned(), asked.to_owned())).cloned().unwrap_or_default()
    }
}

/// A line for each asker, a column for each port: `4` and `6` where it was reached over IPv4 and IPv6.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = self.askers.iter().map(String::len).max().unwrap_or_default();
        for (at, asked) in self.asked.iter().enumerate() {
            writeln!(f, "{:wide$}  {}{asked}", "", "|  ".repeat(at))?;
        }
        for asker in &self.askers {
            write!(f, "{asker:wide$}  ")?;
            for asked in &self.asked {
                let addresses = self.addresses(asker, asked);
                let mark =
                    |six: bool, mark| if addresses.iter().any(|a| a.is_ipv6() == six) { mark } else { "·" };
                write!(f, "{}{} ", mark(false, "4"), mark(true, "6"))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
