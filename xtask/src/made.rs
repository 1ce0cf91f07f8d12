//! What is made on this machine before a server can be: firstboot and the container images for its architecture, and in a
//! rehearsal the cloud itself.

use crate::arch::{architecture, architectures};
use crate::{artifacts, cloud, places};
use anyhow::Result;
use images::Arch;
use images::toolchain::Firstboot;
use provisioner::cloud::Endpoint;
use provisioner::first_boot::Binary;
use provisioner::observe::World;
use provisioner::project::{Folder, Project};
use provisioner::report::Report;
use std::sync::Arc;

/// What was made for a server of one architecture.
pub(crate) struct Made {
    arch: Arch,
    pub(crate) firstboot: Firstboot,
    /// What the server is given of it.
    pub(crate) given: provisioner::provision::Made,
}

/// Starts a rehearsal's cloud with an image for every architecture the server may turn out to have.
pub(crate) async fn start_cloud(project: &Project, screen: &Arc<dyn Report>) -> Result<Endpoint> {
    let images = tokio::task::spawn_blocking({
        let (screen, project, cache) = (Arc::clone(screen), project.clone(), places::cache()?);
        move || {
            let architectures = architectures(&project);
            let emulator = artifacts::emulator(&cache, &architectures, &*screen)?;
            let image = |arch| Ok((arch, artifacts::server_image(&cache, arch, &*screen)?));
            let images = architectures.into_iter().map(image).collect::<Result<Vec<_>>>()?;
            anyhow::Ok((images, emulator))
        }
    });
    let (images, emulator) = images.await??;
    cloud::start(&images, emulator, &**screen).await
}

/// The static binary beside the container images, since one waits for the processor and the other mostly for the network.
pub(crate) async fn make(
    folder: &Folder,
    project: &Project,
    arch: Arch,
    screen: &Arc<dyn Report>,
) -> Result<Made> {
    let cache = places::cache()?;
    let firstboot = tokio::task::spawn_blocking({
        let (screen, cache) = (Arc::clone(screen), cache.clone());
        move || artifacts::build_firstboot(arch, &cache, &*screen)
    });
    let lock = tokio::task::spawn_blocking({
        let (screen, folder, project) = (Arc::clone(screen), folder.clone(), project.clone());
        move || artifacts::lock(&folder, &project, arch, &cache, &*screen)
    });
    let (firstboot, lock) = tokio::try_join!(firstboot, lock)?;
    let firstboot = firstboot?;
    let binary = Binary { path: firstboot.path.clone(), sha256: firstboot.sha256.clone() };
    Ok(Made { arch, firstboot, given: provisioner::provision::Made { binary, lock: lock? } })
}

/// What was made, or made anew where the server turned out to be of another architecture.
pub(crate) async fn fitting(
    made: Made,
    folder: &Folder,
    project: &Project,
    world: &World,
    screen: &Arc<dyn Report>,
) -> Result<Made> {
    let arch = architecture_found(world).unwrap_or(made.arch);
    if arch == made.arch { Ok(made) } else { make(folder, project, arch, screen).await }
}

/// What the server that is there is given.
pub(crate) async fn make_for(
    folder: &Folder,
    project: &Project,
    world: &World,
    screen: &Arc<dyn Report>,
) -> Result<Made> {
    make(folder, project, architecture_found(world).unwrap_or(architecture(&project.server_types[0])), screen)
        .await
}

/// The architecture the server turned out to have. An API that stopped saying it leaves the type's name.
fn architecture_found(world: &World) -> Option<Arch> {
    let kind = &world.server.as_ref()?.server_type;
    Some(match kind.architecture.as_str() {
        "arm" => Arch::Arm64,
        "x86" => Arch::Amd64,
        _ => architecture(&kind.name),
    })
}
