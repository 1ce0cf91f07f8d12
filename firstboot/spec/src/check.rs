use serde::{Deserialize, Serialize};

/// One thing looked at, on the server or from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What must hold, in a sentence.
    pub what: String,
    /// Whether it does.
    #[serde(flatten)]
    pub verdict: Verdict,
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
}

impl Check {
    /// The sentence about it, unless it holds.
    pub fn complaint(&self) -> Option<String> {
        match &self.verdict {
            Verdict::Pass => None,
            Verdict::Fail(why) => Some(format!("not so: {}: {why}", self.what)),
            Verdict::CouldNotLook(why) => Some(format!("could not look whether {}: {why}", self.what)),
        }
    }
}
