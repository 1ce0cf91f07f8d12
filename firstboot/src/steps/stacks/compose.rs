//! Where a stack lies, and compose's command line about it.

use ::stacks::Planned;
use host::Cmd;
use spec::paths;
use std::path::{Path, PathBuf};

/// Where a stack's files lie.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(paths::DATA).join("stacks").join(name)
}

/// What compose reads of it.
pub(crate) fn compose_file(name: &str) -> PathBuf {
    folder(name).join("compose.yaml")
}

/// Compose, about one stack.
pub(crate) fn compose(name: &str, words: &[&str]) -> Cmd {
    let cmd = Cmd::new("docker-compose").args(["--project-name", name, "--file"]).path(compose_file(name));
    cmd.args(words.iter().copied()).env("HOME", "/root")
}

/// What a control server starts with, before this server has an address.
pub(crate) const NO_NAMES: &str = "[]\n";

/// The file of names that the control server of a private network reads, and reads again when it changes.
pub(crate) fn names_file(stack: &Planned) -> Option<PathBuf> {
    let network = stack.manifest.provides.private_network.as_ref()?;
    Some(folder(&stack.name).join("config").join(network.names.as_str()))
}
