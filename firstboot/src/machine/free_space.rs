//! Room on the root disk: without it no receipt, event or escrow can be written.

use super::Machine;
use anyhow::{Result, bail};
use spec::paths;
use std::path::Path;

/// What must be free before anything is begun.
const NEEDED: u64 = 32 << 20;
const MIB: u64 = 1 << 20;

/// Refuses to begin on a full root disk.
pub(crate) fn require(machine: &dyn Machine) -> Result<()> {
    match lacking(machine, Path::new("/"))? {
        None => Ok(()),
        Some(lacking) => bail!(
            "looking for room on the root disk: {lacking}; nothing was begun. Find what fills it with \
             `du -xh / | sort -h | tail`, make room (`journalctl --vacuum-size=50M`, `apt-get clean`), then try again"
        ),
    }
}

/// What is wrong with the room on the root disk and on the volume.
pub(crate) fn complaints(machine: &dyn Machine) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (name, path) in [("the root disk", "/"), ("the volume", paths::DATA)] {
        wrong.extend(lacking(machine, Path::new(path))?.map(|lacking| format!("{name}: {lacking}")));
    }
    Ok(wrong)
}

fn lacking(machine: &dyn Machine, path: &Path) -> Result<Option<String>> {
    let free = machine.free(path)?;
    Ok((free < NEEDED).then(|| format!("{} MiB are free, {} are needed", free / MIB, NEEDED / MIB)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[test]
    fn a_full_disk_is_refused_before_anything_is_written() {
        let fake = Fake::new();
        fake.state.borrow_mut().free = NEEDED - 1;
        let before = fake.state.borrow().root.clone();
        let error = crate::flow::install::install(&fake, &fake.spec().to_json(), &|| false).unwrap_err();
        assert!(error.to_string().contains("31 MiB are free, 32 are needed"), "{error}");
        assert_eq!(fake.state.borrow().root, before);
        assert_eq!(complaints(&fake).unwrap().len(), 2);
        fake.state.borrow_mut().free = NEEDED;
        require(&fake).unwrap();
        assert_eq!(complaints(&fake).unwrap(), Vec::<String>::new());
    }
}
