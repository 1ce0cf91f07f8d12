//! The container images we make ourselves, from Debian's packages and Go modules.

use crate::go::{GoModule, HEADSCALE, TAILSCALE};
use crate::{Arch, Result, files};
use std::path::Path;

/// A container image: packages that are unpacked, files that are added, and how it is started.
///
/// No package is configured and no dependency follows by itself: the list is the whole image, so that a reader sees
/// what is in it and no interpreter or package manager comes in with it.
#[derive(Debug, Clone, Copy)]
pub struct ContainerImage {
    /// Its name in the catalogue, and in the registry below `sovereign/`.
    pub name: &'static str,
    /// The packages in it.
    pub packages: &'static [&'static str],
    /// Programs made from a Go module, and the directory they lie in.
    pub go: Option<(&'static GoModule, &'static str)>,
    /// Beginnings of paths that do not come in with the packages.
    pub left_out: &'static [&'static str],
    /// Files and links that are added.
    pub files: &'static [File],
    /// Busybox's programs that are linked into `/usr/bin`.
    pub applets: &'static [&'static str],
    /// Whom it runs as, in numbers.
    pub user: (u32, u32),
    /// Its environment.
    pub env: &'static [&'static str],
    /// What is started.
    pub entrypoint: &'static [&'static str],
    /// The arguments where none are given.
    pub command: &'static [&'static str],
    /// Where data belongs.
    pub volume: Option<&'static str>,
    /// The port it serves, where it serves one.
    pub port: Option<&'static str>,
    /// What says whether it is well, where a compose file says nothing: Docker's `HEALTHCHECK`.
    pub healthcheck: &'static [&'static str],
    /// The signal that stops it, where it is not SIGTERM.
    pub stop_signal: &'static str,
}

/// Something that is added to a container image.
#[derive(Debug, Clone, Copy)]
pub enum File {
    /// A file: path, mode, content.
    Text(&'static str, u32, &'static str),
    /// A link: path, target.
    Link(&'static str, &'static str),
    /// A directory that the image's user owns: path, mode.
    Owned(&'static str, u32),
}

/// All of them.
pub const CONTAINERS: [&ContainerImage; 3] = [&POSTGRES, &HEADSCALE_IMAGE, &TAILSCALE_IMAGE];

const ENTRYPOINT: &str = include_str!("../assets/postgres/docker-entrypoint.sh");

/// PostgreSQL, to the contract of the upstream `postgres` image: one compose file serves both.
///
/// Without JIT, whose compiler is two thirds of upstream's image and does not pay on queries of this size, and without
/// Perl: Debian's cluster tools are of no use in a container.
pub(crate) const POSTGRES: ContainerImage = ContainerImage {
    name: "postgres",
    packages: &[
        "base-files",
        "busybox-static",
        "libc-bin",
        "libc6",
        "libcom-err2",
        "libffi8",
        "libgcc-s1",
        "libgcrypt20",
        "libgmp10",
        "libgnutls30t64",
        "libgpg-error0",
        "libgssapi-krb5-2",
        "libhogweed6t64",
        "libicu76",
        "libidn2-0",
        "libk5crypto3",
        "libkeyutils1",
        "libkrb5-3",
        "libkrb5support0",
        "libldap2",
        "liblz4-1",
        "liblzma5",
        "libnettle8t64",
        "libnuma1",
        "libp11-kit0",
        "libpam0g",
        "libaudit1",
        "libcap-ng0",
        "libpcre2-8-0",
        "libpq5",
        "libreadline8t64",
        "libsasl2-2",
        "libselinux1",
        "libssl3t64",
        "libstdc++6",
        "libsystemd0",
        "libcap2",
        "libtasn1-6",
        "libtinfo6",
        "libunistring5",
        "libuuid1",
        "libxml2",
        "libxslt1.1",
        "libxxhash0",
        "libzstd1",
        "netbase",
        "postgresql-17",
        "postgresql-client-17",
        "tzdata",
        "zlib1g",
    ],
    go: None,
    left_out: &[
        // Character sets for iconv(3), a sixth of the image; PostgreSQL brings its own conversions.
        "usr/lib/aarch64-linux-gnu/gconv/",
        "usr/lib/x86_64-linux-gnu/gconv/",
        "usr/lib/postgresql/17/lib/bitcode/",
        "usr/lib/postgresql/17/lib/llvmjit",
        "usr/share/doc-base/",
        "usr/share/postgresql/17/man/",
        "usr/share/postgresql-common/",
        "var/lib/systemd/",
    ],
    files: &[
        File::Text("usr/local/bin/docker-entrypoint.sh", 0o755, ENTRYPOINT),
        File::Text(
            "etc/passwd",
            0o644,
            "root:x:0:0:root:/root:/bin/sh\npostgres:x:999:999:PostgreSQL:/var/lib/postgresql:/bin/sh\n",
        ),
        File::Text("etc/group", 0o644, "root:x:0:\npostgres:x:999:\n"),
        File::Text("etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nhosts: files dns\n"),
        File::Link("usr/bin/sh", "busybox"),
        File::Link("var/run", "/run"),
        File::Owned("var/lib/postgresql", 0o755),
        File::Owned("var/lib/postgresql/data", 0o700),
        File::Owned("run/postgresql", 0o775),
        File::Owned("docker-entrypoint-initdb.d", 0o755),
    ],
    applets: &[
        "cat", "chmod", "cp", "cut", "date", "df", "du", "env", "find", "grep", "gzip", "head", "id", "ls",
        "mkdir", "mv", "ps", "rm", "rmdir", "sed", "sleep", "sort", "stat", "sync", "tail", "tar", "test",
        "touch", "tr", "wc",
    ],
    user: (999, 999),
    env: &[
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/17/bin",
        "LANG=C.UTF-8",
        "PG_MAJOR=17",
        "PGDATA=/var/lib/postgresql/data",
    ],
    entrypoint: &["docker-entrypoint.sh"],
    command: &["postgres"],
    volume: Some("/var/lib/postgresql/data"),
    port: Some("5432/tcp"),
    healthcheck: &["CMD", "pg_isready", "--quiet", "--host=/run/postgresql", "--username=postgres"],
    // A fast shutdown; on SIGTERM PostgreSQL would wait for its clients to leave.
    stop_signal: "SIGINT",
};

/// Nobody in particular: no file on a server belongs to this user.
const UNPRIVILEGED: (u32, u32) = (65532, 65532);

/// Headscale, where the published `headscale/headscale` has it: one program and nothing else, not even a shell.
const HEADSCALE_IMAGE: ContainerImage = ContainerImage {
    name: "headscale",
    packages: &[],
    go: Some((&HEADSCALE, "ko-app")),
    left_out: &[],
    files: &[],
    applets: &[],
    user: UNPRIVILEGED,
    env: &["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/ko-app"],
    entrypoint: &["/ko-app/headscale"],
    command: &[],
    volume: None,
    port: Some("8080/tcp"),
    healthcheck: &["CMD", "headscale", "health"],
    stop_signal: "SIGTERM",
};

/// A node's two programs, where the published `tailscale/tailscale` has them. Never run as a container: the server
/// takes the programs out of it.
const TAILSCALE_IMAGE: ContainerImage = ContainerImage {
    name: "tailscale",
    packages: &[],
    go: Some((&TAILSCALE, "usr/local/bin")),
    left_out: &[],
    files: &[],
    applets: &[],
    user: UNPRIVILEGED,
    env: &["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    entrypoint: &[],
    command: &["/usr/local/bin/tailscaled"],
    volume: None,
    port: None,
    healthcheck: &["CMD", "tailscale", "status"],
    stop_signal: "SIGTERM",
};

impl ContainerImage {
    /// What goes into the cache key: the whole value.
    pub(crate) fn inputs(&self, arch: Arch) -> Vec<String> {
        let mut inputs = vec![crate::packages::SUITE.to_owned(), arch.name().to_owned(), format!("{self:?}")];
        inputs.extend(self.go.iter().flat_map(|(module, _)| module.inputs(arch)));
        inputs
    }

    /// Puts in the programs that were made from its Go module.
    pub(crate) fn add_programs(&self, root: &Path, programs: &Path) -> Result<()> {
        let Some((_, directory)) = self.go else { return Ok(()) };
        for program in files::sorted(programs)? {
            let bytes = std::fs::read(&program).map_err(crate::Error::io("reading", &program))?;
            files::write(&root.join(directory).join(program.file_name().unwrap_or_default()), bytes, 0o755)?;
        }
        Ok(())
    }

    /// Adds our files to the unpacked packages.
    pub(crate) fn add_files(&self, root: &Path) -> Result<()> {
        for applet in self.applets {
            let path = root.join("usr/bin").join(applet);
            if path.symlink_metadata().is_err() {
                files::link(&path, "busybox")?;
            }
        }
        for file in self.files {
            match *file {
                File::Text(path, mode, text) => files::write(&root.join(path), text, mode)?,
                File::Link(path, target) => files::link(&root.join(path), target)?,
                File::Owned(path, mode) => {
                    let path = root.join(path);
                    files::make_dir(&path)?;
                    let (uid, gid) = self.user;
                    let failed = |e| crate::Error::io("setting the owner of", &path)(e);
                    std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).map_err(failed)?;
                    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
                    std::fs::set_permissions(&path, mode).map_err(failed)?;
                }
            }
        }
        Ok(())
    }
}
