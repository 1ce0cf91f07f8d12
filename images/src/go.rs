//! Programs that are made from Go modules: what Debian does not carry.
//!
//! The versions are pinned by the `go.mod` and `go.sum` below `modules/`, which Go checks every download against. A
//! program is static and the same bytes wherever it is built: no C, no paths, no build ids, no time.

use crate::cache::{self, Entry};
use crate::report::timed;
use crate::{Arch, Error, Report, Result, files};
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

/// Programs of one Go module, at one version.
#[derive(Debug, Clone, Copy)]
pub struct GoModule {
    /// What they are called together.
    pub name: &'static str,
    /// The module's version, as `go.mod` pins it.
    pub version: &'static str,
    /// The pins: what is required, and what it hashes to.
    go_mod: &'static str,
    go_sum: &'static str,
    /// The commands that are built; each gives a program of its last part's name.
    commands: &'static [&'static str],
    /// Variables the linker sets to the version, so that the programs can say it.
    stamps: &'static [&'static str],
}

/// The control server of the private network.
pub const HEADSCALE: GoModule = GoModule {
    name: "headscale",
    version: "0.29.2",
    go_mod: include_str!("../modules/headscale/go.mod"),
    go_sum: include_str!("../modules/headscale/go.sum"),
    commands: &["github.com/juanfont/headscale/cmd/headscale"],
    stamps: &[],
};

/// A node of the private network, and the command that steers it.
pub const TAILSCALE: GoModule = GoModule {
    name: "tailscale",
    version: "1.102.5",
    go_mod: include_str!("../modules/tailscale/go.mod"),
    go_sum: include_str!("../modules/tailscale/go.sum"),
    commands: &["tailscale.com/cmd/tailscale", "tailscale.com/cmd/tailscaled"],
    stamps: &["tailscale.com/version.longStamp", "tailscale.com/version.shortStamp"],
};

impl GoModule {
    /// The whole of what decides about the programs' bytes, but for the compiler.
    pub(crate) fn inputs(&self, arch: Arch) -> Vec<String> {
        let lists = [self.commands, self.stamps].map(|list| list.join(" "));
        let mut inputs = vec![arch.name().to_owned(), self.go_mod.to_owned(), self.go_sum.to_owned()];
        inputs.extend(lists);
        inputs.push(self.linker_flags());
        inputs
    }

    fn linker_flags(&self) -> String {
        let stamps = self.stamps.iter().map(|name| format!(" -X {name}={}", self.version));
        format!("-s -w -buildid={}", stamps.collect::<String>())
    }
}

/// The module's programs, by their names below the directory that is given back; from the cache or built.
///
/// # Errors
/// No Go, one that is too old, no way to the modules, or a module whose bytes are not those pinned.
pub fn go_programs(cache: &Path, module: &GoModule, arch: Arch, report: &dyn Report) -> Result<PathBuf> {
    let key = cache::key(&module.inputs(arch));
    let cache = &cache::open(cache)?;
    let name = format!("{}-programs-{}", module.name, arch.name());
    let (dir, _) = Entry { cache, name: &name, key: &key, needs: 4096 }.get(report, |dir| {
        timed(report, &format!("compiling {} {}", module.name, module.version), || build(dir, module, arch))
    })?;
    Ok(dir.join("bin"))
}

fn build(dir: &Path, module: &GoModule, arch: Arch) -> Result<()> {
    let source = dir.join("source");
    files::write(&source.join("go.mod"), module.go_mod, 0o644)?;
    files::write(&source.join("go.sum"), module.go_sum, 0o644)?;
    let out = dir.join("bin");
    files::make_dir(&out)?;
    let cmd = Cmd::new(compiler(module)?).args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false"]);
    let cmd = PASSED_ON.into_iter().fold(cmd.proxies_from_parent(), Cmd::env_from_parent);
    let cmd =
        cmd.env("CGO_ENABLED", "0").env("GOOS", "linux").env("GOARCH", arch.name()).env("GOWORK", "off");
    let cmd = cmd.args(["-ldflags", &module.linker_flags(), "-o"]).path(&out).args(module.commands.to_vec());
    Local.run(&cmd.current_dir(&source).timeout(BUILD))?;
    files::remove(&source)
}

/// Whether this machine has Go, of whatever age.
pub fn has_go() -> bool {
    ["go", UNPACKED].into_iter().any(|name| host::find_program(name).is_ok())
}

/// Go's command, wherever it is.
fn compiler(module: &GoModule) -> Result<String> {
    let found = ["go", UNPACKED].into_iter().find(|name| host::find_program(name).is_ok());
    found.map(str::to_owned).ok_or_else(|| Error::Refused {
        doing: format!("compiling {} {}", module.name, module.version),
        why: "this machine has no Go".into(),
        help: format!(
            "install Go {} or newer so that {UNPACKED} is its command, or take the published images: \
             `[images] from = \"pins\"`",
            needed(module.go_mod)
        ),
    })
}

/// The release of Go that a `go.mod` asks for.
fn needed(go_mod: &str) -> &str {
    go_mod.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_is_said_is_the_one_that_is_pinned() {
        for (module, path) in [(HEADSCALE, "github.com/juanfont/headscale"), (TAILSCALE, "tailscale.com")] {
            let pin = format!("{path} v{}", module.version);
            assert!(module.go_mod.lines().any(|line| line.trim().starts_with(&pin)), "{pin}");
            assert!(module.go_sum.lines().any(|line| line.starts_with(&format!("{pin} h1:"))), "{pin}");
            assert!(needed(module.go_mod).starts_with("1."));
        }
    }

    #[test]
    fn what_is_built_depends_on_the_pins_and_the_architecture() {
        let key = |module: &GoModule, arch| cache::key(&module.inputs(arch));
        let other = GoModule { go_sum: "", ..HEADSCALE };
        assert_ne!(key(&HEADSCALE, Arch::Arm64), key(&other, Arch::Arm64));
        assert_ne!(key(&HEADSCALE, Arch::Arm64), key(&HEADSCALE, Arch::Amd64));
        assert!(TAILSCALE.linker_flags().ends_with("version.shortStamp=1.102.5"));
    }
}
