//! What servers run: the static `firstboot`, the disk a rehearsed server boots from, the containers it runs, and the
//! registry it pulls them from.
//!
//! Images are made from Debian's packages for the server's architecture, on a machine of another one, without
//! running a single foreign program. What is slow elsewhere is emulation: configuring the packages under qemu-user
//! takes six minutes, here it takes ten seconds. [`server_image`]'s flow:
//!
//! 1. `apt` resolves and downloads the server's packages, and this machine's own builds of the few programs that maintainer
//!    scripts run ([`packages::TOOLS`]).
//! 2. `deb` unpacks both side by side, and `dpkg_db` writes the package database that dpkg would have written.
//! 3. `configure` lays the tools over the root (overlayfs, in private namespaces) and lets dpkg configure the packages
//!    at full speed; what was written is merged back, and no program of this machine's architecture with it.
//! 4. `settings` makes a server of it: what starts at boot, what cloud-init is told; nothing unique stays in.
//! 5. `initrd` makes the smallest initramfs that finds a disk; `disk` makes the ext4 file system.
//! 6. `verify` looks once more: no program of another architecture, no key, no machine id.
//!
//! [`container_image`] follows a [`recipe`], shares the first two steps and stops there: a container needs files, not a
//! configured system. [`made()`] is what no package of Debian's carries, from Go modules, Maven and npm, pinned by hash.
//! [`unpacked_package`] is one package of any release for this machine itself, [`unpacked_root`] several with all they need.
//! [`emulator`] is what a rehearsed server runs under where this machine's QEMU is old.
//! [`toolchain`] builds the static `firstboot` that goes onto every server.
//! [`registry`] serves the result to the servers, read-only and over TLS.
//!
//! The same inputs give the same bytes. `cache` keys every result by the hash of its inputs and moves it in whole.
//!
//! # Key types
//! [`Arch`] · [`ServerImage`] · [`Recipe`] and its result [`OciLayout`] · [`registry::Registry`] · [`Unpacked`] · [`Report`]

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these panic where nobody reads any more; take `host::say`"
)]

mod apt;
mod arch;
mod build;
mod cache;
mod configure;
mod container;
mod cpio;
mod deb;
mod disk;
mod dpkg_db;
mod emulator;
mod error;
mod files;
mod go;
mod initrd;
mod layer;
mod made;
mod modules;
mod oci;
mod overlay;
pub mod packages;
mod program;
pub mod recipe;
pub mod registry;
mod report;
mod settings;
pub mod toolchain;
mod verify;

pub use arch::Arch;
pub use build::{Manifest, OciLayout, PackageVersion, ServerImage, container_image, list, server_image};
pub use emulator::emulator;
pub use error::Error;
pub use go::has_go;
pub use made::{check_host, made};
pub use program::{Unpacked, unpacked_package, unpacked_root};
pub use recipe::Recipe;
pub use report::{Report, Silent};

/// What an image build returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The programs this crate runs and the files it reads, and the Debian package that carries each: for the caller to install.
pub const HOST_PACKAGES: &[(&str, &str)] = &[
    ("apt-get", "apt"),
    ("dpkg-deb", "dpkg"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
    ("chroot", "coreutils"),
    ("xz", "xz-utils"),
    ("qemu-aarch64-static", "qemu-user-static"),
    ("docker-registry", "docker-registry"),
    ("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"),
];
