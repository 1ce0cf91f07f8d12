//! The volume's keys are changed and the volume grows while the database answers; a restart opens with the new key.

use super::{
    PROGRAMS, act, again_changes_nothing, file_receipt, identity, keep_a_row, run_async, sql,
    wait_until_locked,
};
use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local, Secret};
use provisioner::api::model::Server;
use provisioner::known_hosts::KnownHosts;
use provisioner::project::Folder;
use provisioner::ssh::Session;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tests::{Rig, World, can_run};

const ROTATE: [&str; 6] = ["keys", "rotate", "--project", "demo", "--yes", "--slot"];

pub(crate) fn keys_and_growth() -> Result<()> {
    if !can_run("vm_keys_change_and_the_volume_grows", &PROGRAMS)? {
        return Ok(());
    }
    let rig = World::Ready.fork()?;
    keep_a_row(&rig, "under-every-key")?;
    ensure!(slots(&rig)? == ["0 true", "2 true"], "not as first boot left it: {:?}", slots(&rig)?);
    let session = session(&rig)?;
    let (old_key, old_words) = (escrowed(&rig, "luks-key")?, escrowed(&rig, "luks-recovery")?);
    ensure!(
        opens(&session, &old_key)? && types(&session, &old_words)?,
        "the first keys do not open the volume"
    );

    let watched = Watched::begin(&session)?;
    let rotated = rig.xtask(&[&ROTATE[..], &["unlock"]].concat())?.expect(0)?;
    println!("keys rotate --slot unlock: {:.1} s", rotated.took.as_secs_f64());
    let new_key = escrowed(&rig, "luks-key")?;
    ensure!(!opens(&session, &old_key)?, "the old key still opens the volume");
    ensure!(opens(&session, &new_key)?, "the escrowed key does not open the volume");
    the_escrowed_header_opens_on_this_side(&rig, &old_key)?;

    words_are_revoked_and_come_back(&rig, &session, &old_words)?;
    a_killed_operator_is_made_good(&rig, &session, &new_key)?;
    the_volume_grows(&rig, &session)?;
    watched.end(&session)?;

    act(&rig, "reset")?;
    wait_until_locked(&rig)?;
    rig.xtask(&["keys", "list", "--project", "demo"])?.expect(0)?.prints("in escrow")?;
    rig.xtask(&[&ROTATE[..], &["unlock"]].concat())?.expect(4)?.says(&["locked"])?;
    let unlock = ["unlock", "--project", "demo", "--recovery", "--identity", &identity(&rig, "demo")];
    let unlocked = rig.xtask(&unlock)?.expect(0)?;
    println!("unlock with the recovery words: {:.1} s", unlocked.took.as_secs_f64());
    ensure!(sql(&rig, "demo", "SELECT what FROM kept")?.trim() == "under-every-key", "the row is gone");
    file_receipt(&rig)?;
    again_changes_nothing(&rig)
}

/// The slots in use, each with whether the escrow holds it.
fn slots(rig: &Rig) -> Result<Vec<String>> {
    let said = rig.xtask(&["keys", "list", "--project", "demo", "--json"])?.expect(0)?;
    let listed: Value = serde_json::from_str(&said.stdout).context("reading the list of keys")?;
    ensure!(listed["changing"] == false, "a change is going on: {listed}");
    let slots = listed["slots"].as_array().context("there is no list of slots")?;
    Ok(slots.iter().map(|slot| format!("{} {}", slot["number"], slot["escrowed"])).collect())
}

/// A secret of the newest escrow.
fn escrowed(rig: &Rig, name: &str) -> Result<Secret> {
    let identity = identity(rig, "demo");
    let open = ["escrow", "open", "--project", "demo", "--identity", &identity, "--show"];
    let shown = rig.xtask(&[&open[..], &[&format!("secrets/{name}")]].concat())?.expect(0)?;
    Ok(Secret::new(shown.stdout.into_bytes()))
}

/// The pinned channel, for what has to be fed to a program on the server.
fn session(rig: &Rig) -> Result<Session> {
    let servers: Vec<Server> =
        run_async(async { Ok(rig.client()?.list("listing servers", "/servers", "servers", &[]).await?) })?;
    let server = servers.first().context("there is no server")?;
    let address = &server.public_net.ipv4.as_ref().context("it has no address")?.ip;
    let folder = Folder::new(&rig.projects(), "demo");
    let port = folder.load()?.ssh_port;
    Ok(Session::new(address, port, &folder.file("ssh/id_ed25519"), &KnownHosts::new(&folder, server.id)))
}

fn test() -> Cmd {
    Cmd::new("cryptsetup").args(["open", "--test-passphrase", "--tries", "1"])
}

/// Whether a key opens the volume on the server.
fn opens(session: &Session, key: &Secret) -> Result<bool> {
    let device = device(session)?;
    opened(session, &test().args(["--key-file", "-"]).arg(device).stdin_secret(key))
}

/// Whether words open it, typed as a person does at a console.
fn types(session: &Session, words: &Secret) -> Result<bool> {
    let typed = Secret::new([words.expose(), b"\n"].concat());
    let device = device(session)?;
    opened(session, &test().args(["--key-slot", "2"]).arg(device).stdin_secret(&typed))
}

fn opened(host: &impl host::Host, cmd: &Cmd) -> Result<bool> {
    let output = host.probe(cmd)?;
    if output.code == Some(2) {
        return Ok(false);
    }
    output.into_success(cmd)?;
    Ok(true)
}

fn device(session: &Session) -> Result<String> {
    let listed = session.run(&Cmd::new("ls").arg("/dev/disk/by-id"))?.text();
    let name = listed.lines().find(|name| name.starts_with("scsi-0HC_Volume_") && !name.contains("-part"));
    Ok(format!("/dev/disk/by-id/{}", name.context("the volume is not attached")?))
}

/// The header in the new bundle opens with the keys beside it and not with the old one; no server is asked.
fn the_escrowed_header_opens_on_this_side(rig: &Rig, old_key: &Secret) -> Result<()> {
    let identity = identity(rig, "demo");
    let verify = ["escrow", "verify", "--project", "demo", "--identity", &identity];
    rig.xtask(&verify)?.expect(0)?.prints("slot 2 (recovery)")?;
    if !can_run("vm_keys: the header on this side", &["cryptsetup"])? {
        return Ok(());
    }
    let dir = rig.path().join("rotated");
    let to = ["escrow", "open", "--project", "demo", "--identity", &identity, "--to", &dir.to_string_lossy()];
    rig.xtask(&to)?.expect(0)?;
    let header = dir.join("luks-header.img");
    let tried = |key: &Path| {
        opened(&Local, &test().arg("--key-file").path(key).arg("--header").path(&header).path(&header))
    };
    for name in ["luks-key", "luks-recovery"] {
        ensure!(tried(&dir.join("secrets").join(name))?, "{name} does not open the escrowed header");
    }
    let old: PathBuf = dir.join("old");
    host::files::write(&old, old_key.expose(), 0o400)?;
    ensure!(!tried(&old)?, "the old key opens the new header");
    Ok(std::fs::remove_dir_all(dir)?)
}

fn words_are_revoked_and_come_back(rig: &Rig, session: &Session, old_words: &Secret) -> Result<()> {
    let revoke = |slot| rig.xtask(&["keys", "revoke", "--project", "demo", "--yes", "--slot", slot]);
    let revoked = revoke("recovery")?.expect(0)?;
    println!("keys revoke --slot recovery: {:.1} s", revoked.took.as_secs_f64());
    ensure!(slots(rig)? == ["0 true"], "{:?}", slots(rig)?);
    ensure!(!opens(session, old_words)?, "the revoked words still open the volume");
    revoke("unlock")?.expect(4)?.says(&["last slot that the escrow"])?;
    let again = rig.xtask(&[&ROTATE[..], &["recovery"]].concat())?.expect(0)?;
    println!("keys rotate --slot recovery: {:.1} s", again.took.as_secs_f64());
    ensure!(slots(rig)? == ["0 true", "2 true"], "{:?}", slots(rig)?);
    ensure!(types(session, &escrowed(rig, "luks-recovery")?)?, "the new words do not open the volume");
    ensure!(!opens(session, old_words)?, "the revoked words open the volume again");
    Ok(())
}

/// The operator is killed while the server waits for them; the escrow on file opens the volume, and `provision` goes on.
fn a_killed_operator_is_made_good(rig: &Rig, session: &Session, old_key: &Secret) -> Result<()> {
    let rotate = [&ROTATE[..], &["unlock"]].concat();
    let (_, killed) = rig.run_until(&rotate, |line| line.contains("passing the gate escrow"))?;
    ensure!(killed, "the rotation ended before it waited");
    ensure!(opens(session, &escrowed(rig, "luks-key")?)?, "the escrow on file does not open the volume");
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?;
    ensure!(slots(rig)? == ["0 true", "2 true"], "{:?}", slots(rig)?);
    ensure!(!opens(session, old_key)?, "the old key still opens the volume");
    ensure!(opens(session, &escrowed(rig, "luks-key")?)?, "the escrow on file does not open the volume");
    Ok(())
}

fn the_volume_grows(rig: &Rig, session: &Session) -> Result<()> {
    let size = || -> Result<u64> {
        let said = session.run(&Cmd::new("df").args(["--output=size", "-B1", "/srv/sovereign"]))?.text();
        said.lines().last().and_then(|line| line.trim().parse().ok()).context("df says no size")
    };
    let path = rig.projects().join("demo/project.toml");
    let text = std::fs::read_to_string(&path)?;
    let bigger = text.replace("size_gb = 10", "size_gb = 12");
    ensure!(bigger != text, "the demo's volume has another size:\n{text}");
    std::fs::write(&path, bigger)?;
    let before = size()?;
    let grown = rig
        .xtask(&["provision", "--project", "demo", "--yes"])?
        .expect(0)?
        .says(&["volume grown to 12 GB", "first boot: disk"])?;
    let after = size()?;
    println!("grown from {before} to {after} bytes: {:.1} s", grown.took.as_secs_f64());
    ensure!(after > before + (3 << 29), "the file system did not grow: {before}, {after}");
    Ok(())
}

/// A loop on the server that asks the database about twice a second, and when its container was started.
struct Watched {
    started: String,
}

const ASK: &str = "docker exec postgres-postgres-1 psql -U postgres -At -c 'SELECT what FROM kept'";
const STARTED: &str = "docker inspect -f '{{.State.StartedAt}}' postgres-postgres-1";

impl Watched {
    fn begin(session: &Session) -> Result<Self> {
        let ask = format!("while test ! -e /run/asked.end; do {ASK} || echo failed; sleep 0.3; done");
        let line =
            format!("rm -f /run/asked*; setsid sh -c \"{ask}\" >/run/asked 2>&1 </dev/null & {STARTED}");
        let started = session.sh(&line);
        Ok(Self { started: Local.run(&started)?.text() })
    }

    fn end(self, session: &Session) -> Result<()> {
        let end = session.sh(&format!("touch /run/asked.end; sleep 2; {STARTED}; cat /run/asked"));
        let said = Local.run(&end)?.text();
        let mut lines = said.lines();
        ensure!(lines.next() == Some(self.started.as_str()), "the database was restarted: {said}");
        let answers: Vec<&str> = lines.collect();
        println!("the database answered {} times in between, and failed to 0 times", answers.len());
        ensure!(answers.len() > 20, "it was asked only {} times", answers.len());
        let wrong: Vec<_> = answers.iter().filter(|answer| **answer != "under-every-key").collect();
        ensure!(wrong.is_empty(), "it did not always answer: {wrong:?}");
        Ok(())
    }
}
