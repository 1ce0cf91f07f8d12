//! UFW's own files: what stands in them, and making them say the rules.

use super::rules::{Family, Rules};
use crate::run::Cx;
use crate::system::managed::{self, Part};
use anyhow::Result;

const DEFAULTS: &str = "/etc/default/ufw";
/// Every file of UFW's that says what is let in.
pub(crate) const FILES: [&str; 6] = [
    DEFAULTS,
    "/etc/ufw/ufw.conf",
    "/etc/ufw/user.rules",
    "/etc/ufw/user6.rules",
    "/etc/ufw/after.rules",
    "/etc/ufw/after6.rules",
];
const BEGIN: &str = "# BEGIN sovereign: traffic forwarded to containers";
const END: &str = "# END sovereign";

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

impl Family {
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
}

impl Rules {
    /// All of it as text: what a closing is named by.
    pub(crate) fn text(&self) -> String {
        Family::BOTH.map(|f| self.user_rules(f) + &self.block(f)).concat()
    }

    /// Whether UFW's files say exactly this.
    pub(crate) fn on_disk(&self, cx: &Cx<'_>) -> Result<bool> {
        for (path, part, wanted, _) in self.parts() {
            if !managed::part_holds(cx, path, &part, &wanted)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes UFW's files say exactly this.
    pub(crate) fn write(&self, cx: &Cx<'_>) -> Result<()> {
        for (path, part, wanted, mode) in self.parts() {
            managed::ensure_part(cx, path, &part, &wanted, mode)?;
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
    pub(super) fn user_rules(&self, family: Family) -> String {
        let chain = family.prefix();
        let mut text = String::from("*filter\n");
        for name in CHAINS {
            text += &format!(":{chain}-{name} - [0:0]\n");
        }
        text += "### RULES ###\n";
        for rule in self.visible(family) {
            text += &format!("\n### tuple ### {}\n{}\n", rule.tuple(family), rule.line(family));
        }
        text + &TAIL.replace("ufw-", &format!("{chain}-"))
    }

    /// The block in UFW's last file: what UFW has no words for. `DOCKER-USER` is consulted before any rule of Docker's
    /// own, whichever of the two starts first.
    pub(super) fn block(&self, family: Family) -> String {
        let mut text = format!("{BEGIN}\n*filter\n:DOCKER-USER - [0:0]\n");
        for rule in self.forwarded(family).iter().chain(&self.metadata(family)) {
            text += &format!("{rule}\n");
        }
        text + "COMMIT\n" + END + "\n"
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
    use spec::{Port, Protocol};

    fn rules(world: &[Port]) -> Rules {
        Rules::new(22, world, None, vec![])
    }

    #[test]
    fn user_rules_are_what_ufw_writes() {
        let text = rules(&[Port { port: 41641, protocol: Protocol::Udp }]).user_rules(Family::V6);
        for part in [
            "\n### tuple ### allow tcp 22 ::/0 any ::/0 in\n-A ufw6-user-input -p tcp --dport 22 -j ACCEPT\n",
            "\n### tuple ### allow udp 41641 ::/0 any ::/0 in\n-A ufw6-user-input -p udp --dport 41641 -j ACCEPT\n",
            "\n### tuple ### reject any any ::/0 any ::/0 in_br-+\n-A ufw6-user-input -i br-+ -j REJECT\n",
            "\n### tuple ### reject tcp 25 ::/0 any ::/0 out\n\
             -A ufw6-user-output -p tcp --dport 25 -j REJECT --reject-with tcp-reset\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
