//! What the server is told: the node spec, and the user-data of the first minutes.

use crate::api::model::{Server, Volume};
use crate::escrow_folder::Filed;
use crate::journal::Journal;
use crate::names::FORMAT_NONCE;
use crate::project::{Folder, Project};
use anyhow::{Context as _, Result};
use cloud_init::{CloudConfig, HostKey, UserData, WriteFile};
pub use spec::Registry;
use spec::{DiskSpec, FormatToken, NodeSpec, ServerSpec, SshSpec, StackSpec};
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
        config = config.packages(stacks::SERVER_PACKAGES)?;
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
    let stack = |name: &String| -> Result<StackSpec> {
        let known =
            stacks::find(name).with_context(|| format!("looking up stack {name}: there is no such stack"))?;
        let images = known.images.iter().map(|image| {
            let reference = lock
                .references
                .get(*image)
                .with_context(|| format!("pinning images: {image} of stack {name} has no digest"))?;
            Ok(((*image).to_owned(), reference.clone()))
        });
        Ok(StackSpec { name: name.clone(), images: images.collect::<Result<_>>()? })
    };
    Ok(NodeSpec {
        version: spec::VERSION,
        project: project.name.clone(),
        server: ServerSpec { id: server.id, name: server.name.clone() },
        disk: DiskSpec { volume_id: volume.id, size_gb: volume.size, format: format_token(folder, volume)? },
        recipients: recipients.to_vec(),
        ssh: SshSpec { port: project.ssh_port },
        inbound: project.open.clone(),
        registries: lock.registries.clone(),
        stacks: project.stacks.iter().map(stack).collect::<Result<_>>()?,
    })
}

/// Leave to format: only for a volume that carries the nonce this folder wrote down before it asked for it,
/// and only until an escrow for it is on file. From then on the volume may hold the only copy of something.
fn format_token(folder: &Folder, volume: &Volume) -> Result<Option<FormatToken>> {
    if let Some(filed) = Filed::current(folder)?
        && filed.manifest()?.volume_id == volume.id
    {
        return Ok(None);
    }
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

    #[test]
    fn once_its_escrow_is_on_file_a_volume_is_never_formatted_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), "demo");
        let nonce = Journal::load(&folder).unwrap().volume_nonce(&folder).unwrap();
        let manifest = |volume_id| spec::EscrowManifest {
            version: spec::VERSION,
            project: "demo".into(),
            server_id: 1,
            volume_id,
            created: String::new(),
            sha256: String::new(),
            size: 0,
            recipients: vec![],
            contents: vec![],
        };
        let file = |volume_id| {
            let filed = Filed { sealed: vec![1], manifest: manifest(volume_id).to_json(), signature: vec![] };
            filed.file(&folder).unwrap();
        };
        file(8);
        assert!(format_token(&folder, &volume(Some(&nonce))).unwrap().is_some(), "another volume's escrow");
        file(7);
        assert_eq!(format_token(&folder, &volume(Some(&nonce))).unwrap(), None);
    }
}
