//! UFW's own files: what stands in them, and making them say the rules.

use super::rules::{Family, Rules};
use crate::Cx;
use anyhow::Result;
use host::Host as _;
use std::path::Path;

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
        let defaults = cx.text(DEFAULTS)?.unwrap_or_default();
        if with_settings(&defaults) != defaults {
            return Ok(false);
        }
        for family in Family::BOTH {
            let user = cx.text(family.user_rules())?.unwrap_or_default();
            let after = cx.text(family.after_rules())?.unwrap_or_default();
            let same = user_lines(&user).eq(user_lines(&self.user_rules(family)));
            if !same || self.with_block(&after, family) != after {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes UFW's files say exactly this.
    pub(crate) fn write(&self, cx: &Cx<'_>) -> Result<()> {
        let defaults = cx.text(DEFAULTS)?.unwrap_or_default();
        cx.ensure_file(DEFAULTS, with_settings(&defaults).as_bytes(), 0o644)?;
        for family in Family::BOTH {
            let user = cx.text(family.user_rules())?.unwrap_or_default();
            let wanted = self.user_rules(family);
            if !user_lines(&user).eq(user_lines(&wanted)) {
                cx.write(Path::new(family.user_rules()), wanted.as_bytes(), 0o640)?;
            }
            let after = cx.text(family.after_rules())?.unwrap_or_default();
            let wanted = self.with_block(&after, family);
            cx.ensure_file(family.after_rules(), wanted.as_bytes(), 0o640)?;
        }
        Ok(())
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

    /// A file with our block as its end, and no other block of ours.
    fn with_block(&self, text: &str, family: Family) -> String {
        let mut kept = text.to_owned();
        while let Some(begin) = kept.find(BEGIN) {
            let end = kept[begin..].find(END).map_or(kept.len(), |end| begin + end + END.len());
            let end = if kept[end..].starts_with('\n') { end + 1 } else { end };
            kept.replace_range(begin..end, "");
        }
        if !kept.is_empty() && !kept.ends_with('\n') {
            kept.push('\n');
        }
        kept + &self.block(family)
    }
}

/// The lines that decide who comes in: UFW adds logging and rate-limit lines of its own when it is switched on.
fn user_lines(text: &str) -> impl Iterator<Item = &str> {
    let chains = ["-user-input ", "-user-output ", "-user-forward "];
    text.lines().filter(move |line| {
        line.starts_with("### tuple ###")
            || line.starts_with("-A ")
                && chains.iter().any(|c| line.contains(c))
                && !line.contains("-logging-")
    })
}

fn with_settings(text: &str) -> String {
    set(text, &SETTINGS)
}

/// `ufw.conf` with UFW switched on.
pub(super) fn switched_on(conf: &str) -> String {
    set(conf, &[("ENABLED", "yes"), ("LOGLEVEL", "low")])
}

fn set(text: &str, settings: &[(&str, &str)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (key, value) in settings {
        let wanted = format!("{key}={value}");
        let at = lines.iter().position(|l| l.split_once('=').is_some_and(|(k, _)| k.trim() == *key));
        match at {
            Some(at) => lines[at] = wanted,
            None => lines.push(wanted),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::{Port, Protocol};

    const WEB: Port = Port { port: 443, protocol: Protocol::Tcp };

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

    #[test]
    fn the_block_is_put_in_once_and_replaced() {
        let one = rules(&[]);
        let two = rules(&[WEB]);
        let ufws = "*filter\nCOMMIT";
        let first = one.with_block(ufws, Family::V4);
        assert_eq!(one.with_block(&first, Family::V4), first);
        let second = two.with_block(&first, Family::V4);
        assert_eq!(second.matches(BEGIN).count(), 1);
        assert!(second.starts_with("*filter\nCOMMIT\n# BEGIN"));
        assert_eq!(one.with_block(&second, Family::V4), first);
    }

    #[test]
    fn settings_are_replaced_where_they_stand() {
        let text = with_settings("# c\nIPV6=no\nDEFAULT_INPUT_POLICY=\"ACCEPT\"\nOTHER=1\n");
        assert!(text.starts_with("# c\nIPV6=yes\nDEFAULT_INPUT_POLICY=\"DROP\"\nOTHER=1\n"));
        assert_eq!(with_settings(&text), text);
    }

    #[test]
    fn what_ufw_adds_when_switched_on_does_not_count() {
        let rules = rules(&[]);
        let text = rules.user_rules(Family::V4);
        let logged = text.replace(
            "### END RULES ###\n",
            "### END RULES ###\n### LOGGING ###\n-A ufw-user-logging-input -j RETURN\n",
        );
        assert!(user_lines(&text).eq(user_lines(&logged)));
        let opened = text.replace("22", "23");
        assert!(!user_lines(&text).eq(user_lines(&opened)));
    }
}
