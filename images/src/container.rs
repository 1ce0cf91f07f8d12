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
