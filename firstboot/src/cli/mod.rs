//! The command line: one line a command.

mod help;

use crate::access::keys::request::{self, Wish};
use crate::access::unlock::{self, Opened};
use crate::access::{acknowledge as file_acknowledgement, closing, sealing};
use crate::flow::{boot, install, status};
use crate::machine::{Here, Machine, free_space};
use crate::run::{Cx, follow};
use crate::steps::stacks::{by_hand, disabled, up};
use crate::steps::{firewall, pending, verify, vpn};
use crate::system::managed::drift;
use crate::upkeep::{outdated, refresh};
use crate::{audit, volume};
use anyhow::{Context as _, Result};
use host::{Secret, files, say};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use spec::paths;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use zeroize::Zeroizing;

const HELP: &str = "\
firstboot: sets a server up as its node spec says, and looks after it

usage: firstboot COMMAND

  run                          runs every step that does not hold yet (the systemd unit does this)
  install                      reads a node spec (JSON) from stdin, checks it, and starts first boot
  status [--json]              how far it is
  events [--from N] [--follow] the event stream, one JSON document a line; --json: one document
  acknowledge GATE VALUE       GATE: host-key, escrow, firewall, sshd
  escrow bundle|manifest|signature   prints what was sealed
  unlock                       reads the volume's key from stdin, opens it, brings up what was done before
  verify [--json] [--quick]    looks at everything, changes nothing; --quick: without the audit
  drift [--json]               what was edited by hand of the files firstboot wrote, as a diff
  drift accept FILE            keeps an edit
  drift restore FILE           puts firstboot's version back; the edit is copied beside it
  keys list                    the volume's keyslots in use (JSON)
  keys rotate SLOT             begins to change a key; SLOT: unlock, recovery
  keys revoke SLOT             begins to drop one; SLOT: unlock, recovery, or a number from 4 on
  stacks list                  the stacks on the volume, and which of them are wanted (JSON)
  stacks diff                  reads a node spec (JSON) from stdin; how the stacks' files would change
  stacks logs NAME [--follow] [--tail=N]   what its containers said
  stacks restart NAME          stops it, starts it, waits until it is healthy
  stacks run NAME -- ARGS      runs what its manifest names for administrators
  stacks up NAME               starts its containers (its systemd unit does this)
  stacks timer NAME:TIMER      runs what one of its timers says (systemd does this)
  stacks remove NAME           begins to remove one that is not wanted, with its data and its secrets
  vpn list                     the operator's devices, and whether each has a key (JSON)
  vpn renew DEVICE             makes a device's key worthless and asks for a new one
  vpn certificate              prints the certificate that the control server answers with
  refresh                      restarts services whose programs an upgrade replaced (systemd does this after upgrades)
  firewall                     has our rules about containers asked before the engine's (docker.service does this)
  --version, --help            COMMAND --help says more of one

exit codes: 0 done, 1 failed, 2 usage, 4 needs the operator";

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const OPERATOR: u8 = 4;

/// Held while the steps run, so that there is never a second firstboot.
const LOCK: &str = "/run/sovereign/lock";
/// Putting a change back takes a machine that emulates another some ten seconds.
const PUT_BACK_LIMIT: Duration = Duration::from_secs(45);
/// A run with an operator is through in minutes.
const REFRESH_WAITS: Duration = Duration::from_secs(20 * 60);
/// No key is longer.
const KEY_LIMIT: u64 = 4096;

/// Parses the arguments, does what they say, and gives back the exit code.
pub fn main() -> ExitCode {
    // What is no text is no word that is known here, and is answered like any other.
    let args: Vec<String> =
        std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let code = no_core_dumps().and_then(|()| dispatch(&args)).unwrap_or_else(|e| {
        say::err(format_args!("error: {e:#}"));
        FAILED
    });
    ExitCode::from(code)
}

fn dispatch(args: &[&str]) -> Result<u8> {
    let here = Here::new();
    match args {
        [command, .., "--help" | "-h"] => print(help::of(command).unwrap_or(HELP)),
        ["run"] => run(&here),
        ["install"] => print(&install::install(&here, &stdin()?, &running)?),
        ["status"] => print(&status::for_people(&status::status(&here, running())?)),
        ["status", "--json"] => output(&status::status(&here, running())?.to_json()),
        ["events", flags @ ..] => events(&here, flags),
        ["acknowledge", name @ ("host-key" | "escrow" | "firewall" | "sshd"), value @ ..]
            if !value.is_empty() =>
        {
            acknowledge(&here, name, &value.join(" "))
        }
        ["escrow", "bundle"] => cat(&here, paths::ESCROW_BUNDLE),
        ["escrow", "manifest"] => cat(&here, paths::ESCROW_MANIFEST),
        ["escrow", "signature"] => cat(&here, paths::ESCROW_SIGNATURE),
        ["unlock"] => unlock(&here),
        ["drift"] => drift(&here, false),
        ["drift", "--json"] => drift(&here, true),
        ["drift", "accept", file] => accept(&here, file),
        ["drift", "restore", file] => restore(&here, file),
        ["verify", flags @ ..] if flags.iter().all(|flag| ["--json", "--quick"].contains(flag)) => {
            verify(&here, flags.contains(&"--json"), flags.contains(&"--quick"))
        }
        ["keys", "list"] => output(&request::list(&Cx::read_only(&here)?)?.to_json()),
        ["keys", verb @ ("rotate" | "revoke"), slot] => {
            let wish = Wish::parse(verb, slot)?;
            change(&here, || request::request(&here, wish))
        }
        ["stacks", "list"] => print(&serde_json::to_string(&disabled::list(&Cx::read_only(&here)?)?)?),
        ["stacks", "up", name] => up::up(&Cx::read_only(&here)?, name).map(|()| DONE),
        ["stacks", "timer", instance] => up::timer(&Cx::read_only(&here)?, instance).map(|()| DONE),
        ["stacks", "diff"] => print_all(&by_hand::diff(&with_spec_of_stdin(&here)?)?),
        ["stacks", "logs", name, options @ ..] if options.iter().all(|option| is_log_option(option)) => {
            exit_code(by_hand::logs(&Cx::read_only(&here)?, name, options)?)
        }
        ["stacks", "restart", name] => {
            let _lock = lock()?;
            by_hand::restart(&Cx::read_only(&here)?, name).map(|()| DONE)
        }
        ["stacks", "run", name, "--", arguments @ ..] => {
            exit_code(by_hand::run(&Cx::read_only(&here)?, name, arguments)?)
        }
        ["stacks", "remove", name] => {
            change(&here, || disabled::request_removal(&Cx::read_only(&here)?, name))
        }
        ["vpn", "list"] => print(&serde_json::to_string(&vpn::list(&Cx::read_only(&here)?)?)?),
        ["vpn", "renew", device] => change(&here, || vpn::renew(&Cx::read_only(&here)?, device)),
        ["vpn", "certificate"] => cat(&here, vpn::certificate_file(&Cx::read_only(&here)?)?),
        ["refresh"] => refresh(&here),
        ["firewall"] => firewall::ask_docker_user_first(&here).map(|()| DONE),
        ["--version"] => print(&here.firstboot()?),
        ["--help" | "-h"] => print(HELP),
        _ => {
            say::err(HELP);
            Ok(USAGE)
        }
    }
}

/// What of Compose's options for logs makes sense for an administrator.
fn is_log_option(option: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    option == "--follow" || option.strip_prefix("--tail=").is_some_and(number)
}

/// A program's own exit code, passed on.
fn exit_code(code: i32) -> Result<u8> {
    Ok(u8::try_from(code).unwrap_or(FAILED))
}

/// This server as it would be by another node spec, which comes in on stdin.
fn with_spec_of_stdin(here: &Here) -> Result<Cx<'_>> {
    Ok(Cx::read_only(here)?.by(spec::NodeSpec::from_json(&stdin()?)?))
}

fn run(here: &Here) -> Result<u8> {
    let _lock = lock()?;
    free_space::require(here)?;
    ended(&Cx::begin(here)?)
}

fn ended(cx: &Cx<'_>) -> Result<u8> {
    match boot::run(cx)? {
        boot::Ended::Done => print("done"),
        boot::Ended::Locked => {
            say::err(format_args!("error: {}", crate::volume::Locked));
            Ok(OPERATOR)
        }
        boot::Ended::Failed(e) if boot::needs_operator(&e) => {
            say::err(format_args!("error: {e:#}"));
            Ok(OPERATOR)
        }
        boot::Ended::Failed(e) => Err(e),
    }
}

fn unlock(here: &Here) -> Result<u8> {
    let key = key(std::io::stdin())?;
    unlock::stop_waiting_run(here, running())?;
    let _lock = lock()?;
    free_space::require(here)?;
    let cx = Cx::begin(here)?;
    match unlock::open(&cx, &key)? {
        Opened::WrongKey => {
            cx.emit(spec::EventKind::Locked)?;
            say::err(
                "error: opening the volume: this key does not open it; take `secrets/luks-key` from this project's \
                 newest escrow",
            );
            return Ok(OPERATOR);
        }
        Opened::Now => say::err("the volume is open"),
        Opened::Before => say::err("the volume was open already"),
    }
    if let Some(why) = pending::after_unlock(&cx)? {
        // Its gates want somebody who answers them.
        say::err(format_args!("more is to be done: {why}; `cargo xtask provision --project NAME` goes on"));
        return Ok(DONE);
    }
    ended(&cx)
}

/// Reads a key. The end of its line tells it from one that was cut short, whose trying would be taken for a guess.
fn key(from: impl Read) -> Result<Secret> {
    let mut line = Zeroizing::new(Vec::with_capacity(usize::try_from(KEY_LIMIT)?));
    from.take(KEY_LIMIT).read_to_end(&mut line).context("reading the key from stdin")?;
    anyhow::ensure!(
        line.ends_with(b"\n"),
        "reading the key from stdin: its line does not end, so it was cut short; nothing was tried. Send the key and a newline"
    );
    Ok(Secret::new(line.trim_ascii_end().to_vec()))
}

/// Waits for a run that is at work: nothing is restarted under it, nor while it changes keys.
fn refresh(here: &Here) -> Result<u8> {
    let busy = "restarting what was upgraded: nothing was restarted; run `firstboot refresh` again later";
    let _lock = lock_within(REFRESH_WAITS).context(busy)?;
    let refreshed = refresh::refresh(&Cx::read_only(here)?)?;
    for unit in &refreshed.restarted {
        print(&format!("restarted {unit}"))?;
    }
    for left in &refreshed.left {
        print(&left.to_string())?;
    }
    Ok(DONE)
}

/// Writes down what is wanted, starts the unit, and says from which event on it can be followed.
fn change(here: &Here, request: impl FnOnce() -> Result<u64>) -> Result<u8> {
    let from = {
        let _lock = lock()?;
        request()?
    };
    host::Host::run(here, &host::Cmd::new("systemctl").args(["start", "--no-block", paths::UNIT]))?;
    print(&from.to_string())
}

fn events(here: &Here, flags: &[&str]) -> Result<u8> {
    let (mut from, mut on, mut json) = (1, false, false);
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        match (*flag, flags.as_slice().first().map(|n| n.parse())) {
            ("--follow", _) => on = true,
            ("--json", _) => json = true,
            ("--from", Some(Ok(n))) => {
                from = n;
                flags.next();
            }
            _ => return events_usage(),
        }
    }
    match (on, json) {
        (true, true) => events_usage(),
        (false, true) => output(&follow::document(here, from)?),
        _ => follow::events(here, from, on, &running).map(|()| DONE),
    }
}

fn events_usage() -> Result<u8> {
    say::err("usage: firstboot events [--from N] [--follow | --json]");
    Ok(USAGE)
}

fn verify(here: &Here, json: bool, quick: bool) -> Result<u8> {
    let cx = Cx::read_only(here)?;
    let mut checks = verify::checks(&cx);
    if !quick {
        checks.push(verify::check("everything runs as its package has it", outdated::complaints(here)));
        checks.extend(audit::checks(&cx));
    }
    if json {
        output(&[serde_json::to_vec_pretty(&checks)?, b"\n".to_vec()].concat())?;
    } else {
        output(spec::for_people(&checks).as_bytes())?;
    }
    Ok(if spec::Tally::of(&checks).is_well() { DONE } else { FAILED })
}

/// What is edited by hand; 4 while something is not accepted.
fn drift(here: &Here, json: bool) -> Result<u8> {
    let drifts = drift::all(here)?;
    if json {
        output(&[serde_json::to_vec_pretty(&drifts)?, b"\n".to_vec()].concat())?;
    } else if drifts.is_empty() {
        print("nothing was edited by hand")?;
    }
    for drift in drifts.iter().filter(|_| !json) {
        let accepted = if drift.accepted { " (accepted)" } else { "" };
        print(&format!("{}{accepted}\n{}", drift.path.display(), drift.edit.trim_end()))?;
    }
    Ok(if drifts.iter().all(|drift| drift.accepted) { DONE } else { OPERATOR })
}

fn accept(here: &Here, file: &str) -> Result<u8> {
    let _lock = lock()?;
    drift::accept(&Cx::read_only(here)?, Path::new(file), &firewall::FILES)?;
    print(&format!("{file}: the edit stays until firstboot wants something else there"))
}

fn restore(here: &Here, file: &str) -> Result<u8> {
    let _lock = lock()?;
    let cx = Cx::begin(here)?;
    let alone = !volume::mounted(&cx)? || pending::slots_hold(&cx)? && sealing::holds_header(&cx)?;
    let copy = drift::restore(&cx, Path::new(file))?;
    say::err(format_args!("the edit is kept in {}", copy.display()));
    if !alone {
        say::err(format_args!(
            "error: writing {file} again: the volume's keyslots were changed, too, and their header has to be \
             escrowed first; `cargo xtask provision --project NAME` does both"
        ));
        return Ok(OPERATOR);
    }
    ended(&cx)
}

/// One at a time with the script that puts a change back: who comes while that runs is told so.
fn acknowledge(here: &Here, name: &str, value: &str) -> Result<u8> {
    let lock = closing::lock(name);
    let _lock = match &lock {
        Some(path) => Some(hold(path, PUT_BACK_LIMIT)?.with_context(|| {
            format!(
                "acknowledging {name}: it is being put back; run `cargo xtask provision --project NAME` again"
            )
        })?),
        None => None,
    };
    file_acknowledgement(here, name, value).map(|()| DONE)
}

fn cat(here: &Here, path: impl AsRef<Path>) -> Result<u8> {
    let path = path.as_ref();
    let bytes = host::Host::read(here, path)?;
    output(&bytes.with_context(|| {
        format!("reading {}: it is not there yet; see `cargo xtask status --project NAME`", path.display())
    })?)
}

/// A text that ends its own lines.
fn print_all(text: &str) -> Result<u8> {
    output(text.as_bytes())
}

fn print(text: &str) -> Result<u8> {
    output(format!("{text}\n").as_bytes())
}

fn output(bytes: &[u8]) -> Result<u8> {
    say::out(bytes)?;
    Ok(DONE)
}

fn stdin() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("reading stdin")?;
    Ok(bytes)
}

fn lock() -> Result<files::Lock> {
    lock_within(Duration::from_secs(1))
}

fn lock_within(patience: Duration) -> Result<files::Lock> {
    Here::new().make_dir(Path::new("/run/sovereign"), 0o700, 0, 0)?;
    // Whoever asks whether one is at work holds it for a moment, too.
    let held = hold(Path::new(LOCK), patience)?;
    held.context(
        "starting firstboot: another one is at work; see `cargo xtask status --project NAME` and wait for it",
    )
}

/// Takes a lock, waiting for whoever has it for a while.
fn hold(path: &Path, patience: Duration) -> Result<Option<files::Lock>> {
    let start = std::time::Instant::now();
    loop {
        match files::try_lock(path)? {
            None if start.elapsed() < patience => std::thread::sleep(Duration::from_millis(50)),
            held => return Ok(held),
        }
    }
}

/// Whether a firstboot is at work.
fn running() -> bool {
    Path::new(LOCK).exists() && matches!(files::try_lock(Path::new(LOCK)), Ok(None))
}

/// A crash must not write keys to disk.
fn no_core_dumps() -> Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none).context("forbidding core dumps")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).context("forbidding core dumps")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cut_short_anywhere_is_not_tried() {
        let line = b"abandon ability able\n";
        assert_eq!(key(&line[..]).unwrap().expose(), b"abandon ability able");
        for cut in 0..line.len() {
            let error = key(&line[..cut]).err().unwrap().to_string();
            assert!(error.contains("nothing was tried") && !error.contains("able"), "{error}");
        }
    }

    #[test]
    fn a_lock_is_waited_for_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        // As the script that puts a change back holds it, with flock(1).
        let held = files::try_lock(&path).unwrap();
        assert!(hold(&path, Duration::from_millis(120)).unwrap().is_none(), "two had it");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(200));
                drop(held);
            });
            assert!(hold(&path, Duration::from_secs(30)).unwrap().is_some(), "it was not waited for");
        });
    }
}
