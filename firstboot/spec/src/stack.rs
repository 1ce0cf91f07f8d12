use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What there is of a stack on a server: an item of what `firstboot stacks list` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackState {
    /// Its name.
    pub name: String,
    /// Whether the node spec names it. One that it does not name is stopped, and what it left is kept.
    pub enabled: bool,
    /// How many containers it has.
    pub containers: usize,
    /// How many of them run and are healthy.
    pub healthy: usize,
    /// Where its data lies.
    pub data: Vec<PathBuf>,
    /// The names of its secrets.
    pub secrets: Vec<String>,
}
