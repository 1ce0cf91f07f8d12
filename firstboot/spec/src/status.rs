use crate::{Error, Gate, Outdated, Phase, Receipt, StepName, parse, to_json};
use serde::{Deserialize, Serialize};

/// How far a server is: what `firstboot status --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// [`VERSION`](crate::VERSION).
    pub version: u32,
    /// In one word.
    pub state: State,
    /// The first of [`Self::steps`].
    pub step: Option<StepName>,
    /// The steps at hand, in the order in which they began, or the one that failed. Lanes run side by side.
    #[serde(default)]
    pub steps: Vec<StepName>,
    /// The first of [`Self::gates`].
    pub gate: Option<Gate>,
    /// What is waited for, with [`State::Waiting`].
    #[serde(default)]
    pub gates: Vec<Gate>,
    /// Why, with [`State::Failed`].
    pub error: Option<String>,
    /// What is pending; releases before this one did not say it.
    #[serde(default)]
    pub phase: Option<Phase>,
    /// The number of the event with which the run began that is at work, once it has said so.
    #[serde(default)]
    pub begun: Option<u64>,
    /// The number of the last event, 0 when there is none.
    pub last_seq: u64,
    /// What runs as it was before an upgrade, with [`State::Done`] and [`State::Locked`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outdated: Vec<Outdated>,
    /// What was done so far.
    pub receipt: Option<Receipt>,
}

/// How far a server is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// No node spec was installed.
    Absent,
    /// At work.
    Running,
    /// At work, and waiting at a gate for the operator's side.
    Waiting,
    /// Stopped by an error; `install` or the next boot goes on.
    Failed,
    /// Stopped without an error, by a power cut or by hand; `install` or the next boot goes on.
    Stopped,
    /// The volume is locked; `unlock` goes on.
    Locked,
    /// All held when it was last looked at, nothing is pending, and the volume is open.
    Done,
}

impl Status {
    /// Reads and checks it.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        parse("status", json, |s: &Self| s.version)
    }

    /// As printed.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cure;

    #[test]
    fn what_older_releases_wrote_is_read_and_what_is_outdated_comes_back() {
        let json = r#"{"version":1,"state":"done","step":null,"gate":null,"error":null,"last_seq":7,"receipt":null}"#;
        let old = Status::from_json(json.as_bytes()).unwrap();
        assert_eq!((old.state, &old.outdated[..]), (State::Done, &[][..]));
        assert!(!String::from_utf8(old.to_json()).unwrap().contains("outdated"), "an older release reads it");
        let outdated =
            Outdated { unit: "ssh.service".into(), file: "/usr/sbin/sshd".into(), cure: Cure::Restart };
        assert!(outdated.to_string().contains("firstboot refresh"), "{outdated}");
        let new = Status { outdated: vec![outdated], ..old };
        assert_eq!(Status::from_json(&new.to_json()).unwrap(), new);
    }
}
