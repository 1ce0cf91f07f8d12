use crate::audit::About;
use crate::{Error, from_outside};
use serde::{Deserialize, Serialize};

/// One thing looked at, on the server or from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What must hold, in a sentence.
    pub what: String,
    /// Whether it does.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Where it stands in the audit's catalogue; what must hold for a server to be ready at all is not of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
}

/// What a look gave. Not having been able to look is never a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", content = "why", rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not.
    Fail(String),
    /// Nobody knows.
    CouldNotLook(String),
    /// It does not, and that is accepted until a day.
    Excepted {
        /// What was found.
        found: String,
        /// Why it is accepted.
        reason: String,
        /// The last day on which it is, `YYYY-MM-DD`.
        review: String,
    },
}

impl Check {
    /// Reads what `firstboot verify --json` printed.
    pub fn list_from_json(json: &[u8]) -> Result<Vec<Self>, Error> {
        from_outside("list of checks", json)
    }

    /// One that is not of the audit's catalogue.
    pub fn new(what: impl Into<String>, verdict: Verdict) -> Self {
        Self { what: what.into(), verdict, about: None }
    }

    /// The sentence about it, unless it holds or is accepted.
    pub fn complaint(&self) -> Option<String> {
        let id = self.about.as_ref().map(|about| format!("{}: ", about.id)).unwrap_or_default();
        match &self.verdict {
            Verdict::Pass | Verdict::Excepted { .. } => None,
            Verdict::Fail(why) => Some(format!("not so: {id}{}: {why}", self.what)),
            Verdict::CouldNotLook(why) => Some(format!("could not look whether {id}{}: {why}", self.what)),
        }
    }
}

/// How many checks ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// They hold.
    pub passed: usize,
    /// They do not.
    pub failed: usize,
    /// Nobody knows.
    pub could_not_look: usize,
    /// They do not, and that is accepted.
    pub excepted: usize,
}

impl Tally {
    /// Counts them.
    pub fn of(checks: &[Check]) -> Self {
        let mut tally = Self::default();
        for check in checks {
            *match check.verdict {
                Verdict::Pass => &mut tally.passed,
                Verdict::Fail(_) => &mut tally.failed,
                Verdict::CouldNotLook(_) => &mut tally.could_not_look,
                Verdict::Excepted { .. } => &mut tally.excepted,
            } += 1;
        }
        tally
    }

    /// Whether nothing failed and everything was looked at.
    pub fn is_well(self) -> bool {
        self.failed == 0 && self.could_not_look == 0
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { passed, failed, could_not_look, excepted } = self;
        write!(
            f,
            "{passed} passed, {failed} failed, {could_not_look} could not be looked at, {excepted} excepted"
        )
    }
}

/// All checks as people read them: grouped, each with its verdict, what was found and, where it failed, why it matters.
pub fn for_people(checks: &[Check]) -> String {
    let mut text = String::new();
    let mut group = "";
    for check in checks {
        let section = check.about.as_ref().map_or("What must hold", |about| about.section.as_str());
        if section != group {
            text += &format!("{}{section}\n", if group.is_empty() { "" } else { "\n" });
            group = section;
        }
        let (word, found) = match &check.verdict {
            Verdict::Pass => ("pass", String::new()),
            Verdict::Fail(found) => ("FAIL", format!(": {found}")),
            Verdict::CouldNotLook(why) => ("could not look", format!(": {why}")),
            Verdict::Excepted { found, reason, review } => {
                ("excepted", format!(": {found}\n{:17}accepted until {review}: {reason}", ""))
            }
        };
        let id = check.about.as_ref().map(|about| format!("{} ", about.id)).unwrap_or_default();
        text += &format!("  {word:<15}{id}{}{found}\n", check.what);
        if let (Verdict::Fail(_), Some(about)) = (&check.verdict, &check.about) {
            text += &format!("{:17}because {} ({})\n", "", about.rationale, about.source);
        }
    }
    text + &format!("\n{}\n", Tally::of(checks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_older_releases_wrote_is_read() {
        let json = r#"[{"what":"a","result":"pass"},{"what":"b","result":"fail","why":"no"},{"what":"c","result":"could-not-look","why":"x"}]"#;
        let checks: Vec<Check> = serde_json::from_str(json).unwrap();
        assert_eq!(checks[1], Check::new("b", Verdict::Fail("no".into())));
        assert_eq!(serde_json::to_string(&checks).unwrap(), json, "and what they read is written");
    }

    #[test]
    fn an_accepted_finding_is_no_complaint_and_says_until_when() {
        let item = crate::audit::item("docker-2.9").unwrap();
        let (found, reason, review) =
            ("it is off".to_owned(), "on purpose".to_owned(), "2027-01-02".to_owned());
        let verdict = Verdict::Excepted { found, reason, review };
        let check = Check { about: Some(item.about()), ..Check::new(item.title, verdict) };
        assert_eq!(check.complaint(), None);
        let back: Check = serde_json::from_slice(&serde_json::to_vec(&check).unwrap()).unwrap();
        assert_eq!(back, check);
        let text = for_people(&[check]);
        assert!(
            text.contains("excepted       docker-2.9") && text.contains("until 2027-01-02: on purpose"),
            "{text}"
        );
    }

    #[test]
    fn what_could_not_be_looked_at_is_counted_for_itself_and_is_not_well() {
        let checks = [Verdict::Pass, Verdict::CouldNotLook("x".into())].map(|v| Check::new("it holds", v));
        let tally = Tally::of(&checks);
        assert_eq!(tally, Tally { passed: 1, could_not_look: 1, ..Tally::default() });
        assert!(!tally.is_well());
        assert!(for_people(&checks).contains("could not look"));
    }
}
