//! What the server is told: the node spec, and the user-data of the first minutes.

use crate::api::model::{Server, Volume};
use crate::escrow_folder::Filed;
use crate::journal::Journal;
use crate::names::FORMAT_NONCE;
use crate::project::{Folder, Project};
use crate::receipt;
use anyhow::{Context as _, Result};
use cloud_init::{CloudConfig, HostKey, UserData, WriteFile};
pub use spec::Registry;
use spec::{DiskSpec, EscrowManifest, FormatToken, KnownVolume, NodeSpec, ServerSpec, SshSpec, StackSpec};
use stacks::release::Release;
use std::collections::BTreeMap;

/// The container images of the enabled stacks, each pinned by digest, and the registries they come from.
#[derive(Debug, Clone, Default)]
pub struct ImageLock {
    /// Image name in the catalogue → reference with digest.
    pub references: BTreeMap<String, String>,
    /// Registries with an authority of their own.
    pub registries: Vec<Registry>,
}

/// The user-data a new server of the project is created with.
pub fn user_data(
    project: &Project,
    public_key: &str,
    host_key: HostKey,
    stock_image: bool,
) -> Result<UserData> {
    let mut keys = vec![public_key.to_owned()];
    keys.extend(project.authorized_keys.iter().cloned());
    // sshd listens on the project's port, and takes keys only, from its first start on; firstboot takes this file over.
    // (cloud-init's own `ssh_pwauth` would restart sshd under the first connection.)
    let drop_in = format!("Port {}\nPasswordAuthentication no\n", project.ssh_port);
    let drop_in = WriteFile::new("/etc/ssh/sshd_config.d/10-sovereign.conf", 0o644, drop_in.as_bytes())?;
    let mut config = CloudConfig::new(&project.name, &keys, host_key)?.file(drop_in);
    if stock_image {
        let release = Release::of_image(&project.image);
        let packages = release.map_or_else(|| stacks::SERVER_PACKAGES.to_vec(), Release::packages);
        config = config.packages(&packages)?;
        if release.is_some_and(|release| release.ssh_socket) {
            // Not waited for: sshd starts once cloud-init has written its port and its key.
            config = config.command(&["systemctl", "disable", "--now", "ssh.socket"]).command(&[
                "systemctl",
                "enable",
                "--now",
                "--no-block",
                "ssh.service",
            ]);
        }
    }
    Ok(config.render()?)
}

/// The node spec for a server and its volume.
pub fn node_spec(
    folder: &Folder,
    project: &Project,
    recipients: &[String],
    server: &Server,
    volume: &Volume,
    lock: &ImageLock,
) -> Result<NodeSpec> {
    let stack = |wanted: &StackSpec| -> Result<StackSpec> {
        let name = &wanted.name;
        let planned = project.plan.stack(name).with_context(|| format!("stack {name} is not planned"))?;
        let images = planned.images().into_iter().map(|image| {
            let reference = lock
                .references
                .get(image)
                .with_context(|| format!("pinning images: {image} of stack {name} has no digest"))?;
            Ok((image.to_string(), reference.clone()))
        });
        Ok(StackSpec { images: images.collect::<Result<_>>()?, ..wanted.clone() })
    };
    Ok(NodeSpec {
        version: spec::VERSION,
        project: project.name.clone(),
        server: ServerSpec { id: server.id, name: server.name.clone() },
        disk: disk(folder, volume)?,
        recipients: recipients.to_vec(),
        ssh: SshSpec { port: project.ssh_port },
        inbound: project.open.clone(),
        registries: lock.registries.clone(),
        domain: project.domain.clone(),
        stacks: project.stacks.iter().map(stack).collect::<Result<_>>()?,
        unlock: project.unlock.clone(),
        reboot: project.reboot,
        vpn: project.vpn.clone(),
        exceptions: project.exceptions.clone(),
    })
}

/// What may be done to the volume. Once an escrow for it is on file it may hold the only copy of something: from then on
/// it is never formatted, and a server whose root disk is new takes it up.
fn disk(folder: &Folder, volume: &Volume) -> Result<DiskSpec> {
    let escrow = Filed::current(folder)?.map(|filed| filed.manifest()).transpose()?;
    let (format, known) = match escrow.filter(|escrow| escrow.volume_id == volume.id) {
        Some(escrow) => (None, known(folder, escrow)?),
        None => (format_token(folder, volume)?, None),
    };
    Ok(DiskSpec { volume_id: volume.id, size_gb: volume.size, format, known })
}

/// The volume of an escrow, by the manifest the server signed; where that was sealed by a release that did not say it,
/// by the receipt on file.
fn known(folder: &Folder, escrow: EscrowManifest) -> Result<Option<KnownVolume>> {
    let volume_id = escrow.volume_id;
    let recorded = || -> Result<Option<String>> {
        let volume = receipt::filed(folder)?.and_then(|receipt| receipt.volume);
        Ok(volume.filter(|volume| volume.formatted && volume.id == volume_id).map(|volume| volume.luks_uuid))
    };
    let luks_uuid = escrow.luks_uuid.map_or_else(recorded, |uuid| Ok(Some(uuid)))?;
    Ok(luks_uuid.map(|luks_uuid| KnownVolume { volume_id, luks_uuid }))
}

/// Leave to format: only for a volume that carries the nonce this folder wrote down before it asked for it.
fn format_token(folder: &Folder, volume: &Volume) -> Result<Option<FormatToken>> {
    let journalled = Journal::load(folder)?.format_nonce;
    let carried = volume.labels.get(FORMAT_NONCE);
    Ok(journalled
        .filter(|nonce| Some(nonce) == carried)
        .map(|nonce| FormatToken { volume_id: volume.id, nonce }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::Labels;

    fn volume(nonce: Option<&str>) -> Volume {
        let labels: Labels = nonce.map(|n| (FORMAT_NONCE.to_owned(), n.to_owned())).into_iter().collect();
        serde_json::from_value(
            serde_json::json!({ "id": 7, "name": "demo-data", "size": 10, "labels": labels }),
        )
        .unwrap()
    }

    #[test]
    fn only_a_volume_we_set_out_to_make_may_be_formatted() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), "demo");
        assert_eq!(format_token(&folder, &volume(Some("abc"))).unwrap(), None, "nothing on record");
        let nonce = Journal::load(&folder).unwrap().volume_nonce(&folder).unwrap();
        assert_eq!(format_token(&folder, &volume(None)).unwrap(), None, "no label");
        assert_eq!(format_token(&folder, &volume(Some("abc"))).unwrap(), None, "another nonce");
        assert_eq!(format_token(&folder, &volume(Some(&nonce))).unwrap().unwrap().volume_id, 7);
    }

    /// Files an escrow of a volume, as if a server had handed it over.
    fn file_escrow(folder: &Folder, volume_id: u64, luks_uuid: Option<&str>) {
        let manifest = EscrowManifest {
            version: spec::VERSION,
            project: "demo".into(),
            server_id: 1,
            volume_id,
            luks_uuid: luks_uuid.map(str::to_owned),
            created: String::new(),
            sha256: String::new(),
            size: 0,
            recipients: vec![],
            contents: vec![],
            key_slots: vec![],
        };
        let filed = Filed { sealed: vec![1], manifest: manifest.to_json(), signature: vec![] };
        filed.file(folder).unwrap();
    }

    #[test]
    fn once_its_escrow_is_on_file_a_volume_is_never_formatted_again_but_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), "demo");
        let nonce = Journal::load(&folder).unwrap().volume_nonce(&folder).unwrap();
        let described = || disk(&folder, &volume(Some(&nonce))).unwrap();
        let known = |uuid: &str| Some(KnownVolume { volume_id: 7, luks_uuid: uuid.into() });
        file_escrow(&folder, 8, Some("of-another"));
        assert!(described().format.is_some(), "another volume's escrow");
        assert_eq!(described().known, None);
        file_escrow(&folder, 7, Some("signed"));
        assert_eq!((described().format, described().known), (None, known("signed")));
    }

    #[test]
    fn an_escrow_that_does_not_say_the_uuid_leaves_it_to_the_receipt_of_the_same_volume() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), "demo");
        let described = || disk(&folder, &volume(None)).unwrap();
        file_escrow(&folder, 7, None);
        assert_eq!((described().format, described().known), (None, None), "nobody knows it");
        let mut receipt = spec::Receipt::new("demo", 1);
        for (id, formatted, found) in [(8, true, false), (7, false, false), (7, true, true)] {
            receipt.volume = Some(spec::VolumeRecord { id, luks_uuid: "recorded".into(), formatted });
            host::files::write(&folder.file("receipt.json"), &receipt.to_json(), 0o644).unwrap();
            let known = described().known.map(|known| known.luks_uuid);
            assert_eq!(known.as_deref(), found.then_some("recorded"), "{id} {formatted}");
        }
    }
}
