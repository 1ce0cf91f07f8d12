//! dpkg's database of a root whose packages we unpacked ourselves.
//!
//! dpkg counts a package of another architecture than its own as foreign, and dependencies are then no longer met. So
//! while this machine's own dpkg configures, the database names its architecture ([`write`]); the real one is
//! put back afterwards ([`restore`]).

use crate::apt::STAND_IN;
use crate::deb::Unpacked;
use crate::{Arch, Error, Result, files};
use std::path::Path;

/// Writes the database: all packages unpacked, none configured, of architecture `shown`.
pub(crate) fn write(root: &Path, packages: &[Unpacked], real: Arch, shown: Arch) -> Result<()> {
    let info = root.join("var/lib/dpkg/info");
    for dir in ["info", "updates", "triggers"] {
        files::make_dir(&root.join("var/lib/dpkg").join(dir))?;
    }
    files::write(&info.join("format"), "1\n", 0o644)?;
    let mut status = STAND_IN.to_owned();
    files::write(&info.join("sovereign-initramfs.list"), "/.\n", 0o644)?;
    files::write(&info.join("sovereign-initramfs.md5sums"), "", 0o644)?;
    for package in packages {
        let control = &package.control;
        let mut name = control.field("Package").unwrap_or_default().to_owned();
        if control.field("Multi-Arch") == Some("same") {
            name = format!("{name}:{}", shown.name());
        }
        for (file, (bytes, mode)) in &control.files {
            files::write(&info.join(format!("{name}.{file}")), bytes, *mode)?;
        }
        files::write(&info.join(format!("{name}.list")), package.paths.join("\n") + "\n", 0o644)?;
        status += &stanza(&control.text, &control.conffiles(), real, shown);
    }
    files::write(&root.join("var/lib/dpkg/status"), status, 0o644)
}

fn stanza(control: &str, conffiles: &[String], real: Arch, shown: Arch) -> String {
    let mut stanza = String::new();
    for line in control.lines() {
        if line == format!("Architecture: {}", real.name()) {
            stanza += &format!("Architecture: {}\n", shown.name());
        } else {
            stanza += &format!("{line}\n");
        }
        if line.starts_with("Package: ") {
            stanza += "Status: install ok unpacked\n";
        }
    }
    if !conffiles.is_empty() {
        stanza += "Conffiles:\n";
        stanza.extend(conffiles.iter().map(|path| format!(" {path} newconffile\n")));
    }
    stanza + "\n"
}

/// Puts the real architecture back.
pub(crate) fn restore(root: &Path, real: Arch, shown: Arch) -> Result<()> {
    if real == shown {
        return Ok(());
    }
    let dpkg = root.join("var/lib/dpkg");
    let replace = |path: &Path, from: &str, to: &str| -> Result<()> {
        let text = files::read_text(path)?;
        std::fs::write(path, text.replace(from, to)).map_err(Error::io("writing", path))
    };
    let line = |arch: Arch| format!("\nArchitecture: {}\n", arch.name());
    replace(&dpkg.join("status"), &line(shown), &line(real))?;
    let suffix = |arch: Arch| format!(":{}", arch.name());
    for path in files::sorted(&dpkg.join("triggers"))? {
        replace(&path, &suffix(shown), &suffix(real))?;
    }
    for path in files::sorted(&dpkg.join("info"))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let renamed = name.replace(&format!("{}.", suffix(shown)), &format!("{}.", suffix(real)));
        if renamed != name {
            std::fs::rename(&path, path.with_file_name(renamed)).map_err(Error::io("renaming", &path))?;
        }
    }
    Ok(())
}

/// Whether every package is configured; else the names of those that are not.
pub(crate) fn unconfigured(status: &str) -> Vec<&str> {
    let stanzas = status.split("\n\n").filter(|s| !s.trim().is_empty());
    stanzas
        .filter(|s| !s.lines().any(|l| l == "Status: install ok installed"))
        .filter_map(|s| s.lines().find_map(|l| l.strip_prefix("Package: ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_shows_the_other_architecture_and_new_conffiles() {
        let text = stanza(
            "Package: a\nArchitecture: arm64\nVersion: 1",
            &["/etc/a".into()],
            Arch::Arm64,
            Arch::Amd64,
        );
        assert_eq!(
            text,
            "Package: a\nStatus: install ok unpacked\nArchitecture: amd64\nVersion: 1\nConffiles:\n /etc/a newconffile\n\n"
        );
        assert_eq!(unconfigured(&format!("{STAND_IN}{text}")), ["a"]);
    }

    #[test]
    fn the_real_architecture_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let control = crate::deb::tests::control("Package: a\nArchitecture: arm64\nMulti-Arch: same", "");
        let dpkg = dir.path().join("var/lib/dpkg");
        let stanza = stanza(&control.text, &[], Arch::Arm64, Arch::Amd64);
        files::write(&dpkg.join("status"), format!("{STAND_IN}{stanza}"), 0o644).unwrap();
        files::write(&dpkg.join("info/a:amd64.list"), "", 0o644).unwrap();
        files::write(&dpkg.join("triggers/File"), "/x a:amd64\n", 0o644).unwrap();
        restore(dir.path(), Arch::Arm64, Arch::Amd64).unwrap();
        assert!(files::read_text(&dpkg.join("status")).unwrap().contains("\nArchitecture: arm64\n"));
        assert!(dpkg.join("info/a:arm64.list").exists());
        assert_eq!(files::read_text(&dpkg.join("triggers/File")).unwrap(), "/x a:arm64\n");
    }
}
