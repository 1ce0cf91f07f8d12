//! A file is edited by hand on a server in use: it is shown, never overwritten, and both ways out work.

use super::{PROGRAMS, file_receipt};
use anyhow::{Result, ensure};
use std::time::Instant;
use tests::{Ended, Rig, World, can_run};

const FIRSTBOOT: &str = "firstboot";
/// Whose step does no more than tell sshd to read its files.
const FILE: &str = "/etc/cloud/cloud.cfg.d/99-sovereign.cfg";

fn there(rig: &Rig, line: &str) -> Result<Ended> {
    rig.xtask(&["ssh", "--project", "demo", "--", line])
}

/// Edits, looks, accepts, edits again, restores.
pub(crate) fn shown_and_never_overwritten() -> Result<()> {
    if !can_run("vm_drift", &PROGRAMS)? {
        return Ok(());
    }
    let rig = World::Ready.fork()?;
    let start = Instant::now();
    let ours = there(&rig, &format!("sha256sum < {FILE}"))?.expect(0)?.stdout;
    there(&rig, &format!("{FIRSTBOOT} drift --json"))?.expect(0)?;
    there(&rig, &format!("echo '# mine' >> {FILE}"))?.expect(0)?;

    let verify = rig.xtask(&["verify", "--project", "demo"])?.expect(1)?;
    ensure!(verify.stdout.contains(FILE) && verify.stdout.contains("\n+# mine"), "{}", verify.stdout);
    there(&rig, &format!("{FIRSTBOOT} run"))?.expect(4)?.says(&[
        FILE,
        "+# mine",
        "drift accept",
        "drift restore",
    ])?;
    there(&rig, &format!("tail -n 1 {FILE} | grep -x '# mine'"))?.expect(0)?;

    there(&rig, &format!("{FIRSTBOOT} drift accept {FILE}"))?.expect(0)?;
    there(&rig, &format!("{FIRSTBOOT} run"))?.expect(0)?;
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;

    there(&rig, &format!("{FIRSTBOOT} drift restore {FILE}"))?.expect(0)?;
    ensure!(there(&rig, &format!("sha256sum < {FILE}"))?.expect(0)?.stdout == ours, "it was not put back");
    there(&rig, &format!("grep -x '# mine' {FILE}.edited-1 && rm {FILE}.edited-1"))?.expect(0)?;
    let drift = there(&rig, &format!("{FIRSTBOOT} drift --json"))?.expect(0)?;
    ensure!(drift.stdout.trim() == "[]", "{}", drift.stdout);
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;

    let events = there(&rig, &format!("{FIRSTBOOT} events --json"))?.expect(0)?;
    let all: Vec<spec::Event> = serde_json::from_str(&events.stdout)?;
    ensure!(all.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "the events are not numbered through");
    spec::Status::from_json(
        there(&rig, &format!("{FIRSTBOOT} status --json"))?.expect(0)?.stdout.as_bytes(),
    )?;
    println!("an edit shown, accepted and restored: {:.1} s", start.elapsed().as_secs_f64());
    file_receipt(&rig)
}
