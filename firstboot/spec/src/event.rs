use crate::Error;
use serde::{Deserialize, Serialize};

/// The steps of first boot, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepName {
    /// It is the server that is meant, with the programs that the first steps run.
    Preflight,
    /// The lasting ssh host key replaces the throw-away one.
    Identity,
    /// The secrets are drawn, in memory.
    Secrets,
    /// LUKS2 on the volume, opened and mounted; the secrets stored on it.
    Disk,
    /// The sealed bundle is handed over and acknowledged.
    Escrow,
    /// The programs that the later steps run are there.
    Packages,
    /// The host itself: sshd, the kernel, the clock, the journal, upgrades.
    Harden,
    /// UFW and the rules for traffic forwarded to containers.
    Firewall,
    /// Docker, hardened, all its data on LUKS.
    Docker,
    /// Every image is pulled by its digest.
    Images,
    /// The stacks run and are healthy.
    Stacks,
    /// The server is in its own private network; the keys of the operator's devices are escrowed.
    Vpn,
    /// Everything is looked at once more.
    Verify,
    /// The bootstrap key is revoked and the done marker written.
    Finish,
}

impl StepName {
    /// All of them, in order.
    pub const ALL: [Self; 14] = [
        Self::Preflight,
        Self::Identity,
        Self::Secrets,
        Self::Disk,
        Self::Escrow,
        Self::Packages,
        Self::Harden,
        Self::Firewall,
        Self::Docker,
        Self::Images,
        Self::Stacks,
        Self::Vpn,
        Self::Verify,
        Self::Finish,
    ];
}

impl std::fmt::Display for StepName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Preflight => "preflight",
            Self::Identity => "identity",
            Self::Secrets => "secrets",
            Self::Disk => "disk",
            Self::Escrow => "escrow",
            Self::Packages => "packages",
            Self::Harden => "harden",
            Self::Firewall => "firewall",
            Self::Docker => "docker",
            Self::Images => "images",
            Self::Stacks => "stacks",
            Self::Vpn => "vpn",
            Self::Verify => "verify",
            Self::Finish => "finish",
        })
    }
}

/// Whether a step had to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It already held.
    Unchanged,
    /// It was made to hold.
    Changed,
}

/// Where the server waits until the operator's side has acted and said so with `firstboot acknowledge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "gate", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Gate {
    /// The lasting host key must be pinned before it replaces the throw-away one.
    HostKey {
        /// The public key as in `known_hosts`: `ssh-ed25519 AAAA…`.
        public_key: String,
    },
    /// The sealed bundle must be off the server before anything uses what is in it.
    Escrow {
        /// SHA-256 of the sealed bundle, hexadecimal.
        sha256: String,
    },
    /// The closed firewall must have let a fresh ssh connection in, else it is put back as it was.
    Firewall {
        /// Names this closing, so that an old confirmation does not count.
        nonce: String,
    },
    /// sshd as it is configured now must have let a fresh connection in, else it is put back as it was.
    Sshd {
        /// Names this change, so that an old confirmation does not count.
        nonce: String,
    },
}

impl Gate {
    /// The name `firstboot acknowledge` takes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::HostKey { .. } => "host-key",
            Self::Escrow { .. } => "escrow",
            Self::Firewall { .. } => "firewall",
            Self::Sshd { .. } => "sshd",
        }
    }

    /// The step that waits there.
    pub fn step(&self) -> StepName {
        match self {
            Self::HostKey { .. } => StepName::Identity,
            Self::Escrow { .. } => StepName::Escrow,
            Self::Firewall { .. } => StepName::Firewall,
            Self::Sshd { .. } => StepName::Harden,
        }
    }

    /// What has to be acknowledged, word for word.
    pub fn value(&self) -> &str {
        match self {
            Self::HostKey { public_key } => public_key,
            Self::Escrow { sha256 } => sha256,
            Self::Firewall { nonce } | Self::Sshd { nonce } => nonce,
        }
    }
}

/// One thing that happened on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up by one over all boots, from 1.
    pub seq: u64,
    /// When, RFC 3339 in UTC.
    pub time: String,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// firstboot started, at boot or by hand.
    Started {
        /// Its version and the SHA-256 of its binary.
        firstboot: String,
    },
    /// A step began.
    StepStarted {
        /// Which.
        step: StepName,
    },
    /// A step says what it is at.
    Progress {
        /// Which.
        step: StepName,
        /// A short sentence.
        text: String,
    },
    /// A step holds.
    StepFinished {
        /// Which.
        step: StepName,
        /// Whether it had to act.
        outcome: Outcome,
        /// How long it took, milliseconds.
        millis: u64,
        /// How much of that was spent in programs it ran, milliseconds.
        program_millis: u64,
        /// How much of that was spent waiting at a gate, milliseconds.
        gate_millis: u64,
    },
    /// The server waits for the operator's side.
    GateWaiting {
        /// For what.
        gate: Gate,
    },
    /// The operator's side acknowledged.
    GatePassed {
        /// What.
        gate: Gate,
    },
    /// A step could not be made to hold; firstboot stopped.
    Failed {
        /// Which.
        step: StepName,
        /// What was being done, to what, why it failed, what to do.
        error: String,
        /// Whether only a person can decide what to do: exit code 4.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        needs_operator: bool,
    },
    /// The volume is locked and nobody here holds its key: `unlock` is wanted.
    Locked,
    /// All steps hold and nothing is pending.
    Done,
}

impl Event {
    /// Reads one line of the stream.
    pub fn from_line(line: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(line).map_err(|source| Error::Malformed { document: "event", source })
    }

    /// One line, with its newline.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_that_reads_back() {
        for gate in [Gate::Escrow { sha256: "ab".into() }, Gate::Sshd { nonce: "cd".into() }] {
            let kind = EventKind::GateWaiting { gate };
            let event = Event { seq: 3, time: "2026-01-01T00:00:00Z".into(), kind };
            let line = event.to_line();
            assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
            assert_eq!(Event::from_line(&line).unwrap(), event);
        }
    }
}
