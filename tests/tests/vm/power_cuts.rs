//! The power is cut at the start and at the end of every step, on one server that goes on from cut to cut.
//!
//! A unit on the server, started before firstboot, waits for the step's event and resets the machine in that moment:
//! nothing is synced or unmounted, and no connection's delay blurs the point. The operator's command follows all the while.
//!
//! A step starts where the one before it ended, with nothing in between but a line of the event stream, so one cut is both.
//! With `SOVEREIGN_EVERY_CUT` set they are two.

use super::{PROGRAMS, act, identity, run_async, wait_until_locked};
use anyhow::{Context as _, Result, ensure};
use provisioner::api::model::{Server, Volume};
use spec::{Event, EventKind, Gate, Outcome, StepName};
use std::time::Instant;
use tests::{Rig, can_run};

/// Takes the first line of the list, waits for what it names among the events of this boot, and cuts. The line is gone for
/// good before firstboot runs, so that nothing has to be written, and with it synced, at the cut itself.
const CUTTER: &str = r#"#!/bin/sh
events=/var/lib/sovereign/events.jsonl
next=$(head -n 1 /var/lib/cuts)
sed -i 1d /var/lib/cuts && sync
systemd-notify --ready
[ -n "$next" ] || exit 0
tail -n +$(($(wc -l < $events) + 1)) -F $events 2>/dev/null | while read -r line; do
    case $line in *"$next"*) echo b > /proc/sysrq-trigger ;; esac
done
"#;
const UNIT: &str = "[Unit]\nDefaultDependencies=no\nAfter=local-fs.target\nBefore=sovereign-firstboot.service\n\
                    [Service]\nType=notify\nNotifyAccess=all\nExecStart=/usr/local/sbin/cutter\n\
                    [Install]\nWantedBy=sysinit.target\n";

const STARTED: &str = "step-started";
const FINISHED: &str = "step-finished";

/// Runs it and prints the table.
pub(crate) fn at_every_step() -> Result<()> {
    if !can_run("vm_power_cuts", &PROGRAMS)? {
        return Ok(());
    }
    let start = Instant::now();
    let rig = Rig::new()?;
    rig.demo("demo")?;
    let provision = ["provision", "--project", "demo", "--yes"];
    let (_, killed) = rig.run_until(&provision, |line| line.starts_with("... first boot: preflight"))?;
    ensure!(killed, "the run ended before its first step");
    let cuts = cuts();
    install(&rig, &cuts)?;
    act(&rig, "reset")?;
    // The operator is killed once more, where the escrow is at stake, and then follows to the end.
    let (_, killed) = rig.run_until(&provision, |line| line.contains("passing the gate escrow"))?;
    ensure!(killed, "the run ended before the escrow");
    // A cut may break a connection in the middle of an answer; a run that ends by that is run again.
    let mut runs = 1;
    loop {
        let ended = rig.xtask(&provision)?;
        match ended.code {
            Some(0) => break,
            // The last key on the root disk was revoked before the cut.
            Some(4) => drop(unlock(&rig)?),
            _ if runs < 6 => runs += 1,
            _ => drop(ended.expect(0)?),
        }
    }
    let events = events(&rig)?;
    let receipt = spec::Receipt::from_json(super::receipt(&rig)?.as_bytes())?;
    // The end of the last step: QEMU itself is killed, and the server comes back locked.
    act(&rig, "poweroff")?;
    act(&rig, "poweron")?;
    wait_until_locked(&rig)?;
    unlock(&rig)?;
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;
    rig.xtask(&["escrow", "verify", "--project", "demo"])?.expect(0)?;
    show(&cuts, &events)?;
    println!(
        "{} cuts in {:.0} s, the operator's command ran {} times",
        cuts.len() + 1,
        start.elapsed().as_secs_f64(),
        runs + 2
    );
    nothing_twice(&events)?;
    let uuid = rig.xtask(&[
        "ssh",
        "--project",
        "demo",
        "--",
        "cryptsetup luksUUID /dev/disk/by-id/scsi-0HC_Volume_*",
    ])?;
    let recorded = receipt.volume.context("the receipt has no volume")?.luks_uuid;
    ensure!(uuid.expect(0)?.stdout.trim() == recorded, "the volume is another one than the receipt says");
    one_of_each(&rig)
}

/// Every cut in order: what the event says, and of which step. After the last step there is nothing left that could
/// converge: it is cut by hand.
fn cuts() -> Vec<(&'static str, StepName)> {
    if std::env::var_os("SOVEREIGN_EVERY_CUT").is_some() {
        let both = StepName::ALL.into_iter().flat_map(|step| [(STARTED, step), (FINISHED, step)]);
        return both.filter(|cut| *cut != (FINISHED, StepName::Finish)).collect();
    }
    let ends = StepName::ALL.into_iter().filter(|step| *step != StepName::Finish);
    std::iter::once((STARTED, StepName::Preflight)).chain(ends.map(|step| (FINISHED, step))).collect()
}

/// The step whose end is this one's start; before the first there is none. Where a step waits for two lanes, it is the one
/// that takes longer.
fn before(step: StepName) -> Option<StepName> {
    match step {
        StepName::Preflight => None,
        StepName::Identity => Some(StepName::Preflight),
        StepName::Packages | StepName::Secrets => Some(StepName::Identity),
        StepName::Firewall => Some(StepName::Packages),
        StepName::Disk => Some(StepName::Secrets),
        StepName::Harden | StepName::Escrow | StepName::Docker => Some(StepName::Firewall),
        StepName::Images => Some(StepName::Docker),
        StepName::Stacks => Some(StepName::Images),
        StepName::Vpn => Some(StepName::Stacks),
        StepName::Verify => Some(StepName::Vpn),
        StepName::Finish => Some(StepName::Verify),
    }
}

fn install(rig: &Rig, cuts: &[(&str, StepName)]) -> Result<()> {
    let list: String =
        cuts.iter().map(|(event, step)| format!("\"event\":\"{event}\",\"step\":\"{step}\"\n")).collect();
    let put = |path: &str, text: &str| format!("cat > {path} <<'EOF_CUTS'\n{text}EOF_CUTS\n");
    let script = [
        "set -e\n".to_owned(),
        put("/usr/local/sbin/cutter", CUTTER),
        put("/etc/systemd/system/cutter.service", UNIT),
        put("/var/lib/cuts", &list),
        "chmod 755 /usr/local/sbin/cutter\nsystemctl stop --no-block sovereign-firstboot.service\n"
            .to_owned(),
        // At every start it does no more than name the card, and takes an emulated machine longer than firstboot does.
        "touch /etc/cloud/cloud-init.disabled\ncard=$(cat /sys/class/net/eth0/address)\n".to_owned(),
        "printf '[Match]\\nMACAddress=%s\\n[Link]\\nName=eth0\\n' $card > /etc/systemd/network/10-eth0.link\n"
            .to_owned(),
        "systemctl enable --quiet cutter.service\nsync\n".to_owned(),
    ];
    rig.xtask(&["ssh", "--project", "demo", "--", &script.concat()])?.expect(0)?;
    Ok(())
}

fn unlock(rig: &Rig) -> Result<()> {
    rig.xtask(&["unlock", "--project", "demo", "--identity", &identity(rig, "demo")])?.expect(0)?;
    Ok(())
}

fn events(rig: &Rig) -> Result<Vec<Event>> {
    let said =
        rig.xtask(&["ssh", "--project", "demo", "--", "/usr/local/lib/sovereign/firstboot events --json"])?;
    serde_json::from_str(&said.expect(0)?.stdout).context("reading the events")
}

/// One line a step: what became of it in the boot after each cut, and how long that boot ran until it was cut in turn.
fn show(cuts: &[(&str, StepName)], events: &[Event]) -> Result<()> {
    let boots: Vec<&[Event]> = boots(events);
    // The first boot is the one before the cutter was there; each cut ends one.
    ensure!(
        boots.len() >= cuts.len() + 2,
        "{} cuts made only {} starts: some cut did not happen",
        cuts.len(),
        boots.len()
    );
    let after = &boots[boots.len() - cuts.len()..];
    let outcome = |boot: &[Event], wanted: StepName| {
        let found = boot.iter().find_map(|event| match &event.kind {
            EventKind::StepFinished { step, outcome, .. } if *step == wanted => Some(*outcome),
            _ => None,
        });
        match found {
            Some(Outcome::Changed) => "converged (acted)",
            Some(Outcome::Unchanged) => "converged (held)",
            None => "converged (later)",
        }
    };
    println!("{:<10}  {:<20}  {:<20}", "step", "cut at its start", "cut at its end");
    for step in StepName::ALL {
        let cell = |cut: (&str, StepName)| match cuts.iter().position(|other| *other == cut) {
            Some(at) => outcome(after[at], step),
            None => "converged (unlocked)",
        };
        let own = (STARTED, step);
        let start = match before(step) {
            Some(before) if !cuts.contains(&own) => (FINISHED, before),
            _ => own,
        };
        println!("{:<10}  {:<20}  {:<20}", step.to_string(), cell(start), cell((FINISHED, step)));
    }
    // Pulled images are durable once the step has ended: none is pulled again.
    let pulled = cuts.iter().position(|cut| *cut == (FINISHED, StepName::Images)).context("no images")?;
    ensure!(outcome(after[pulled], StepName::Images) == "converged (held)", "an image was lost by a cut");
    Ok(())
}

fn boots(events: &[Event]) -> Vec<&[Event]> {
    let starts = events.iter().enumerate().filter(|(_, e)| matches!(e.kind, EventKind::Started { .. }));
    let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
    let ends = starts.iter().copied().skip(1).chain([events.len()]);
    starts.iter().zip(ends).map(|(from, to)| &events[*from..to]).collect()
}

/// Formatted once, and one escrow acknowledged.
fn nothing_twice(events: &[Event]) -> Result<()> {
    let formats = events.iter().filter(|event| {
        matches!(&event.kind, EventKind::Progress { step: StepName::Disk, text } if text.starts_with("formatting"))
    });
    let formats = formats.count();
    ensure!(formats == 1, "the volume was formatted {formats} times");
    let mut escrows: Vec<&str> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::GatePassed { gate: Gate::Escrow { sha256 } } => Some(sha256.as_str()),
            _ => None,
        })
        .collect();
    escrows.dedup();
    ensure!(escrows.len() == 1, "{} escrows were acknowledged: {escrows:?}", escrows.len());
    println!("formatted once, one escrow acknowledged");
    Ok(())
}

fn one_of_each(rig: &Rig) -> Result<()> {
    let (servers, volumes) = run_async(async {
        let client = rig.client()?;
        let servers: Vec<Server> = client.list("listing servers", "/servers", "servers", &[]).await?;
        let volumes: Vec<Volume> = client.list("listing volumes", "/volumes", "volumes", &[]).await?;
        Ok((servers.len(), volumes.len()))
    })?;
    ensure!((servers, volumes) == (1, 1), "{servers} servers, {volumes} volumes");
    Ok(())
}
