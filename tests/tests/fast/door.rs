//! The front door, as a user meets it.

use anyhow::{Result, ensure};
use host::{Cmd, Host as _, Local, files};
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
    let verbs: [&[&str]; 18] = [
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
