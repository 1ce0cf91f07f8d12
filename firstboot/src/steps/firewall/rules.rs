//! The firewall as one typed declaration, for IPv4 and IPv6: what may pass, and the rules that say it.
//!
//! Two places hold them. UFW's own list is about the host and can be read with `ufw status`. What goes to and from
//! containers passes UFW by, so `DOCKER-USER` says the same of it, and more. What comes from outside and is not
//! declared is dropped: the world is told nothing. What our own containers and users may not do is rejected: it fails at
//! once, with an error that somebody can read.

use crate::run::Cx;
use ::stacks::manifest::From;
use anyhow::Result;
use spec::{Port, Protocol};
use std::fmt::Write as _;

/// Where the cloud serves the server's user-data; at Hetzner there is no IPv6 address of it.
const METADATA: &str = "169.254.169.254/32";
/// The interface of the private network.
const VPN: &str = "tailscale0";
/// The interfaces of containers' networks: Docker's default one, and those that compose files make.
const CONTAINERS: [&str; 2] = ["docker0", "br-+"];
const SMTP: Port = Port { port: 25, protocol: Protocol::Tcp };
/// The bare minimum of a connection: it was let in before.
const KNOWN: &str = "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN";

/// IPv4 or IPv6: UFW keeps them in files of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// What UFW's chains begin with.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::V4 => "ufw",
            Self::V6 => "ufw6",
        }
    }

    fn anywhere(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0/0",
            Self::V6 => "::/0",
        }
    }

    /// The addresses of the private network.
    fn tailnet(self) -> &'static str {
        match self {
            Self::V4 => "100.64.0.0/10",
            Self::V6 => "fd7a:115c:a1e0::/48",
        }
    }

    /// How the kernel shows a rejection that names no way to reject.
    fn unreachable(self) -> &'static str {
        match self {
            Self::V4 => "REJECT --reject-with icmp-port-unreachable",
            Self::V6 => "REJECT --reject-with icmp6-port-unreachable",
        }
    }

    /// The ways through UFW's chains to the rules that are ours, as the kernel shows them.
    pub(super) fn hooks(self) -> [&'static str; 5] {
        match self {
            Self::V4 => [
                "-A INPUT -j ufw-before-input",
                "-A OUTPUT -j ufw-before-output",
                "-A OUTPUT -j ufw-after-output",
                "-A ufw-before-input -j ufw-user-input",
                "-A ufw-before-output -j ufw-user-output",
            ],
            Self::V6 => [
                "-A INPUT -j ufw6-before-input",
                "-A OUTPUT -j ufw6-before-output",
                "-A OUTPUT -j ufw6-after-output",
                "-A ufw6-before-input -j ufw6-user-input",
                "-A ufw6-before-output -j ufw6-user-output",
            ],
        }
    }

    /// The program that shows what the kernel holds.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Allow,
    Deny,
    Reject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// A rule of UFW's list: about the host itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visible {
    action: Action,
    way: Way,
    /// The interface it comes in on.
    on: Option<&'static str>,
    from: Option<&'static str>,
    to: Option<Port>,
}

impl Visible {
    fn new(action: Action) -> Self {
        Self { action, way: Way::In, on: None, from: None, to: None }
    }

    fn allow(to: Port) -> Self {
        Self { to: Some(to), ..Self::new(Action::Allow) }
    }

    /// As UFW reads it back.
    pub(super) fn tuple(self, family: Family) -> String {
        let action = match self.action {
            Action::Allow => "allow",
            Action::Deny => "deny",
            Action::Reject => "reject",
        };
        let any = family.anywhere();
        let (protocol, port) =
            self.to.map_or(("any", "any".into()), |to| (name(to.protocol), to.port.to_string()));
        let way = match self.way {
            Way::In => "in",
            Way::Out => "out",
        };
        let on = self.on.map(|on| format!("_{on}")).unwrap_or_default();
        format!("{action} {protocol} {port} {any} any {} {way}{on}", self.from.unwrap_or(any))
    }

    /// As UFW writes it for the kernel.
    pub(super) fn line(self, family: Family) -> String {
        let mut text = self.chain(family);
        if let Some(on) = self.on {
            let _ = write!(text, " -i {on}");
        }
        if let Some(Port { port, protocol }) = self.to {
            let _ = write!(text, " -p {} --dport {port}", name(protocol));
        }
        if let Some(from) = self.from {
            let _ = write!(text, " -s {from}");
        }
        text + match self.action {
            Action::Allow => " -j ACCEPT",
            Action::Deny => " -j DROP",
            Action::Reject if self.is_tcp() => " -j REJECT --reject-with tcp-reset",
            Action::Reject => " -j REJECT",
        }
    }

    /// As the kernel shows it.
    fn shown(self, family: Family) -> String {
        let mut text = self.chain(family);
        if let Some(from) = self.from {
            let _ = write!(text, " -s {from}");
        }
        if let Some(on) = self.on {
            let _ = write!(text, " -i {on}");
        }
        if let Some(Port { port, protocol }) = self.to {
            let protocol = name(protocol);
            let _ = write!(text, " -p {protocol} -m {protocol} --dport {port}");
        }
        let verdict = match self.action {
            Action::Allow => "ACCEPT",
            Action::Deny => "DROP",
            Action::Reject if self.is_tcp() => "REJECT --reject-with tcp-reset",
            Action::Reject => family.unreachable(),
        };
        text + " -j " + verdict
    }

    fn is_tcp(self) -> bool {
        self.to.is_some_and(|to| to.protocol == Protocol::Tcp)
    }

    fn chain(self, family: Family) -> String {
        let way = match self.way {
            Way::In => "input",
            Way::Out => "output",
        };
        format!("-A {}-user-{way}", family.prefix())
    }
}

/// What may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Where sshd listens, for everybody.
    ssh: Port,
    /// Ports open to the world, the host's or published by containers; sorted.
    world: Vec<Port>,
    /// Where there is a private network: the ports open to that alone; sorted.
    vpn: Option<Vec<Port>>,
    /// The container networks that mail is sent from, IPv4.
    mail: Vec<String>,
}

impl Rules {
    /// What a server's spec and its stacks declare.
    pub(crate) fn of(cx: &Cx<'_>) -> Result<Self> {
        let (spec, plan) = (&cx.spec, cx.plan()?);
        let vpn = spec.vpn.as_ref().map(|_| plan.ports(From::Vpn));
        let mail = plan.mail().iter().map(ToString::to_string).collect();
        Ok(Self::new(spec.ssh.port, &spec.inbound, vpn.as_deref(), mail))
    }

    pub(super) fn new(ssh: u16, world: &[Port], vpn: Option<&[Port]>, mail: Vec<String>) -> Self {
        let sorted = |ports: &[Port]| {
            let mut ports = ports.to_vec();
            ports.sort_unstable();
            ports.dedup();
            ports
        };
        let ssh = Port { port: ssh, protocol: Protocol::Tcp };
        Self { ssh, world: sorted(world), vpn: vpn.map(sorted), mail }
    }

    /// Every port that something may listen on, to whomever it is open.
    pub(crate) fn declared(&self) -> Vec<Port> {
        let inside = self.vpn.iter().flatten();
        std::iter::once(&self.ssh).chain(&self.world).chain(inside).copied().collect()
    }

    /// UFW's list, in its order: the first rule that fits decides.
    pub(super) fn visible(&self, family: Family) -> Vec<Visible> {
        let for_all =
            || std::iter::once(self.ssh).chain(self.world.iter().copied().filter(|p| *p != self.ssh));
        let mut rules = Vec::new();
        if let Some(vpn) = &self.vpn {
            let more = vpn.iter().copied().filter(|p| for_all().all(|open| open != *p));
            rules.extend(for_all().chain(more).map(|to| Visible { on: Some(VPN), ..Visible::allow(to) }));
            // Whoever comes by another way with such an address has made it up.
            rules.push(Visible { from: Some(family.tailnet()), ..Visible::new(Action::Deny) });
        }
        rules.extend(CONTAINERS.map(|on| Visible { on: Some(on), ..Visible::new(Action::Reject) }));
        rules.extend(for_all().map(Visible::allow));
        rules.push(Visible { way: Way::Out, to: Some(SMTP), ..Visible::new(Action::Reject) });
        rules
    }

    /// The same as the kernel shows it: what comes in, and what goes out.
    pub(crate) fn hosts(&self, family: Family) -> [(String, Vec<String>); 2] {
        let visible = self.visible(family);
        [(Way::In, "input"), (Way::Out, "output")].map(|(way, name)| {
            let rules = visible.iter().filter(|rule| rule.way == way).map(|rule| rule.shown(family));
            (format!("{}-user-{name}", family.prefix()), rules.collect())
        })
    }

    /// Who on the host may ask the metadata service: root alone, as the kernel shows it. UFW has no word for users.
    pub(crate) fn metadata(&self, family: Family) -> Vec<String> {
        let rule = format!(
            "-A {} -d {METADATA} -m owner ! --uid-owner 0 -j {}",
            family.after_output(),
            family.unreachable()
        );
        if family == Family::V4 { vec![rule] } else { vec![] }
    }

    /// The rules for traffic to and from containers, as the kernel shows them.
    pub(crate) fn forwarded(&self, family: Family) -> Vec<String> {
        let v4 = family == Family::V4;
        let reject = family.unreachable();
        let mut rules = vec![KNOWN.to_owned()];
        let mut add = |rule: String| rules.push(rule);
        if v4 {
            // A port published on 127.0.0.1 is translated before the kernel looks whether that address may come in by
            // wire: without this a neighbour reaches it, up to Docker 27.
            add("-m conntrack --ctorigdst 127.0.0.0/8 -j DROP".into());
        }
        if self.vpn.is_some() {
            add(format!("-s {} ! -i {VPN} -j DROP", family.tailnet()));
        }
        if v4 {
            add(format!("-d {METADATA} -j {reject}"));
        }
        // From one network of containers to another, also by way of a published port. What stays inside one network is
        // bridged, not routed.
        for (from, to) in CONTAINERS.iter().flat_map(|from| CONTAINERS.map(|to| (from, to))) {
            add(format!("-i {from} -o {to} -m physdev ! --physdev-is-bridged -j {reject}"));
        }
        for subnet in self.mail.iter().filter(|_| v4) {
            add(format!("-s {subnet} -i br-+ -p tcp -m tcp --dport 25 -j RETURN"));
        }
        for from in CONTAINERS {
            add(format!("-i {from} -p tcp -m tcp --dport 25 -j REJECT --reject-with tcp-reset"));
        }
        if self.vpn.is_some() {
            // The host's own node is no way into the private network for containers.
            CONTAINERS.iter().for_each(|from| add(format!("-i {from} -o {VPN} -j {reject}")));
        }
        CONTAINERS.iter().for_each(|from| add(format!("-i {from} -j RETURN")));
        // Only what Docker translated, and matched as it was before: the port that is declared, not the container's.
        let published = |Port { port, protocol }: &Port| {
            format!("-p {} -m conntrack --ctstate DNAT --ctorigdstport {port} -j RETURN", name(*protocol))
        };
        self.vpn.iter().flatten().for_each(|port| add(format!("-i {VPN} {}", published(port))));
        self.world.iter().for_each(|port| add(published(port)));
        add("-j DROP".into());
        rules.into_iter().map(|rule| format!("-A DOCKER-USER {rule}")).collect()
    }
}

impl Family {
    /// UFW's chain for what goes out and no rule of its list decided.
    pub(crate) fn after_output(self) -> &'static str {
        match self {
            Self::V4 => "ufw-after-output",
            Self::V6 => "ufw6-after-output",
        }
    }
}

fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: Port = Port { port: 443, protocol: Protocol::Tcp };
    const STUN: Port = Port { port: 3478, protocol: Protocol::Udp };
    const ADMIN: Port = Port { port: 9090, protocol: Protocol::Tcp };

    fn everything() -> Rules {
        Rules::new(22, &[STUN, WEB], Some(&[ADMIN]), vec!["172.22.1.0/24".into()])
    }

    /// What the kernel shall hold, and UFW's tuples, as one readable text.
    fn listing(rules: &Rules, family: Family) -> String {
        let mut text = String::new();
        for rule in rules.visible(family) {
            text += &format!("{}\n", rule.tuple(family));
        }
        for (_, lines) in rules.hosts(family) {
            text += &format!("\n{}\n", lines.join("\n"));
        }
        text += &format!("\n{}\n", rules.forwarded(family).join("\n"));
        for line in rules.metadata(family) {
            text += &format!("\n{line}\n");
        }
        text
    }

    #[test]
    fn every_rule_for_ipv4_is_as_written_down() {
        assert_eq!(listing(&everything(), Family::V4), include_str!("golden/v4.txt"));
    }

    #[test]
    fn every_rule_for_ipv6_is_as_written_down() {
        assert_eq!(listing(&everything(), Family::V6), include_str!("golden/v6.txt"));
    }

    #[test]
    fn ssh_comes_first_and_nothing_twice() {
        let ssh = Port { port: 22, protocol: Protocol::Tcp };
        let rules = Rules::new(22, &[STUN, WEB, WEB, ssh], None, vec![]);
        let allowed = rules.visible(Family::V4).into_iter().filter(|rule| rule.action == Action::Allow);
        assert_eq!(allowed.map(|rule| rule.to.unwrap()).collect::<Vec<_>>(), [ssh, WEB, STUN]);
    }

    #[test]
    fn without_a_private_network_nothing_is_said_of_one() {
        for family in Family::BOTH {
            let rules = Rules::new(22, &[WEB], None, vec![]);
            let text = listing(&rules, family);
            assert!(!text.contains(VPN) && !text.contains(family.tailnet()), "{text}");
            assert!(!text.contains("9090"), "an administrator's port is open to nobody then");
        }
    }

    #[test]
    fn ssh_is_not_a_containers_and_the_last_rule_drops() {
        for family in Family::BOTH {
            let rules = everything().forwarded(family);
            assert_eq!(rules.last().unwrap(), "-A DOCKER-USER -j DROP");
            assert!(!rules.iter().any(|rule| rule.contains("dstport 22")));
            let returns = |rule: &&String| rule.ends_with("-j RETURN") && rule.contains("dstport");
            assert!(rules.iter().filter(returns).all(|rule| rule.contains("--ctstate DNAT")));
        }
    }

    #[test]
    fn mail_goes_out_before_it_is_refused_to_the_others() {
        let rules = everything().forwarded(Family::V4);
        let at = |part: &str| rules.iter().position(|rule| rule.contains(part)).unwrap();
        assert!(at("172.22.1.0/24") < at("--dport 25 -j REJECT"));
        assert!(at("169.254.169.254") < at("172.22.1.0/24"));
    }
}
