//! The files of the container images we make ourselves: what is laid over Debian's packages.

use crate::recipe::{Content, Inside, Mode, Recipe};
use crate::{Error, Result, files};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Lays what was made over the packages, then what the recipe adds.
pub(crate) fn add_files(recipe: &Recipe, made: Option<&Path>, root: &Path) -> Result<()> {
    let says = &recipe.says;
    if let Some(made) = made {
        lay_over(made, root)?;
    }
    for applet in &says.applets {
        let path = root.join("usr/bin").join(applet);
        if path.symlink_metadata().is_err() {
            files::link(&path, "busybox")?;
        }
    }
    for file in &says.file {
        let bytes = match &file.content {
            Content::Text(text) => text.as_bytes(),
            Content::From(name) => recipe.beside.get(name.as_str()).map_or(&[][..], Vec::as_slice),
        };
        files::write(&root.join(&file.path), bytes, file.mode.0)?;
    }
    says.link.iter().try_for_each(|link| files::link(&root.join(&link.path), &link.to))?;
    says.owned.iter().try_for_each(|owned| own(recipe, &owned.path, owned.mode, root))
}

/// Makes a directory that the image's user owns.
fn own(recipe: &Recipe, path: &Inside, mode: Mode, root: &Path) -> Result<()> {
    let path = root.join(path);
    files::make_dir(&path)?;
    let user = recipe.says.run.user;
    let failed = |e| Error::io("setting the owner of", &path)(e);
    std::os::unix::fs::lchown(&path, Some(user.uid), Some(user.gid)).map_err(failed)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode.0)).map_err(failed)
}

/// Copies a tree: owned by root, readable by all, and executable where anybody could execute it, whatever the mask was.
fn lay_over(made: &Path, root: &Path) -> Result<()> {
    files::walk(made, &mut |path, metadata| {
        let to = root.join(path.strip_prefix(made).unwrap_or(path));
        if metadata.is_symlink() {
            let target = std::fs::read_link(path).map_err(Error::io("reading", path))?;
            return files::link(&to, &target.to_string_lossy());
        }
        let executable = metadata.permissions().mode() & 0o111 != 0;
        if !metadata.is_dir() {
            std::fs::copy(path, &to).map_err(Error::io("copying", path))?;
        } else if to.is_dir() {
            return Ok(());
        } else {
            files::make_dir(&to)?;
        }
        let mode = if executable { 0o755 } else { 0o644 };
        std::fs::set_permissions(&to, PermissionsExt::from_mode(mode))
            .map_err(Error::io("setting the mode of", &to))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::tests::reading;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_was_made_goes_through_debians_links_and_the_recipe_has_the_last_word() {
        let dir = tempfile::tempdir().unwrap();
        let [made, root] = ["made", "root"].map(|name| dir.path().join(name));
        files::write(&made.join("bin/tool"), "made", 0o700).unwrap();
        files::write(&made.join("etc/x"), "made", 0o600).unwrap();
        files::make_dir(&root.join("usr/bin")).unwrap();
        files::link(&root.join("bin"), "usr/bin").unwrap();
        let text = "[[file]]\npath = \"etc/x\"\nmode = \"0640\"\ntext = \"said\"\n\
                    [[owned]]\npath = \"data\"\nmode = \"0700\"\n[run]\nuser = \"0:0\"\n";
        add_files(&reading(text, &[]).unwrap(), Some(&made), &root).unwrap();
        let mode = |path: &str| root.join(path).symlink_metadata().unwrap().mode() & 0o7777;
        assert_eq!((mode("usr/bin/tool"), mode("etc"), mode("data")), (0o755, 0o755, 0o700));
        assert_eq!((files::read_text(&root.join("etc/x")).unwrap(), mode("etc/x")), ("said".into(), 0o640));
        assert!(root.join("bin").is_symlink());
    }
}
