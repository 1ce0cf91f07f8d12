//! Configuring the root's packages with this machine's own programs.

use crate::{Arch, Error, Result, dpkg_db, files, overlay};
use host::{Cmd, Host, Local};
use std::path::Path;

const SCRIPT: &str = include_str!("../assets/server/configure.sh");

/// Programs the maintainer scripts find in place of the real ones.
const STUBS: &[(&str, &str)] = &[
    // Nothing is started in an image.
    ("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n"),
    // Asks dpkg for packages under their real architecture's name, which the database does not show just then.
    ("usr/bin/py3compile", "#!/bin/sh\nexit 0\n"),
    // Host keys are each server's own.
    ("usr/bin/ssh-keygen", "#!/bin/sh\nexit 0\n"),
    // The kernel it would give rules to is the building machine's.
    ("usr/sbin/auditctl", "#!/bin/sh\nexit 0\n"),
    // Caches of glib's settings and modules, of which a server has none; called by the path of their own architecture.
    ("usr/lib/aarch64-linux-gnu/glib-2.0/glib-compile-schemas", "#!/bin/sh\nexit 0\n"),
    ("usr/lib/aarch64-linux-gnu/glib-2.0/gio-querymodules", "#!/bin/sh\nexit 0\n"),
    ("usr/lib/x86_64-linux-gnu/glib-2.0/glib-compile-schemas", "#!/bin/sh\nexit 0\n"),
    ("usr/lib/x86_64-linux-gnu/glib-2.0/gio-querymodules", "#!/bin/sh\nexit 0\n"),
];

/// What goes into the cache key.
pub(crate) fn inputs() -> Vec<String> {
    let stubs = STUBS.iter().flat_map(|(path, text)| [(*path).to_owned(), (*text).to_owned()]);
    stubs.chain([SCRIPT.to_owned()]).collect()
}

/// Where things lie while configuring.
pub(crate) struct Place<'a> {
    /// The root that is to be configured.
    pub(crate) root: &'a Path,
    /// This machine's own programs, where it is of another architecture.
    pub(crate) tools: Option<&'a Path>,
    /// An empty directory on the same file system.
    pub(crate) scratch: &'a Path,
}

/// Lets dpkg configure all packages, and merges what was written into the root.
pub(crate) fn configure(place: &Place<'_>, real: Arch, shown: Arch, epoch: i64) -> Result<()> {
    let directory = |name: &str| -> Result<_> {
        let path = place.scratch.join(name);
        files::make_dir(&path)?;
        Ok(path)
    };
    let (stubs, written, mounts) = (directory("stubs")?, directory("written")?, directory("mounts")?);
    for (path, text) in STUBS {
        files::write(&stubs.join(path), text, 0o755)?;
    }
    let layers: Vec<String> = [Some(stubs.as_path()), place.tools, Some(place.root)]
        .into_iter()
        .flatten()
        .map(|path| path.display().to_string())
        .collect();

    let flags =
        ["--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc", "--propagation", "private"];
    // Killed together with us: what a killed build leaves running would write into the next one's way.
    let cmd = Cmd::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare"])
        .args(flags)
        .args(["sh", "-c", SCRIPT, "configure"])
        .arg(layers.join(":"))
        .path(&written)
        .path(&mounts)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("DEBCONF_NONINTERACTIVE_SEEN", "true")
        .env("HOME", "/root")
        // shadow writes the day a password was changed; Python orders sets by a random seed.
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .env("PYTHONHASHSEED", "0")
        .env("DPKG_MAINTSCRIPT_ARCH", shown.name())
        .env("SYSTEMD_OFFLINE", "1");
    let output = Local.probe(&cmd)?;
    let transcript = [output.stdout.as_slice(), output.stderr.as_bytes()].concat();
    let log = place.scratch.join("configure.log");
    std::fs::write(&log, &transcript).map_err(Error::io("writing", &log))?;
    judge(output.success(), &String::from_utf8_lossy(&transcript))?;

    overlay::merge(&written, place.root, place.tools)?;
    dpkg_db::restore(place.root, real, shown)?;
    let status = files::read_text(&place.root.join("var/lib/dpkg/status"))?;
    match dpkg_db::unconfigured(&status).as_slice() {
        [] => Ok(()),
        left => Err(refused(format!("dpkg left unconfigured: {}", left.join(", ")))),
    }
}

/// A script that calls a program of the other architecture may not fail by it: take it for a failure all the same.
fn judge(success: bool, transcript: &str) -> Result<()> {
    let telling = |line: &&str| {
        ["Exec format error", "error processing", "subprocess returned error", "cannot mount", "mount:"]
            .iter()
            .any(|sign| line.contains(sign))
    };
    let foreign = transcript.lines().find(|l| l.contains("Exec format error"));
    if success && foreign.is_none() {
        return Ok(());
    }
    let said: Vec<&str> = transcript.lines().filter(telling).take(6).collect();
    let last = transcript.lines().last().unwrap_or("nothing was said");
    Err(refused(if said.is_empty() { last.to_owned() } else { said.join("; ") }))
}

fn refused(why: String) -> Error {
    Error::Refused {
        doing: "configuring the server's packages".into(),
        why,
        help: "\"Exec format error\" names a program whose package is missing from packages::TOOLS; \"mount\" means \
               this needs root and overlayfs"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_program_is_an_error_even_where_the_script_went_on() {
        assert!(judge(true, "Setting up a\n").is_ok());
        let error = judge(true, "Setting up a\n12: getcap: Exec format error\n").unwrap_err().to_string();
        assert!(error.contains("getcap") && error.contains("packages::TOOLS"), "{error}");
        assert!(judge(false, "").is_err());
    }
}
