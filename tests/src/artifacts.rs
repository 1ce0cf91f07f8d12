//! What a run of the tests leaves for people to look at, outside the repository.

use anyhow::{Context as _, Result};
use std::path::PathBuf;

/// Names the folder, where it is not in the cache.
const FOLDER: &str = "SOVEREIGN_ARTIFACTS";

/// The file of that name, which is not there yet.
pub fn file(name: &str) -> Result<PathBuf> {
    let folder = match std::env::var_os(FOLDER) {
        Some(folder) => PathBuf::from(folder),
        None => crate::cache()?.join("artifacts"),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let file = folder.join(name);
    host::files::remove(&file)?;
    Ok(file)
}
