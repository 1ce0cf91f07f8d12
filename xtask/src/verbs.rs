//! The smaller verbs.

use crate::args::{Name, Print, Server};
use crate::ask::need_typed;
use crate::made::make_for;
use crate::project;
use crate::screen::screen;
use crate::summary::summarise;
use anyhow::{Result, bail};
use provisioner::confirm::{Depth, Tally, for_people};
use provisioner::context::Context;
use provisioner::destroy::{Also, destroy as take_away, fates};
use provisioner::dns;
use provisioner::opened::Opened;
use provisioner::project::Folder;
use provisioner::recipients::{self, Proof};
use provisioner::unlock::{Unlock as Unlocking, Unlocked, With};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// For `verify`.
#[derive(clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    print: Print,
}

/// For `status`.
#[derive(clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    print: Print,
    /// Only the DNS records the project wants, as a table.
    #[arg(long, conflicts_with = "json")]
    records: bool,
    /// Only these, as a BIND zone file.
    #[arg(long, conflicts_with_all = ["json", "records"])]
    zone_file: bool,
}

/// For `unlock`.
#[derive(clap::Args)]
pub(crate) struct Unlock {
    #[command(flatten)]
    server: Server,
    /// The offline identity that opens the escrow.
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
    /// Send the recovery words instead of the key.
    #[arg(long)]
    recovery: bool,
    #[command(flatten)]
    print: Print,
}

/// For `ssh`.
#[derive(clap::Args)]
pub(crate) struct Ssh {
    #[command(flatten)]
    server: Server,
    /// What to run; as with ssh, the words are joined and given to the server's shell.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

/// For `destroy`.
#[derive(clap::Args)]
pub(crate) struct Destroy {
    #[command(flatten)]
    name: Name,
    /// The volume goes too, and with it all data.
    #[arg(long)]
    volume: bool,
    /// The addresses go too, and the DNS records that name them.
    #[arg(long)]
    addresses: bool,
    /// The snapshots of the server's root disk go too.
    #[arg(long)]
    snapshots: bool,
    /// The storage box goes too, and with it the backups in it.
    #[arg(long)]
    storage_box: bool,
    /// The DNS zone goes too, where the project made it, and with it every record in it.
    #[arg(long)]
    zone: bool,
    /// Do not ask; protected resources are never removed this way.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    print: Print,
}

/// For `init`.
#[derive(clap::Args)]
pub(crate) struct Init {
    #[command(flatten)]
    name: Name,
    /// An offline key's public half; may be given more than once.
    #[arg(long, value_name = "age1...")]
    recipient: Vec<String>,
    /// Make a project for this machine's rehearsal cloud.
    #[arg(long)]
    rehearsal: bool,
    /// What a canary said, when opened where the offline key is.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["recipient", "rehearsal", "identity"])]
    answer: Vec<String>,
    /// An identity that is at hand and proves its recipient itself.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recipient", "rehearsal"])]
    identity: Option<PathBuf>,
    #[command(flatten)]
    print: Print,
}

/// The records alone, as a table or a zone file on stdout.
async fn show_records(opened: &Opened, options: &Status) -> Result<u8> {
    let Some(dns) = &opened.project.dns else {
        bail!(
            "showing the records of {}: project.toml has no [dns]; name the zone there",
            opened.folder.name()
        );
    };
    let world = provisioner::observe::observe(&opened.client, &opened.project).await?;
    let (records, addresses) = (opened.project.records(), world.addresses());
    if options.zone_file {
        host::say::out(dns::zone_file(&dns.zone, &records, addresses))?;
    } else {
        host::say::out(dns::table(&records, addresses))?;
    }
    Ok(0)
}

/// `status`.
pub(crate) async fn status(projects: &Path, options: &Status) -> Result<u8> {
    let opened = project::with_server(projects, &options.server)?;
    if options.records || options.zone_file {
        return show_records(&opened, options).await;
    }
    let prepared = opened.context().prepare()?;
    let status = provisioner::status::status(&opened.context(), &prepared).await?;
    options.print.show(&status, |status| show_status(&options.server.name.project, status))?;
    Ok(if status.needs_operator() { 4 } else { 0 })
}

fn show_status(name: &str, status: &provisioner::status::Status) -> Result<(), host::Error> {
    let changing = if status.keys_changing { " (changing keys)" } else { "" };
    say!("{}: {}{changing}", name, status.state)?;
    if let Some(error) = &status.error {
        say!("  error   {error}")?;
    }
    for outdated in &status.outdated {
        say!("  old     {outdated}")?;
    }
    if let Some((id, state)) = &status.server {
        say!("  server  {id}, {state}, {}", status.address.as_deref().unwrap_or("no address"))?;
    }
    if let Some(volume) = status.volume {
        say!("  volume  {volume}")?;
    }
    if let Some(zone) = &status.zone {
        say!("  zone    {zone}")?;
    }
    say!("  unlock  {}", status.unlock)?;
    say!("  escrow  {}", status.escrow.as_deref().unwrap_or("none on file"))?;
    if let Some(receipt) = &status.receipt {
        let steps: Vec<_> = receipt.steps.iter().map(|s| s.step.to_string()).collect();
        say!("  steps   {}", steps.join(", "))?;
        say!("  done    {}", receipt.done.as_deref().unwrap_or("not yet"))?;
    }
    host::say::out(format!("{}", status.pending))
}

/// `verify`.
pub(crate) async fn verify(projects: &Path, options: &Verify) -> Result<u8> {
    let opened = project::with_server(projects, &options.server)?;
    let look =
        |context: &Context<'_>, prepared: &_, world: &_| context.inspect(prepared, world, Depth::Audit);
    let checks = opened.reach("verify", look).await?;
    options.print.show(&checks, |checks| host::say::out(for_people(checks)))?;
    Ok(u8::from(!Tally::of(&checks).is_well()))
}

/// `unlock`.
pub(crate) async fn unlock(projects: &Path, options: &Unlock) -> Result<u8> {
    let opened = project::with_server(projects, &options.server)?;
    let _lock = opened.folder.lock()?;
    let start = Instant::now();
    let identity = provisioner::recipients::identity(&options.identity, |text| opened.report.note(text))?;
    let (prepared, world) = opened.look().await?;
    let context = opened.context();
    let with = if options.recovery { With::Recovery } else { With::Key };
    let unlock = Unlocking::new(&context, &prepared, &world, &identity, with)?;
    let unlocking = async || {
        let mut unlocked = tokio::task::block_in_place(|| unlock.unlock())?;
        if unlocked == Unlocked::Damaged {
            let made = make_for(&opened.folder, &opened.project, &world, &opened.report).await?;
            unlocked = tokio::task::block_in_place(|| unlock.mend(&made.given))?;
        }
        if unlocked == Unlocked::Up {
            return Ok(None);
        }
        let made = make_for(&opened.folder, &opened.project, &world, &opened.report).await?;
        let provisioned = tokio::task::block_in_place(|| unlock.finish(&made.given))?;
        summarise(&context, &made, &provisioned, start);
        Ok(Some(provisioned))
    };
    let finished = context.through_the_door(&world, "unlock", unlocking).await?;
    options.print.json(&serde_json::json!({ "unlocked": true, "first_boot_finished": finished }))?;
    Ok(0)
}

/// `ssh`: the exit code is the command's.
pub(crate) async fn ssh(projects: &Path, options: &Ssh) -> Result<u8> {
    let run = |context: &Context<'_>, prepared: &_, world: &_| {
        let session = context.session(prepared, world)?;
        let words = options.command.join(" ");
        let command = if words.is_empty() { session.shell() } else { session.sh(&words) };
        Ok(command.run_interactive()?)
    };
    let code = project::with_server(projects, &options.server)?.reach("ssh", run).await?;
    Ok(u8::try_from(code).unwrap_or(1))
}

/// `destroy`.
pub(crate) async fn destroy(projects: &Path, options: &Destroy) -> Result<u8> {
    let opened = project::existing(projects, &options.name.project)?;
    let _lock = opened.folder.lock()?;
    let world = provisioner::observe::observe(&opened.client, &opened.project).await?;
    let also = Also {
        volume: options.volume,
        addresses: options.addresses,
        snapshots: options.snapshots,
        storage_box: options.storage_box,
        zone: options.zone,
    };
    let fates = fates(&opened.project, &world, also)?;
    for fate in &fates {
        let what = if fate.goes { "- goes " } else { "  stays" };
        opened.report.note(&format!("{what} {} {} (id {})", fate.kind, fate.name, fate.id));
    }
    if !fates.iter().any(|fate| fate.goes) {
        opened.report.note("Nothing to remove.");
        return Ok(0);
    }
    opened.report.note("  stays project folder, with the escrow and the keys");
    if fates.iter().any(|fate| fate.goes && fate.protected) {
        need_typed(&options.name.project, "lift the protection and remove what goes")?;
    } else if !options.yes {
        need_typed(&options.name.project, "remove what goes (`--yes` answers for what is not protected)")?;
    }
    take_away(&opened.client, &opened.folder, &fates, &*opened.report).await?;
    options.print.json(&fates)?;
    Ok(0)
}

/// `init`.
pub(crate) fn init(projects: &Path, options: &Init) -> Result<u8> {
    let folder = Folder::new(projects, &options.name.project);
    let say = |text: String| {
        if options.print.json {
            host::say::err(text);
            return Ok(());
        }
        say!("{text}")
    };
    let mut proved = Vec::new();
    if options.answer.is_empty() && options.identity.is_none() {
        provisioner::init::init(&folder, &options.recipient, options.rehearsal)?;
        say(format!("wrote {}", folder.file("project.toml").display()))?;
    }
    let project = match folder.load() {
        Ok(project) => project,
        // A project without a recipient yet: its file says what comes next.
        Err(error) if options.recipient.is_empty() => {
            say(format!("next: {error:#}"))?;
            return Ok(4);
        }
        Err(error) => return Err(error),
    };
    let screen = screen();
    let all = recipients::recipients(&folder, &project, |text| screen.note(text))?;
    let identity = options
        .identity
        .as_deref()
        .map(|path| provisioner::recipients::identity(path, |text| screen.note(text)));
    let identity = identity.transpose()?;
    for recipient in &all {
        let proofs = options
            .answer
            .iter()
            .map(|answer| Proof::Answer(answer))
            .chain(identity.iter().map(Proof::Identity));
        for proof in proofs {
            if recipients::prove(&folder, recipient, &proof).is_ok() {
                say(format!("proved {recipient}"))?;
                proved.push(recipient);
            }
        }
    }
    recipients::need_proof(&folder, &project, &all)?;
    let file = folder.file("project.toml").display().to_string();
    options.print.json(&serde_json::json!({ "file": file, "recipients": all, "proved_now": proved }))?;
    say(format!("next: cargo xtask provision --project {} --plan", options.name.project))?;
    Ok(0)
}
