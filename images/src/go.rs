//! Programs that are made from Go modules: what Debian does not carry.
//!
//! The versions are pinned by the `go.mod` and `go.sum` beside the recipe, which Go checks every download against. A
//! program is static and the same bytes wherever it is built: no C, no paths, no build ids, no time.

use crate::recipe::{Argument, Go, Recipe, Wrong};
use crate::{Arch, Error, Result};
use host::{Cmd, Host as _, Local};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Go is when it was unpacked as its makers say, which no package does.
const UNPACKED: &str = "/usr/local/go/bin/go";
/// A first build downloads some hundred modules and compiles them for a machine of another architecture.
const BUILD: Duration = Duration::from_secs(60 * 60);
/// What the caller may say about where modules come from and which toolchain is used.
const PASSED_ON: [&str; 7] =
    ["HOME", "GOPROXY", "GONOSUMDB", "GOSUMDB", "GOTOOLCHAIN", "GOCACHE", "GOMODCACHE"];

impl Go {
    /// Refuses one whose pins are not beside the recipe.
    pub(crate) fn check(&self, beside: &BTreeMap<String, Vec<u8>>) -> std::result::Result<(), Wrong> {
        let about = self.module.as_ref().or(self.commands.first()).map_or("", Argument::as_str);
        if let Some(missing) = ["go.mod", "go.sum"].into_iter().find(|name| !beside.contains_key(*name)) {
            return Err(Wrong::new(
                about,
                format!("it is a Go module's, and there is no {missing} beside the recipe"),
            ));
        }
        if self.module.is_some() && self.version(beside).is_empty() {
            return Err(Wrong::new(about, "the go.mod beside the recipe does not require it"));
        }
        Ok(())
    }

    /// The version that `go.mod` pins, without the `v`; nothing where no module is named.
    fn version(&self, beside: &BTreeMap<String, Vec<u8>>) -> String {
        let go_mod = beside.get("go.mod").map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
        let pin = |line: &str| {
            let line = line.trim().trim_start_matches("require ");
            let version = line.strip_prefix(self.module.as_ref()?.as_str())?.strip_prefix(" v")?;
            version.split_whitespace().next().map(str::to_owned)
        };
        go_mod.lines().find_map(pin).unwrap_or_default()
    }

    pub(crate) fn linker_flags(&self, beside: &BTreeMap<String, Vec<u8>>) -> String {
        let version = self.version(beside);
        let stamps = self.stamps.iter().map(|name| format!(" -X {}={version}", name.as_str()));
        format!("-s -w -buildid={}", stamps.collect::<String>())
    }
}

/// Compiles a recipe's commands in `source`, where its files are, into a directory.
pub(crate) fn compile(recipe: &Recipe, go: &Go, arch: Arch, source: &Path, out: &Path) -> Result<()> {
    let cmd = Cmd::new(compiler(recipe)?).args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false"]);
    let cmd = environment(cmd)
        .env("CGO_ENABLED", "0")
        .env("GOOS", "linux")
        .env("GOARCH", arch.name())
        .args(["-ldflags", &go.linker_flags(&recipe.beside), "-o"])
        .path(out.join(""))
        .args(go.commands.iter().map(Argument::as_str));
    Local.run(&cmd.current_dir(source).timeout(BUILD))?;
    Ok(())
}

/// What Go is told of the caller's environment.
pub(crate) fn environment(cmd: Cmd) -> Cmd {
    PASSED_ON.into_iter().fold(cmd.proxies_from_parent(), Cmd::env_from_parent).env("GOWORK", "off")
}

/// Whether this machine has Go, of whatever age.
pub fn has_go() -> bool {
    found().is_some()
}

fn found() -> Option<PathBuf> {
    ["go", UNPACKED].into_iter().find_map(|name| host::find_program(name).ok())
}

/// Go's command, wherever it is.
pub(crate) fn compiler(recipe: &Recipe) -> Result<PathBuf> {
    found().ok_or_else(|| Error::Refused {
        doing: format!("compiling {}", recipe.name),
        why: "this machine has no Go".into(),
        help: format!(
            "install Go {} or newer so that {UNPACKED} is its command, or take the published images: \
             `[images] from = \"pins\"`",
            needed(&recipe.beside)
        ),
    })
}

/// The release of Go that a `go.mod` asks for.
fn needed(beside: &BTreeMap<String, Vec<u8>>) -> String {
    let go_mod = beside.get("go.mod").map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
    go_mod.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::tests::ours;

    #[test]
    fn the_version_that_is_said_is_the_one_that_is_pinned() {
        let tailscale = ours("tailscale");
        let go = tailscale.says.go.as_ref().unwrap();
        let version = go.version(&tailscale.beside);
        assert!(go.linker_flags(&tailscale.beside).ends_with(&format!("version.shortStamp={version}")));
        let sums = String::from_utf8_lossy(&tailscale.beside["go.sum"]);
        assert!(
            sums.lines().any(|line| line.starts_with(&format!("tailscale.com v{version} h1:"))),
            "{version}"
        );
        assert!(needed(&tailscale.beside).starts_with("1."));
    }
}
