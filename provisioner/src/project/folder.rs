use super::Project;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};

/// `projects/NAME`: what the operator wrote, and what must outlive the server.
///
/// | file | what it is |
/// | --- | --- |
/// | `project.toml` | what the operator wants |
/// | `stacks/NAME/` | the operator's own stacks, each a folder as those of the catalogue |
/// | `ssh/id_ed25519` | the key the provisioner comes in with, made on first use |
/// | `first-contact/` | the throw-away host key of a server whose lasting key is not pinned yet |
/// | `known_hosts` | the pinned host keys |
/// | `journal.json` | what was set out to be made before it was made |
/// | `escrow/` | the sealed bundles, their manifests and signatures |
/// | `receipt.json` | the server's last receipt |
/// | `timeline.json` | where the time of its last first boot went |
/// | `offline-identity.txt` | rehearsals only: the identity that opens the escrow |
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
    name: String,
}

impl Folder {
    /// The folder of project `name` below `projects`; it need not exist.
    pub fn new(projects: &Path, name: &str) -> Self {
        Self { root: projects.join(name), name: name.into() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The project's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads `project.toml`. Mistakes in it come back as a [`Mistakes`](super::Mistakes) inside the error.
    pub fn load(&self) -> Result<Project> {
        let path = self.file("project.toml");
        let Some(bytes) = host::files::read(&path)? else {
            bail!(
                "reading {}: there is no such file; make one with `cargo xtask init --project {}`",
                path.display(),
                self.name
            );
        };
        let text = String::from_utf8(bytes)
            .with_context(|| format!("reading {}: not UTF-8 text", path.display()))?;
        Ok(Project::parse_with(&self.name, &text, &super::own_stacks::read(&self.file("stacks"))?)?)
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Takes the project's lock, so that two runs at once do not race.
    pub fn lock(&self) -> Result<host::files::Lock> {
        let path = self.file(".lock");
        let Some(lock) = host::files::try_lock(&path)? else {
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            bail!(
                "locking project {}: another run (process {}) is at work on it; wait for it to end or stop it",
                self.name,
                holder.trim()
            );
        };
        Ok(lock)
    }
}
