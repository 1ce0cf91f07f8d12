//! Licences, bans, sources and advisories, by cargo-deny with the rules of `deny.toml`.

use super::{Held, Tree, quiet};
use anyhow::{Context, Result, ensure};
use host::{Cmd, Host, Local};
use std::path::PathBuf;
use std::time::Duration;

/// One version for all, for what it reports changes with it.
const VERSION: &str = "0.20.2";
/// How long the advisories may take to come.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

pub(super) fn rules(tree: &Tree) -> Result<Held> {
    quiet(&deny(tree)?.args(["check", "licenses", "bans", "sources"]))
}

/// Only where the database can be had: an old one, or none, says nothing.
pub(super) fn advisories(tree: &Tree) -> Result<Held> {
    let fetched = Local.probe(&deny(tree)?.args(["fetch", "db"]).timeout(FETCH_LIMIT))?;
    if !fetched.success() {
        let said = fetched.stderr.trim().lines().last().unwrap_or("no answer in time").to_owned();
        return Ok(Held::Skipped(format!("the database of advisories cannot be fetched: {said}")));
    }
    quiet(&deny(tree)?.args(["check", "--disable-fetch", "advisories"]))
}

/// cargo-deny, saying only what is wrong.
fn deny(tree: &Tree) -> Result<Cmd> {
    let program = installed(tree)?;
    // It asks the cargo of its environment for the packages.
    let cmd = tree.rust.tool(&program).current_dir(&tree.workspace);
    Ok(cmd.args(["--color=never", "--log-level=error", "--all-features", "--locked"]))
}

fn installed(tree: &Tree) -> Result<PathBuf> {
    let root = tree.cache.join(format!("cargo-deny-{VERSION}"));
    let program = root.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    let temporary = root.with_extension("part");
    let _ = std::fs::remove_dir_all(&temporary);
    std::fs::create_dir_all(&temporary).with_context(|| format!("making {}", temporary.display()))?;
    // Unoptimised, and without what only a debugger reads, it is compiled in a fraction of the time and still answers
    // in seconds.
    let cmd = tree.cargo(&["install", "cargo-deny", "--locked", "--debug", "--quiet", "--version", VERSION]);
    Local
        .run(&cmd.arg("--root").path(&temporary).env("CARGO_PROFILE_DEV_DEBUG", "0"))
        .with_context(|| format!("installing cargo-deny {VERSION} into {}", tree.cache.display()))?;
    ensure!(
        temporary.join("bin/cargo-deny").is_file(),
        "installing cargo-deny: it is not where it should be"
    );
    std::fs::rename(&temporary, &root).with_context(|| format!("renaming to {}", root.display()))?;
    Ok(program)
}
