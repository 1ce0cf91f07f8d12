use crate::{Error, Outcome, StepName, VERSION, parse, to_json};
use serde::{Deserialize, Serialize};

/// What was done on the server so far. Written after every step, atomically; no secret can be put in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`VERSION`].
    pub version: u32,
    /// The project's name.
    pub project: String,
    /// The server's id.
    pub server_id: u64,
    /// SHA-256 of the node spec that was followed last.
    pub spec_sha256: String,
    /// Version and SHA-256 of the firstboot that followed it.
    pub firstboot: String,
    /// How often firstboot was started.
    pub starts: u32,
    /// The last record of each step that has held, in order.
    pub steps: Vec<StepRecord>,
    /// The lasting host key, public part.
    pub host_key: Option<String>,
    /// The volume, once it is formatted.
    pub volume: Option<VolumeRecord>,
    /// The escrow, once it is sealed.
    pub escrow: Option<EscrowRecord>,
    /// When all was done the last time, RFC 3339 in UTC.
    pub done: Option<String>,
    /// The stacks that ran then; releases before this one did not say it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<String>,
}

/// One step that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRecord {
    /// Which.
    pub step: StepName,
    /// Whether it had to act, the last time.
    pub outcome: Outcome,
    /// When it was found to hold, RFC 3339 in UTC.
    pub time: String,
    /// How long it took, milliseconds.
    pub millis: u64,
    /// How much of that was spent in programs it ran, milliseconds.
    pub program_millis: u64,
    /// How much of that was spent waiting at a gate, milliseconds.
    pub gate_millis: u64,
}

/// The volume as it was formatted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeRecord {
    /// The volume's id.
    pub id: u64,
    /// The UUID of its LUKS2 header, recorded before the header is written.
    pub luks_uuid: String,
    /// Whether the format was seen through: opened, with a file system, mounted once. A volume that was taken up with
    /// its data was formatted by an earlier system of this server.
    pub formatted: bool,
}

/// The sealed bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EscrowRecord {
    /// SHA-256 of the sealed bytes, hexadecimal.
    pub sha256: String,
    /// Whether the operator's side has it.
    pub acknowledged: bool,
}

impl Receipt {
    /// The receipt of a server on which nothing was done yet.
    pub fn new(project: &str, server_id: u64) -> Self {
        Self {
            version: VERSION,
            project: project.into(),
            server_id,
            spec_sha256: String::new(),
            firstboot: String::new(),
            starts: 0,
            steps: Vec::new(),
            host_key: None,
            volume: None,
            escrow: None,
            done: None,
            stacks: Vec::new(),
        }
    }

    /// Reads and checks it.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        parse("receipt", json, |r: &Self| r.version)
    }

    /// The same bytes for the same receipt.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }

    /// Puts a step's record in, over an older one of the same step.
    pub fn record(&mut self, record: StepRecord) {
        self.steps.retain(|s| s.step != record.step);
        self.steps.push(record);
        self.steps.sort_by_key(|s| s.step);
    }

    /// The record of a step that holds.
    pub fn step(&self, step: StepName) -> Option<&StepRecord> {
        self.steps.iter().find(|s| s.step == step)
    }
}
