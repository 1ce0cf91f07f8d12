//! The machine's own Rust: for a musl target where rustup has it, for the machine's own glibc where not.

use crate::Arch;
use anyhow::{Context, Result, bail};
use host::Cmd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The linker and the musl that come with Rust: no C toolchain is needed.
pub(super) const MUSL_FLAGS: [&str; 6] =
    ["-C", "linker=rust-lld", "-C", "linker-flavor=ld.lld", "-C", "link-self-contained=yes"];
/// The machine's glibc, which must be of 2.34 or later to resolve names without loading libraries.
pub(super) const GLIBC_FLAGS: [&str; 4] =
    ["-C", "target-feature=+crt-static", "-C", "relocation-model=static"];

/// How long rustup may take to fetch a target of some 30 MB.
const RUSTUP_LIMIT: Duration = Duration::from_secs(20);
/// How long a refusal is believed, so that a machine without a way to rustup's server waits once a day.
const REFUSAL_LASTS: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the linker and the like are.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What of the caller's environment cargo and rustup may need to find their files and the network.
const PASSED_ON: [&str; 9] = [
    "HOME",
    "CARGO_HOME",
    "CARGO_NET_OFFLINE",
    "CARGO_HTTP_CAINFO",
    "CARGO_HTTP_PROXY",
    "RUSTUP_HOME",
    "RUSTUP_DIST_SERVER",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Whether a target can be built for.
pub(super) enum Target {
    /// Its standard library is there.
    Installed,
    /// It is not, for this reason.
    Refused(String),
}

/// The Rust that built this program.
pub struct Rust {
    cargo: PathBuf,
    sysroot: PathBuf,
    version: String,
}

impl Rust {
    /// Finds the cargo that started this program and the compiler beside it.
    pub fn find() -> Result<Self> {
        let cargo = std::env::var_os("CARGO").map(PathBuf::from).or_else(|| developers("cargo"));
        let cargo = cargo.context("looking for cargo: it is not in $PATH; run this as `cargo xtask …`")?;
        // Beside rustup's own proxies the compiler is a proxy too, which is just as good.
        let rustc = cargo.with_file_name("rustc");
        let ask = |args: &[&str]| -> Result<String> {
            let cmd = with_environment(Cmd::new(text(&rustc)).args(args.iter().copied()));
            Ok(host::Host::run(&host::Local, &cmd)?.text())
        };
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?);
        Ok(Self { version: ask(&["-vV"])?, sysroot, cargo })
    }

    /// Cargo with the environment it needs: the compiler and cargo's own subcommands are found beside it.
    pub fn cargo(&self) -> Cmd {
        self.tool(&self.cargo)
    }

    /// A program that runs cargo itself, with the same environment.
    pub fn tool(&self, program: &Path) -> Cmd {
        let path = format!("{}:{SYSTEM_PATH}", self.sysroot.join("bin").display());
        with_environment(Cmd::new(text(program))).env("PATH", path)
    }

    /// The compiler's version in full.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Looks for the musl target of `arch`, and has rustup fetch it where it is missing.
    pub(super) fn musl_target(&self, arch: Arch, cache: &Path, report: &dyn Fn(&str)) -> Result<Target> {
        let target = arch.musl();
        if self.has(&target) {
            return Ok(Target::Installed);
        }
        let (Some(rustup), Some((home, toolchain))) = (developers("rustup"), self.in_rustup()) else {
            return Ok(Target::Refused(format!(
                "rustup is not installed, or {} is none of its toolchains",
                self.sysroot.display()
            )));
        };
        let note = cache.join(format!("rustup-refused-{target}"));
        if let Some(why) = remembered(&note) {
            return Ok(Target::Refused(why));
        }
        report(&format!("asking rustup for the target {target}"));
        let cmd = Cmd::new(text(&rustup)).args(["target", "add", "--toolchain", &toolchain, &target]);
        // It must not take the occasion to install or replace the toolchain itself.
        let cmd = with_environment(cmd).env("RUSTUP_HOME", text(&home)).env("RUSTUP_AUTO_INSTALL", "0");
        let why = match host::Host::run(&host::Local, &cmd.timeout(RUSTUP_LIMIT)) {
            Ok(_) if self.has(&target) => return Ok(Target::Installed),
            Ok(_) => {
                format!("rustup says that it added {target}, but it is not in {}", self.sysroot.display())
            }
            Err(error) => error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        };
        host::files::write(&note, why.as_bytes(), 0o644)?;
        Ok(Target::Refused(why))
    }

    fn has(&self, target: &str) -> bool {
        self.sysroot.join("lib/rustlib").join(target).join("lib").is_dir()
    }

    /// Rustup's home and the toolchain's name there, which its place says.
    fn in_rustup(&self) -> Option<(PathBuf, String)> {
        let toolchains = self.sysroot.parent().filter(|dir| dir.ends_with("toolchains"))?;
        Some((toolchains.parent()?.to_owned(), self.sysroot.file_name()?.to_str()?.to_owned()))
    }

    /// The machine's glibc can only be linked where its static library is installed.
    pub(super) fn require_static_glibc(&self, arch: Arch, refusal: &str) -> Result<()> {
        let library = format!("/usr/lib/{}-linux-gnu/libc.a", arch.machine());
        if Path::new(&library).is_file() || Path::new("/usr/lib64/libc.a").is_file() {
            return Ok(());
        }
        bail!(
            "no static C library: {refusal}; and {library} is missing. \
             Install it with `apt-get install libc6-dev gcc`, or run `rustup target add {}`",
            arch.musl()
        )
    }

    /// Builds `firstboot`; the paths of this machine do not reach the binary.
    pub(super) fn build(
        &self,
        target: &str,
        flags: &[&str],
        workspace: &Path,
        cache: &Path,
    ) -> Result<PathBuf> {
        let mut flags: Vec<String> = flags.iter().map(|&flag| flag.into()).collect();
        for (from, to) in self.machine_paths(workspace) {
            flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        }
        let target_dir = cache.join("target");
        super::distrust_timestamps(&target_dir.join(target), workspace)?;
        let cmd = self
            .cargo()
            .args(super::BUILD)
            .args(["--target", target, "--manifest-path"])
            .path(workspace.join("Cargo.toml"))
            .current_dir(workspace)
            .env("CARGO_TARGET_DIR", text(&target_dir))
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        super::run_logged(&cmd, &cache.join(format!("build-{target}.log")))?;
        Ok(target_dir.join(target).join("release/firstboot"))
    }

    /// Fetches what the lock file names, so that a build can do without the network.
    pub(super) fn fetch(&self, workspace: &Path, targets: &[String]) -> Result<()> {
        let cmd = self
            .cargo()
            .args(["fetch", "--quiet", "--locked", "--manifest-path"])
            .path(workspace.join("Cargo.toml"))
            .args(targets.iter().flat_map(|target| ["--target", target]));
        host::Host::run(&host::Local, &cmd)?;
        Ok(())
    }

    fn machine_paths(&self, workspace: &Path) -> Vec<(PathBuf, &'static str)> {
        let mut paths = vec![(workspace.to_owned(), "/src")];
        paths.extend(cargo_home().map(|home| (home, "/cargo")));
        // Where the component rust-src is installed, rustc names the library's sources by their place.
        paths.push((self.sysroot.join("lib/rustlib/src/rust"), "/rust"));
        paths
    }
}

/// Where cargo keeps the registry.
pub(super) fn cargo_home() -> Option<PathBuf> {
    let set = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    set.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")))
}

/// A tool of the developer's, which lives in their home and not in the system's directories.
fn developers(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::split_paths(&path).collect::<Vec<_>>();
    let own = cargo_home().map(|home| home.join("bin"));
    own.into_iter().chain(named).map(|dir| dir.join(tool)).find(|path| path.is_file())
}

fn with_environment(cmd: Cmd) -> Cmd {
    PASSED_ON.into_iter().fold(cmd.proxies_from_parent(), Cmd::env_from_parent)
}

fn remembered(note: &Path) -> Option<String> {
    let age = note.metadata().ok()?.modified().ok()?.elapsed().ok()?;
    if age < REFUSAL_LASTS { std::fs::read_to_string(note).ok() } else { None }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_believed_for_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("note");
        assert_eq!(remembered(&note), None);
        std::fs::write(&note, "no route to host").unwrap();
        assert_eq!(remembered(&note).as_deref(), Some("no route to host"));
        let yesterday = std::time::SystemTime::now() - REFUSAL_LASTS - Duration::from_secs(1);
        std::fs::File::options().write(true).open(&note).unwrap().set_modified(yesterday).unwrap();
        assert_eq!(remembered(&note), None);
    }

    #[test]
    fn the_compiler_that_built_this_is_found() {
        let rust = Rust::find().unwrap();
        assert!(
            rust.version().contains("release: 1.")
                && rust.has(Arch::of_this_machine().unwrap().gnu().as_str())
        );
    }
}
