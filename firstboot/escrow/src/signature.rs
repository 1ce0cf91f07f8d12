//! The manifest's signature by the server's lasting host key, made and checked with OpenSSH's own tool.

use crate::Error;
use host::{Cmd, Host};
use spec::paths::ESCROW_NAMESPACE;
use std::path::Path;

/// Signs a manifest with the host key at `key`; gives the signature in OpenSSH's armour.
pub fn sign(host: &dyn Host, key: &Path, manifest: &[u8]) -> Result<Vec<u8>, Error> {
    let cmd = Cmd::new("ssh-keygen").args(["-q", "-Y", "sign", "-n", ESCROW_NAMESPACE, "-f"]).path(key);
    Ok(host.run(&cmd.stdin(manifest))?.stdout)
}

/// Checks that `host_key` (`ssh-ed25519 AAAA…`, as pinned) signed these very manifest bytes.
/// `scratch` is a directory for the two small files the tool wants; they are removed again.
pub fn verify(
    host: &dyn Host,
    host_key: &str,
    manifest: &[u8],
    signature: &[u8],
    scratch: &Path,
) -> Result<(), Error> {
    let (allowed, detached) = (scratch.join("allowed_signers"), scratch.join("manifest.sig"));
    let signer = format!("server namespaces=\"{ESCROW_NAMESPACE}\" {host_key}\n");
    host.write(&allowed, signer.as_bytes(), 0o600)?;
    host.write(&detached, signature, 0o600)?;
    let cmd = Cmd::new("ssh-keygen")
        .args(["-Y", "verify", "-I", "server", "-n", ESCROW_NAMESPACE, "-f"])
        .path(&allowed)
        .arg("-s")
        .path(&detached)
        .stdin(manifest);
    let output = host.probe(&cmd);
    host.remove(&allowed)?;
    host.remove(&detached)?;
    match output? {
        output if output.success() => Ok(()),
        output => Err(Error::Signature(output.stderr.trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::Local;

    fn key(dir: &Path, name: &str) -> (std::path::PathBuf, String) {
        let path = dir.join(name);
        let cmd = Cmd::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).path(&path);
        Local.run(&cmd).unwrap();
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        (path, public.trim().to_owned())
    }

    #[test]
    fn only_the_signer_and_only_the_signed_bytes_verify() {
        let dir = tempfile::tempdir().unwrap();
        let (path, public) = key(dir.path(), "one");
        let (_, other) = key(dir.path(), "two");
        let signature = sign(&Local, &path, b"manifest").unwrap();
        verify(&Local, &public, b"manifest", &signature, dir.path()).unwrap();
        let wrong = |key: &str, bytes: &[u8]| verify(&Local, key, bytes, &signature, dir.path());
        assert!(matches!(wrong(&other, b"manifest"), Err(Error::Signature(_))));
        assert!(matches!(wrong(&public, b"manifesto"), Err(Error::Signature(_))));
        assert!(!dir.path().join("allowed_signers").exists());
    }
}
