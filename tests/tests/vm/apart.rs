//! Trials with a machine of their own run beside those that share one: a machine is emulated on one core, and two lanes
//! halve the time. They run in a child of this program, in a network namespace with nothing but a loopback of its own, so
//! that ports never meet. Whichever lane is through with its own takes from the other's end, so that both end together.

use super::dismiss;
use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local};
use libtest_mimic::{Arguments, Trial};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

/// Tells this program that it is the child, and where the lanes say which trial is whose.
const CHILD: &str = "SOVEREIGN_TESTS_APART";

/// Runs both lists, side by side where this machine can and no one trial is asked for; gives the exit code.
pub(crate) fn run(arguments: &Arguments, shared: Vec<Trial>, apart: Vec<Trial>) -> Result<u8> {
    if let Some(claims) = std::env::var_os(CHILD) {
        tests::share_trials(Path::new(&claims))?;
        return Ok(code(arguments, apart));
    }
    let one_by_one = arguments.list || arguments.filter.is_some();
    if one_by_one || !can_part()? {
        return Ok(code(arguments, shared.into_iter().chain(apart).collect()));
    }
    let claims = tempfile::tempdir().context("making a directory for the lanes' claims")?;
    let beside = begin(claims.path())?;
    tests::share_trials(claims.path())?;
    // A core for each lane, and machines of one processor: two that wait for each other on one core take a third longer.
    let own = std::process::id().to_string();
    Local.run(&Cmd::new("taskset").args(["--cpu-list", "--pid", "0", &own]))?;
    let here = code(arguments, shared.into_iter().chain(apart.into_iter().rev()).collect());
    let (there, said) = beside.join().map_err(|_| anyhow::anyhow!("the lane beside broke down"))??;
    println!("\nbeside these:\n{said}");
    Ok(here | there)
}

fn code(arguments: &Arguments, trials: Vec<Trial>) -> u8 {
    let conclusion = libtest_mimic::run(arguments, trials);
    // A static is never dropped, and a rig stops its cloud and its machines when it is.
    drop(dismiss());
    u8::from(conclusion.has_failed())
}

/// Whether there are two cores, and the leave to make a namespace.
fn can_part() -> Result<bool> {
    let cores = std::thread::available_parallelism().context("counting this machine's cores")?.get();
    Ok(cores > 1
        && Local.probe(&Cmd::new("unshare").args(["--net", "ip", "link"])).is_ok_and(|o| o.success()))
}

/// Starts the child. In its namespace nothing can be fetched: what it needs is built before.
fn begin(claims: &Path) -> Result<JoinHandle<Result<(u8, String)>>> {
    tests::Rig::new()?.xtask(&["images", "build"])?.expect(0)?;
    let own = std::env::current_exe().context("finding this program")?;
    let mut child = Cmd::new("unshare").args([
        "--net",
        "taskset",
        "--cpu-list",
        "1",
        "sh",
        "-c",
        "ip link set lo up && exec \"$0\" \"$@\" 2>&1",
    ]);
    child = child.path(&own).args(std::env::args_os().skip(1)).whole_env_from_parent().env(CHILD, claims);
    let mut command: Command = child.to_std()?;
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting the lane beside")?;
    println!("the trials with machines of their own run beside these; what they say follows");
    Ok(std::thread::spawn(move || {
        let output = child.wait_with_output().context("waiting for the lane beside")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.code().is_some(), "the lane beside was killed:\n{said}");
        Ok((u8::from(!output.status.success()), said))
    }))
}
