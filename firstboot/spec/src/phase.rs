use crate::{Error, VERSION, parse, to_json};
use serde::{Deserialize, Serialize};

/// What is pending on a server, whatever its steps are at: the one thing about itself that a server must not forget over
/// a power cut. It is written, whole, before anything is begun, and [`Phase::Settled`] last of all.
///
/// A server is done when nothing is pending and the digest on its volume is that of what it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Phase {
    /// Nothing was ever begun.
    Fresh,
    /// Every step is to be made to hold.
    Converging {
        /// What asks for it, in a sentence's end: "another node spec is wanted".
        why: String,
    },
    /// All holds, and the volume's keys are being changed.
    KeysChanging {
        /// What was asked for, in a sentence.
        wish: String,
    },
    /// All holds, and is written on the volume. The bootstrap key's slot is being dropped, which a power cut may hide:
    /// what is left then needs no open volume.
    Ending,
    /// Nothing is pending.
    Settled,
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    pending: Phase,
}

impl Phase {
    /// Reads and checks it.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        parse("phase", json, |document: &Document| document.version).map(|document| document.pending)
    }

    /// As it lies on the root disk.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(&Document { version: VERSION, pending: self.clone() })
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fresh => f.write_str("nothing was begun yet"),
            Self::Converging { why } => f.write_str(why),
            Self::KeysChanging { wish } => write!(f, "the volume's keys are being changed: {wish}"),
            Self::Ending => f.write_str("the bootstrap key is being revoked"),
            Self::Settled => f.write_str("nothing is pending"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_reads_back_and_another_version_is_named() {
        let all = [
            Phase::Fresh,
            Phase::Converging { why: "x".into() },
            Phase::KeysChanging { wish: "y".into() },
            Phase::Ending,
            Phase::Settled,
        ];
        for phase in all {
            assert_eq!(Phase::from_json(&phase.to_json()).unwrap(), phase);
        }
        let json = String::from_utf8(Phase::Settled.to_json()).unwrap();
        let newer = json.replace("\"version\": 1", "\"version\": 9");
        assert!(Phase::from_json(newer.as_bytes()).unwrap_err().to_string().contains("version 9"));
    }
}
