//! A container, as the engine says it is.

use super::Engine;
use crate::network::Space;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::net::IpAddr;
use std::path::PathBuf;

/// The kernel's mark of an address that it still asks its neighbours for.
const TENTATIVE: u32 = 0x40;

/// One, as it was when it was looked at.
#[derive(Debug, Clone)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The compose project it belongs to; empty where to none.
    pub project: String,
    /// The compose service it is of; its name where of none.
    pub service: String,
    /// Its first process as the server numbers it, while it runs.
    pub pid: Option<u32>,
    /// Its addresses in its networks.
    pub addresses: Vec<IpAddr>,
    /// All that the engine says of it.
    pub said: Value,
    proc: PathBuf,
}

impl Container {
    pub(super) fn new(said: Value, engine: &Engine) -> Result<Self> {
        let label = |name: &str| said["Config"]["Labels"][name].as_str().map(str::to_owned);
        let name = said["Name"].as_str().context("a container without a name")?.trim_start_matches('/');
        let name = name.to_owned();
        let networks = said["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
        let addresses =
            networks.flat_map(|(_, network)| [&network["IPAddress"], &network["GlobalIPv6Address"]]);
        Ok(Self {
            project: label("com.docker.compose.project").unwrap_or_default(),
            service: label("com.docker.compose.service").unwrap_or_else(|| name.clone()),
            pid: said["State"]["Pid"]
                .as_u64()
                .and_then(|pid| u32::try_from(pid).ok())
                .filter(|pid| *pid != 0),
            addresses: addresses.filter_map(|address| address.as_str()?.parse().ok()).collect(),
            proc: engine.path("/proc"),
            name,
            said,
        })
    }

    /// `project/service`.
    pub fn title(&self) -> String {
        if self.project.is_empty() { self.name.clone() } else { format!("{}/{}", self.project, self.service) }
    }

    /// Whether its health check says that it is well.
    pub fn is_healthy(&self) -> bool {
        self.said["State"]["Health"]["Status"] == "healthy"
    }

    /// Its network, entered from here: no program of the container's is needed to try what it can reach.
    pub fn network(&self) -> Result<Space> {
        Space::at(self.process()?.join("ns/net"))
    }

    /// Whether all its addresses over IPv6 are its own for sure: for about a second after its start nobody is answered there.
    pub fn is_settled(&self) -> Result<bool> {
        let table = self.process()?.join("net/if_inet6");
        let text = std::fs::read_to_string(&table).with_context(|| format!("reading {}", table.display()))?;
        let flags =
            text.lines().filter_map(|line| u32::from_str_radix(line.split_whitespace().nth(4)?, 16).ok());
        Ok(flags.fold(0, |all, one| all | one) & TENTATIVE == 0)
    }

    /// The TCP ports that something in it listens on for others, as its kernel lists them.
    pub fn listening(&self) -> Result<Vec<u16>> {
        let net = self.process()?.join("net");
        let mut ports = Vec::new();
        for table in ["tcp", "tcp6"] {
            let table = net.join(table);
            let text =
                std::fs::read_to_string(&table).with_context(|| format!("reading {}", table.display()))?;
            ports.extend(text.lines().filter_map(listener));
        }
        ports.sort_unstable();
        ports.dedup();
        Ok(ports)
    }

    fn process(&self) -> Result<PathBuf> {
        let pid = self.pid.with_context(|| format!("{} does not run", self.title()))?;
        Ok(self.proc.join(pid.to_string()))
    }
}

/// The port of a line of `/proc/net/tcp` or `tcp6` that listens, not on the loopback.
fn listener(line: &str) -> Option<u16> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace().skip(1);
    let (local, state) = (fields.next()?, fields.nth(1)?);
    let (address, port) = local.split_once(':')?;
    // Each group of four bytes is written as a number of this machine's byte order.
    let loopback = address.len() == 8 && address.ends_with("7F")
        || address == "00000000000000000000000001000000"
        || address.starts_with("0000000000000000FFFF0000") && address.ends_with("7F");
    if state != LISTEN || loopback { None } else { u16::from_str_radix(port, 16).ok() }
}
