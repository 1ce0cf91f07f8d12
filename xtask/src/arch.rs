//! The architecture of a server, by the name of its type.

use images::Arch;
use provisioner::project::Project;

/// Hetzner's Arm types are the CAX line; all others are x86.
pub(crate) fn architecture(server_type: &str) -> Arch {
    if server_type.starts_with("cax") { Arch::Arm64 } else { Arch::Amd64 }
}

/// The architectures the project's server may have, that of the type tried first before the others.
pub(crate) fn architectures(project: &Project) -> Vec<Arch> {
    let mut all: Vec<Arch> = project.server_types.iter().map(|name| architecture(name)).collect();
    all.dedup();
    all.truncate(2);
    all
}
