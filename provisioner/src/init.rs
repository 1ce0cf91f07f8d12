//! A new project's folder: a `project.toml` that explains itself, and offline keys that are proved.

use crate::project::{Folder, Project};
use anyhow::{Result, bail};
use escrow::Recipient;
use host::files;

const TEMPLATE: &str = include_str!("project.template.toml");

/// Writes a commented `project.toml`; one that is there is left alone.
pub fn init(folder: &Folder, recipients: &[String], rehearsal: bool) -> Result<()> {
    let path = folder.file("project.toml");
    if path.exists() {
        bail!("writing {}: it is there already and was not touched", path.display());
    }
    for recipient in recipients {
        Recipient::parse(recipient)?;
    }
    let quoted: Vec<_> = recipients.iter().map(|r| format!("\"{r}\"")).collect();
    let text = TEMPLATE
        .replace("@NAME@", folder.name())
        .replace("@REHEARSAL@", if rehearsal { "true" } else { "false" })
        .replace("@RECIPIENTS@", &quoted.join(", "))
        .replace("@THROWAWAY@", if rehearsal && recipients.is_empty() { "true" } else { "false" });
    // What is written must at least be readable; a missing recipient is the operator's next step, not an error here.
    if let Err(mistakes) = Project::parse(folder.name(), &text)
        && (!recipients.is_empty() || mistakes.0.iter().any(|m| m.key != "escrow.recipients"))
    {
        return Err(mistakes.into());
    }
    Ok(files::write(&path, text.as_bytes(), 0o644)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_writes_is_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), "demo");
        init(&folder, &[], true).unwrap();
        let project = folder.load().unwrap();
        assert!(project.rehearsal && project.throwaway_identity);
        assert!(init(&folder, &[], true).unwrap_err().to_string().contains("not touched"));
    }

    #[test]
    fn a_malformed_recipient_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), "demo");
        assert!(init(&folder, &["age1x".into()], false).is_err());
        assert!(init(&Folder::new(dir.path(), "Bad_Name"), &[], true).is_err());
        assert!(!folder.path().exists());
    }
}
