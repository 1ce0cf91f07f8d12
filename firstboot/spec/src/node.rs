use crate::{
    Error, Exception, RebootWindow, Setting, UnlockSpec, VERSION, VpnSpec, audit, of_this_version, to_json,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one server shall be. Made by the provisioner from the project and the observed world; holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// [`VERSION`].
    pub version: u32,
    /// The project's name.
    pub project: String,
    /// The server this is meant for.
    pub server: ServerSpec,
    /// The volume that holds all data.
    pub disk: DiskSpec,
    /// The offline keys the escrow is sealed to: age X25519 recipients (`age1…`), at least one.
    pub recipients: Vec<String>,
    /// How the operator's side comes in.
    pub ssh: SshSpec,
    /// Ports open to the world besides ssh, on the host or forwarded to a container.
    pub inbound: Vec<Port>,
    /// Registries with a certificate authority of their own.
    pub registries: Vec<Registry>,
    /// The domain below which the stacks are reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The stacks to run.
    pub stacks: Vec<StackSpec>,
    /// How the volume is opened after a reboot.
    #[serde(default)]
    pub unlock: UnlockSpec,
    /// When it may restart by itself; never where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot: Option<RebootWindow>,
    /// The private network, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpn: Option<VpnSpec>,
    /// Findings of the audit that are accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Exception>,
}

/// The server's identity at the cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSpec {
    /// The cloud's id; equals the instance id of the metadata service.
    pub id: u64,
    /// The host name.
    pub name: String,
}

/// The volume and what may be done to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskSpec {
    /// The volume's id; equals its SCSI serial, and names `/dev/disk/by-id/scsi-0HC_Volume_<id>`.
    pub volume_id: u64,
    /// Its size in GB as ordered.
    pub size_gb: u64,
    /// Leave to format, present only when this project's own run created the volume and no escrow has been
    /// acknowledged for it yet.
    pub format: Option<FormatToken>,
    /// What the operator's side has on file of a volume that holds data, so that a server whose root disk is new takes
    /// it up. It is only ever opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownVolume>,
}

/// A volume whose escrow is on file at the operator's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownVolume {
    /// The volume it speaks of; must equal [`DiskSpec::volume_id`].
    pub volume_id: u64,
    /// The UUID of its LUKS2 header.
    pub luks_uuid: String,
}

/// Says that the volume was created empty by this project's run. Without it nothing is ever formatted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormatToken {
    /// The volume it speaks of; must equal [`DiskSpec::volume_id`].
    pub volume_id: u64,
    /// 32 hexadecimal digits, drawn for the create call and carried by the volume's label.
    pub nonce: String,
}

/// How ssh is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshSpec {
    /// The TCP port sshd listens on.
    pub port: u16,
}

/// A port open to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// 1 to 65535.
    pub port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{}/{protocol}", self.port)
    }
}

/// A container registry whose certificate the system's authorities do not vouch for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// `host:port` as it stands in image references.
    pub address: String,
    /// The authority's certificate, PEM.
    pub ca_pem: String,
}

/// One stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackSpec {
    /// Its name.
    pub name: String,
    /// The reference, pinned by digest (`…@sha256:<64 hex>`), of each image that it runs.
    pub images: BTreeMap<String, String>,
    /// What the project chose of its options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Setting>,
    /// The hosts the project gave its routes, by their names: `www`, or `@` for the domain itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, String>,
    /// Its folder where it is the project's own, path by path; one of the catalogue has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

impl NodeSpec {
    const DOCUMENT: &str = "node spec";

    /// Reads and checks it.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let spec = serde_json::from_slice(json);
        let spec = spec.map_err(|why| Error::Malformed { document: Self::DOCUMENT, why })?;
        let spec = of_this_version(Self::DOCUMENT, spec, |s: &Self| s.version)?;
        spec.check().map_err(|why| Error::Meaning { document: Self::DOCUMENT, why })?;
        Ok(spec)
    }

    /// The same bytes for the same spec.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }

    fn check(&self) -> Result<(), String> {
        debug_assert_eq!(self.version, VERSION);
        if self.recipients.is_empty() {
            return Err("no recipient is named; the escrow must be sealed to at least one offline key".into());
        }
        if let Some(token) = &self.disk.format
            && token.volume_id != self.disk.volume_id
        {
            return Err(format!(
                "the leave to format speaks of volume {}, the server's volume is {}",
                token.volume_id, self.disk.volume_id
            ));
        }
        if let Some(known) = &self.disk.known {
            if known.volume_id != self.disk.volume_id {
                return Err(format!(
                    "the volume known to hold data is {}, the server's volume is {}",
                    known.volume_id, self.disk.volume_id
                ));
            }
            if !is_uuid(&known.luks_uuid) {
                return Err(format!("{:?} is no UUID of a LUKS header", known.luks_uuid));
            }
            if self.disk.format.is_some() {
                return Err(format!(
                    "volume {} is known to hold data, so there is no leave to format it",
                    known.volume_id
                ));
            }
        }
        if let Some(exception) = self.exceptions.iter().find(|exception| !audit::is_day(&exception.review)) {
            return Err(format!(
                "the exception for {} is to be reviewed on {:?}, which is no day as YYYY-MM-DD",
                exception.check, exception.review
            ));
        }
        let unpinned = self.stacks.iter().flat_map(|s| s.images.values()).find(|image| !pinned(image));
        match unpinned {
            Some(image) => {
                Err(format!("image {image} is not pinned by digest (…@sha256:<64 hexadecimal digits>)"))
            }
            None => Ok(()),
        }
    }
}

fn pinned(image: &str) -> bool {
    image.split_once("@sha256:").is_some_and(|(name, digest)| {
        !name.is_empty()
            && digest.len() == 64
            && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> NodeSpec {
        NodeSpec {
            version: VERSION,
            project: "demo".into(),
            server: ServerSpec { id: 1, name: "demo".into() },
            disk: DiskSpec { volume_id: 7, size_gb: 10, format: None, known: None },
            recipients: vec!["age1example".into()],
            ssh: SshSpec { port: 22 },
            inbound: vec![],
            registries: vec![],
            domain: None,
            stacks: vec![StackSpec {
                name: "postgres".into(),
                images: [("postgres".to_owned(), format!("r/postgres@sha256:{}", "0".repeat(64)))].into(),
                ..StackSpec::default()
            }],
            unlock: UnlockSpec::Operator,
            reboot: None,
            vpn: None,
            exceptions: vec![],
        }
    }

    #[test]
    fn it_reads_what_it_wrote() {
        assert_eq!(NodeSpec::from_json(&spec().to_json()).unwrap(), spec());
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let json = String::from_utf8(spec().to_json()).unwrap().replacen('{', r#"{"surprise": 1,"#, 1);
        assert!(NodeSpec::from_json(json.as_bytes()).unwrap_err().to_string().contains("surprise"));
    }

    #[test]
    fn another_version_is_named() {
        let newer = NodeSpec { version: 99, ..spec() };
        assert!(NodeSpec::from_json(&newer.to_json()).unwrap_err().to_string().contains("version 99"));
    }

    #[test]
    fn an_image_by_tag_is_refused() {
        let mut by_tag = spec();
        by_tag.stacks[0].images.insert("postgres".into(), "postgres:17".into());
        assert!(NodeSpec::from_json(&by_tag.to_json()).unwrap_err().to_string().contains("not pinned"));
    }

    #[test]
    fn a_token_for_another_volume_is_refused() {
        let mut wrong = spec();
        wrong.disk.format = Some(FormatToken { volume_id: 8, nonce: "0".repeat(32) });
        assert!(NodeSpec::from_json(&wrong.to_json()).unwrap_err().to_string().contains("volume 8"));
    }

    #[test]
    fn a_volume_known_to_hold_data_is_this_one_and_never_formatted() {
        let known = |volume_id, luks_uuid: &str| Some(KnownVolume { volume_id, luks_uuid: luks_uuid.into() });
        let uuid = "11111111-2222-4333-8444-555555555555";
        let mut one = spec();
        one.disk.known = known(7, uuid);
        assert_eq!(NodeSpec::from_json(&one.to_json()).unwrap(), one);
        let refused = |disk: DiskSpec| {
            let spec = NodeSpec { disk, ..spec() };
            NodeSpec::from_json(&spec.to_json()).unwrap_err().to_string()
        };
        assert!(refused(DiskSpec { known: known(8, uuid), ..one.disk.clone() }).contains("is 8"));
        assert!(refused(DiskSpec { known: known(7, ""), ..one.disk.clone() }).contains("no UUID"));
        let format = Some(FormatToken { volume_id: 7, nonce: "0".repeat(32) });
        assert!(refused(DiskSpec { format, ..one.disk }).contains("no leave to format"));
    }
}
