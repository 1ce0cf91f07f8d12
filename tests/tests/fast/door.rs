//! The front door, as a user meets it.

use anyhow::{Result, ensure};
use host::{Cmd, Host as _, Local, files};
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use tests::Rig;

fn listing(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        found.push(entry.path().display().to_string());
        found.extend(listing(&entry.path()));
    }
    found.sort();
    found
}

pub(crate) fn plan_changes_nothing() -> Result<()> {
    let rig = Rig::new()?;
    rig.demo("demo")?;
    let before = listing(rig.path());
    let plan = rig.xtask(&["provision", "--project", "demo", "--plan"])?.expect(3)?;
    for line in ["+ server demo (cax11 in fsn1)", "+ volume demo-data", "EUR/month", "sum"] {
        ensure!(plan.stdout.contains(line), "{line} is not in the plan:\n{}", plan.stdout);
    }
    let json = rig.xtask(&["provision", "--project", "demo", "--plan", "--json"])?.expect(3)?;
    let document: serde_json::Value = serde_json::from_str(&json.stdout)?;
    ensure!(document["changes"].as_array().is_some_and(|c| c.len() == 6), "{document}");
    ensure!(listing(rig.path()) == before, "the plan wrote something");
    Ok(())
}

pub(crate) fn all_mistakes_at_once() -> Result<()> {
    let rig = Rig::new()?;
    rig.project("demo", "[cloud]\nlocation = \"moon\"\n[server]\nsize = 3\n[volume]\nsize_gb = 0\n")?;
    let before = listing(rig.path());
    let ended = rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(2)?;
    let ended = ended.says(&[
        "line 2",
        "moon",
        "line 4",
        "server.size",
        "line 6",
        "10 to 10240",
        "nothing was changed",
    ])?;
    ended.says(&["escrow.recipients"])?;
    ensure!(listing(rig.path()) == before, "something was written");
    std::fs::create_dir_all(rig.projects().join("folder/project.toml"))?;
    let ended = rig.xtask(&["provision", "--project", "folder"])?.expect(1)?;
    ensure!(ended.stderr.matches("Is a directory").count() == 1, "{}", ended.stderr);
    rig.xtask(&["provision", "--project", "absent"])?.expect(1)?.says(&["init --project absent"])?;
    rig.xtask(&["provision"])?.expect(2)?;
    Ok(())
}

pub(crate) fn unproved_key_stops() -> Result<()> {
    let rig = Rig::new()?;
    let recipient = escrow::Identity::generate().recipients()[0].to_string();
    rig.xtask(&["init", "--project", "prod", "--recipient", &recipient])?.expect(4)?.says(&[
        "age -d -i",
        &recipient,
        "--answer",
    ])?;
    rig.xtask(&["init", "--project", "prod", "--answer", "guess"])?.expect(4)?;
    Ok(())
}

pub(crate) fn init() -> Result<()> {
    let rig = Rig::new()?;
    let identity = escrow::Identity::generate();
    let recipient = identity.recipients()[0].to_string();
    let key = rig.path().join("identity.txt");
    files::write(&key, identity.to_file_contents().expose(), 0o600)?;
    rig.xtask(&["init", "--project", "prod", "--recipient", &recipient])?.expect(4)?;
    rig.xtask(&["init", "--project", "prod", "--identity", &key.to_string_lossy()])?.expect(0)?;
    rig.xtask(&["init", "--project", "prod", "--recipient", &recipient])?
        .expect(1)?
        .says(&["not touched"])?;
    rig.xtask(&["init", "--project", "bad", "--recipient", "age1wrong"])?.expect(1)?.says(&["age1wrong"])?;
    ensure!(!rig.projects().join("bad").exists(), "a project was made for a malformed key");
    rig.xtask(&["init", "--project", "trial", "--rehearsal"])?.expect(0)?;
    rig.xtask(&["escrow", "verify", "--project", "trial"])?.expect(1)?.says(&["there is none yet"])?;
    Ok(())
}

pub(crate) fn help() -> Result<()> {
    let rig = Rig::new()?;
    let verbs: [&[&str]; 19] = [
        &["drift", "list"],
        &["provision"],
        &["status"],
        &["verify"],
        &["escrow", "verify"],
        &["escrow", "show"],
        &["escrow", "open"],
        &["unlock"],
        &["ssh"],
        &["destroy"],
        &["ephemeral"],
        &["reap"],
        &["init"],
        &["images", "build"],
        &["images", "list"],
        &["cloud", "serve"],
        &["cloud", "stop"],
        &["test"],
        &["check"],
    ];
    for verb in verbs {
        let help = rig.xtask(&[verb, &["--help"]].concat())?.expect(0)?;
        ensure!(help.stdout.contains("Example: cargo xtask "), "{verb:?} has no example:\n{}", help.stdout);
        // What hands the terminal to another program has its output.
        let passes_on = matches!(verb, ["ssh"] | ["test"]);
        ensure!(passes_on || help.stdout.contains("--json"), "{verb:?} has no --json:\n{}", help.stdout);
    }
    Ok(())
}

/// A cloud on a state that never was one, in the process itself.
pub(crate) fn foreground() -> Result<()> {
    let rig = Rig::new()?;
    let state = rig.path().join("new");
    let serve = ["cloud", "serve", "--foreground", "--without-machines", "--state", &state.to_string_lossy()];
    let mut found = Ok(None);
    let (ended, served) = rig.run_until(&serve, |line| {
        let serves = line.starts_with("rehearsal: serving ");
        if serves {
            found = rehearsal::find(&state);
        }
        serves
    })?;
    ensure!(served && found?.is_some(), "it ended with {:?}: {}", ended.code, ended.stderr);
    Ok(())
}

/// Nobody reads what a verb says, on stdout, on stderr, or on both: it does the same, and says nothing of that.
pub(crate) fn nobody_reads() -> Result<()> {
    let rig = Rig::new()?;
    rig.demo("demo")?;
    rig.xtask(&["cloud", "serve", "--without-machines"])?.expect(0)?;
    let verbs: [&[&str]; 21] = [
        &["--help"],
        &["provision", "--help"],
        &["no-such-verb"],
        &["provision", "--project", "demo", "--plan"],
        &["provision", "--project", "demo", "--plan", "--json"],
        &["provision", "--project", "absent"],
        &["status", "--project", "demo"],
        &["status", "--project", "demo", "--json"],
        &["verify", "--project", "demo"],
        &["escrow", "verify", "--project", "demo"],
        &["keys", "list", "--project", "demo"],
        &["vpn", "list", "--project", "demo"],
        &["ssh", "--project", "demo", "--", "true"],
        &["destroy", "--project", "demo", "--yes", "--json"],
        &["reap", "--project", "demo", "--json"],
        &["init", "--project", "demo", "--rehearsal"],
        &["images", "list"],
        &["images", "list", "--json"],
        &["cloud", "serve", "--without-machines"],
        &["cloud", "serve", "--without-machines", "--json"],
        &["cloud", "stop"],
    ];
    for verb in verbs {
        let heard = rig.xtask(verb)?;
        for (stdout, stderr) in [(false, true), (true, false), (false, false)] {
            let (code, said) = half_heard(&rig, verb, stdout, stderr)?;
            ensure!(code == heard.code, "{verb:?} ended with {code:?} instead of {:?}: {said}", heard.code);
            ensure!(!said.contains("panicked") && !said.contains("Broken pipe"), "{verb:?} said {said}");
        }
    }
    Ok(())
}

/// Runs a verb whose reader on stdout, or on stderr, is gone before it says anything; gives back what was heard.
fn half_heard(rig: &Rig, verb: &[&str], stdout: bool, stderr: bool) -> Result<(Option<i32>, String)> {
    let mut command = rig.line(verb).to_std()?;
    let (ends, writers) = [stdout, stderr]
        .map(|kept| std::io::pipe().map(|(reader, writer)| (kept.then_some(reader), writer)))
        .into_iter()
        .collect::<std::io::Result<(Vec<_>, Vec<_>)>>()?;
    for (writer, set) in
        writers.into_iter().zip([std::process::Command::stdout, std::process::Command::stderr])
    {
        set(&mut command, writer);
    }
    let mut child = command.spawn()?;
    drop(command);
    let mut said = String::new();
    for mut reader in ends.into_iter().flatten() {
        reader.read_to_string(&mut said)?;
    }
    Ok((child.wait()?.code(), said))
}

/// Names and values that are no UTF-8, in the environment and in paths.
pub(crate) fn what_is_no_text() -> Result<()> {
    let odd = OsStr::from_bytes(b"caf\xe9");
    let rig = Rig::new()?;
    rig.demo("demo")?;
    let projects = rig.path().join(odd);
    let demo = files::read(&rig.projects().join("demo/project.toml"))?.unwrap_or_default();
    files::write(&projects.join("demo/project.toml"), &demo, 0o644)?;
    let run = |words: &[&str], state: &Path| -> Result<host::Output> {
        let cmd = Cmd::new(rig.program()).args(words.iter().copied()).arg("--projects").path(&projects);
        Ok(Local.probe(&cmd.env("X", odd).env(odd, odd).env("USER", odd).env("SOVEREIGN_STATE", state))?)
    };
    let plan = run(&["provision", "--project", "demo", "--plan"], &rig.path().join("state"))?;
    ensure!(plan.code == Some(3), "{plan:?}");
    for (name, print) in [("other", &[][..]), ("another", &["--json"])] {
        let words = [&["init", "--project", name, "--rehearsal"], print].concat();
        let init = run(&words, &rig.path().join("state"))?;
        ensure!(init.code == Some(0) && projects.join(name).join("project.toml").exists(), "{init:?}");
    }
    let refused = run(&["cloud", "serve"], &projects)?;
    ensure!(refused.code == Some(1) && refused.stderr.contains("must be UTF-8"), "{refused:?}");
    Ok(())
}

/// A cache on a disk that is too small: said before anything is downloaded, and nothing half-made is left.
pub(crate) fn full_disk() -> Result<()> {
    let dir = tempfile::tempdir()?;
    Local.run(&Cmd::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).path(dir.path()))?;
    let tried = (|| {
        let rig = Rig::new()?.with_cache(dir.path());
        rig.xtask(&["images", "build"])?.expect(1)?.says(&["MiB", "free"])
    })();
    let left = listing(dir.path());
    Local.run(&Cmd::new("umount").path(dir.path()))?;
    tried?;
    ensure!(!left.iter().any(|path| path.contains("disk.raw")), "left behind: {left:?}");
    Ok(())
}
