//! The stacks that lie in a project's folder.

use super::OwnStacks;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What of each of them, `stacks/NAME/`, goes to a server. How its images are made stays here.
pub(super) fn read(dir: &Path) -> Result<OwnStacks> {
    let mut own = OwnStacks::new();
    if !dir.is_dir() {
        return Ok(own);
    }
    for stack in entries(dir)?.into_iter().filter(|path| path.is_dir()) {
        let mut files = BTreeMap::new();
        read_below(&stack, &stack, &mut files)?;
        own.insert(stack.file_name().unwrap_or_default().to_string_lossy().into_owned(), files);
    }
    Ok(own)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = || std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = read().with_context(|| format!("reading {}", dir.display()))?;
    paths.sort();
    Ok(paths)
}

fn read_below(stack: &Path, dir: &Path, files: &mut BTreeMap<String, String>) -> Result<()> {
    for path in entries(dir)? {
        let inside = path.strip_prefix(stack).unwrap_or(&path).display().to_string();
        if inside == "images" {
            continue;
        }
        if path.is_dir() {
            read_below(stack, &path, files)?;
        } else {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            files.insert(inside, text);
        }
    }
    Ok(())
}
