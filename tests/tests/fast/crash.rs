//! The run is killed before and after every call it makes, for every kind of change; the next run converges.
//!
//! The run is a process of its own, this test's own executable, and dies by SIGKILL at the moment the cloud has
//! received its i-th request: before it is begun, or after it is done and before its answer.

use crate::job::Job;
use crate::scene::{Operator, PLAIN, Scene, block_on, side_by_side};
use anyhow::{Context as _, Result, ensure};
use host::Cmd;
use provisioner::project::Project;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// Tells this executable to be the run that is killed.
const CHILD: &str = "SOVEREIGN_TEST_RUN";
/// A run that is neither struck nor ended by then hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// Where in a call the run is killed.
const MOMENTS: [&str; 2] = ["hold_before", "hold_after"];

pub(crate) fn killed_at_every_call() -> Result<()> {
    block_on(async {
        println!("| run | calls | killed | converged |");
        for job in Job::ALL {
            let start = job.start().await?;
            let undisturbed = start.like(&job.toml()).await?;
            job.run(&undisturbed.operator).await?;
            let (calls, wanted) = (undisturbed.total().await?, undisturbed.inventory().await?);
            ensure!(calls > 10, "{job:?}: only {calls} calls");
            let cases: Vec<_> = (1..=calls).flat_map(|nth| MOMENTS.map(|moment| (nth, moment))).collect();
            let (count, start, wanted) = (cases.len(), &start, &wanted);
            let runs = side_by_side(cases, async |(nth, moment)| {
                let case = format!("{job:?}, killed at call {nth}, {moment}");
                kill(job, start, nth, moment, wanted).await.with_context(|| case)
            });
            let runs = runs.await;
            let (converged, killed) = (
                runs.iter().filter(|run| run.is_ok()).count(),
                runs.iter().filter(|run| matches!(run, Ok(true))).count(),
            );
            println!("| {job:?} | {calls} | {killed} of {count} | {converged} |");
            runs.into_iter().collect::<Result<Vec<_>>>()?;
            // Calls are made side by side and actions are polled, so that the last few may not come about.
            ensure!(killed * 4 >= count * 3, "{job:?}: only {killed} of {count} runs were killed");
        }
        Ok(())
    })
}

/// Kills one run at one call, runs again, and compares. Says whether the call came about.
async fn kill(job: Job, start: &Scene, nth: u64, moment: &str, wanted: &[String]) -> Result<bool> {
    let scene = start.like(&job.toml()).await?;
    scene.strike(json!({ "path": "/v1/", "nth": nth, "kind": moment })).await?;
    let killed = {
        let mut child = child(job, &scene)?;
        let ended = async {
            let began = Instant::now();
            while child.try_wait()?.is_none() {
                ensure!(began.elapsed() < LIMIT, "the run hangs");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        };
        let struck = tokio::select! {
            () = scene.running.struck() => true,
            ended = ended => { ended?; false }
        };
        child.kill().context("killing the run")?;
        child.wait().context("waiting for the killed run")?;
        struck
    };
    scene.calm().await?;
    job.run_again(&scene.operator).await.context("the next run")?;
    job.converged(&scene, wanted).await?;
    let snapshots = scene.inventory().await?.iter().filter(|line| line.starts_with("snapshot")).count();
    ensure!(snapshots <= 1, "the disk was kept {snapshots} times");
    Ok(killed)
}

fn child(job: Job, scene: &Scene) -> Result<std::process::Child> {
    let order = json!({ "job": format!("{job:?}"), "url": scene.running.url(), "token": scene.running.token(), "dir": scene.path() });
    let exe = std::env::current_exe().context("finding this program")?;
    let mut command = Cmd::new(exe).env(CHILD, order.to_string()).to_std()?;
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.spawn().context("starting the run")
}

/// Whether this process is the run that is killed; then it does its job and ends.
pub(crate) fn be_the_run() -> Option<Result<()>> {
    let order = std::env::var(CHILD).ok()?;
    Some(block_on(async {
        let order: serde_json::Value = serde_json::from_str(&order)?;
        let text = |key: &str| order[key].as_str().context("an incomplete order");
        let name = text("job")?;
        let job = Job::ALL.into_iter().find(|job| format!("{job:?}") == name).context("no such job")?;
        let project = Project::parse("demo", &job.toml())?;
        job.run(&Operator::new(text("url")?, text("token")?, Path::new(text("dir")?), project)?).await
    }))
}

/// Two runs at once: the second is told who is at work, and one that was killed leaves no lock behind.
pub(crate) fn lock() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = provisioner::project::Folder::new(dir.path(), "demo");
    host::files::write(&folder.file("project.toml"), PLAIN.as_bytes(), 0o644)?;
    let held = folder.lock()?;
    let error = folder.lock().err().context("the lock was given twice")?.to_string();
    ensure!(error.contains(&std::process::id().to_string()) && error.contains("another run"), "{error}");
    drop(held);
    // As after a crash: the file is there and names a process that is gone.
    host::files::write(&folder.file(".lock"), b"999999999\n", 0o600)?;
    folder.lock()?;
    Ok(())
}
