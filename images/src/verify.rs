//! The last look at a root before it becomes a disk.

use crate::{Arch, Error, Result, files};
use std::io::Read;
use std::path::Path;

/// Refuses a root that carries a program of the build machine's architecture, or what only one server may have.
pub(crate) fn server_root(root: &Path, arch: Arch, host_arch: Arch) -> Result<()> {
    let mut wrong = Vec::new();
    files::walk(root, &mut |path, metadata| {
        if arch != host_arch && metadata.is_file() && elf_machine(path)? == Some(host_arch.elf_machine()) {
            wrong.push(format!("{} is a {} program", path.display(), host_arch.name()));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if (name.starts_with("ssh_host_") && name.contains("_key")) || name.ends_with(".dpkg-new") {
            wrong.push(format!("{} must not be there", path.display()));
        }
        Ok(())
    })?;
    let id = root.join("etc/machine-id");
    if !files::read_text(&id)?.is_empty() {
        wrong.push(format!("{} is not empty", id.display()));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.truncate(10);
    Err(Error::Refused {
        doing: "checking the server's root".into(),
        why: wrong.join(", "),
        help: "this is a mistake in the images crate".into(),
    })
}

/// The machine an ELF file is for; nothing for other files.
fn elf_machine(path: &Path) -> Result<Option<u16>> {
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(Error::io("reading", path))?;
    file.take(20).read_to_end(&mut head).map_err(Error::io("reading", path))?;
    let is_elf = head.len() == 20 && head.starts_with(b"\x7fELF");
    Ok(is_elf.then(|| u16::from_le_bytes([head[18], head[19]])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_the_build_machine_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(18, 0);
        elf.extend_from_slice(&[62, 0, 0]);
        files::write(&dir.path().join("etc/machine-id"), "", 0o444).unwrap();
        server_root(dir.path(), Arch::Arm64, Arch::Amd64).unwrap();
        files::write(&dir.path().join("usr/bin/agent"), elf, 0o755).unwrap();
        let error = server_root(dir.path(), Arch::Arm64, Arch::Amd64).unwrap_err().to_string();
        assert!(error.contains("usr/bin/agent is a amd64 program"), "{error}");
        server_root(dir.path(), Arch::Amd64, Arch::Amd64).unwrap();
    }

    #[test]
    fn a_key_or_an_id_is_found() {
        let dir = tempfile::tempdir().unwrap();
        files::write(&dir.path().join("etc/machine-id"), "abc\n", 0o444).unwrap();
        files::write(&dir.path().join("etc/ssh/ssh_host_ed25519_key"), "", 0o600).unwrap();
        let error = server_root(dir.path(), Arch::Arm64, Arch::Amd64).unwrap_err().to_string();
        assert!(error.contains("ssh_host_ed25519_key") && error.contains("machine-id"), "{error}");
    }
}
