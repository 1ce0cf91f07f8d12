//! What was set out to be made, written down before it is made.

use crate::project::Folder;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// `journal.json` of a project folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// The nonce of the call that creates the volume, on record before the call is made. A volume that carries
    /// it was made empty by this project, whether or not the call's reply arrived.
    pub format_nonce: Option<String>,
    /// The port that sshd was told when the server's root disk was made; journals from before it was noted have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_port: Option<u16>,
}

impl Journal {
    const FILE: &str = "journal.json";

    /// Reads it; a project that was never applied has an empty one.
    pub fn load(folder: &Folder) -> Result<Self> {
        let path = folder.file(Self::FILE);
        match host::files::read(&path)? {
            Some(json) => serde_json::from_slice(&json).with_context(|| {
                format!(
                    "reading {}: it is damaged; restore it from a copy of the project folder",
                    path.display()
                )
            }),
            None => Ok(Self::default()),
        }
    }

    /// The nonce for the volume's create call, drawn and recorded on first use.
    pub fn volume_nonce(&mut self, folder: &Folder) -> Result<String> {
        if let Some(nonce) = &self.format_nonce {
            return Ok(nonce.clone());
        }
        let nonce = random_hex(16)?;
        self.format_nonce = Some(nonce.clone());
        self.save(folder)?;
        Ok(nonce)
    }

    /// Forgets the nonce, once the volume it spoke of is gone.
    pub fn forget_volume(&mut self, folder: &Folder) -> Result<()> {
        self.format_nonce = None;
        self.save(folder)
    }

    /// Notes the port of sshd on the root disk that is about to be made.
    pub fn note_ssh_port(&mut self, folder: &Folder, port: u16) -> Result<()> {
        self.ssh_port = Some(port);
        self.save(folder)
    }

    /// What stands in the way where the project wants another port of ssh than the server that is there was made with: the
    /// way in would move before the server does.
    pub fn moved_ssh(&self, wanted: u16) -> Option<String> {
        let port = self.ssh_port.filter(|port| *port != wanted)?;
        Some(format!(
            "sshd on the server listens on port {port}, the project says {wanted}: the port of a running server is not \
             changed; put `port = {port}` back, or have the root disk overwritten with --rebuild"
        ))
    }

    fn save(&self, folder: &Folder) -> Result<()> {
        let json = serde_json::to_vec_pretty(self)?;
        Ok(host::files::write(&folder.file(Self::FILE), &json, 0o600)?)
    }
}

/// That many bytes from the kernel's random number generator, in hexadecimal.
pub(crate) fn random_hex(bytes: usize) -> Result<String> {
    use std::io::Read as _;
    let mut buffer = vec![0; bytes];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut buffer))
        .context("reading /dev/urandom")?;
    Ok(hex(&buffer))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_server_that_is_there_does_not_move() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), "demo");
        let before = br#"{ "format_nonce": "abc" }"#;
        host::files::write(&folder.file(Journal::FILE), before, 0o600).unwrap();
        let mut journal = Journal::load(&folder).unwrap();
        assert_eq!(journal.moved_ssh(22), None, "a journal from before says nothing");
        journal.note_ssh_port(&folder, 2222).unwrap();
        let journal = Journal::load(&folder).unwrap();
        assert_eq!((journal.format_nonce.as_deref(), journal.moved_ssh(2222)), (Some("abc"), None));
        let said = journal.moved_ssh(22).unwrap();
        assert!(
            said.contains("port 2222") && said.contains("says 22") && said.contains("--rebuild"),
            "{said}"
        );
    }
}
