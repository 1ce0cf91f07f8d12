//! What the kernel holds of the firewall, whatever the files say.
//!
//! [`Kernel::lost`]: our rules, and the ways to them, that are not in force as they are declared; loading UFW's files
//! again heals that. [`Kernel::foreign`]: rules of others that let something past ours. Those no reload takes away, and
//! why they are there only a person knows.

use super::rules::{Family, Rules};
use crate::Cx;
use anyhow::Result;
use host::{Cmd, Host as _};

/// The rules of one family, as its program lists them.
pub(crate) struct Kernel {
    family: Family,
    listing: String,
}

impl Kernel {
    /// Asks the kernel.
    pub(crate) fn look(cx: &Cx<'_>, family: Family) -> Result<Self> {
        let listing = cx.run(&Cmd::new(family.program()).arg("-S"))?.text();
        Ok(Self { family, listing })
    }

    /// What of ours is not in force; nothing where all is.
    pub(crate) fn lost(&self, rules: &Rules) -> Vec<String> {
        let program = self.family.program();
        let mut lost = Vec::new();
        for line in ["-P INPUT DROP", "-P FORWARD DROP"].into_iter().chain(self.family.hooks()) {
            if !self.listing.lines().any(|l| l == line) {
                lost.push(format!("{program} does not say {line:?}"));
            }
        }
        for (chain, wanted) in rules.hosts(self.family) {
            if self.chain(&chain) != wanted {
                lost.push(format!("{program} says something else in {chain}"));
            }
        }
        if self.chain(self.family.after_output()) != rules.metadata(self.family) {
            lost.push(format!("{program} lets others than root ask the metadata service"));
        }
        let mut forwarded = self.chain("DOCKER-USER");
        // Docker ends the chain with a RETURN of its own; after our DROP nothing reaches it.
        if forwarded.last().is_some_and(|l| *l == "-A DOCKER-USER -j RETURN") {
            forwarded.pop();
        }
        if forwarded != rules.forwarded(self.family) {
            lost.push(format!("{program} forwards something else to containers"));
        }
        lost
    }

    /// The rules of others that let something past ours.
    pub(crate) fn foreign(&self) -> Vec<String> {
        let docker_user = self.listing.lines().position(|line| line == "-A FORWARD -j DOCKER-USER");
        let foreign = self.listing.lines().enumerate().filter(|(at, line)| {
            let Some((chain, rule)) = line.strip_prefix("-A ").and_then(|rest| rest.split_once(' ')) else {
                return false;
            };
            match chain {
                "INPUT" | "OUTPUT" => !self.is_ufws(chain, rule),
                // What comes after DOCKER-USER is asked of nothing that it did not let through.
                "FORWARD" => {
                    docker_user.is_none_or(|first| *at < first)
                        && !self.is_ufws(chain, rule)
                        && !self.only_refuses(rule, 3)
                }
                _ => self.is_watched(chain) && !self.is_ufws(chain, rule),
            }
        });
        foreign
            .map(|(_, line)| format!("{} lets something past the firewall: {line}", self.family.program()))
            .collect()
    }

    /// Whether nothing gets through by a rule, as by the one for the isolation of networks that Docker puts first when it is
    /// started again: all it leads to, so many chains deep, refuses or comes back.
    fn only_refuses(&self, rule: &str, deep: u8) -> bool {
        let target = rule.rsplit_once("-j ").map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
        match target {
            Some("DROP" | "REJECT" | "LOG" | "RETURN") => true,
            Some(chain) if deep > 0 && self.listing.lines().any(|line| line == format!("-N {chain}")) => {
                self.chain(chain).iter().all(|line| self.only_refuses(line, deep - 1))
            }
            _ => false,
        }
    }

    fn chain(&self, name: &str) -> Vec<&str> {
        let prefix = format!("-A {name} ");
        self.listing.lines().filter(|line| line.starts_with(&prefix)).collect()
    }

    /// Whether a chain is UFW's and nobody else compares it: our own are held to the declaration, and those named here are
    /// reached by what was let in already, or never.
    fn is_watched(&self, chain: &str) -> bool {
        let Some(name) = chain.strip_prefix(self.family.prefix()).and_then(|rest| rest.strip_prefix('-'))
        else {
            return false;
        };
        ![
            "user-input",
            "user-output",
            "user-limit-accept",
            "track-output",
            "track-forward",
            "skip-to-policy-output",
        ]
        .contains(&name)
    }

    /// Whether a rule is one of those that UFW's own files come with, as far as it lets anything pass.
    fn is_ufws(&self, chain: &str, rule: &str) -> bool {
        let target = rule.rsplit_once("-j ").map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
        match target {
            Some("DROP" | "REJECT" | "LOG") => true,
            Some("RETURN") => chain.contains("-logging-") || chain.ends_with("-not-local"),
            Some("ACCEPT") => !rule.contains("! ") && BASICS.iter().any(|basic| rule.contains(basic)),
            Some(other) => {
                match other.strip_prefix(self.family.prefix()).and_then(|rest| rest.strip_prefix('-')) {
                    // These let pass all that comes to them: UFW sends nothing to the first but from its own user chain, and
                    // to the second all that is left at the end.
                    Some("user-limit-accept" | "skip-to-policy-output") => false,
                    Some("track-output") => chain == "OUTPUT" && rule == format!("-j {other}"),
                    Some("track-forward") => chain == "FORWARD" && rule == format!("-j {other}"),
                    other => other.is_some(),
                }
            }
            // A rule without a target counts packets; one with another word than -j goes somewhere.
            None => !rule.contains("-g "),
        }
    }
}

/// What a network needs to work at all, as UFW's `before.rules` let it pass: the machine itself, what was let in before,
/// errors and neighbours, an address by DHCP, and names that are asked for in the local network.
const BASICS: [&str; 11] = [
    "-i lo ",
    "-o lo ",
    "-m conntrack --ctstate RELATED,ESTABLISHED ",
    "-p icmp ",
    "-p ipv6-icmp ",
    "-p udp -m udp --sport 67 --dport 68 ",
    "-p udp -m udp --sport 547 --dport 546 ",
    "-d 224.0.0.251/32 -p udp -m udp --dport 5353 ",
    "-d 239.255.255.250/32 -p udp -m udp --dport 1900 ",
    "-d ff02::fb/128 -p udp -m udp --dport 5353 ",
    "-d ff02::f/128 -p udp -m udp --dport 1900 ",
];

#[cfg(test)]
mod tests {
    use super::*;
    use spec::{Port, Protocol};

    /// What a Debian 13 server showed whose one declared port is ssh's, 2222.
    fn shown(family: Family) -> Kernel {
        let listing = match family {
            Family::V4 => include_str!("golden/kernel-v4.txt"),
            Family::V6 => include_str!("golden/kernel-v6.txt"),
        };
        Kernel { family, listing: listing.into() }
    }

    fn rules() -> Rules {
        Rules::new(2222, &[], None, vec![])
    }

    #[test]
    fn a_real_server_has_lost_nothing_and_nobody_meddled() {
        for family in Family::BOTH {
            assert_eq!(shown(family).lost(&rules()), Vec::<String>::new());
            assert_eq!(shown(family).foreign(), Vec::<String>::new());
        }
    }

    #[test]
    fn every_line_of_ours_and_every_way_to_it_is_missed() {
        for family in Family::BOTH {
            let whole = shown(family);
            let ours = |line: &&str| {
                let [user_in, user_out] = rules().hosts(family).map(|(chain, _)| format!("-A {chain} "));
                family.hooks().contains(line)
                    || line.starts_with(&user_in)
                    || line.starts_with(&user_out)
                    || line.contains("169.254.169.254")
                    || line.starts_with("-A DOCKER-USER ") && !line.ends_with("-A DOCKER-USER -j RETURN")
                    || ["-P INPUT DROP", "-P FORWARD DROP"].contains(line)
            };
            let lines: Vec<&str> = whole.listing.lines().filter(ours).collect();
            assert!(lines.len() > 15, "{lines:?}");
            for gone in lines {
                let listing = whole.listing.replacen(&format!("{gone}\n"), "", 1);
                assert!(!Kernel { family, listing }.lost(&rules()).is_empty(), "{gone} is not missed");
            }
        }
        let more = Rules::new(2222, &[Port { port: 443, protocol: Protocol::Tcp }], None, vec![]);
        assert!(!shown(Family::V4).lost(&more).is_empty());
    }

    #[test]
    fn what_lets_something_past_is_found_wherever_it_stands() {
        let (v4, v6) = ("-A INPUT -j ufw-before-logging-input", "-A INPUT -j ufw6-before-logging-input");
        let (forward, docker) = ("-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-ISOLATION-STAGE-1");
        for (family, before, line) in [
            (Family::V4, v4, "-A INPUT -j ACCEPT"),
            (Family::V4, v4, "-A INPUT -p tcp -m tcp --dport 8099 -j ACCEPT"),
            (Family::V4, v4, "-A INPUT ! -i lo -j ACCEPT"),
            (Family::V4, v4, "-A INPUT -j somebodys-chain"),
            (Family::V4, v4, "-A INPUT -g somebodys-chain"),
            (Family::V4, v4, "-A INPUT -p tcp -m tcp --dport 8099 -j ufw-user-limit-accept"),
            (Family::V4, v4, "-A INPUT -p tcp -m tcp --dport 8099 -j ufw-skip-to-policy-output"),
            (Family::V4, v4, "-A OUTPUT -p tcp -m tcp --dport 25 -j ufw-track-output"),
            (Family::V4, v4, "-A INPUT -j ufw-track-output"),
            (Family::V6, v6, "-A ufw6-before-input -p tcp -m tcp --dport 8099 -j ufw6-track-output"),
            (Family::V4, v4, "-A OUTPUT -p tcp -m tcp --dport 25 -j ACCEPT"),
            (Family::V4, forward, "-A FORWARD -i eth0 -j ACCEPT"),
            (Family::V4, v4, "-A ufw-before-input -s 203.0.113.7/32 -j ACCEPT"),
            (Family::V4, v4, "-A ufw-before-input -m conntrack --ctstate NEW,RELATED,ESTABLISHED -j ACCEPT"),
            (Family::V4, v4, "-A ufw-before-output -j RETURN"),
            (Family::V4, v4, "-A ufw-user-forward -i eth0 -j ACCEPT"),
            (Family::V6, v6, "-A INPUT -j ACCEPT"),
            (Family::V6, v6, "-A FORWARD -j DOCKER-FORWARD"),
            (Family::V6, v6, "-A ufw6-before-input -p tcp -m tcp --dport 8099 -j ACCEPT"),
        ] {
            let listing = shown(family).listing.replacen(before, &format!("{line}\n{before}"), 1);
            let found = Kernel { family, listing }.foreign();
            assert!(found.len() == 1 && found[0].ends_with(line), "{line}: {found:?}");
        }
        // Docker was started again: what isolates its networks comes first, and lets nothing past.
        let again = shown(Family::V4)
            .listing
            .replace(&format!("{forward}\n{docker}"), &format!("{docker}\n{forward}"));
        let found = |listing: &str| Kernel { family: Family::V4, listing: listing.into() }.foreign();
        assert_ne!(again, shown(Family::V4).listing);
        assert_eq!(found(&again), Vec::<String>::new());
        let stage = "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP";
        let meddled = again.replace(stage, "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j ACCEPT");
        assert!(found(&meddled)[0].ends_with(docker), "{:?}", found(&meddled));
        // Docker's own rules come after DOCKER-USER, and count where that is not asked.
        let listing = shown(Family::V4).listing.replace(&format!("{forward}\n"), "");
        let found = Kernel { family: Family::V4, listing }.foreign();
        assert!(
            found.iter().any(|line| line.ends_with("-A FORWARD -i docker0 ! -o docker0 -j ACCEPT")),
            "{found:?}"
        );
    }
}
