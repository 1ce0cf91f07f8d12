//! The ssh keys made on the operator's side: the project's own, and the throw-away host key of a new server.

use crate::project::Folder;
use anyhow::{Context as _, Result};
use cloud_init::HostKey;
use host::{Cmd, Host as _, Local, files};
use std::path::{Path, PathBuf};

const FIRST_CONTACT: &str = "first-contact/ssh_host_ed25519_key";

/// The project's key pair, made on first use: the private half's path, and the public line.
pub fn project_key(folder: &Folder) -> Result<(PathBuf, String)> {
    let private = folder.file("ssh/id_ed25519");
    let public = key_pair(&private, &format!("sovereign-{}", folder.name()))?;
    Ok((private, public))
}

/// The throw-away host key the next server answers its first connection with, made on first use.
pub fn first_contact(folder: &Folder) -> Result<HostKey> {
    let private = folder.file(FIRST_CONTACT);
    let public = key_pair(&private, "first-contact")?;
    let private =
        std::fs::read_to_string(&private).with_context(|| format!("reading {}", private.display()))?;
    Ok(HostKey { ed25519_private: private, ed25519_public: public })
}

/// The public half of the throw-away host key, while a server may still answer with it.
pub fn first_contact_public(folder: &Folder) -> Result<Option<String>> {
    let public = files::read(&folder.file(&format!("{FIRST_CONTACT}.pub")))?;
    Ok(public.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
}

/// Throws it away, once the lasting key has answered.
pub fn forget_first_contact(folder: &Folder) -> Result<()> {
    files::remove(&folder.file(FIRST_CONTACT))?;
    Ok(files::remove(&folder.file(&format!("{FIRST_CONTACT}.pub")))?)
}

/// Makes a pair where there is none. The public half is put in place last, so a pair is whole or made anew;
/// before that nobody has seen it.
fn key_pair(private: &Path, comment: &str) -> Result<String> {
    let public = private.with_extension("pub");
    if private.exists()
        && let Some(line) = files::read(&public)?
    {
        return Ok(String::from_utf8_lossy(&line).trim().to_owned());
    }
    let dir = private.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix(".making")
        .tempdir_in(dir)
        .with_context(|| format!("writing to {}", dir.display()))?;
    let made = scratch.path().join("key");
    Local.run(
        &Cmd::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]).path(&made),
    )?;
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
    files::write(private, &read(&made)?, 0o600)?;
    let line = read(&made.with_extension("pub"))?;
    files::write(&public, &line, 0o644)?;
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}
