use crate::paths;
use serde::{Deserialize, Serialize};

/// Something that runs as it was before an upgrade replaced its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outdated {
    /// Where it runs: a systemd unit, or `kernel`.
    pub unit: String,
    /// What was replaced: a program, a library it uses, or the newest kernel that is installed.
    pub file: String,
    /// What brings the new one into use.
    pub cure: Cure,
}

/// What brings an upgraded file into use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cure {
    /// The unit is restarted; firstboot does it after each upgrade by itself.
    Restart,
    /// The stacks' containers are started anew: what holds each of them stays as long as the container.
    Stacks,
    /// The server is restarted.
    Reboot,
}

impl std::fmt::Display for Outdated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { unit, file, cure } = self;
        write!(f, "{unit} runs without the upgraded {file}: ")?;
        match cure {
            Cure::Restart => write!(f, "`{} refresh` on the server restarts it", paths::BINARY),
            Cure::Stacks => write!(
                f,
                "`systemctl restart sovereign-stacks.target` on the server starts the containers anew, which are away for a \
                 moment"
            ),
            Cure::Reboot => write!(f, "restart the server"),
        }
    }
}
