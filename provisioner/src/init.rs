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
    let recipients: Vec<_> =
        recipients.iter().map(|text| Recipient::parse(text)).collect::<Result<_, _>>()?;
    let quoted: Vec<_> = recipients.iter().map(|recipient| format!("\"{recipient}\"")).collect();
    let text = TEMPLATE
        .replace("@NAME@", folder.name())
        .replace("@REHEARSAL@", if rehearsal { "true" } else { "false" })
        .replace("@PROTECT@", if rehearsal { "false" } else { "true" })
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

    /// All stacks that the template has something to say of.
    const ENABLED: &str =
        "enabled = [\"headscale\", \"traefik\", \"keycloak\", \"oauth2-proxy\", \"nextcloud\", \"ghost\"]";

    #[test]
    fn what_it_writes_is_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), "demo");
        init(&folder, &[], true).unwrap();
        let project = folder.load().unwrap();
        assert!(project.rehearsal && project.throwaway_identity && !project.protect);
        assert!(init(&folder, &[], true).unwrap_err().to_string().contains("not touched"));
    }

    #[test]
    fn a_recipient_is_written_as_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), "prod");
        let recipient = escrow::Identity::generate().recipients()[0].to_string();
        init(&folder, &[format!(" {recipient}\n")], false).unwrap();
        assert_eq!(folder.load().unwrap().recipients, [recipient]);
    }

    #[test]
    fn what_it_comments_out_is_right_too() {
        let text = TEMPLATE
            .replace("@NAME@", "demo")
            .replace("@REHEARSAL@", "true")
            .replace("@PROTECT@", "true")
            .replace("@RECIPIENTS@", "")
            .replace("@THROWAWAY@", "true")
            .replace("enabled = [\"postgres\"]", ENABLED)
            .replace("mode = \"operator\"\n", "mode = \"tang\"\n");
        let setting = |line: &str| line.contains(" = ") || line.starts_with('[');
        let uncommented = |line: &str| match line.strip_prefix("# ") {
            Some(rest) if setting(rest) && !rest.starts_with("[images.pins]") && !rest.contains("sha256") => {
                rest.to_owned()
            }
            _ => line.to_owned(),
        };
        // These leave other settings out, and that is all that is wrong with them.
        let besides = ["domain = ", "issuer = "];
        let with = |kept: &str| {
            let is_wanted =
                |line: &String| line.starts_with(kept) || !besides.iter().any(|key| line.starts_with(key));
            let lines: Vec<String> = text.lines().map(&uncommented).filter(is_wanted).collect();
            Project::parse("demo", &(lines.join("\n") + "\n"))
        };
        for (kept, why) in
            [("domain = ", "stacks.domain"), ("issuer = ", "`issuer` in [stacks.oauth2-proxy]")]
        {
            let mistakes = with(kept).unwrap_err();
            assert!(mistakes.0.len() == 1 && mistakes.to_string().contains(why), "{mistakes}");
        }
        let project = with("[").unwrap();
        let hosts: Vec<&str> = project.plan.routes.iter().map(|route| route.host.as_str()).collect();
        assert!(hosts.contains(&"files.example.org") && hosts.contains(&"www.example.org"), "{hosts:?}");
        assert_eq!(project.dns.unwrap().records.len(), 3);
        assert_eq!(project.vpn.unwrap().host, "vpn.example.org");
        assert_eq!(project.storage_box.unwrap().adopt, Some(12345));
        assert_eq!(project.token_command.len(), 3);
        assert!(project.reboot.is_some() && project.operator.is_some() && project.ssh_from.is_empty());
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
