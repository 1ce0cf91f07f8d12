//! A machine's memory, kept in a file: QEMU's migration stream, to nobody and from nobody.

use super::Failure;
use super::qmp::Qmp;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long memory has to be written or read, on a busy disk.
const LIMIT: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Bytes per second; a migration is slowed down to a network's pace otherwise.
const AS_FAST_AS_IT_GOES: u64 = 64 << 30;

/// Halts the processors and writes the memory; the disks hold what the machine has flushed. It is of no more use then.
pub(super) fn save(qmp: &mut Qmp, to: &Path) -> Result<(), Failure> {
    qmp.run("stop", &json!({}))?;
    qmp.run("migrate-set-parameters", &json!({"max-bandwidth": AS_FAST_AS_IT_GOES}))?;
    // A word of the shell's: whatever is in the path stands between single quotes.
    let quoted = to.display().to_string().replace('\'', r"'\''");
    qmp.run("migrate", &json!({"uri": format!("exec:cat > '{quoted}'")}))?;
    wait(qmp, "query-migrate", &["setup", "active", "device"], "completed")
}

/// Waits until the memory is read, and lets the processors run.
pub(super) fn go_on(qmp: &mut Qmp) -> Result<(), Failure> {
    wait(qmp, "query-status", &["inmigrate"], "paused")?;
    qmp.run("cont", &json!({})).map(drop)
}

/// Asks until the status is what it is to become; one that is not on the way there is a failure.
fn wait(qmp: &mut Qmp, question: &str, on_the_way: &[&str], end: &str) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        let answer = qmp.run(question, &json!({}))?;
        let status = answer["status"].as_str().unwrap_or("none");
        if status == end {
            return Ok(());
        }
        if !on_the_way.contains(&status) || start.elapsed() > LIMIT {
            let why = answer["error-desc"].as_str().unwrap_or(status);
            let message =
                format!("waiting for the machine's memory: it is not {end} but {why}; power it off and on");
            return Err(Failure::new("action_failed", message));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
