//! The search for secrets finds what leaks.

use anyhow::{Result, ensure};
use base64::Engine as _;
use tests::engine::{self, Engine};
use tests::leaks::{Sought, found, none};
use tests::samples;

/// With what JSON and shells write otherwise.
const SECRET: &str = "p\"w\\$d#<é>&0123456789";

/// A container for each way in which a secret leaks, and one that has none.
pub(crate) fn found_wherever() -> Result<()> {
    if !engine::can_run("parts_a_secret_is_found_wherever_it_leaks", &[])? {
        return Ok(());
    }
    let mut engine = Engine::start(1)?;
    let image = engine.pull(&samples::native("busybox")?)?;
    let sought = [Sought { name: "password", bytes: SECRET.as_bytes() }];
    let run = |name: &str, before: &[&str], after: &[&str]| {
        let words = [&["run", "--detach", "--name", name], before, &[image.as_str()], after].concat();
        engine.docker(words)
    };
    run("honest", &[], &[])?;
    none(&engine, &sought)?;
    let base64 = base64::engine::general_purpose::STANDARD.encode(SECRET);
    let said = format!("echo 'token {base64}'; exec sleep 1d");
    run("in-environment", &["--env", &format!("PASSWORD={SECRET}")], &[])?;
    run("in-label", &["--label", &format!("note={SECRET}")], &[])?;
    run("in-arguments", &[], &["sh", "-c", "sleep 1d; exit 1", SECRET])?;
    run("says", &[], &["sh", "-c", &said])?;
    engine.docker(["network", "create", "--label", &format!("x={SECRET}"), "labelled"])?;
    tests::until("everything is said", || Ok(!engine.docker(["logs", "says"])?.is_empty()))?;
    let places = found(&engine, &sought)?;
    for expected in [
        "docker inspect in-environment Config Env",
        "environ of sleep",
        "docker inspect in-label Config Labels note",
        "docker inspect in-arguments Args",
        "cmdline of sh",
        "docker logs says",
        "docker inspect of every network",
    ] {
        let there = places.iter().any(|place| place.starts_with(&format!("password: {expected}")));
        ensure!(there, "nothing was found in {expected}: {places:#?}");
    }
    ensure!(!places.iter().any(|place| place.contains("honest")), "{places:#?}");
    Ok(())
}
