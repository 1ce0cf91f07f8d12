use crate::{Error, Gate, Phase, Receipt, StepName, parse, to_json};
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
