//! Every code of the policy at every call that changes something, replies lost after the work was done included.

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

pub(crate) fn matrix() -> Result<()> {
    block_on(async {
        let undisturbed = Scene::new(WHOLE).await?;
        undisturbed.operator.run(Wish::default()).await?;
        let wanted = undisturbed.inventory().await?;
        let total = undisturbed.total().await?;
        let calls = calls(&undisturbed).await?;
        ensure!(calls.len() > 20, "only {} calls change something", calls.len());
        let mut faults: Vec<(String, Value, Option<&Row>)> = TABLE
            .iter()
            .filter(|row| row.code != BARE)
            .map(|row| {
                let status = row.status.unwrap_or(422);
                (
                    row.code.to_owned(),
                    json!({ "kind": "refuse", "status": status, "code": row.code }),
                    Some(row),
                )
            })
            .collect();
        faults.push(("lost after it was done".into(), json!({ "kind": "lose" }), None));
        for status in [500, 502, 503, 504] {
            faults.push((
                format!("{status} after it was done"),
                json!({ "kind": "answer", "status": status }),
                None,
            ));
        }
        let cases: Vec<_> =
            faults.iter().flat_map(|fault| calls.iter().map(move |call| (fault, call))).collect();
        let (count, wanted) = (cases.len(), &wanted);
        let outcomes = side_by_side(cases, async |((name, fault, row), call)| {
            let case = format!("{name} at {} {} ({})", call.method, call.path, call.nth);
            strike(call, fault, *row, wanted, total).await.map(|outcome| (name, outcome)).context(case)
        })
        .await?;
        let mut table: BTreeMap<(&String, Outcome), u32> = BTreeMap::new();
        outcomes.into_iter().for_each(|row| *table.entry(row).or_default() += 1);
        println!("| fault | cases | converged | stopped rightly | wrong |\n| --- | --- | --- | --- | --- |");
        let mut sums = [0; 2];
        for (name, ..) in &faults {
            let of = |outcome| table.get(&(name, outcome)).copied().unwrap_or_default();
            let found = [of(Outcome::Converged), of(Outcome::Stopped)];
            println!("| {name} | {} | {} | {} | 0 |", calls.len(), found[0], found[1]);
            sums = [sums[0] + found[0], sums[1] + found[1]];
        }
        println!("| all | {count} | {} | {} | 0 |", sums[0], sums[1]);
        Ok(())
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

async fn strike(
    call: &Call,
    fault: &Value,
    row: Option<&Row>,
    wanted: &[String],
    total: u64,
) -> Result<Outcome> {
    let scene = Scene::new(WHOLE).await?;
    let mut order = fault.clone();
    order["method"] = json!(call.method);
    // The shape of a path without ids is the path itself; a longer one must not be taken for it.
    order["path"] = json!(exact(&call.path));
    order["nth"] = json!(call.nth);
    scene.strike(order).await?;
    let ran = scene.operator.run(Wish::default()).await;
    let asked = scene.total().await?;
    ensure!(asked < 2 * total + 40, "{asked} calls instead of about {total}");
    let outcome = match ran {
        Ok(_) => Outcome::Converged,
        Err(error) => {
            judge(&error, row)?;
            Outcome::Stopped
        }
    };
    if let Some(row) = row
        && matches!(row.step, Step::Again(_))
    {
        ensure!(outcome == Outcome::Converged, "it should have been asked again");
    }
    if row.is_none() {
        ensure!(outcome == Outcome::Converged, "what was done should have been found");
    }
    scene.calm().await?;
    scene.operator.run(Wish::default()).await.context("the next run")?;
    let found = scene.inventory().await?;
    ensure!(found == wanted, "{found:#?}\ninstead of\n{wanted:#?}");
    let (_, plan) = scene.operator.plan(Wish::default()).await?;
    ensure!(plan.is_empty(), "a third run would still change something:\n{plan}");
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
