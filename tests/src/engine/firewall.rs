//! A server's firewall: the rules that firstboot's own tests hold to their word, laid into chains as UFW lays them. In those
//! rules TCP port 443 and UDP port 3478 stand for what is open to the world, TCP port 9090 for what is open to the private
//! network alone, and ssh is at 22.

use super::Engine;
use anyhow::{Context as _, Result};
use host::{Host as _, Local};

const V4: &str = include_str!("../../../firstboot/src/steps/firewall/golden/v4.txt");
const V6: &str = include_str!("../../../firstboot/src/steps/firewall/golden/v6.txt");

/// TCP or UDP ports that are open.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open<'a> {
    /// TCP, to the world.
    pub tcp: &'a [u16],
    /// UDP, to the world.
    pub udp: &'a [u16],
    /// TCP, to the private network alone.
    pub vpn: &'a [u16],
}

impl Engine {
    /// Closes the server as firstboot does, but for ssh and these ports. Again, it forgets what was open before.
    pub fn close(&self, open: Open<'_>) -> Result<()> {
        for (program, ufw, golden) in [("iptables-restore", "ufw", V4), ("ip6tables-restore", "ufw6", V6)] {
            let rules = golden.lines().filter(|line| line.starts_with("-A ")).flat_map(|line| of(line, open));
            let rules: String = rules.map(|rule| rule + "\n").collect();
            let table = format!("{}{rules}COMMIT\n", chains(ufw));
            let restore = self.program(program).arg("--noflush").stdin(table);
            Local.run(&restore).with_context(|| format!("closing the server by {program}"))?;
        }
        Ok(())
    }
}

/// What UFW lets through by itself, and the chains of the rules that are ours.
fn chains(ufw: &str) -> String {
    format!(
        "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n:{ufw}-user-input - [0:0]\n\
         :{ufw}-user-output - [0:0]\n:{ufw}-after-output - [0:0]\n-F INPUT\n-F OUTPUT\n-A INPUT -i lo -j ACCEPT\n\
         -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -p {} -j ACCEPT\n\
         -A INPUT -j {ufw}-user-input\n-A OUTPUT -j {ufw}-user-output\n-A OUTPUT -j {ufw}-after-output\n",
        if ufw == "ufw6" { "ipv6-icmp" } else { "icmp" }
    )
}

/// A rule, once for each port that its own stands for.
fn of(rule: &str, open: Open<'_>) -> Vec<String> {
    for (stands, ports) in [("port 443 ", open.tcp), ("port 3478 ", open.udp), ("port 9090 ", open.vpn)] {
        if rule.contains(stands) {
            return ports.iter().map(|port| rule.replace(stands, &format!("port {port} "))).collect();
        }
    }
    vec![rule.to_owned()]
}
