//! Programs that are made from Go modules: what Debian does not carry.
//!
//! The versions are pinned by the `go.mod` and `go.sum` beside the recipe, which Go checks every download against. A
//! program is static and the same bytes wherever it is built: no C, no paths, no build ids, no time.

use crate::recipe::{Argument, Go, Recipe};
use crate::{Arch, Error, Result};
use host::{Cmd, Host as _, Local};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Go is when it was unpacked as its makers say, which no package does.
const UNPACKED: &str = "/usr/local/go/bin/go";
/// A first build downloads some hundred modules and compiles them for a machine of another architecture.
const BUILD: Duration = Duration::from_secs(60 * 60);
/// What the caller may say about where modules come from and which toolchain is used.
const PASSED_ON: [&str; 7] =
    ["HOME", "GOPROXY", "GONOSUMDB", "GOSUMDB", "GOTOOLCHAIN", "GOCACHE", "GOMODCACHE"];

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
            recipe.says.go.as_ref().map(|go| go.release(&recipe.beside)).unwrap_or_default()
        ),
    })
}
