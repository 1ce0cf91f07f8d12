//! Throw-away servers: removed when their command ends, fails, is interrupted, or outlives its lease; swept when the
//! process that held the lease is killed.

use super::{PROGRAMS, run_async};
use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local};
use serde_json::Value;
use tests::{Rig, can_run};

pub(crate) fn removed_whatever_happens() -> Result<()> {
    if !can_run("vm_a_leased_server_is_removed_whatever_happens", &PROGRAMS)? {
        return Ok(());
    }
    let rig = Rig::new()?;
    rig.demo("demo")?;
    let lease =
        |ttl: &'static str| ["ephemeral", "--project", "demo", "--ttl", ttl, "--owner", "the-test", "--"];
    let ssh = "ssh -F \"$SOVEREIGN_SSH_CONFIG\" server";

    let seven = format!("test \"$({ssh} hostname)\" = \"$SOVEREIGN_SERVER\" && exit 7");
    let ended = rig.xtask(&[&lease("1h")[..], &["sh", "-c", &seven]].concat())?.expect(7)?;
    println!("a lease, its command and its removal: {:.1} s", ended.took.as_secs_f64());
    nothing_is_left(&rig)?;

    rig.xtask(&["ephemeral", "--project", "demo", "--max-servers", "0", "--", "true"])?
        .expect(4)?
        .says(&["--max-servers", "reap"])?;
    rig.xtask(&["ephemeral", "--project", "demo", "--max-cost", "0.00001", "--", "true"])?
        .expect(4)?
        .says(&["--max-cost"])?;
    rig.xtask(&["ephemeral", "--project", "demo", "--", "no-such-program"])?.expect(127)?;
    nothing_is_left(&rig)?;

    // Interrupted while the server is being waited for, as by a CI job that is cancelled.
    let interrupted = interrupt_at(&rig, &lease("1h"), "... connecting")?;
    interrupted.expect(143)?.says(&["interrupted"])?;
    nothing_is_left(&rig)?;

    let outlived = rig.xtask(&[&lease("60s")[..], &["sleep", "600"]].concat())?;
    outlived.expect(124)?.says(&["the lease is over"])?;
    nothing_is_left(&rig)?;

    // Killed: nobody removes anything, and the sweeper leaves what still has its lease.
    let (_, killed) = rig.run_until(&[&lease("60s")[..], &["sleep", "600"]].concat(), |line| {
        line.starts_with("... connecting")
    })?;
    ensure!(killed, "the run ended before it was killed");
    rig.xtask(&["reap", "--project", "demo"])?.expect(0)?.says(&["stays server", "in "])?;
    ensure!(!leftovers(&rig)?.is_empty(), "what still had its lease was removed");
    let mut planned = rig.xtask(&["reap", "--project", "demo", "--plan"])?;
    for _ in 0..80 {
        if planned.code == Some(3) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_secs(3));
        planned = rig.xtask(&["reap", "--project", "demo", "--plan"])?;
    }
    planned.expect(3)?.says(&["- goes server", "the-test"])?;
    rig.xtask(&["reap", "--project", "demo"])?.expect(0)?;
    nothing_is_left(&rig)
}

/// Runs a lease and sends SIGTERM to it when a line of its stderr says so.
fn interrupt_at(rig: &Rig, lease: &[&str], at: &str) -> Result<tests::Ended> {
    let own = std::process::id().to_string();
    let (ended, _) = rig.run_until(&[lease, &["sleep", "600"]].concat(), |line| {
        if line.starts_with(at) {
            // The process is this one's only child.
            let _ = Local.probe(&Cmd::new("pkill").args(["-TERM", "-P", &own, "xtask"]));
        }
        false
    })?;
    Ok(ended)
}

/// Everything there is but what the cloud has on offer.
fn leftovers(rig: &Rig) -> Result<Vec<String>> {
    run_async(async {
        let client = rig.client()?;
        let mut left = Vec::new();
        for kind in ["servers", "volumes", "primary_ips", "firewalls", "ssh_keys"] {
            let all: Vec<Value> = client.list("taking stock", &format!("/{kind}"), kind, &[]).await?;
            left.extend(all.iter().map(|one| format!("{kind} {}", one["name"])));
        }
        Ok(left)
    })
}

fn nothing_is_left(rig: &Rig) -> Result<()> {
    let left = leftovers(rig)?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    let leases = rig.path().join("state/leases");
    let folders =
        std::fs::read_dir(&leases).with_context(|| format!("reading {}", leases.display()))?.count();
    ensure!(folders == 0, "{folders} folders with keys are left");
    Ok(())
}
