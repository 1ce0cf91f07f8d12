//! Copies the root disk of a running machine as it is at one moment, while the guest goes on writing.

use super::Failure;
use super::qmp::Qmp;
use host::{Cmd, Host as _, Local};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// The name of the job in QEMU, and of the node it writes to.
const NAME: &str = "copy";
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Copies the disk into a new QCOW2 file. A raw one would be filled with the zeros that the disk has none of.
pub(super) fn copy_running(qmp: &mut Qmp, to: &Path) -> Result<(), Failure> {
    clean_up(qmp)?;
    let nodes = qmp.run("query-named-block-nodes", &json!({"flat": true}))?;
    let root = nodes.as_array().and_then(|nodes| nodes.iter().find(|node| node["node-name"] == "root"));
    let Some(bytes) = root.and_then(|node| node["image"]["virtual-size"].as_u64()) else {
        return Err(Failure::new("action_failed", "copying the disk: QEMU does not tell its size"));
    };
    let cmd = Cmd::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).path(to).arg(bytes.to_string());
    Local.run(&cmd).map_err(|e| Failure::new("action_failed", e.to_string()))?;
    let target = json!({"driver": "qcow2", "node-name": NAME, "file": {"driver": "file", "filename": to}});
    qmp.run("blockdev-add", &target)?;
    let order =
        json!({"job-id": NAME, "device": "root", "target": NAME, "sync": "full", "auto-dismiss": false});
    let copied = qmp.run("blockdev-backup", &order).and_then(|_| wait(qmp));
    clean_up(qmp)?;
    copied
}

/// Waits until the job is over, and fails when it has failed.
fn wait(qmp: &mut Qmp) -> Result<(), Failure> {
    loop {
        match find(qmp)? {
            None => return Ok(()),
            Some(job) if job["status"] == "concluded" => {
                let Some(why) = job["error"].as_str() else { return Ok(()) };
                return Err(Failure::new("action_failed", format!("copying the disk: {why}")));
            }
            Some(_) => std::thread::sleep(LOOK_AGAIN),
        }
    }
}

fn find(qmp: &mut Qmp) -> Result<Option<Value>, Failure> {
    let jobs = qmp.run("query-jobs", &json!({}))?;
    Ok(jobs.as_array().and_then(|jobs| jobs.iter().find(|job| job["id"] == NAME)).cloned())
}

/// Removes the job and its node: the present ones, or those of a copy that a crash of the daemon broke off.
fn clean_up(qmp: &mut Qmp) -> Result<(), Failure> {
    if let Some(job) = find(qmp)? {
        if job["status"] != "concluded" {
            qmp.run("job-cancel", &json!({"id": NAME}))?;
            let _ = wait(qmp);
        }
        qmp.run("job-dismiss", &json!({"id": NAME}))?;
    }
    match qmp.run("blockdev-del", &json!({"node-name": NAME})) {
        Err(failure) if !failure.message.contains("Failed to find") => Err(failure),
        _ => Ok(()),
    }
}
