//! `cargo xtask check`: everything that is held by a rule and not by care. Every check runs, whatever the others
//! say; each says one line, and a failed one what is wrong and where.

mod arrows;
mod circles;
mod deny;
mod text;

use crate::args::print_json;
use crate::places;
use anyhow::{Context, Result, bail, ensure};
use host::{Cmd, Host, Local};
use images::toolchain;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

/// What the checks look at and with.
struct Tree {
    workspace: PathBuf,
    cache: PathBuf,
    rust: toolchain::Rust,
}

impl Tree {
    fn cargo(&self, args: &[&str]) -> Cmd {
        self.rust.cargo().args(args.iter().copied()).current_dir(&self.workspace)
    }

    fn git(&self, args: &[&str]) -> Result<Vec<u8>> {
        let cmd = Cmd::new("git").args(args.iter().copied()).env_from_parent("HOME");
        Ok(Local.run(&cmd.current_dir(&self.workspace))?.stdout)
    }

    /// The files that are or may be committed, relative to the workspace.
    fn files(&self) -> Result<Vec<String>> {
        let listed = self.git(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        let names = listed.split(|byte| *byte == 0).map(|name| String::from_utf8_lossy(name).into_owned());
        let mut files: Vec<String> = names.collect();
        files.retain(|file| self.workspace.join(file).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }
}

/// How a check ended when it did not fail.
enum Held {
    Yes,
    /// It could not be looked at, for this reason; never counted as passed.
    Skipped(String),
}

type Check = (&'static str, fn(&Tree) -> Result<Held>);

/// The checks in order, the quick ones first. All that run cargo refuse a lock file that is out of date.
const CHECKS: [Check; 12] = [
    ("arrows between packages", arrows::check),
    ("no circle of modules", circles::check),
    ("file length", text::length),
    ("nothing unfinished", text::unfinished),
    ("one door for programs", text::one_door),
    ("no paths of a machine", text::machine_paths),
    ("no error said twice", text::said_once),
    ("formatting", |tree| quiet(&tree.cargo(&["fmt", "--all", "--check"]))),
    ("lints", lints),
    ("documentation", documentation),
    ("licences, bans, sources", deny::rules),
    ("advisories", deny::advisories),
];

#[derive(Serialize)]
struct Line {
    name: &'static str,
    outcome: &'static str,
    seconds: f64,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

#[derive(Serialize)]
struct Summary<'a> {
    ok: bool,
    checks: &'a [Line],
}

/// Runs every check; the exit code is 1 if any failed.
pub(crate) fn run(json: bool) -> Result<u8> {
    let tree = Tree {
        workspace: toolchain::workspace()?,
        cache: places::cache()?,
        rust: toolchain::Rust::find().context("looking for the Rust to check with")?,
    };
    let status = ["status", "--porcelain=v1", "--untracked-files=all"];
    let state = || tree.git(&status).map(|said| String::from_utf8_lossy(&said).into_owned());
    let before = state()?;
    let mut lines = Vec::new();
    let mut take = |name, check: &dyn Fn() -> Result<Held>| {
        let line = timed(name, check);
        let shown = show(&line);
        if json {
            host::say::err(shown.trim_end());
        } else {
            host::say::out(shown)?;
        }
        lines.push(line);
        anyhow::Ok(())
    };
    for (name, check) in CHECKS {
        take(name, &|| check(&tree))?;
    }
    take("tree as it was before", &|| {
        let after = state()?;
        ensure!(after == before, "the checks changed files:\n{after}");
        Ok(Held::Yes)
    })?;
    let count = |outcome| lines.iter().filter(|line| line.outcome == outcome).count();
    let failed = count("failed");
    if json {
        let summary = Summary { ok: failed == 0, checks: &lines };
        print_json(&summary)?;
    } else {
        let (passed, skipped) = (count("passed"), count("SKIPPED"));
        say!("{passed} passed, {failed} failed, {skipped} skipped")?;
    }
    Ok(u8::from(failed > 0))
}

fn timed(name: &'static str, check: &dyn Fn() -> Result<Held>) -> Line {
    let start = Instant::now();
    let (outcome, detail) = match check() {
        Ok(Held::Yes) => ("passed", String::new()),
        Ok(Held::Skipped(why)) => ("SKIPPED", why),
        Err(error) => ("failed", format!("{error:#}")),
    };
    Line { name, outcome, seconds: (start.elapsed().as_secs_f64() * 100.0).round() / 100.0, detail }
}

fn show(line: &Line) -> String {
    let mark = match line.outcome {
        "passed" => "✓",
        "failed" => "✗",
        _ => "-",
    };
    let mut shown = format!("{mark} {:<26} {:>7.1} s  {}\n", line.name, line.seconds, line.outcome);
    line.detail.lines().for_each(|detail| shown.push_str(&format!("      {detail}\n")));
    shown
}

/// Runs a program that only speaks when something is wrong. What it says is shown whole: it is what is to be mended.
fn quiet(cmd: &Cmd) -> Result<Held> {
    let output = Local.probe(cmd)?;
    if output.success() {
        return Ok(Held::Yes);
    }
    let said = format!("{}\n{}", output.text(), output.stderr.trim());
    bail!("{}", said.trim());
}

fn lints(tree: &Tree) -> Result<Held> {
    quiet(&tree.cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--quiet",
        "--",
        "--deny=warnings",
    ]))
}

fn documentation(tree: &Tree) -> Result<Held> {
    let cmd = tree.cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
    quiet(&cmd.env("RUSTDOCFLAGS", "--deny=warnings"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_could_not_be_done_is_not_passed() {
        let line = timed("x", &|| Ok(Held::Skipped("no network".into())));
        assert_eq!((line.outcome, line.detail.as_str()), ("SKIPPED", "no network"));
        assert_eq!(timed("x", &|| Ok(Held::Yes)).outcome, "passed");
    }

    #[test]
    fn a_failed_check_shows_all_that_was_said() {
        let cmd = Cmd::new("sh").args(["-c", "echo 'Diff in a.rs'; echo warning >&2; exit 1"]);
        let line = timed("formatting", &|| quiet(&cmd));
        let shown = show(&line);
        assert!(
            shown.starts_with("✗ formatting") && shown.contains("      Diff in a.rs\n      warning\n"),
            "{shown}"
        );
    }
}
