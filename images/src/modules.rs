//! Which kernel modules a module needs, from depmod's `modules.dep`.

use crate::{Error, Result, files};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The modules of one kernel in a root.
pub(crate) struct Modules {
    directory: PathBuf,
    dependencies: String,
    builtin: String,
}

impl Modules {
    /// Of the only kernel there is.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let kernels = files::sorted(&root.join("usr/lib/modules"))?;
        let [directory] = kernels.as_slice() else {
            return Err(refused("the root holds not one kernel but", &kernels.len().to_string()));
        };
        Ok(Self {
            dependencies: files::read_text(&directory.join("modules.dep"))?,
            builtin: files::read_text(&directory.join("modules.builtin"))?,
            directory: directory.clone(),
        })
    }

    /// The kernel's version.
    pub(crate) fn version(&self) -> String {
        self.directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The files of the named modules and of all they need, in the order in which they can be loaded.
    pub(crate) fn resolve(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let mut order = Vec::new();
        for name in names {
            if self.builtin.lines().any(|line| module_name(line) == *name) {
                continue;
            }
            let mut seen = BTreeSet::new();
            self.add(name, &mut order, &mut seen)?;
        }
        Ok(order.into_iter().map(|path| self.directory.join(path)).collect())
    }

    fn add<'a>(&'a self, name: &str, order: &mut Vec<&'a str>, seen: &mut BTreeSet<&'a str>) -> Result<()> {
        let line = self.dependencies.lines().find_map(|line| {
            let (path, needs) = line.split_once(':')?;
            (module_name(path) == name).then_some((path, needs))
        });
        let Some((path, needs)) = line else { return Err(refused("the kernel has no module", name)) };
        if !seen.insert(path) {
            return Ok(());
        }
        for need in needs.split_whitespace() {
            self.add(&module_name(need), order, seen)?;
        }
        if !order.contains(&path) {
            order.push(path);
        }
        Ok(())
    }
}

fn refused(why: &str, what: &str) -> Error {
    Error::Refused {
        doing: "choosing kernel modules".into(),
        why: format!("{why} {what}"),
        help: "correct the lists in the images crate's packages module".into(),
    }
}

/// `kernel/drivers/md/dm-crypt.ko.xz` is the module `dm_crypt`.
pub(crate) fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules() -> Modules {
        Modules {
            directory: "/m/6.1".into(),
            dependencies:
                "kernel/a-b.ko.xz: kernel/c.ko.xz kernel/d.ko\nkernel/c.ko.xz: kernel/d.ko\nkernel/d.ko:\n"
                    .into(),
            builtin: "kernel/fs/ext4/ext4.ko\n".into(),
        }
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let order = modules().resolve(&["ext4", "d", "a_b"]).unwrap();
        let names: Vec<_> = order.iter().map(|p| module_name(&p.to_string_lossy())).collect();
        assert_eq!(names, ["d", "c", "a_b"]);
        assert_eq!(modules().version(), "6.1");
    }

    #[test]
    fn a_missing_module_is_named() {
        assert!(modules().resolve(&["zfs"]).unwrap_err().to_string().contains("no module zfs"));
    }
}
