//! Every secret of the escrow is looked for wherever it must not be: the root disk, the journal, the arguments of every
//! program that was run, user-data, receipt and events, and the operator's own state. What is planted there on purpose is
//! found by the same search, so that one that finds nothing means something.

use super::{PROGRAMS, act, identity, raw, server_id, wait_until_locked};
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use host::{Cmd, Host as _, Local};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::{Rig, World, can_run};

/// Known to no program; one for each place, so that one place does not vouch for another.
const PLANTED: [&str; 5] = [
    "planted-on-the-disk-8d1f0c7a",
    "planted-in-the-journal-5be0912d",
    "planted-in-arguments-e47a3c66",
    "planted-in-the-documents-1c09fd2b",
    "planted-in-the-state-77a60e13",
];
/// Shorter values would be found by chance.
const SHORTEST: usize = 16;
const SEARCH: Duration = Duration::from_secs(600);

pub(crate) fn none_outside_the_volume() -> Result<()> {
    if !can_run("vm_no_secret_lies_outside_the_volume", &[&PROGRAMS[..], &["grep"]].concat())? {
        return Ok(());
    }
    let rig = World::Ready.fork()?;
    let start = Instant::now();
    let search = Search::of(&rig)?;
    // Unlocking handles the key once more, with everything recorded.
    act(&rig, "reset")?;
    unlocked(&rig)?;
    recorded(&search.what_it_writes(&rig)?, &["luksFormat", "\"open\""])?;
    host::files::write(&rig.path().join("state/planted"), PLANTED[4].as_bytes(), 0o600)?;
    act(&rig, "poweroff")?;
    let outside = search.root_disk(&rig).and_then(|()| {
        search.only("the operator's state", &rig.path().join("state"), PLANTED[4])?;
        // The project's folder has nothing planted: what is in it is known, the offline identity among it.
        let found = search.found(&rig.projects())?;
        ensure!(
            found.iter().all(String::is_empty),
            "found in the project's folder: {} writings",
            found.len()
        );
        Ok(())
    });
    println!("searching for every secret everywhere: {:.0} s", start.elapsed().as_secs_f64());
    outside
}

/// The same of a server with a private network, whose keys are in the escrow too; it is switched off afterwards.
pub(crate) fn none_of_the_networks(rig: &Rig) -> Result<()> {
    let search = Search::of(rig)?;
    ensure!(search.needles.names.values().any(|name| name.starts_with("vpn-device-")), "no device has a key");
    let log = search.what_it_writes(rig)?;
    recorded(&log, &["luksFormat", "\"open\"", "\"preauthkeys\""])?;
    act(rig, "poweroff")?;
    search.root_disk(rig)
}

/// All a server keeps about itself, and what it was made with.
const DOCUMENTS: &str = "curl -fsS http://169.254.169.254/hetzner/v1/userdata; cat /var/lib/cloud/instance/user-data.txt; \
                         cat /etc/sovereign/node.json /var/lib/sovereign/receipt.json /var/lib/sovereign/events.jsonl \
                         /var/lib/sovereign/escrow/manifest.json";

fn unlocked(rig: &Rig) -> Result<()> {
    wait_until_locked(rig)?;
    rig.xtask(&["unlock", "--project", "demo", "--identity", &identity(rig, "demo")])?.expect(0)?;
    Ok(())
}

/// The audit log begins before the volume was formatted, and has the unlocking and whatever else handles a secret: else it
/// proves nothing.
fn recorded(log: &str, words: &[&str]) -> Result<()> {
    for word in words {
        let line = log.lines().any(|line| line.contains("type=EXECVE") && line.contains(word));
        ensure!(line, "the audit log has no program run with {word}");
    }
    Ok(())
}

/// The secrets of the escrow, by their names in it.
fn escrowed(rig: &Rig) -> Result<BTreeMap<String, Vec<u8>>> {
    let opened = tempfile::tempdir()?;
    let to = opened.path().join("opened");
    let open = ["escrow", "open", "--project", "demo", "--identity", &identity(rig, "demo"), "--to"];
    rig.xtask(&[&open[..], &[&to.to_string_lossy()]].concat())?.expect(0)?;
    let mut secrets = BTreeMap::new();
    for entry in std::fs::read_dir(to.join("secrets"))? {
        let path = entry?.path();
        let value = std::fs::read(&path)?.trim_ascii_end().to_vec();
        let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
        ensure!(value.len() >= SHORTEST, "{name} has {} bytes", value.len());
        secrets.insert(name, value);
    }
    ensure!(secrets.len() >= 2, "the escrow holds {} secrets", secrets.len());
    Ok(secrets)
}

/// A search for every secret of a server's escrow.
struct Search {
    needles: Needles,
    place: TempDir,
}

impl Search {
    fn of(rig: &Rig) -> Result<Self> {
        let needles = Needles::of(&escrowed(rig)?);
        println!("{} secrets in {} writings", needles.secrets, needles.names.len());
        let place = tempfile::tempdir_in("/var/tmp")?;
        host::files::write(&place.path().join("needles"), needles.text().as_bytes(), 0o400)?;
        Ok(Self { needles, place })
    }

    /// In what a running server has written about itself; gives its audit log.
    fn what_it_writes(&self, rig: &Rig) -> Result<String> {
        let plant = format!(
            "echo {} > /var/lib/planted; echo {} | systemd-cat; /bin/true {}; sync",
            PLANTED[0], PLANTED[1], PLANTED[2]
        );
        there(rig, &plant)?;
        let mut arguments = String::new();
        for (name, line, planted) in [
            ("the journal", "journalctl --no-pager --output=export --all", PLANTED[1]),
            ("arguments", "cat /var/log/audit/audit.log*", PLANTED[2]),
            ("documents", DOCUMENTS, PLANTED[3]),
        ] {
            let said = there(rig, line)?;
            // Documents are the server's own: what is planted among them is put there on this side.
            let planted_here = if name == "documents" { planted } else { "" };
            let file = self.place.path().join(name.replace(' ', "-"));
            std::fs::write(&file, format!("{said}\n{planted_here}\n"))?;
            self.only(name, &file, planted)?;
            println!("{name}: {} bytes", said.len());
            if name == "arguments" {
                arguments = said;
            }
        }
        Ok(arguments)
    }

    /// In the root disk of a server that is switched off.
    fn root_disk(&self, rig: &Rig) -> Result<()> {
        let image = rehearsal::root_disk_file(&rig.cloud(), server_id(rig)?);
        let disk = raw(&image, self.place.path())?;
        self.only("the root disk", &disk, PLANTED[0])?;
        Ok(std::fs::remove_file(disk)?)
    }

    fn found(&self, place: &Path) -> Result<Vec<String>> {
        search(&self.place.path().join("needles"), place)
    }

    fn only(&self, name: &str, place: &Path, planted: &str) -> Result<()> {
        self.needles.only(name, &self.found(place)?, planted)
    }
}

fn there(rig: &Rig, line: &str) -> Result<String> {
    Ok(rig.xtask(&["ssh", "--project", "demo", "--", line])?.expect(0)?.stdout)
}

/// What is searched for, and whose writing it is.
struct Needles {
    names: BTreeMap<String, String>,
    secrets: usize,
}

impl Needles {
    /// Each secret as it is, in base64 and its URL-safe kind wherever it stands in what was encoded, and in hexadecimal,
    /// as the kernel's audit log writes what has a space in it.
    fn of(secrets: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut names = BTreeMap::new();
        for (name, value) in secrets {
            let mut add = |how: &str, text: String| drop(names.insert(text, format!("{name} ({how})")));
            // A value that is no text is looked for by its encodings alone.
            if let Ok(text) = std::str::from_utf8(value) {
                text.lines()
                    .filter(|line| line.len() >= SHORTEST)
                    .for_each(|line| add("as it is", line.into()));
            }
            let hex: String = value.iter().map(|b| format!("{b:02x}")).collect();
            add("in upper hexadecimal", hex.to_uppercase());
            add("in hexadecimal", hex);
            for before in 0..3 {
                // What stands before it shifts its bits; the characters at both ends hold bits of the neighbours.
                let shifted = [&vec![0; before][..], value].concat();
                for (kind, encoded) in
                    [("base64", STANDARD.encode(&shifted)), ("URL base64", URL_SAFE.encode(&shifted))]
                {
                    let whole = encoded.trim_end_matches('=');
                    let inner = &whole[(before * 8).div_ceil(6)..whole.len() - 1];
                    add(kind, inner.to_owned());
                }
            }
        }
        for planted in PLANTED {
            names.insert(planted.into(), planted.into());
        }
        Self { names, secrets: secrets.len() }
    }

    fn text(&self) -> String {
        self.names.keys().map(|needle| format!("{needle}\n")).collect()
    }

    /// Whether a search found what was planted there, and no secret.
    fn only(&self, place: &str, found: &[String], planted: &str) -> Result<()> {
        ensure!(
            found.iter().any(|text| text == planted),
            "what was planted in {place} was not found: the search is no proof"
        );
        let secrets = found.iter().filter(|text| !PLANTED.contains(&text.as_str()));
        let names: Vec<&String> = secrets.filter_map(|text| self.names.get(text)).collect();
        ensure!(names.is_empty(), "found in {place}: {names:?}");
        Ok(())
    }
}

/// Every needle that is found in a file or below a directory.
fn search(needles: &Path, place: &Path) -> Result<Vec<String>> {
    // What zeros divide are the lines, else the holes of a disk would be one line of gigabytes.
    let options =
        ["--recursive", "--null-data", "--text", "--fixed-strings", "--only-matching", "--no-filename"];
    let cmd =
        Cmd::new("grep").args(options).arg("--file").path(needles).arg("--").path(place).timeout(SEARCH);
    let output = Local.probe(&cmd)?;
    ensure!(matches!(output.code, Some(0 | 1)), "searching {}: {}", place.display(), output.stderr);
    let mut found: Vec<String> =
        output.stdout.split(|b| *b == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    found.sort();
    found.dedup();
    Ok(found)
}
