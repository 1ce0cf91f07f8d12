//! Thousands of requests, good and bad, made from Hetzner's published description; every answer is compared with it.

use crate::cloud::Cloud;
use crate::document::{self, PASSWORD, public_key};
use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tests::{can_run, python_environment};

const PACKAGES: [&str; 1] = ["schemathesis==4.32.5"];
const CHECKS: &str =
    "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance";
/// The same requests in every run; what is found can be found again.
const SEED: &str = "20261122";
const EXAMPLES: &str = "15";
const LIMIT: Duration = Duration::from_secs(400);
/// So many operations must have been tested, and so many must have succeeded at least once.
const TESTED: usize = 180;
const SUCCEEDED: usize = 130;

pub(crate) fn finds_nothing() -> Result<()> {
    let name = "clients_schemathesis";
    let published = document::published();
    if !published.exists() {
        eprintln!("SKIPPED {name}: Hetzner's description of the API is not at {}", published.display());
        return Ok(());
    }
    if !can_run(name, &["python3"])? {
        return Ok(());
    }
    let cloud = Cloud::start()?;
    furnish(&cloud)?;
    let mut fitted: Value = serde_json::from_slice(&std::fs::read(&published)?)?;
    let all = fitted["paths"].as_object().map_or(0, serde_json::Map::len);
    document::fit(&mut fitted, &cloud)?;
    let paths = fitted["paths"].as_object().map_or(0, serde_json::Map::len);
    let file = cloud.dir().join("openapi.json");
    host::files::write(&file, fitted.to_string().as_bytes(), 0o644)?;

    let [report, events] = ["report.json", "events.ndjson"].map(|name| cloud.dir().join(name));
    let said = Local.probe(&command(&cloud, &file, &report, &events)?)?;
    let said = format!("{}\n{}", said.text(), said.stderr);
    let report = std::fs::read(&report).with_context(|| format!("schemathesis left no report:\n{said}"))?;
    let report: Value = serde_json::from_slice(&report)?;
    let answers = Answers::read(&events, &fitted)?;
    let tested = report["operations"]["tested"].as_u64().unwrap_or(0) as usize;
    println!(
        "{name}: {paths} of {all} paths, {tested} operations, {} cases in {} s; {} operations succeeded at least \
         once; answers by status: {:?}",
        report["test_cases"]["generated"],
        report["running_time"].as_f64().unwrap_or_default().round(),
        answers.succeeded.len(),
        answers.by_status,
    );
    println!("{name}: never succeeded: {:?}", answers.failed);
    ensure!(report["complete"] == true && report["exit_code"] == 0, "schemathesis found:\n{said}");
    ensure!(tested >= TESTED, "{tested} operations were tested; at least {TESTED} are expected");
    let succeeded = answers.succeeded.len();
    ensure!(succeeded >= SUCCEEDED, "only {succeeded} operations succeeded at least once");
    Ok(())
}

/// One worker: Debian 12's Python breaks down where two threads parse Python at once, and is no faster with two.
fn command(cloud: &Cloud, document: &Path, report: &Path, events: &Path) -> Result<Cmd> {
    let program = python_environment(&PACKAGES)?.join("st");
    let cmd = Cmd::new(program)
        .args(["run", "--no-color", "--url", &cloud.url()])
        .args(["--header", &format!("Authorization: Bearer {}", cloud.token())])
        .args(["--checks", CHECKS, "--seed", SEED, "--max-examples", EXAMPLES, "--workers", "1"])
        .args(["--continue-on-failure", "--request-timeout", "20", "--warnings", "off"])
        .args(["--generation-database", "none", "--report", "json,ndjson"])
        .arg("--report-json-path")
        .path(report)
        .arg("--report-ndjson-path")
        .path(events)
        .path(document);
    Ok(cmd.current_dir(cloud.dir()).env("HOME", cloud.dir()).timeout(LIMIT))
}

/// Puts some of everything into the cloud: enough for some to be left when others were deleted.
fn furnish(cloud: &Cloud) -> Result<()> {
    for number in 0..8 {
        let name = |kind: &str| format!("{kind}-{number}");
        // Every other server has no address and is off, so that it can be given one.
        let bare = number % 2 == 0;
        let rule = json!({"direction": "in", "protocol": "icmp", "source_ips": ["0.0.0.0/0"]});
        let server = json!({"name": name("server"), "server_type": if bare { "cax11" } else { "cx23" },
            "image": "debian-13", "location": "fsn1", "labels": {"n": "1"}, "start_after_create": !bare,
            "public_net": {"enable_ipv4": !bare, "enable_ipv6": !bare}});
        let zone = format!("{}.com", name("zone"));
        let records = json!([{"value": "192.0.2.1"}]);
        let storage_box = json!({"name": name("box"), "storage_box_type": "bx11", "location": "fsn1",
            "password": PASSWORD, "ssh_keys": []});
        cloud.make("/ssh_keys", &json!({"name": name("key"), "public_key": public_key(number)}))?;
        cloud.make("/firewalls", &json!({"name": name("firewall"), "rules": [rule]}))?;
        cloud.make("/volumes", &json!({"name": name("volume"), "size": 10, "location": "fsn1"}))?;
        cloud.make("/primary_ips", &json!({"name": name("ip"), "type": "ipv4", "location": "fsn1"}))?;
        let server = cloud.make("/servers", &server)?["server"]["id"].take();
        let snapshot = json!({"type": "snapshot", "description": name("snapshot")});
        cloud.make(&format!("/servers/{server}/actions/create_image"), &snapshot)?;
        cloud.make("/zones", &json!({"name": zone, "mode": "primary"}))?;
        for rrset in ["a", "b", "c", "d"] {
            let rrset = json!({"name": rrset, "type": "A", "records": records});
            cloud.make(&format!("/zones/{zone}/rrsets"), &rrset)?;
        }
        let id = cloud.make("/storage_boxes", &storage_box)?["storage_box"]["id"].take();
        for part in 0..4 {
            cloud.make(&format!("/storage_boxes/{id}/snapshots"), &json!({"description": "a"}))?;
            let account = json!({"home_directory": format!("backup/{part}"), "password": PASSWORD});
            cloud.make(&format!("/storage_boxes/{id}/subaccounts"), &account)?;
        }
    }
    Ok(())
}

/// What the cloud answered, by operation.
#[derive(Default)]
struct Answers {
    /// The document's operations that never succeeded.
    failed: BTreeSet<String>,
    succeeded: BTreeSet<String>,
    by_status: BTreeMap<u64, usize>,
}

impl Answers {
    /// From schemathesis' events: one JSON object a line.
    fn read(events: &Path, document: &Value) -> Result<Self> {
        let mut answers = Self::default();
        for (path, operations) in document["paths"].as_object().into_iter().flatten() {
            let methods = operations.as_object().into_iter().flatten().filter(|(_, o)| o.is_object());
            answers.failed.extend(methods.map(|(method, _)| format!("{} {path}", method.to_uppercase())));
        }
        for line in std::fs::read_to_string(events)?.lines() {
            let event: Value = serde_json::from_str(line)?;
            let recorder = &event["ScenarioFinished"]["recorder"];
            for (id, interaction) in recorder["interactions"].as_object().into_iter().flatten() {
                let case = &recorder["cases"][id]["value"];
                let status = interaction["response"]["status_code"].as_u64().unwrap_or(0);
                *answers.by_status.entry(status).or_default() += 1;
                let (method, path) = (case["method"].as_str(), case["path"].as_str());
                let operation = format!("{} {}", method.unwrap_or("?"), path.unwrap_or("?"));
                if (200..300).contains(&status) {
                    answers.failed.remove(&operation);
                    answers.succeeded.insert(operation);
                }
            }
        }
        Ok(answers)
    }
}
