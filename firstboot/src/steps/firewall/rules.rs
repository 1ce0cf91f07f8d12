//! The firewall as a typed list, in UFW's own files, and in the form the kernel shows it.

use crate::Cx;
use crate::managed::Part;
use anyhow::Result;
use spec::{Port, Protocol};

const DEFAULTS: &str = "/etc/default/ufw";
/// Every file of UFW's that says what is let in.
pub(super) const FILES: [&str; 6] = [
    DEFAULTS,
    "/etc/ufw/ufw.conf",
    "/etc/ufw/user.rules",
    "/etc/ufw/user6.rules",
    "/etc/ufw/after.rules",
    "/etc/ufw/after6.rules",
];
const BEGIN: &str = "# BEGIN sovereign: traffic forwarded to containers";
const END: &str = "# END sovereign";
/// Where the cloud serves the server's user-data: no container's business.
const METADATA: &str = "169.254.169.254/32";

/// The chains UFW keeps in its file of rules.
const CHAINS: [&str; 16] = [
    "user-input",
    "user-output",
    "user-forward",
    "before-logging-input",
    "before-logging-output",
    "before-logging-forward",
    "user-logging-input",
    "user-logging-output",
    "user-logging-forward",
    "after-logging-input",
    "after-logging-output",
    "after-logging-forward",
    "logging-deny",
    "logging-allow",
    "user-limit",
    "user-limit-accept",
];

/// What follows the rules in UFW's file.
const TAIL: &str = r#"
### END RULES ###

### LOGGING ###
-A ufw-after-logging-input -j LOG --log-prefix "[UFW BLOCK] " -m limit --limit 3/min --limit-burst 10
-A ufw-after-logging-forward -j LOG --log-prefix "[UFW BLOCK] " -m limit --limit 3/min --limit-burst 10
-I ufw-logging-deny -m conntrack --ctstate INVALID -j RETURN -m limit --limit 3/min --limit-burst 10
-A ufw-logging-deny -j LOG --log-prefix "[UFW BLOCK] " -m limit --limit 3/min --limit-burst 10
-A ufw-logging-allow -j LOG --log-prefix "[UFW ALLOW] " -m limit --limit 3/min --limit-burst 10
### END LOGGING ###

### RATE LIMITING ###
-A ufw-user-limit -m limit --limit 3/minute -j LOG --log-prefix "[UFW LIMIT BLOCK] "
-A ufw-user-limit -j REJECT
-A ufw-user-limit-accept -j ACCEPT
### END RATE LIMITING ###
COMMIT
"#;

/// The settings that must stand in [`DEFAULTS`].
const SETTINGS: [(&str, &str); 4] = [
    ("IPV6", "yes"),
    ("DEFAULT_INPUT_POLICY", "\"DROP\""),
    ("DEFAULT_OUTPUT_POLICY", "\"ACCEPT\""),
    ("DEFAULT_FORWARD_POLICY", "\"DROP\""),
];

/// IPv4 or IPv6: UFW keeps them in files of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    fn chain(self) -> &'static str {
        match self {
            Self::V4 => "ufw",
            Self::V6 => "ufw6",
        }
    }

    /// The chain UFW keeps a project's rules in.
    pub(crate) fn input_chain(self) -> &'static str {
        match self {
            Self::V4 => "ufw-user-input",
            Self::V6 => "ufw6-user-input",
        }
    }

    fn anywhere(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0/0",
            Self::V6 => "::/0",
        }
    }

    fn user_rules(self) -> &'static str {
        match self {
            Self::V4 => "/etc/ufw/user.rules",
            Self::V6 => "/etc/ufw/user6.rules",
        }
    }

    fn after_rules(self) -> &'static str {
        match self {
            Self::V4 => "/etc/ufw/after.rules",
            Self::V6 => "/etc/ufw/after6.rules",
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

/// What is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    inbound: Vec<Port>,
    /// ssh first, then the declared ports, sorted.
    open: Vec<Port>,
}

impl Rules {
    pub(crate) fn new(ssh: u16, inbound: &[Port]) -> Self {
        let mut inbound = inbound.to_vec();
        inbound.sort_unstable();
        inbound.dedup();
        let ssh = Port { port: ssh, protocol: Protocol::Tcp };
        let others = inbound.iter().copied().filter(|p| *p != ssh);
        Self { open: std::iter::once(ssh).chain(others).collect(), inbound }
    }

    /// All of it as text: what a closing is named by.
    pub(crate) fn text(&self) -> String {
        Family::BOTH.map(|f| self.user_rules(f) + &self.block(f)).concat()
    }

    /// Whether UFW's files say exactly this.
    pub(crate) fn on_disk(&self, cx: &Cx<'_>) -> Result<bool> {
        for (path, part, wanted, _) in self.parts() {
            if !cx.part_holds(path, &part, &wanted)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes UFW's files say exactly this.
    pub(crate) fn write(&self, cx: &Cx<'_>) -> Result<()> {
        for (path, part, wanted, mode) in self.parts() {
            cx.ensure_part(path, &part, &wanted, mode)?;
        }
        Ok(())
    }

    /// What of which file is ours, what it says, and the file's mode.
    fn parts(&self) -> Vec<(&'static str, Part, String, u32)> {
        let keys = Part::settings(SETTINGS.map(|(key, _)| key));
        let mut parts = vec![(DEFAULTS, keys, settings(&SETTINGS), 0o644)];
        for family in Family::BOTH {
            let block = Part::Block { begin: BEGIN.into(), end: END.into() };
            parts.push((family.user_rules(), Part::UfwRules, self.user_rules(family), 0o640));
            parts.push((family.after_rules(), block, self.block(family), 0o640));
        }
        parts
    }

    /// UFW's own file of rules, as UFW writes it at log level `low`; the `tuple` lines are what `ufw status` reads back.
    fn user_rules(&self, family: Family) -> String {
        let (chain, any) = (family.chain(), family.anywhere());
        let mut text = String::from("*filter\n");
        for name in CHAINS {
            text += &format!(":{chain}-{name} - [0:0]\n");
        }
        text += "### RULES ###\n";
        for Port { port, protocol } in &self.open {
            let protocol = name(*protocol);
            text += &format!("\n### tuple ### allow {protocol} {port} {any} any {any} in\n");
            text += &format!("-A {chain}-user-input -p {protocol} --dport {port} -j ACCEPT\n");
        }
        text + &TAIL.replace("ufw-", &format!("{chain}-"))
    }

    /// The block in UFW's last file. `DOCKER-USER` is consulted before any rule of Docker's own, whichever of the two
    /// starts first; what is not from a container and not declared is dropped, from every interface there ever is.
    fn block(&self, family: Family) -> String {
        let mut text = format!("{BEGIN}\n*filter\n:DOCKER-USER - [0:0]\n");
        for rule in self.forwarded(family) {
            text += &format!("{rule}\n");
        }
        text + "COMMIT\n" + END + "\n"
    }

    /// The rules for forwarded traffic, as the kernel shows them.
    pub(crate) fn forwarded(&self, family: Family) -> Vec<String> {
        let mut rules = vec!["-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN".to_owned()];
        if family == Family::V4 {
            rules.push(format!("-d {METADATA} -j DROP"));
        }
        rules.push("-i docker0 -j RETURN".into());
        rules.push("-i br-+ -j RETURN".into());
        // The port is matched as it was before Docker's translation: the one the project declares.
        for Port { port, protocol } in &self.inbound {
            let protocol = name(*protocol);
            rules.push(format!("-p {protocol} -m conntrack --ctstate NEW --ctorigdstport {port} -j RETURN"));
        }
        rules.push("-j DROP".into());
        rules.into_iter().map(|rule| format!("-A DOCKER-USER {rule}")).collect()
    }

    /// The rules for what comes in, as the kernel shows them.
    pub(crate) fn incoming(&self, family: Family) -> Vec<String> {
        let chain = family.chain();
        let rule = |p: &Port| {
            let protocol = name(p.protocol);
            format!("-A {chain}-user-input -p {protocol} -m {protocol} --dport {} -j ACCEPT", p.port)
        };
        self.open.iter().map(rule).collect()
    }
}

fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// What stands in `ufw.conf` where UFW is switched on.
pub(super) const ON: [(&str, &str); 2] = [("ENABLED", "yes"), ("LOGLEVEL", "low")];

/// Settings as UFW's files have them.
pub(super) fn settings(settings: &[(&str, &str)]) -> String {
    settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: Port = Port { port: 443, protocol: Protocol::Tcp };
    const VPN: Port = Port { port: 41641, protocol: Protocol::Udp };

    #[test]
    fn ssh_comes_first_and_nothing_twice() {
        let ssh = Port { port: 22, protocol: Protocol::Tcp };
        let rules = Rules::new(22, &[VPN, WEB, WEB, ssh]);
        assert_eq!(rules.open, [ssh, WEB, VPN]);
    }

    #[test]
    fn user_rules_are_what_ufw_writes() {
        let text = Rules::new(22, &[VPN]).user_rules(Family::V6);
        assert!(text.contains(
            "\n### tuple ### allow tcp 22 ::/0 any ::/0 in\n-A ufw6-user-input -p tcp --dport 22 -j ACCEPT\n"
        ));
        assert!(text.contains("### tuple ### allow udp 41641 ::/0 any ::/0 in\n"));
    }

    #[test]
    fn only_declared_ports_are_forwarded_and_the_last_rule_drops() {
        let rules = Rules::new(22, &[WEB]).forwarded(Family::V4);
        assert_eq!(rules.last().unwrap(), "-A DOCKER-USER -j DROP");
        assert!(rules.iter().any(|r| r.contains("--ctorigdstport 443 -j RETURN")));
        assert!(!rules.iter().any(|r| r.contains("dstport 22")), "ssh is not a container's");
        assert!(rules[1].contains("169.254.169.254"), "before anything a container may do");
    }
}
