//! Every code of the policy at every call that changes something, replies lost after the work was done included.

use crate::job::Job;
use crate::scene::{Scene, WHOLE, block_on, side_by_side};
use anyhow::{Context as _, Result, ensure};
use provisioner::api::policy::{BARE, Row, TABLE};
use provisioner::api::{Error, Step};
use provisioner::plan::Wish;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One call that changes something, as often as an undisturbed run makes it.
struct Call {
    method: String,
    path: String,
    nth: u64,
}

/// What a struck run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// It got over it by itself.
    Converged,
    /// It stopped with the right exit code and sentence, and the next run converged.
    Stopped,
}

/// A fault, and the row of the policy it stands for; none where the call is done and only its answer is lost.
#[derive(Clone)]
struct Fault {
    name: String,
    order: Value,
    row: Option<&'static Row>,
}

/// Every code of the policy, and every way an answer gets lost.
fn faults() -> Vec<Fault> {
    let refused = TABLE.iter().filter(|row| row.code != BARE).map(|row| Fault {
        name: row.code.into(),
        order: json!({ "kind": "refuse", "status": row.status.unwrap_or(422), "code": row.code }),
        row: Some(row),
    });
    let lost = Fault { name: "lost after it was done".into(), order: json!({ "kind": "lose" }), row: None };
    let answered = [500, 502, 503, 504].map(|status| Fault {
        name: format!("{status} after it was done"),
        order: json!({ "kind": "answer", "status": status }),
        row: None,
    });
    refused.chain([lost]).chain(answered).collect()
}

/// What an undisturbed run came to.
struct Undisturbed {
    job: Job,
    start: Scene,
    wanted: Vec<String>,
    total: u64,
    calls: Vec<Call>,
}

impl Undisturbed {
    async fn run(job: Job) -> Result<Self> {
        let start = job.start().await?;
        let scene = start.like(&job.toml()).await?;
        job.run(&scene.operator).await?;
        let (total, calls) = (scene.total().await?, calls(&scene).await?);
        ensure!(calls.len() > 3, "{job:?}: only {} calls change something", calls.len());
        Ok(Self { job, start, wanted: scene.inventory().await?, total, calls })
    }
}

/// Every fault at every call of one kind of run.
pub(crate) fn matrix(job: Job) -> Result<()> {
    block_on(async {
        let faults = faults();
        let mut table: BTreeMap<String, [u32; 3]> = BTreeMap::new();
        let mut first_wrong = None;
        let undisturbed = Undisturbed::run(job).await?;
        let cases = faults.iter().flat_map(|fault| undisturbed.calls.iter().map(move |call| (fault, call)));
        let outcomes = side_by_side(cases.collect(), async |(fault, call)| {
            let case = format!("{job:?}: {} at {} {} ({})", fault.name, call.method, call.path, call.nth);
            (&fault.name, strike(&undisturbed, call, fault).await.context(case))
        });
        for (name, outcome) in outcomes.await {
            let row = table.entry(name.clone()).or_default();
            match outcome {
                Ok(Outcome::Converged) => row[0] += 1,
                Ok(Outcome::Stopped) => row[1] += 1,
                Err(error) => {
                    row[2] += 1;
                    eprintln!("wrong: {error:#}");
                    first_wrong.get_or_insert(error);
                }
            }
        }
        let calls = undisturbed.calls.len();
        let mut text = format!("{job:?}: {calls} calls that change something\n");
        text += "| fault | cases | converged | stopped rightly | wrong |\n| --- | --- | --- | --- | --- |\n";
        let mut all = [0; 3];
        for (name, row) in &table {
            text +=
                &format!("| {name} | {} | {} | {} | {} |\n", row.iter().sum::<u32>(), row[0], row[1], row[2]);
            all = [all[0] + row[0], all[1] + row[1], all[2] + row[2]];
        }
        println!("{text}| all | {} | {} | {} | {} |", all.iter().sum::<u32>(), all[0], all[1], all[2]);
        first_wrong.map_or(Ok(()), Err)
    })
}

/// The calls of an undisturbed run that change something, each as often as it is made.
async fn calls(undisturbed: &Scene) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    for (name, count) in undisturbed.requests().await? {
        let (method, path) = name.split_once(' ').context("a request without a path")?;
        if method != "GET" {
            calls.extend((1..=count).map(|nth| Call { method: method.into(), path: path.into(), nth }));
        }
    }
    Ok(calls)
}

async fn strike(undisturbed: &Undisturbed, call: &Call, fault: &Fault) -> Result<Outcome> {
    let Undisturbed { job, start, wanted, total, .. } = undisturbed;
    let scene = start.like(&job.toml()).await?;
    let mut order = fault.order.clone();
    order["method"] = json!(call.method);
    // The shape of a path without ids is the path itself; a longer one must not be taken for it.
    order["path"] = json!(exact(&call.path));
    order["nth"] = json!(call.nth);
    scene.strike(order).await?;
    let ran = job.run(&scene.operator).await;
    let asked = scene.total().await?;
    ensure!(asked < 2 * total + 40, "{asked} calls instead of about {total}");
    let outcome = match ran {
        Ok(()) => Outcome::Converged,
        Err(error) => {
            // That something to be removed is not there counts as removed; told is what goes wrong because it was not true.
            let taken_for_done =
                call.method == "DELETE" && fault.row.is_some_and(|row| row.step == Step::Gone);
            judge(&error, fault.row.filter(|_| !taken_for_done))?;
            Outcome::Stopped
        }
    };
    if fault.row.is_some_and(|row| matches!(row.step, Step::Again(_))) {
        ensure!(outcome == Outcome::Converged, "it should have been asked again");
    }
    if fault.row.is_none() {
        ensure!(outcome == Outcome::Converged, "what was done should have been found");
    }
    scene.calm().await?;
    match outcome {
        Outcome::Converged => job.run_again(&scene.operator).await,
        // What stopped before its work was done is asked for once more.
        Outcome::Stopped => job.run(&scene.operator).await,
    }
    .context("the next run")?;
    job.converged(&scene, wanted).await?;
    Ok(outcome)
}

/// A path that faults take for itself alone.
fn exact(path: &str) -> String {
    if path.contains('{') { path.into() } else { path.replacen("/v1/", "/{version}/", 1) }
}

/// Whether a run that stopped did so with the right exit code and sentence.
fn judge(error: &anyhow::Error, row: Option<&Row>) -> Result<()> {
    let Some(row) = row else { return Ok(()) };
    let said = format!("{error:#}");
    let places = said.contains("out of stock everywhere");
    ensure!(said.contains(row.code) || places, "the sentence does not name {}: {said}", row.code);
    ensure!(
        row.remedy.is_empty() || said.contains(row.remedy) || places,
        "it does not say what to do: {said}"
    );
    let needs =
        error.chain().find_map(|cause| cause.downcast_ref::<Error>()).is_some_and(Error::needs_operator);
    let expected = if needs || places { 4 } else { 1 };
    let found = provisioner::exit_code(error);
    ensure!(found == expected, "exit code {found} instead of {expected}: {said}");
    let operator = matches!(row.step, Step::Operator | Step::OtherPlace);
    ensure!(!operator || found == 4, "{} needs a person, but the exit code is {found}", row.code);
    Ok(())
}

/// A fault that never ends: the run ends all the same, after a bounded number of calls.
pub(crate) fn endless() -> Result<()> {
    block_on(async {
        println!("| endless fault at POST /servers | calls | exit code |\n| --- | --- | --- |");
        for row in TABLE.iter().filter(|row| row.code != BARE) {
            let scene = Scene::new(WHOLE).await?;
            let status = row.status.unwrap_or(422);
            scene
                .strike(json!({ "method": "POST", "path": "/{version}/servers", "times": 1_000_000, "kind": "refuse", "status": status, "code": row.code }))
                .await?;
            let error = scene.operator.run(Wish::default()).await.err();
            let error = error.with_context(|| format!("{}: it ended well", row.code))?;
            let asked = scene.total().await?;
            ensure!(asked < 400, "{}: {asked} calls", row.code);
            judge(&error, Some(row)).with_context(|| row.code.to_owned())?;
            println!("| {} | {asked} | {} |", row.code, provisioner::exit_code(&error));
        }
        Ok(())
    })
}
