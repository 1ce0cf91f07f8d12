//! Merging what overlayfs kept apart: the files a run wrote, into the root below it.

use crate::{Error, Result, files};
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Moves everything in `written` into `root`: new and changed files, links, whiteouts (removals) and directories.
///
/// A file that only had its owner or mode changed was copied up with its content, and that content may be a program
/// of `tools`. Then the root's own file gets the owner and mode and keeps its content.
pub(crate) fn merge(written: &Path, root: &Path, tools: Option<&Path>) -> Result<()> {
    for from in files::sorted(written)? {
        let name = from.file_name().unwrap_or_default();
        let (to, tool) = (root.join(name), tools.map(|t| t.join(name)));
        let metadata = from.symlink_metadata().map_err(Error::io("reading", &from))?;
        if is_whiteout(&metadata) {
            files::remove(&to)?;
        } else if metadata.is_dir() {
            let there = to.symlink_metadata().is_ok_and(|m| m.is_dir());
            if !there || is_opaque(&from) {
                files::remove(&to)?;
                files::make_dir(&to)?;
            }
            merge(&from, &to, tool.as_deref())?;
            files::copy_metadata(&metadata, &to)?;
        } else if metadata.is_file() && tool.is_some_and(|tool| same_content(&from, &tool)) {
            if to.exists() {
                files::copy_metadata(&metadata, &to)?;
            }
        } else {
            forget_overlay(&from);
            files::remove(&to)?;
            fs::rename(&from, &to).map_err(Error::io("moving", &from))?;
        }
    }
    Ok(())
}

fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// Whether the directory replaced another one, rather than adding to it.
fn is_opaque(dir: &Path) -> bool {
    let mut value = [0_u8; 4];
    matches!(rustix::fs::lgetxattr(dir, "trusted.overlay.opaque", &mut value), Ok(1) if value[0] == b'y')
}

/// Removes overlayfs' own notes on a file; they name inodes of this very build.
fn forget_overlay(path: &Path) {
    for name in ["trusted.overlay.origin", "trusted.overlay.impure", "trusted.overlay.nlink"] {
        // Most files have none.
        let _ = rustix::fs::lremovexattr(path, name);
    }
}

fn same_content(a: &Path, b: &Path) -> bool {
    let plain = |path: &Path| path.symlink_metadata().ok().filter(Metadata::is_file).map(|m| m.len());
    match (plain(a), plain(b)) {
        (Some(x), Some(y)) if x == y => matches!((fs::read(a), fs::read(b)), (Ok(x), Ok(y)) if x == y),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn new_files_come_in_and_a_tools_content_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let [written, root, tools] = ["written", "root", "tools"].map(|n| dir.path().join(n));
        files::write(&root.join("usr/bin/agent"), "arm", 0o755).unwrap();
        files::write(&tools.join("usr/bin/agent"), "x86", 0o755).unwrap();
        files::write(&written.join("usr/bin/agent"), "x86", 0o2755).unwrap();
        files::write(&written.join("usr/bin/new"), "new", 0o700).unwrap();
        files::write(&root.join("var/lock/old"), "", 0o600).unwrap();
        files::link(&written.join("var/lock"), "/run/lock").unwrap();
        merge(&written, &root, Some(&tools)).unwrap();
        let agent = root.join("usr/bin/agent");
        assert_eq!(fs::read(&agent).unwrap(), b"arm");
        assert_eq!(agent.metadata().unwrap().permissions().mode() & 0o7777, 0o2755);
        assert_eq!(fs::read(root.join("usr/bin/new")).unwrap(), b"new");
        assert_eq!(fs::read_link(root.join("var/lock")).unwrap(), Path::new("/run/lock"));
    }
}
