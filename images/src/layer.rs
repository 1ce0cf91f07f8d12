//! A tree of files as a tar archive that is the same for the same tree: sorted, times brought down, owners as numbers.

use crate::{Error, Result, files};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Writes everything below `root` to `out`.
pub(crate) fn write(root: &Path, epoch: i64, out: impl Write) -> Result<()> {
    let mut builder = tar::Builder::new(out);
    let mut seen: BTreeMap<u64, PathBuf> = BTreeMap::new();
    files::walk(root, &mut |path, metadata| {
        let name = path.strip_prefix(root).unwrap_or(path);
        let failed = |e| Error::io("archiving", path)(e);
        let mut header = tar::Header::new_gnu();
        header.set_mode(metadata.mode() & 0o7777);
        header.set_uid(metadata.uid().into());
        header.set_gid(metadata.gid().into());
        // A directory's own time tells in which order files came into it.
        let time = if metadata.is_dir() { epoch } else { metadata.mtime().min(epoch) };
        header.set_mtime(u64::try_from(time).unwrap_or(0));
        header.set_size(0);
        if metadata.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            builder.append_data(&mut header, name, std::io::empty()).map_err(failed)
        } else if metadata.is_symlink() {
            let target = std::fs::read_link(path).map_err(failed)?;
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header, name, target).map_err(failed)
        } else if let Some(first) = seen.get(&metadata.ino()).filter(|_| metadata.nlink() > 1) {
            header.set_entry_type(tar::EntryType::Link);
            builder.append_link(&mut header, name, first).map_err(failed)
        } else if metadata.is_file() {
            seen.insert(metadata.ino(), name.to_owned());
            header.set_size(metadata.len());
            let file = std::fs::File::open(path).map_err(failed)?;
            builder.append_data(&mut header, name, file).map_err(failed)
        } else {
            Ok(())
        }
    })?;
    let mut out = builder.into_inner().map_err(Error::io("archiving", root))?;
    out.flush().map_err(Error::io("archiving", root))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(dir: &Path, order: &[&str]) -> Vec<u8> {
        for name in order {
            files::write(&dir.join(name), name, 0o640).unwrap();
        }
        files::link(&dir.join("link"), "a/one").unwrap();
        std::fs::hard_link(dir.join("a/one"), dir.join("b-hard")).unwrap();
        let mut bytes = Vec::new();
        write(dir, 1_700_000_000, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes_whenever_it_was_made() {
        let (x, y) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = tree(x.path(), &["a/one", "a/two", "c"]);
        let two = tree(y.path(), &["c", "a/two", "a/one"]);
        assert_eq!(one, two);
        let mut archive = tar::Archive::new(one.as_slice());
        let entries: Vec<_> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned()).collect();
        let names: Vec<_> = entries.iter().map(|p| p.to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["a", "a/one", "a/two", "b-hard", "c", "link"]);
    }

    #[test]
    fn times_are_brought_down() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = tree(dir.path(), &["a/one"]);
        let mut archive = tar::Archive::new(bytes.as_slice());
        assert!(archive.entries().unwrap().all(|e| e.unwrap().header().mtime().unwrap() <= 1_700_000_000));
    }
}
