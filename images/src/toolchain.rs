//! The static `firstboot`: built for the server's architecture, the same bytes from the same inputs, and kept.
//!
//! [`firstboot`] is the whole job in order: choose a toolchain, compute the key of all that goes in, give back
//! what is kept under that key, or build, prove the result static, and keep it.
//!
//! Three toolchains make it, and the first that is there is used:
//! 1. `local`: the machine's own Rust with rustup's musl target, fetched when rustup can have it. Linking needs
//!    nothing but the linker and the musl that come with it.
//! 2. `local` again, for the machine's own architecture only: its glibc, linked statically.
//! 3. `cross`: a Debian root with Debian's Rust and its cross linker, for a machine that can reach no
//!    rustup server. It needs root.

mod cross;
mod elf;
mod inputs;
mod local;

pub use local::Rust;

use crate::{Arch, files};
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What user-data, a copy over ssh and a small server bear.
const MAX_SIZE: u64 = 6 * 1024 * 1024;
/// What cargo is told, whichever toolchain it drives.
const BUILD: [&str; 6] =
    ["build", "--release", "--locked", "--package=firstboot", "--bin=firstboot", "--color=never"];
/// What a release build of firstboot and its dependencies takes up.
const BUILD_MIB: u64 = 512;
/// How many builds of one architecture are kept: going back and forth between two branches stays free.
const KEPT: usize = 4;

impl Arch {
    fn musl(self) -> String {
        format!("{}-unknown-linux-musl", self.machine())
    }

    fn gnu(self) -> String {
        format!("{}-unknown-linux-gnu", self.machine())
    }
}

/// A built `firstboot`.
#[derive(Debug, Clone)]
pub struct Firstboot {
    /// Where it is kept.
    pub path: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Which toolchain made it, for the summary.
    pub how: &'static str,
    /// Whether nothing had to be built.
    pub cached: bool,
}

/// A toolchain that is ready to be used.
enum Toolchain {
    Musl(Rust),
    HostGlibc(Rust),
    Cross(cross::Root),
}

impl Toolchain {
    fn choose(arch: Arch, cache: &Path, report: &dyn Fn(&str)) -> Result<Self> {
        let rust = Rust::find()?;
        let refusal = match rust.musl_target(arch, cache, report)? {
            local::Target::Installed => return Ok(Self::Musl(rust)),
            local::Target::Refused(why) => why,
        };
        if Arch::of_this_machine().is_ok_and(|own| own == arch) {
            rust.require_static_glibc(arch, &refusal)?;
            return Ok(Self::HostGlibc(rust));
        }
        cross::Root::ensure(arch, cache, &refusal, report).map(Self::Cross)
    }

    fn how(&self) -> &'static str {
        match self {
            Self::Musl(_) => "rustup's musl target",
            Self::HostGlibc(_) => "this machine's glibc",
            Self::Cross(_) => "Debian's cross toolchain",
        }
    }

    /// What of the toolchain decides the bytes it makes.
    fn identity(&self) -> &str {
        match self {
            Self::Musl(rust) | Self::HostGlibc(rust) => rust.version(),
            Self::Cross(root) => root.identity(),
        }
    }

    /// Builds it, and gives back where cargo left the binary.
    fn build(&self, arch: Arch, workspace: &Path, cache: &Path) -> Result<PathBuf> {
        match self {
            Self::Musl(rust) => rust.build(&arch.musl(), &local::MUSL_FLAGS, workspace, cache),
            Self::HostGlibc(rust) => rust.build(&arch.gnu(), &local::GLIBC_FLAGS, workspace, cache),
            Self::Cross(root) => root.build(arch, workspace, cache),
        }
    }
}

/// Gives a static `firstboot` for `arch`, building it only when something that goes into it has changed.
pub fn firstboot(arch: Arch, cache: &Path, report: &dyn Fn(&str)) -> Result<Firstboot> {
    let doing = || format!("building firstboot for {}", arch.machine());
    let workspace = workspace()?;
    let cache = cache.join("firstboot");
    std::fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
    let toolchain = Toolchain::choose(arch, &cache, report).with_context(doing)?;
    let key = |toolchain: &Toolchain| {
        inputs::key(&workspace, "firstboot", &[arch.machine(), toolchain.how(), toolchain.identity()])
    };
    let wanted = key(&toolchain).with_context(doing)?;
    let kept = cache.join(arch.machine()).join(&wanted);
    if let Some(found) = kept_build(&kept, toolchain.how())? {
        return Ok(found);
    }
    require_space(&cache, BUILD_MIB).with_context(doing)?;
    let _lock = wait_for_lock(&cache.join("build.lock"), report)?;
    report(&format!("{} with {}", doing(), toolchain.how()));
    let built = toolchain.build(arch, &workspace, &cache).with_context(doing)?;
    let bytes = std::fs::read(&built).with_context(|| format!("reading {}", built.display()))?;
    elf::require_static(&bytes, arch).with_context(doing)?;
    ensure!(
        bytes.len() as u64 <= MAX_SIZE,
        "{}: it has {} bytes, and {MAX_SIZE} is the most a server is sent; \
         find what grew with `cargo tree -p firstboot -e normal`",
        doing(),
        bytes.len()
    );
    if key(&toolchain)? != wanted {
        bail!("{}: its sources changed while it was built; run the command again", doing());
    }
    host::files::write(&kept.join("firstboot"), &bytes, 0o755)?;
    host::files::write(&kept.join("sha256"), sha256(&bytes).as_bytes(), 0o644)?;
    forget_old_builds(&cache.join(arch.machine()), &kept);
    let built = kept_build(&kept, toolchain.how())?.context("the binary just built is gone again")?;
    Ok(Firstboot { cached: false, ..built })
}

/// Stops before anything is written where the disk is too small for it.
fn require_space(dir: &Path, need_mib: u64) -> Result<()> {
    let found =
        rustix::fs::statvfs(dir).with_context(|| format!("looking at the disk of {}", dir.display()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize) >> 20;
    ensure!(
        free >= need_mib,
        "{}: {free} MiB free, {need_mib} MiB needed; free some, or set SOVEREIGN_CACHE to a directory on another disk",
        dir.display()
    );
    Ok(())
}

/// Makes cargo compile the workspace's own packages anew. It takes a file for unchanged by its date, and another
/// clone, or a file put back, has other bytes with an older one; what is kept must be made of what was hashed.
fn distrust_timestamps(target: &Path, workspace: &Path) -> Result<()> {
    let names = inputs::names(workspace, "firstboot")?;
    let entries = std::fs::read_dir(target.join("release/.fingerprint")).into_iter().flatten().flatten();
    for entry in entries {
        let file = entry.file_name();
        let package = file.to_str().and_then(|file| Some(file.rsplit_once('-')?.0));
        if package.is_some_and(|package| names.contains(package)) {
            let path = entry.path();
            std::fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// The folder of the workspace that this program was started in.
pub fn workspace() -> Result<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(std::env::current_dir, |d| Ok(d.into()))?;
    let is_ours =
        |dir: &&Path| dir.join("Cargo.lock").is_file() && dir.join("firstboot/Cargo.toml").is_file();
    let found = here.ancestors().find(is_ours);
    found.map(Path::to_owned).with_context(|| {
        format!("looking for the workspace: none above {}; run it inside a clone", here.display())
    })
}

/// A build kept earlier; one whose bytes are not what was written counts as none.
fn kept_build(dir: &Path, how: &'static str) -> Result<Option<Firstboot>> {
    let path = dir.join("firstboot");
    let (Some(bytes), Some(written)) = (host::files::read(&path)?, host::files::read(&dir.join("sha256"))?)
    else {
        return Ok(None);
    };
    let sha256 = sha256(&bytes);
    let whole = sha256.as_bytes() == written;
    Ok(whole.then_some(Firstboot { path, sha256, size: bytes.len() as u64, how, cached: true }))
}

/// Removes the oldest builds. A cache that cannot be tidied is no reason to fail.
fn forget_old_builds(dir: &Path, current: &Path) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut builds: Vec<_> = entries
        .filter(|entry| entry.path() != current)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    builds.sort();
    for (_, path) in builds.iter().rev().skip(KEPT - 1) {
        let _ = std::fs::remove_dir_all(path);
    }
}

/// Two builds at once would only slow each other, and the second then finds what the first kept.
fn wait_for_lock(path: &Path, report: &dyn Fn(&str)) -> Result<host::files::Lock> {
    let mut said = Instant::now() - Duration::from_secs(60);
    loop {
        if let Some(lock) = host::files::try_lock(path)? {
            return Ok(lock);
        }
        if said.elapsed() >= Duration::from_secs(30) {
            let holder = std::fs::read_to_string(path).unwrap_or_default();
            report(&format!("waiting for the build that process {} is doing", holder.trim()));
            said = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn sha256(bytes: &[u8]) -> String {
    files::hex(&Sha256::digest(bytes))
}

/// The last lines of a log, for an error.
fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// Runs a program whose output is long into a log; the error carries the log's end and its place.
fn run_logged(cmd: &host::Cmd, log: &Path) -> Result<()> {
    let file = std::fs::File::create(log).with_context(|| format!("writing {}", log.display()))?;
    let mut command = cmd.to_std()?;
    command.stdout(file.try_clone()?).stderr(file);
    let status = command.status().with_context(|| format!("starting {}", cmd.program()))?;
    let program = cmd.program();
    let name = Path::new(&*program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    ensure!(
        status.success(),
        "running {name}: {status}; all it said is in {}:\n{}",
        log.display(),
        last_lines(log)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_build_with_other_bytes_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(kept_build(dir.path(), "x").unwrap().is_none());
        std::fs::write(dir.path().join("firstboot"), b"abc").unwrap();
        assert!(kept_build(dir.path(), "x").unwrap().is_none());
        std::fs::write(dir.path().join("sha256"), sha256(b"abc")).unwrap();
        let found = kept_build(dir.path(), "x").unwrap().unwrap();
        assert!(found.cached && found.size == 3 && found.sha256.starts_with("ba7816bf"));
        std::fs::write(dir.path().join("firstboot"), b"abd").unwrap();
        assert!(kept_build(dir.path(), "x").unwrap().is_none());
    }

    #[test]
    fn only_what_cargo_remembers_of_our_own_packages_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("firstboot")).unwrap();
        std::fs::write(dir.path().join("Cargo.toml"), "").unwrap();
        std::fs::write(dir.path().join("firstboot/Cargo.toml"), "[package]\nname = 'firstboot'\n").unwrap();
        let remembered = dir.path().join("release/.fingerprint");
        for name in ["firstboot-0123abcd", "firstboot-other-0123abcd", "serde-0123abcd"] {
            std::fs::create_dir_all(remembered.join(name)).unwrap();
        }
        distrust_timestamps(dir.path(), dir.path()).unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(&remembered).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["firstboot-other-0123abcd", "serde-0123abcd"]);
    }

    #[test]
    fn the_newest_builds_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..KEPT + 2 {
            std::fs::create_dir(dir.path().join(n.to_string())).unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        forget_old_builds(dir.path(), &dir.path().join("0"));
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["0", "3", "4", "5"]);
    }

    #[test]
    fn a_failed_program_says_where_all_it_said_is() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("build.log");
        let cmd = host::Cmd::new("sh").args(["-c", "echo 'error[E0425]: no such value'; exit 101"]);
        let error = run_logged(&cmd, &log).unwrap_err().to_string();
        assert!(error.contains("E0425") && error.contains("build.log") && error.contains("101"), "{error}");
    }
}
