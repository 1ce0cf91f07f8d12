//! The door for ssh in the cloud's firewall: open while a command works, shut however it ends.
//!
//! Endings by a signal are tried with a process of its own, this test's own executable.

use crate::scene::{Operator, PLAIN, Scene, block_on};
use anyhow::{Context as _, Result, bail, ensure};
use host::{Cmd, Host as _, Local};
use provisioner::api::model::{Firewall, Rule};
use provisioner::context::{Context, Way};
use provisioner::destroy::Also;
use provisioner::observe::observe;
use provisioner::plan::Wish;
use provisioner::project::Project;
use provisioner::report::Silent;
use provisioner::whereabouts::Whereabouts;
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Tells this executable to be the command that is broken off.
const CHILD: &str = "SOVEREIGN_TEST_DOOR";
const SET_RULES: &str = "/v1/firewalls/{id}/actions/set_rules";
const COMMAND: &str = "status";

fn shut() -> String {
    format!("{PLAIN}[ssh]\nport = 2222\nfrom = []\n")
}

/// A way in whose operator asks the cloud for the address, and what was said meanwhile.
fn way(service: &str) -> (Way, Arc<Mutex<Vec<String>>>) {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&said);
    let notice = Arc::new(move |text: &str| {
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
    });
    (Way { whereabouts: Whereabouts { known: None, service: service.into() }, notice }, said)
}

fn service(url: &str) -> String {
    format!("{}/address", url.trim_end_matches("/v1"))
}

/// Does work behind the door.
async fn through<T>(operator: &Operator, way: &Way, work: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
    let Operator { client, project, folder } = operator;
    let context = Context { folder, project, client, report: &Silent, way };
    let world = observe(client, project).await?;
    context.through_the_door(&world, COMMAND, work).await
}

async fn rules(operator: &Operator) -> Result<Vec<Rule>> {
    let found: Vec<Firewall> = operator.client.list("looking", "/firewalls", "firewalls", &[]).await?;
    Ok(found.into_iter().next().context("there is no firewall")?.rules)
}

/// The sources of the rules that let ssh in.
async fn open_to(operator: &Operator) -> Result<Vec<String>> {
    let ssh = |rule: &Rule| rule.port.as_deref() == Some("2222");
    Ok(rules(operator).await?.into_iter().filter(ssh).flat_map(|rule| rule.source_ips).collect())
}

async fn scene() -> Result<Scene> {
    let scene = Scene::new(&shut()).await?;
    scene.operator.run(Wish::default()).await?;
    ensure!(open_to(&scene.operator).await?.is_empty(), "ssh is let in from the beginning");
    Ok(scene)
}

pub(crate) fn however_work_ends() -> Result<()> {
    block_on(async {
        let scene = scene().await?;
        let operator = &scene.operator;
        let before = rules(operator).await?;
        let (way, _) = way(&service(&scene.running.url()));
        let inside = through(operator, &way, async || open_to(operator).await).await?;
        ensure!(inside == ["127.0.0.1/32"], "while it worked ssh was open to {inside:?}");
        ensure!(rules(operator).await? == before, "it did not close");
        let failed: Result<()> = through(operator, &way, async || bail!("the work failed")).await;
        ensure!(failed.is_err_and(|e| e.to_string() == "the work failed"), "the work's own error is lost");
        ensure!(rules(operator).await? == before, "it did not close after an error");
        // Without the hook, which would put a trace into the output of every good run.
        let panics = async || -> Result<()> { std::panic::resume_unwind(Box::new("on purpose")) };
        let panicked = std::panic::AssertUnwindSafe(through(operator, &way, panics));
        ensure!(futures_util::FutureExt::catch_unwind(panicked).await.is_err(), "the panic is lost");
        ensure!(rules(operator).await? == before, "it did not close after a panic");
        let elsewhere = through(operator, &way, async || {
            let known = Some("203.0.113.7".parse()?);
            let other = Way { whereabouts: Whereabouts { known, ..way.whereabouts.clone() }, ..way.clone() };
            let context = Context {
                folder: &operator.folder,
                project: &operator.project,
                client: &operator.client,
                report: &Silent,
                way: &other,
            };
            let world = observe(&operator.client, &operator.project).await?;
            let both = context.through_the_door(&world, "ssh", async || open_to(operator).await).await?;
            Ok((both, open_to(operator).await?))
        });
        let (both, one) = elsewhere.await?;
        ensure!(both == ["127.0.0.1/32", "203.0.113.7/32"] && one == ["127.0.0.1/32"], "{both:?} {one:?}");
        ensure!(rules(operator).await? == before, "two doors did not both close");
        Ok(())
    })
}

pub(crate) fn hard_to_close() -> Result<()> {
    block_on(async {
        let scene = scene().await?;
        let operator = &scene.operator;
        let (way, said) = way(&service(&scene.running.url()));
        // Refused in a way that the client does not repeat by itself; done, and the answer lost; done only in words.
        let faults = [
            json!({ "method": "POST", "path": SET_RULES, "kind": "refuse", "status": 422, "code": "invalid_input" }),
            json!({ "method": "POST", "path": SET_RULES, "kind": "lose" }),
            json!({ "method": "GET", "path": "/v1/firewalls/", "kind": "answer", "status": 502, "times": 3 }),
        ];
        for fault in faults {
            through(operator, &way, async || scene.strike(fault.clone()).await)
                .await
                .with_context(|| fault.to_string())?;
            ensure!(open_to(operator).await?.is_empty(), "left open after {fault}");
            scene.calm().await?;
        }
        let heard = said.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
        ensure!(heard.contains("try 1 of"), "nobody was told that closing failed once:\n{heard}");

        let order = json!({ "method": "POST", "path": SET_RULES, "kind": "refuse", "status": 422, "code": "invalid_input", "times": 1_000_000 });
        for work_fails in [false, true] {
            let failed = through(operator, &way, async || {
                scene.strike(order.clone()).await?;
                if work_fails { bail!("the work failed") } else { Ok(()) }
            });
            let error = failed.await.err().context("an open door is an error")?;
            let text = format!("{error:#}");
            for word in ["STILL OPEN for 127.0.0.1/32", "cargo xtask status --project demo"] {
                ensure!(text.contains(word), "{word:?} is not in {text}");
            }
            ensure!(text.contains("the work failed") == work_fails, "{text}");
            ensure!(provisioner::exit_code(&error) == 1, "{text}");
            ensure!(open_to(operator).await? == ["127.0.0.1/32"], "it is not open at all");
            scene.calm().await?;
            // It is this process's, which lives and may still need it, so that a person closes it here.
            let (_, plan) = operator.plan(Wish::default()).await?;
            ensure!(plan.is_empty(), "{plan}");
            let shut: Vec<_> = rules(operator).await?;
            let shut: Vec<_> = shut.into_iter().filter(|r| r.port.as_deref() != Some("2222")).collect();
            set_rules(operator, &shut).await?;
        }
        Ok(())
    })
}

/// `provision` beside a command that is at work: what it finds to change in the firewall it changes around that door.
pub(crate) fn in_use() -> Result<()> {
    block_on(async {
        let scene = scene().await?;
        let operator = &scene.operator;
        let before = rules(operator).await?;
        let mut command = start(&scene)?;
        let (world, plan) = operator.plan(Wish::default()).await?;
        ensure!(plan.is_empty(), "a door in use is no change to be made:\n{plan}");

        // Somebody opens a port by hand: put right around the door that is open, and around one that was opened since.
        let own = rules(operator).await?;
        let door = own.last().context("no rule")?;
        let by_hand = Rule { port: Some("8080".into()), description: None, ..door.clone() };
        set_rules(operator, &[own.clone(), vec![by_hand.clone()]].concat()).await?;
        operator.run(Wish::default()).await?;
        ensure!(rules(operator).await? == own, "the door was closed: {:?}", rules(operator).await?);
        end(&mut command, "TERM").await?;
        ensure!(rules(operator).await? == before, "it did not close");

        set_rules(operator, &[before.clone(), vec![by_hand]].concat()).await?;
        let (_, plan) = operator.plan(Wish::default()).await?;
        let mut second = start(&scene)?;
        operator.apply(world, &plan).await?;
        ensure!(open_to(operator).await? == ["127.0.0.1/32"], "one that was opened since was closed, too");
        end(&mut second, "TERM").await?;
        ensure!(rules(operator).await? == before, "{:?}", rules(operator).await?);

        // A firewall that is gone meanwhile has no door that could be open.
        let (way, said) = way(&service(&scene.running.url()));
        operator.run(Wish::default()).await?;
        through(operator, &way, async || operator.destroy(Also::default()).await).await?;
        let heard = said.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
        ensure!(heard.contains("closed the door"), "{heard}");
        Ok(())
    })
}

/// What else is in doubt does not keep the door shut; which firewall is the project's does, and then none is touched, not
/// even to tidy up where nothing has to be opened.
pub(crate) fn in_doubt() -> Result<()> {
    block_on(async {
        let scene = scene().await?;
        let operator = &scene.operator;
        let labels = json!({ "managed-by": "sovereign", "sovereign-project": "demo" });
        let volume = json!({ "name": "other", "size": 10, "location": "fsn1", "labels": labels });
        operator.client.create("making another volume", "/volumes", &volume).await?;
        let (way, _) = way(&service(&scene.running.url()));
        let inside = through(operator, &way, async || open_to(operator).await).await?;
        ensure!(inside == ["127.0.0.1/32"], "a volume kept the door shut: {inside:?}");

        let mut before = rules(operator).await?;
        let left = Rule { description: Some("sovereign door: status".into()), ..before[0].clone() };
        before.push(Rule { protocol: "tcp".into(), port: Some("2222".into()), ..left });
        set_rules(operator, &before).await?;
        let firewall = json!({ "name": "other", "labels": labels });
        operator.client.create("making another firewall", "/firewalls", &firewall).await?;
        let project = Project::parse("demo", &format!("{PLAIN}[ssh]\nport = 2222\n"))?;
        let opened = Operator::new(&scene.running.url(), scene.running.token(), scene.path(), project)?;
        through(&opened, &way, async || Ok(())).await?;
        let refused = through(operator, &way, async || Ok(())).await.err().context("a door was opened")?;
        ensure!(provisioner::exit_code(&refused) == 4, "{refused:#}");
        ensure!(format!("{refused:#}").contains("2 firewalls carry this project's labels"), "{refused:#}");
        ensure!(rules(operator).await? == before, "a firewall was changed");
        Ok(())
    })
}

async fn set_rules(operator: &Operator, rules: &[Rule]) -> Result<()> {
    let found: Vec<Firewall> = operator.client.list("looking", "/firewalls", "firewalls", &[]).await?;
    let path = format!("/firewalls/{}/actions/set_rules", found.first().context("there is no firewall")?.id);
    let body = json!({ "rules": rules });
    operator.client.change("changing the rules by hand", "POST".parse()?, &path, Some(&body)).await?;
    Ok(())
}

pub(crate) fn not_needed() -> Result<()> {
    block_on(async {
        for from in ["\"any\"", "\"127.0.0.0/8\", \"10.0.0.0/8\""] {
            let scene = Scene::new(&format!("{PLAIN}[ssh]\nport = 2222\nfrom = [{from}]\n")).await?;
            scene.operator.run(Wish::default()).await?;
            let before = open_to(&scene.operator).await?;
            let (way, _) = way(&service(&scene.running.url()));
            let inside = through(&scene.operator, &way, async || open_to(&scene.operator).await).await?;
            ensure!(inside == before && !before.is_empty(), "{inside:?} instead of {before:?}");
        }
        let scene = scene().await?;
        let (nobody, _) = way("http://127.0.0.1:9/address");
        let error =
            through(&scene.operator, &nobody, async || Ok(())).await.err().context("who was asked?")?;
        ensure!(format!("{error:#}").contains("--from ADDRESS"), "{error:#}");
        Ok(())
    })
}

pub(crate) fn broken_off() -> Result<()> {
    block_on(async {
        let scene = scene().await?;
        for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
            let mut child = start(&scene)?;
            ensure!(open_to(&scene.operator).await? == ["127.0.0.1/32"], "the command works without a door");
            let status = end(&mut child, signal).await?;
            ensure!(status.code() == Some(code), "SIG{signal}: {status}");
            ensure!(open_to(&scene.operator).await?.is_empty(), "SIG{signal} left the door open");
        }
        // Killed outright, it leaves its door; a plan names it, and the next command closes it.
        end(&mut start(&scene)?, "KILL").await?;
        ensure!(open_to(&scene.operator).await? == ["127.0.0.1/32"], "a killed command closed its door");
        let (_, plan) = scene.operator.plan(Wish::default()).await?;
        ensure!(plan.to_string().contains("left open to 127.0.0.1/32 (sovereign door: status"), "{plan}");
        let (way, said) = way(&service(&scene.running.url()));
        let inside = through(&scene.operator, &way, async || open_to(&scene.operator).await).await?;
        ensure!(inside.len() == 1, "the door left behind is still there: {inside:?}");
        let heard = said.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
        ensure!(heard.contains("closing a door for ssh that was left open to 127.0.0.1/32"), "{heard}");
        ensure!(open_to(&scene.operator).await?.is_empty(), "it did not close");
        // A run closes it as well as a command does.
        end(&mut start(&scene)?, "KILL").await?;
        scene.operator.run(Wish::default()).await?;
        ensure!(open_to(&scene.operator).await?.is_empty(), "the run did not close what was left behind");
        // The same where ssh has been opened to everybody since.
        end(&mut start(&scene)?, "KILL").await?;
        let project = Project::parse("demo", &format!("{PLAIN}[ssh]\nport = 2222\n"))?;
        let opened = Operator::new(&scene.running.url(), scene.running.token(), scene.path(), project)?;
        through(&opened, &way, async || Ok(())).await?;
        ensure!(
            open_to(&scene.operator).await?.is_empty(),
            "a door that nobody needs any more is still open"
        );
        Ok(())
    })
}

/// Starts a command that goes through the door, and waits until it is inside.
fn start(scene: &Scene) -> Result<Child> {
    let order = json!({ "url": scene.running.url(), "token": scene.running.token(), "dir": scene.path() });
    let exe = std::env::current_exe().context("finding this program")?;
    let mut command = Cmd::new(exe).env(CHILD, order.to_string()).to_std()?;
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting the command")?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
    ensure!(line == "inside\n", "it said {line:?}");
    Ok(child)
}

async fn end(child: &mut Child, signal: &str) -> Result<std::process::ExitStatus> {
    Local.run(&Cmd::new("kill").args([format!("-{signal}"), child.id().to_string()]))?;
    for _ in 0..1000 {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill()?;
    bail!("it did not end after SIG{signal}")
}

/// Whether this process is the command that is broken off; then it goes inside and stays there.
pub(crate) fn be_the_command() -> Option<Result<()>> {
    let order = std::env::var(CHILD).ok()?;
    Some(block_on(async {
        let order: serde_json::Value = serde_json::from_str(&order)?;
        let text = |key: &str| order[key].as_str().context("an incomplete order");
        let project = Project::parse("demo", &shut())?;
        let operator = Operator::new(text("url")?, text("token")?, Path::new(text("dir")?), project)?;
        let (way, _) = way(&service(text("url")?));
        through(&operator, &way, async || {
            println!("inside");
            // It blocks, as ssh does.
            tokio::task::block_in_place(|| std::thread::sleep(Duration::from_secs(60)));
            Ok(())
        })
        .await
    }))
}
