//! The project's pinned host keys. There is no `accept-new` here: a server is known before it is spoken to.
//!
//! A server is named `PROJECT.SERVER-ID` (ssh's `HostKeyAlias`), so a new server under an old address is another host.

use crate::keys;
use crate::project::Folder;
use anyhow::{Result, bail};
use host::files;
use std::path::PathBuf;

/// The host keys pinned for one server.
#[derive(Debug, Clone)]
pub struct KnownHosts<'a> {
    folder: &'a Folder,
    alias: String,
}

impl<'a> KnownHosts<'a> {
    /// Those of the server with this id.
    pub fn new(folder: &'a Folder, server: u64) -> Self {
        Self { folder, alias: format!("{}.{server}", folder.name()) }
    }

    /// What ssh is told the server is called.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// The file ssh reads.
    pub fn path(&self) -> PathBuf {
        self.folder.file("known_hosts")
    }

    /// The public keys pinned for the server, `ssh-ed25519 AAAA…` each.
    pub fn keys(&self) -> Result<Vec<String>> {
        let text = files::read(&self.path())?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        Ok(lines.filter(|(name, _)| *name == self.alias).map(|(_, key)| key.to_owned()).collect())
    }

    /// Pins the throw-away key for the first connection, when nothing is pinned yet.
    pub fn pin_first_contact(&self) -> Result<()> {
        if self.keys()?.is_empty()
            && let Some(key) = keys::first_contact_public(self.folder)?
        {
            self.set(&[bare(&key)])?;
        }
        Ok(())
    }

    /// Pins the lasting key beside what is pinned: until the server has changed over, either may answer.
    pub fn add(&self, key: &str) -> Result<()> {
        let mut all = self.keys()?;
        if !all.iter().any(|k| *k == bare(key)) {
            all.push(bare(key));
        }
        self.set(&all)
    }

    /// Pins this key alone, which must be among the pinned ones.
    pub fn keep_only(&self, lasting: &str) -> Result<()> {
        if !self.keys()?.contains(&bare(lasting)) {
            bail!(
                "keeping the lasting host key alone: the server names one that is not pinned, so nothing was changed; look at {}",
                self.path().display()
            );
        }
        self.only(lasting)
    }

    /// Pins this key alone, once the server has answered with it.
    pub fn only(&self, key: &str) -> Result<()> {
        self.set(&[bare(key)])
    }

    fn set(&self, keys: &[String]) -> Result<()> {
        let text = files::read(&self.path())?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let other =
            text.lines().filter(|line| line.split(' ').next() != Some(&self.alias)).map(str::to_owned);
        let own = keys.iter().map(|key| format!("{} {key}", self.alias));
        let lines: String = other.chain(own).map(|line| line + "\n").collect();
        Ok(files::write(&self.path(), lines.as_bytes(), 0o644)?)
    }
}

/// A key without its comment.
fn bare(key: &str) -> String {
    key.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_an_interrupted_rebuild_left_the_lasting_key_alone_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), "demo");
        let known_hosts = KnownHosts::new(&folder, 1);
        let lasting = "ssh-ed25519 AAAAlasting";
        let interrupted = [
            // The disk was overwritten, then the operator's command was killed, then first boot went on.
            &["ssh-ed25519 AAAAbefore", "ssh-ed25519 AAAAthrowaway", lasting][..],
            // The rebuild never came about.
            &[lasting, "ssh-ed25519 AAAAthrowaway"],
        ];
        for keys in interrupted {
            keys.iter().try_for_each(|key| known_hosts.add(key)).unwrap();
            known_hosts.keep_only(lasting).unwrap();
            assert_eq!(known_hosts.keys().unwrap(), [lasting]);
        }
        let error = known_hosts.keep_only("ssh-ed25519 AAAAstranger").unwrap_err().to_string();
        assert!(error.contains("not pinned"), "{error}");
        assert_eq!(known_hosts.keys().unwrap(), [lasting]);
    }

    #[test]
    fn keys_are_kept_by_server_and_changed_over_without_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), "demo");
        let (one, two) = (KnownHosts::new(&folder, 1), KnownHosts::new(&folder, 2));
        one.add("ssh-ed25519 AAAAfirst comment").unwrap();
        two.add("ssh-ed25519 AAAAother").unwrap();
        one.add("ssh-ed25519 AAAAlasting").unwrap();
        one.add("ssh-ed25519 AAAAlasting x").unwrap();
        assert_eq!(one.keys().unwrap(), ["ssh-ed25519 AAAAfirst", "ssh-ed25519 AAAAlasting"]);
        one.only("ssh-ed25519 AAAAlasting").unwrap();
        assert_eq!(one.keys().unwrap(), ["ssh-ed25519 AAAAlasting"]);
        assert_eq!(two.keys().unwrap(), ["ssh-ed25519 AAAAother"]);
    }
}
