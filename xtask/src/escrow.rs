//! `escrow verify|show|open`.

use crate::args::{Name, Print, print_json};
use anyhow::{Context as _, Result};
use provisioner::escrow_folder::need_current;
use provisioner::project::Folder;
use provisioner::recipients::identity;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// What to do with the escrow.
#[derive(clap::Subcommand)]
pub(crate) enum Escrow {
    /// Prove without the key that the newest bundle is whole, from this server, and for the right recipients.
    ///
    /// Example: cargo xtask escrow verify --project demo
    Verify {
        #[command(flatten)]
        name: Name,
        /// The offline identity, where it is at hand: the LUKS header inside is looked at too.
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
        #[command(flatten)]
        print: Print,
    },
    /// Show what the newest bundle holds, by name and purpose, without opening it.
    ///
    /// Example: cargo xtask escrow show --project demo
    Show {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        print: Print,
    },
    /// Open the newest bundle with the offline key: list it, print one secret, or write all of it to a directory.
    ///
    /// Example: cargo xtask escrow open --project demo --identity identity.txt --show secrets/luks-key
    Open {
        #[command(flatten)]
        name: Name,
        /// The offline identity.
        #[arg(long, value_name = "FILE")]
        identity: PathBuf,
        /// Print this entry's bytes on stdout.
        #[arg(long, value_name = "ENTRY")]
        show: Option<String>,
        /// Write every entry below this directory, which must not exist yet.
        #[arg(long, value_name = "DIR", conflicts_with = "show")]
        to: Option<PathBuf>,
        /// List as one JSON document on stdout: names, purposes and sizes, never values.
        #[arg(long, conflicts_with_all = ["show", "to"])]
        json: bool,
    },
}

/// Runs it.
pub(crate) fn run(projects: &Path, verb: &Escrow) -> Result<u8> {
    match verb {
        Escrow::Verify { name, identity, print } => {
            verify(projects, &name.project, identity.as_deref(), print)
        }
        Escrow::Show { name, print } => show(projects, &name.project, print),
        Escrow::Open { name, identity, json: true, .. } => list(projects, &name.project, identity),
        Escrow::Open { name, identity, show, to, .. } => {
            open(projects, &name.project, identity, show.as_deref(), to.as_deref())
        }
    }
}

/// What is to be said beside the answer goes to stderr, for stdout may be a secret.
fn to_stderr(text: &str) {
    host::say::err(text);
}

fn verify(projects: &Path, name: &str, key: Option<&Path>, print: &Print) -> Result<u8> {
    let folder = Folder::new(projects, name);
    let project = folder.load()?;
    let opening = key.map(|key| identity(key, to_stderr)).transpose()?;
    let (manifest, problems) = provisioner::escrow_folder::verify(&folder, &project, opening.as_ref())?;
    if print.json {
        print_json(&serde_json::json!({ "problems": problems, "manifest": manifest }))?;
    } else if problems.is_empty() {
        say!("The escrow of {name} is whole: {} bytes, SHA-256 {}", manifest.size, manifest.sha256)?;
        say!(
            "  sealed {} by server {}, signed by its pinned host key",
            manifest.created,
            manifest.server_id
        )?;
        say!("  opens volume {}", manifest.volume_id)?;
        for slot in &manifest.key_slots {
            say!("  holds the header's {}: {}", slot.slot(), slot.slot().purpose())?;
        }
        manifest.recipients.iter().try_for_each(|recipient| say!("  for {recipient}"))?;
        say!(
            "{}",
            if opening.is_some() {
                "This identity opened it; the LUKS header inside is the one that was signed for."
            } else {
                "That the offline key opens it was proved with a canary; `--identity` proves it again."
            }
        )?;
    } else {
        say!("The escrow of {name} is NOT as it must be:")?;
        problems.iter().try_for_each(|problem| say!("  {problem}"))?;
    }
    Ok(u8::from(!problems.is_empty()))
}

fn show(projects: &Path, name: &str, print: &Print) -> Result<u8> {
    let manifest = need_current(&Folder::new(projects, name))?.manifest()?;
    print.show(&manifest, |manifest| {
        manifest.contents.iter().try_for_each(|entry| say!("{:<40} {}", entry.name, entry.purpose))
    })?;
    Ok(0)
}

fn list(projects: &Path, name: &str, key: &Path) -> Result<u8> {
    let bundle = need_current(&Folder::new(projects, name))?.open(&identity(key, to_stderr)?)?;
    let listed = bundle.entries.iter().map(|entry| {
        let bytes = entry.value.expose().len();
        serde_json::json!({ "name": entry.name, "purpose": entry.purpose, "bytes": bytes })
    });
    print_json(&listed.collect::<Vec<_>>())?;
    Ok(0)
}

fn open(projects: &Path, name: &str, key: &Path, show: Option<&str>, to: Option<&Path>) -> Result<u8> {
    let bundle = need_current(&Folder::new(projects, name))?.open(&identity(key, to_stderr)?)?;
    if let Some(wanted) = show {
        let entry =
            bundle.get(wanted).with_context(|| format!("opening the escrow: there is no {wanted} in it"))?;
        let value = entry.value.expose();
        // A person wants the prompt on a line of its own, and a terminal that does as before; a pipe wants the bytes and no other.
        if std::io::stdout().is_terminal() {
            host::say::out(format!("{}\n", host::clean(&String::from_utf8_lossy(value))))?;
        } else {
            host::say::out(value)?;
        }
        return Ok(0);
    }
    if let Some(dir) = to {
        anyhow::ensure!(!dir.exists(), "writing {}: it is there already", dir.display());
        for entry in &bundle.entries {
            host::files::write(&dir.join(&entry.name), entry.value.expose(), 0o400)?;
        }
        say!(
            "wrote {} entries below {}; remove them when they have served",
            bundle.entries.len(),
            dir.display()
        )?;
        return Ok(0);
    }
    for entry in &bundle.entries {
        say!("{:<40} {:>9} bytes  {}", entry.name, entry.value.expose().len(), entry.purpose)?;
    }
    Ok(0)
}
