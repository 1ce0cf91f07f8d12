//! The initramfs: busybox, the drivers of a virtual disk, and twenty lines of script.

use crate::cpio::Archive;
use crate::modules::{Modules, module_name};
use crate::packages::{BOOT_MODULES, NEEDED_MODULES};
use crate::{Error, Result};
use host::{Cmd, Host, Local};
use std::path::Path;

/// The first program.
pub(crate) const INIT: &str = include_str!("../assets/server/init.sh");

/// The archive's bytes. `busybox` is the static program for the server's architecture.
pub(crate) fn make(modules: &Modules, busybox: &Path) -> Result<Vec<u8>> {
    modules.resolve(NEEDED_MODULES)?;
    let mut archive = Archive::default();
    for dir in ["bin", "dev", "modules", "proc", "root"] {
        archive.directory(dir);
    }
    archive.program("bin/busybox", &std::fs::read(busybox).map_err(Error::io("reading", busybox))?);
    archive.program("init", INIT.as_bytes());
    let mut order = String::new();
    for path in modules.resolve(BOOT_MODULES)? {
        let name = format!("{}.ko", module_name(&path.to_string_lossy()));
        archive.file(&format!("modules/{name}"), &uncompressed(&path)?);
        order += &format!("{name}\n");
    }
    archive.file("modules/order", order.as_bytes());
    Ok(archive.finish())
}

/// busybox's insmod takes a module as it is.
fn uncompressed(module: &Path) -> Result<Vec<u8>> {
    if module.extension().is_some_and(|e| e == "xz") {
        return Ok(Local.run(&Cmd::new("xz").arg("-dc").path(module))?.stdout);
    }
    std::fs::read(module).map_err(Error::io("reading", module))
}
