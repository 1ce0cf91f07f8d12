//! Where things are kept outside the checkout. `SOVEREIGN_CACHE` and `SOVEREIGN_STATE` move them.

use anyhow::{Context as _, Result};
use std::path::PathBuf;

/// What can be made again: images, the static binary, the build root.
pub(crate) fn cache() -> Result<PathBuf> {
    place("SOVEREIGN_CACHE", "XDG_CACHE_HOME", ".cache")
}

/// What cannot: the rehearsal cloud's servers and volumes.
pub(crate) fn state() -> Result<PathBuf> {
    place("SOVEREIGN_STATE", "XDG_STATE_HOME", ".local/state")
}

fn place(own: &str, xdg: &str, below_home: &str) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = set(own)
        .or_else(|| set(xdg).map(|base| base.join("sovereign")))
        .or_else(|| set("HOME").map(|home| home.join(below_home).join("sovereign")))
        .with_context(|| format!("finding a directory: set {own}, {xdg} or HOME"))?;
    std::path::absolute(&path).with_context(|| format!("finding {}", path.display()))
}
