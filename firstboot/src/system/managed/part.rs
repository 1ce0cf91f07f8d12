//! How much of a file is ours.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The part of a file that firstboot manages; the rest belongs to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// What stands between two lines, and these; at the end of the file, once.
    Block {
        /// How the first line begins.
        begin: String,
        /// The last line.
        end: String,
    },
    /// Lines of the form `KEY=value`, each where it stands.
    Settings {
        /// The keys.
        keys: Vec<String>,
    },
    /// Of a rules file of UFW's the lines that decide who comes in; UFW adds lines for logging and limits of its own.
    UfwRules,
}

impl Part {
    /// The settings with these keys.
    pub(crate) fn settings<'k>(keys: impl IntoIterator<Item = &'k str>) -> Self {
        Self::Settings { keys: keys.into_iter().map(str::to_owned).collect() }
    }

    /// The part as it is in a file, or `None` where there is nothing of it.
    pub(super) fn of(&self, whole: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        if *self == Self::Whole {
            return Some(Zeroizing::new(whole.to_vec()));
        }
        self.of_text(&String::from_utf8_lossy(whole)).map(|text| Zeroizing::new(text.into_bytes()))
    }

    fn of_text(&self, text: &str) -> Option<String> {
        let lines = |lines: Vec<&str>| (!lines.is_empty()).then(|| lines.join("\n") + "\n");
        match self {
            Self::Whole => Some(text.to_owned()),
            Self::Block { begin, end } => find(text, begin, end).map(|block| text[block].to_owned()),
            Self::Settings { keys } => {
                lines(keys.iter().filter_map(|key| text.lines().find(|line| sets(line, key))).collect())
            }
            Self::UfwRules => lines(text.lines().filter(|line| decides(line)).collect()),
        }
    }

    /// The file with the part as wanted and everything else as it is.
    pub(super) fn put(&self, whole: &[u8], wanted: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Whole | Self::UfwRules => wanted.to_vec(),
            _ => {
                self.put_text(&String::from_utf8_lossy(whole), &String::from_utf8_lossy(wanted)).into_bytes()
            }
        })
    }

    fn put_text(&self, text: &str, wanted: &str) -> String {
        match self {
            Self::Whole | Self::UfwRules => wanted.to_owned(),
            Self::Block { begin, end } => {
                let mut kept = text.to_owned();
                while let Some(block) = find(&kept, begin, end) {
                    kept.replace_range(block, "");
                }
                if !kept.is_empty() && !kept.ends_with('\n') {
                    kept.push('\n');
                }
                kept + wanted
            }
            Self::Settings { keys } => {
                let mut lines: Vec<&str> = text.lines().collect();
                for key in keys {
                    let Some(setting) = wanted.lines().find(|line| sets(line, key)) else { continue };
                    match lines.iter().position(|line| sets(line, key)) {
                        Some(at) => lines[at] = setting,
                        None => lines.push(setting),
                    }
                }
                lines.join("\n") + "\n"
            }
        }
    }

    /// Tells the records of different parts of one file apart.
    pub(super) fn suffix(&self) -> &'static str {
        match self {
            Self::Whole => ".json",
            Self::Block { .. } => ".block.json",
            Self::Settings { .. } => ".settings.json",
            Self::UfwRules => ".rules.json",
        }
    }
}

fn find(text: &str, begin: &str, end: &str) -> Option<std::ops::Range<usize>> {
    let from = text.find(begin)?;
    let to = text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    Some(from..if text[to..].starts_with('\n') { to + 1 } else { to })
}

fn sets(line: &str, key: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| name.trim() == key)
}

fn decides(line: &str) -> bool {
    let chains = ["-user-input ", "-user-output ", "-user-forward "];
    line.starts_with("### tuple ###")
        || line.starts_with("-A ")
            && chains.iter().any(|chain| line.contains(chain))
            && !line.contains("-logging-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Part {
        Part::Block { begin: "# BEGIN ours".into(), end: "# END ours".into() }
    }

    #[test]
    fn a_block_is_put_in_once_and_replaced() {
        let one = block().put_text("*filter\nCOMMIT", "# BEGIN ours: x\n1\n# END ours\n");
        assert_eq!(one, "*filter\nCOMMIT\n# BEGIN ours: x\n1\n# END ours\n");
        assert_eq!(block().of_text(&one).unwrap(), "# BEGIN ours: x\n1\n# END ours\n");
        let two = block().put_text(&(one.clone() + &one), "# BEGIN ours\n2\n# END ours\n");
        assert_eq!(two.matches("# BEGIN").count(), 1);
        assert!(two.ends_with("# BEGIN ours\n2\n# END ours\n"));
    }

    #[test]
    fn a_block_that_lost_its_end_goes_to_the_end_of_the_file() {
        let torn = "theirs\n# BEGIN ours\n1\n";
        assert_eq!(block().of_text(torn).unwrap(), "# BEGIN ours\n1\n");
        assert_eq!(
            block().put_text(torn, "# BEGIN ours\n1\n# END ours\n"),
            "theirs\n# BEGIN ours\n1\n# END ours\n"
        );
        assert_eq!(block().of_text("theirs\n"), None);
    }

    #[test]
    fn settings_are_replaced_where_they_stand() {
        let part = Part::settings(["IPV6", "POLICY"]);
        let wanted = "IPV6=yes\nPOLICY=\"DROP\"\n";
        let text = part.put_text("# c\nIPV6=no\nPOLICY=\"ACCEPT\"\nOTHER=1\n", wanted);
        assert_eq!(text, "# c\nIPV6=yes\nPOLICY=\"DROP\"\nOTHER=1\n");
        assert_eq!(part.of_text(&text).unwrap(), wanted);
        assert_eq!(part.put_text("", wanted), wanted);
        assert_eq!(part.of_text("OTHER=1\n"), None);
    }

    #[test]
    fn what_ufw_adds_to_its_rules_does_not_count() {
        let rules = "*filter\n### tuple ### allow tcp 22\n-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n";
        let logged = format!("{rules}-A ufw-user-logging-input -j RETURN\nCOMMIT\n");
        assert_eq!(Part::UfwRules.of_text(rules), Part::UfwRules.of_text(&logged));
        assert_ne!(Part::UfwRules.of_text(rules), Part::UfwRules.of_text(&rules.replace("22", "23")));
    }
}
