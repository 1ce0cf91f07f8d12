//! Reading and unpacking .deb files: decompression is dpkg-deb's, the rest is here, several packages at a time.

use crate::apt::Package;
use crate::{Error, Result, files};
use host::{Cmd, Host, Local};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

/// Documentation nobody reads on a server. Licences stay: they must travel with the programs.
const LEFT_OUT: &[&str] =
    &["usr/share/man/", "usr/share/info/", "usr/share/lintian/", "usr/share/locale/", "usr/share/doc/"];

/// What a package says of itself.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// The `control` file.
    pub(crate) text: String,
    /// Its other control files with their modes: scripts, triggers, lists.
    pub(crate) files: BTreeMap<String, (Vec<u8>, u32)>,
}

impl Control {
    /// A field of the `control` file, of one line.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The configuration files, which dpkg installs itself when it configures.
    pub(crate) fn conffiles(&self) -> Vec<String> {
        let text = self.files.get("conffiles").map(|(bytes, _)| String::from_utf8_lossy(bytes));
        // A line that does not begin with a slash carries a flag, "remove-on-upgrade": no file of this version.
        text.iter()
            .flat_map(|t| t.lines())
            .filter(|l| l.starts_with('/'))
            .map(|l| l.trim().to_owned())
            .collect()
    }
}

/// A package as it lies unpacked.
pub(crate) struct Unpacked {
    pub(crate) control: Control,
    /// All paths in it, as dpkg lists them.
    pub(crate) paths: Vec<String>,
    /// The newest time stamp of its files.
    pub(crate) newest: i64,
    directories: Vec<(String, u32, u32, u32)>,
}

/// How packages are unpacked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// dpkg configures them later: configuration files carry the name under which it looks for new ones.
    Configuring,
    /// They are used as they are.
    Use,
}

/// Unpacks all packages into `root`, without any script. `left_out` adds paths to those that never come in.
pub(crate) fn unpack(
    packages: &[Package],
    root: &Path,
    purpose: For,
    left_out: &[&str],
) -> Result<Vec<Unpacked>> {
    // Debian's own directories are links since the merged /usr; base-files may not come first here.
    for dir in ["bin", "sbin", "lib"] {
        files::make_dir(&root.join("usr").join(dir))?;
        files::link(&root.join(dir), &format!("usr/{dir}"))?;
    }
    let unpacked = files::parallel(packages, |package| unpack_one(package, root, purpose, left_out))?;
    // Packages share directories and were unpacked in no particular order: let the first to name one decide.
    for (path, mode, uid, gid) in unpacked.iter().rev().flat_map(|u| &u.directories) {
        let dir = root.join(path);
        if dir.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            std::os::unix::fs::lchown(&dir, Some(*uid), Some(*gid))
                .map_err(Error::io("setting the owner of", &dir))?;
            std::fs::set_permissions(&dir, PermissionsExt::from_mode(*mode))
                .map_err(Error::io("setting the mode of", &dir))?;
        }
    }
    Ok(unpacked)
}

fn unpack_one(package: &Package, root: &Path, purpose: For, left_out: &[&str]) -> Result<Unpacked> {
    let control = read_control(&package.file)?;
    let conffiles = if purpose == For::Configuring { control.conffiles() } else { Vec::new() };
    let mut unpacked = Unpacked { control, paths: Vec::new(), newest: 0, directories: Vec::new() };

    let cmd = Cmd::new("dpkg-deb").arg("--fsys-tarfile").path(&package.file);
    let mut command = cmd.to_std()?;
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(Error::io("starting", "dpkg-deb"))?;
    let stdout = child.stdout.take().into_iter();
    for pipe in stdout {
        let done = unpack_tar(pipe, root, &conffiles, left_out, &mut unpacked);
        done.map_err(Error::io("unpacking", &package.file))?;
    }
    let status = child.wait().map_err(Error::io("waiting for", "dpkg-deb"))?;
    if !status.success() {
        return Err(Error::Refused {
            doing: format!("unpacking {}", package.file.display()),
            why: "dpkg-deb could not read it".into(),
            help: "delete that file; the next run downloads it again".into(),
        });
    }
    Ok(unpacked)
}

fn unpack_tar(
    pipe: impl Read,
    root: &Path,
    conffiles: &[String],
    left_out: &[&str],
    unpacked: &mut Unpacked,
) -> std::io::Result<()> {
    let mut archive = tar::Archive::new(pipe);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.set_preserve_mtime(true);
    archive.set_unpack_xattrs(true);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").trim_end_matches('/').to_owned();
        if path.is_empty() || path == "." {
            unpacked.paths.push("/.".to_owned());
            continue;
        }
        let absolute = format!("/{path}");
        let out = LEFT_OUT.iter().chain(left_out).any(|o| path.starts_with(o));
        let header = entry.header();
        if header.entry_type().is_dir() {
            if !out {
                let owner = |id: std::io::Result<u64>| id.map(|id| u32::try_from(id).unwrap_or(0));
                let (uid, gid) = (owner(header.uid())?, owner(header.gid())?);
                unpacked.directories.push((path.clone(), header.mode()? & 0o7777, uid, gid));
                std::fs::create_dir_all(root.join(&path))?;
            }
        } else if !out || path.ends_with("/copyright") {
            unpacked.newest = unpacked.newest.max(i64::try_from(header.mtime()?).unwrap_or(0));
            if conffiles.contains(&absolute) {
                let new = root.join(format!("{path}.dpkg-new"));
                new.parent().map_or(Ok(()), std::fs::create_dir_all)?;
                entry.unpack(new)?;
            } else {
                entry.unpack_in(root)?;
            }
        }
        unpacked.paths.push(absolute);
    }
    Ok(())
}

fn read_control(deb: &Path) -> Result<Control> {
    let cmd = Cmd::new("dpkg-deb").arg("--ctrl-tarfile").path(deb);
    let tar = Local.run(&cmd)?.stdout;
    parse_control(&tar).map_err(Error::io("reading the control files of", deb))
}

fn parse_control(tar: &[u8]) -> std::io::Result<Control> {
    let mut control = Control::default();
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
        let mode = entry.header().mode()? & 0o777;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        if name == "control" {
            control.text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        } else {
            control.files.insert(name, (bytes, mode));
        }
    }
    Ok(control)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn control(text: &str, conffiles: &str) -> Control {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in [("./control", text), ("./conffiles", conffiles)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        parse_control(&builder.into_inner().unwrap()).unwrap()
    }

    #[test]
    fn fields_and_conffiles_are_read() {
        let control = control(
            "Package: a\nMulti-Arch: same\nDescription: x\n Package: not me\n",
            "/etc/a\nremove-on-upgrade /etc/b\n",
        );
        assert_eq!(control.field("Package"), Some("a"));
        assert_eq!(control.field("Multi-Arch"), Some("same"));
        assert_eq!(control.field("Version"), None);
        assert_eq!(control.conffiles(), ["/etc/a"]);
    }
}
