//! A Debian root with Debian's Rust, its standard library for the server's architecture and a cross linker.
//!
//! The packages are only unpacked: no maintainer script runs, nothing is emulated, and what no linking needs is
//! left out. The root is made in a temporary folder and renamed, so it is whole or not there. Cargo runs in it
//! in mount, process and network namespaces of its own: the workspace is read-only at `/src`, the network is gone,
//! and nothing stays mounted however the build ends.

use super::local;
use crate::apt::{KEYRING, mirrors};
use crate::{Arch, files};
use anyhow::{Context, Result, ensure};
use host::{Cmd, Host, Local};
use std::path::{Path, PathBuf};

/// What a root takes up while it is made, the downloaded packages included.
const ROOT_MIB: u64 = 2048;

/// Where the packages come from: the first release whose Rust is new enough for the workspace, by its backports.
const RELEASE: &str = "trixie";
const BACKPORTS: &str = "trixie-backports";
/// Raised when the way the root is laid out changes, so that older ones are made anew.
const LAYOUT: &str = "1";

/// Packages that the linker's packages ask for and that linking Rust does not need: compilers of C, the sanitizers,
/// the kernel's headers. They are half of what would be unpacked.
const LEFT_OUT: [&str; 14] = [
    "cpp-",
    "libasan",
    "libatomic",
    "libc-dev-bin",
    "libcc1",
    "libgomp",
    "libgprofng",
    "libhwasan",
    "libitm",
    "liblsan",
    "libtsan",
    "libubsan",
    "linux-libc-dev",
    "rpcsvc-proto",
];

/// Runs cargo in the root. Everything is mounted in a private namespace, which ends with the process.
const ENTER: &str = r#"
root=$1 workspace=$2 cargo_home=$3 target=$4
shift 4
mount --bind "$workspace" "$root/src"
mount -o remount,bind,ro "$root/src"
mount --bind "$cargo_home" "$root/cargo"
mount -o remount,bind,ro "$root/cargo"
mount --bind "$target" "$root/target"
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
exec chroot "$root" /usr/bin/cargo "$@"
"#;

/// A cross root that is ready.
pub(super) struct Root {
    root: PathBuf,
    identity: String,
}

impl Root {
    /// Gives the root for building for `arch`, making it if there is none.
    pub(super) fn ensure(arch: Arch, cache: &Path, refusal: &str, report: &dyn Fn(&str)) -> Result<Self> {
        let place = cache.join(format!("cross-root-{}-{}", arch.machine(), inputs(arch)?));
        if let Some(found) = Self::open(&place)? {
            return Ok(found);
        }
        ensure!(
            rustix::process::geteuid().is_root(),
            "neither of the two ways is open: {refusal}; and making a Debian cross root needs root. \
             Run `rustup target add {}`, or run this command as root",
            arch.musl()
        );
        super::require_space(cache, ROOT_MIB)?;
        let _lock = super::wait_for_lock(&cache.join("cross-root.lock"), report)?;
        if let Some(found) = Self::open(&place)? {
            return Ok(found);
        }
        report(&format!("making a Debian root with a cross toolchain for {}: {refusal}", arch.machine()));
        remove_others(cache, arch)?;
        let temporary = place.with_extension("part");
        make(arch, &temporary, report).with_context(|| {
            format!("making the cross root in {} (rustup was no way either: {refusal})", temporary.display())
        })?;
        std::fs::rename(&temporary, &place).with_context(|| format!("renaming to {}", place.display()))?;
        Self::open(&place)?.context("the cross root just made is gone again")
    }

    fn open(place: &Path) -> Result<Option<Self>> {
        let packages = host::files::read(&place.join("packages"))?;
        Ok(packages.map(|list| Self { root: place.join("root"), identity: super::sha256(&list) }))
    }

    /// The hash of the list of packages and their versions.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Builds `firstboot` in it, without the network.
    pub(super) fn build(&self, arch: Arch, workspace: &Path, cache: &Path) -> Result<PathBuf> {
        let own = Arch::of_this_machine()?;
        let (own_target, target) = (own.gnu(), arch.gnu());
        super::Rust::find()?.fetch(workspace, &[own_target.clone(), target.clone()])?;
        let cargo_home = local::cargo_home().context("looking for cargo's home: $HOME is not set")?;
        let target_dir = cache.join("target-cross");
        std::fs::create_dir_all(&target_dir).with_context(|| format!("making {}", target_dir.display()))?;
        super::distrust_timestamps(&target_dir.join(&target), workspace)?;
        let linker =
            |target: &str| format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
        let flags = [&local::GLIBC_FLAGS[..], &["-C", "link-arg=-Wl,--build-id=none"]].concat();
        let cmd = Cmd::new("unshare")
            .args(["--mount", "--propagation=private", "--net", "--pid", "--fork", "--kill-child", "--"])
            .args(["sh", "-euc", ENTER, "sh"])
            .path(&self.root)
            .path(workspace)
            .path(&cargo_home)
            .path(&target_dir)
            .args(super::BUILD)
            .args(["--offline", "--manifest-path=/src/Cargo.toml", "--target", &target])
            .env("HOME", "/tmp")
            .env("CARGO_HOME", "/cargo")
            .env("CARGO_TARGET_DIR", "/target")
            .env(linker(&own_target), "gcc")
            .env(linker(&target), format!("{}-linux-gnu-gcc", arch.machine().replace('_', "-")))
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        super::run_logged(&cmd, &cache.join(format!("build-{target}.log")))?;
        Ok(target_dir.join(&target).join("release/firstboot"))
    }
}

/// What is asked for; apt adds what these need.
fn wanted(arch: Arch) -> Vec<String> {
    let gnu = arch.machine().replace('_', "-");
    [
        "rustc".into(),
        "cargo".into(),
        format!("gcc-{gnu}-linux-gnu"),
        format!("libc6-dev-{}-cross", arch.name()),
    ]
    .into()
}

/// The key of a root: everything that decides what is in it but the versions Debian has at the time.
fn inputs(arch: Arch) -> Result<String> {
    let own = Arch::of_this_machine()?;
    let mut all = vec![LAYOUT.to_owned(), RELEASE.into(), BACKPORTS.into(), own.machine().into()];
    all.extend(wanted(arch));
    all.extend(LEFT_OUT.map(str::to_owned));
    Ok(super::sha256(all.join("\n").as_bytes())[..12].to_owned())
}

/// Roots of earlier inputs, and what a killed run left; each is a gigabyte.
fn remove_others(cache: &Path, arch: Arch) -> Result<()> {
    let prefix = format!("cross-root-{}-", arch.machine());
    for entry in std::fs::read_dir(cache).with_context(|| format!("reading {}", cache.display()))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let path = entry.path();
            std::fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

fn make(arch: Arch, place: &Path, report: &dyn Fn(&str)) -> Result<()> {
    let apt = Apt::new(arch, place)?;
    apt.get(&["update", "-qq"])?;
    let packages = apt.resolve(arch)?;
    report(&format!("fetching {} Debian packages", packages.len()));
    apt.download(&packages)?;
    let root = place.join("root");
    lay_out(&root)?;
    unpack(&place.join("apt/archives"), &root)?;
    std::fs::remove_dir_all(place.join("apt"))?;
    // Written last: a root without it counts as none.
    host::files::write(&place.join("packages"), packages.join("\n").as_bytes(), 0o644)?;
    Ok(())
}

/// apt with the machine's own configuration (its proxies, its mirror) but another release and nothing installed.
struct Apt {
    options: Vec<String>,
    archives: PathBuf,
}

impl Apt {
    fn new(arch: Arch, place: &Path) -> Result<Self> {
        let own = Arch::of_this_machine()?.name();
        let (mirror, _) = mirrors()?;
        ensure!(
            Path::new(KEYRING).is_file(),
            "{KEYRING} is missing; install the package debian-archive-keyring"
        );
        let dir = place.join("apt");
        let archives = dir.join("archives");
        for made in [dir.join("lists/partial"), archives.join("partial")] {
            std::fs::create_dir_all(&made).with_context(|| format!("making {}", made.display()))?;
        }
        let foreign = arch.name();
        let source =
            |suite| format!("deb [arch={own},{foreign} signed-by={KEYRING}] {mirror} {suite} main\n");
        let sources = dir.join("sources.list");
        host::files::write(&sources, (source(RELEASE) + &source(BACKPORTS)).as_bytes(), 0o644)?;
        host::files::write(&dir.join("status"), b"", 0o644)?;
        let inside = |name: &str| dir.join(name).display().to_string();
        let options = [
            format!("Dir::State={}", dir.display()),
            format!("Dir::State::lists={}", inside("lists")),
            format!("Dir::State::status={}", inside("status")),
            format!("Dir::State::extended_states={}", inside("extended_states")),
            format!("Dir::Cache={}", dir.display()),
            format!("Dir::Etc::SourceList={}", sources.display()),
            "Dir::Etc::SourceParts=/dev/null".into(),
            "Dir::Etc::Preferences=/dev/null".into(),
            "Dir::Etc::PreferencesParts=/dev/null".into(),
            format!("APT::Architecture={own}"),
            format!("APT::Architectures::={own}"),
            format!("APT::Architectures::={foreign}"),
            format!("APT::Default-Release={BACKPORTS}"),
            "APT::Install-Recommends=false".into(),
            "APT::Sandbox::User=root".into(),
            "Acquire::Languages=none".into(),
            "Acquire::Retries=3".into(),
        ];
        Ok(Self { options: options.into(), archives })
    }

    fn get(&self, args: &[&str]) -> Result<String> {
        let options = self.options.iter().flat_map(|option| ["-o", option]);
        let cmd = Cmd::new("apt-get").args(options).args(args.iter().copied());
        Ok(Local.run(&cmd.proxies_from_parent().current_dir(&self.archives))?.text())
    }

    /// The packages to fetch, as `name:architecture=version`.
    fn resolve(&self, arch: Arch) -> Result<Vec<String>> {
        let wanted = wanted(arch);
        let mut args = vec!["install", "--simulate"];
        args.extend(wanted.iter().map(String::as_str));
        let mut packages = chosen(&self.get(&args)?);
        // Alone, without what it depends on: that would be a second compiler, for the server's architecture.
        let standard_library = packages.iter().find(|p| p.starts_with("libstd-rust-dev:"));
        let version =
            standard_library.and_then(|p| p.split_once('=')).context("apt chose no libstd-rust-dev")?.1;
        packages.push(format!("libstd-rust-dev:{}={version}", arch.name()));
        packages.sort();
        Ok(packages)
    }

    /// Fetches them; apt compares each with the signed lists.
    fn download(&self, packages: &[String]) -> Result<()> {
        let mut args = vec!["download", "-qq"];
        args.extend(packages.iter().map(String::as_str));
        self.get(&args)?;
        Ok(())
    }
}

/// What apt would install, less what is left out, from the lines `Inst NAME (VERSION ORIGIN [ARCHITECTURE]) …`.
fn chosen(simulation: &str) -> Vec<String> {
    let line = |line: &str| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
        let version = rest.split_once(' ')?.0;
        let architecture = rest.split_once('[')?.1.split_once(']')?.0;
        let name = name.split(':').next()?;
        let left_out = LEFT_OUT.iter().any(|prefix| name.starts_with(prefix));
        (!left_out).then(|| format!("{name}:{architecture}={version}"))
    };
    simulation.lines().filter_map(line).collect()
}

/// The folders that Debian's packages expect, and those that are mounted upon.
fn lay_out(root: &Path) -> Result<()> {
    let making = || format!("making {}", root.display());
    for dir in ["usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "src", "cargo", "target", "dev", "proc", "tmp"]
    {
        std::fs::create_dir_all(root.join(dir)).with_context(making)?;
    }
    for link in ["bin", "lib", "lib64", "sbin"] {
        std::os::unix::fs::symlink(format!("usr/{link}"), root.join(link)).with_context(making)?;
    }
    Ok(())
}

/// Unpacks all packages, as many at once as there are processors: decompressing is what takes the time.
fn unpack(archives: &Path, root: &Path) -> Result<()> {
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(archives).with_context(|| format!("reading {}", archives.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            packages.push((path.metadata()?.len(), path));
        }
    }
    ensure!(!packages.is_empty(), "apt fetched no packages into {}", archives.display());
    // The largest first, so that none is left for one processor at the end.
    packages.sort();
    packages.reverse();
    files::parallel(&packages, |(_, package)| {
        Ok(Local.run(&Cmd::new("dpkg-deb").arg("--extract").path(package).path(root))?)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linking_does_not_need_is_left_out() {
        let simulation = "NOTE: This is only a simulation!\n\
            Inst libc6 (2.41-12+deb13u4 Debian:13.2/stable [amd64]) []\n\
            Inst cpp-14-aarch64-linux-gnu (14.2.0-19cross1 Debian:13.2/stable [amd64])\n\
            Inst libasan8 (14.2.0-19 Debian:13.2/stable [amd64])\n\
            Inst zlib1g (1:1.3.dfsg-1 Debian:13.2/stable [amd64])\n\
            Conf libc6 (2.41-12+deb13u4 Debian:13.2/stable [amd64])\n";
        assert_eq!(chosen(simulation), ["libc6:amd64=2.41-12+deb13u4", "zlib1g:amd64=1:1.3.dfsg-1"]);
    }

    #[test]
    fn a_root_without_its_list_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("root")).unwrap();
        assert!(Root::open(dir.path()).unwrap().is_none());
        std::fs::write(dir.path().join("packages"), "rustc").unwrap();
        assert_eq!(Root::open(dir.path()).unwrap().unwrap().identity(), crate::toolchain::sha256(b"rustc"));
    }
}
