//! The emulator that arm64 machines run under where this machine's own is old: QEMU as Debian's current release has it,
//! with every library it needs, unpacked in the cache and started by its own dynamic linker.

use crate::apt::Apt;
use crate::cache::{self, Entry};
use crate::deb::{self, For};
use crate::report::timed;
use crate::{Arch, Error, Report, Result, files};
use host::{Cmd, Host as _, Local};
use std::path::{Path, PathBuf};

const SUITE: &str = "trixie";
const PACKAGE: &str = "qemu-system-arm";
const PROGRAM: &str = "qemu-system-aarch64";
/// Emulation is plainly quicker with 10.0, Debian 13's, than with Debian 12's 7.2.
const NEW_ENOUGH: u32 = 10;
/// Starts it from wherever the cache lies. The linker goes by QEMU's name, which is then the name of the process.
const LAUNCHER: &str = "#!/bin/sh
here=${0%/*}
root=$here/root/usr
exec \"$here/qemu-system-aarch64\" --library-path \"$root/lib/x86_64-linux-gnu\" \\
    \"$root/bin/qemu-system-aarch64\" -L \"$root/share/qemu\" \"$@\"
";

/// The program to start in place of this machine's `qemu-system-aarch64`; none where that is new enough, or where this
/// machine is one for which none is made here.
pub fn emulator(cache: &Path, report: &dyn Report) -> Result<Option<PathBuf>> {
    if Arch::of_this_machine()? != Arch::Amd64 || version()?.is_some_and(|major| major >= NEW_ENOUGH) {
        return Ok(None);
    }
    let key = cache::key(&[SUITE, PACKAGE, LAUNCHER].map(str::to_owned));
    let cache = &cache::open(cache)?;
    let entry = Entry { cache, name: "emulator", key: &key, needs: 1024 };
    let (dir, _) = entry.get(report, |dir| {
        let doing = format!("downloading {PACKAGE} of {SUITE}");
        let packages = timed(report, &doing, || Apt::open(cache, SUITE, Arch::Amd64)?.fetch(&[PACKAGE]))?;
        deb::unpack(&packages, &dir.join("root"), For::Use, &[])?;
        let named = dir.join(PROGRAM);
        std::os::unix::fs::symlink("root/usr/lib64/ld-linux-x86-64.so.2", &named)
            .map_err(Error::io("making", &named))?;
        let launcher = dir.join("launch");
        files::write(&launcher, LAUNCHER, 0o755)?;
        // What does not start here is not kept.
        Local.run(&Cmd::new(&launcher).arg("--version"))?;
        Ok(())
    })?;
    Ok(Some(dir.join("launch")))
}

/// The major version of this machine's own, where it has one.
fn version() -> Result<Option<u32>> {
    if host::find_program(PROGRAM).is_err() {
        return Ok(None);
    }
    Ok(major(&Local.run(&Cmd::new(PROGRAM).arg("--version"))?.text()))
}

/// From `QEMU emulator version 7.2.22 (Debian ...)`.
fn major(said: &str) -> Option<u32> {
    said.strip_prefix("QEMU emulator version ")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read() {
        assert_eq!(
            major("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright"),
            Some(7)
        );
        assert_eq!(major("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)"), Some(10));
        assert_eq!(major("bash: qemu: not found"), None);
    }
}
