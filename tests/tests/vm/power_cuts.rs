//! The power is cut at the start and at the end of every step. The cuts go in a few groups, each from the checkpoint before
//! its first cut, on one server that goes on from cut to cut, so that one that fails is reproduced by its group alone.
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
use tests::{Rig, World, can_run};

/// Takes the first line of the list, waits for what it names among the events of this boot, and cuts. The line is gone for
/// good before firstboot runs, so that nothing has to be written, and with it synced, at the cut itself.
const CUTTER: &str = r#"#!/bin/sh
events=/var/lib/sovereign/events.jsonl
next=$(head -n 1 /var/lib/cuts)
cat /proc/sys/kernel/random/boot_id >> /var/lib/boots
sed -i 1d /var/lib/cuts && sync
seen=$(wc -l < $events 2>/dev/null || echo 0)
systemd-notify --ready
[ -n "$next" ] || exit 0
tail -n +$((seen + 1)) -F $events 2>/dev/null | while read -r line; do
    case $line in *"$next"*) echo b > /proc/sysrq-trigger ;; esac
done
"#;
const UNIT: &str = "[Unit]\nDefaultDependencies=no\nAfter=local-fs.target\nBefore=sovereign-firstboot.service\n\
                    [Service]\nType=notify\nNotifyAccess=all\nExecStart=/usr/local/sbin/cutter\n\
                    [Install]\nWantedBy=sysinit.target\n";
const PROVISION: [&str; 4] = ["provision", "--project", "demo", "--yes"];

/// What an event says, and of which step.
type Cut = (&'static str, StepName);

const STARTED: &str = "step-started";
const FINISHED: &str = "step-finished";

/// Steps whose cuts are one trial, in the order of the cuts.
struct Group {
    world: World,
    steps: &'static [StepName],
    /// Where the operator is killed besides.
    operator_killed: Option<&'static str>,
}

/// In the order in which steps end.
const GROUPS: [Group; 3] = [
    Group {
        world: World::Connected,
        steps: &[
            StepName::Preflight,
            StepName::Identity,
            StepName::Secrets,
            StepName::Packages,
            StepName::Firewall,
            StepName::Disk,
        ],
        operator_killed: None,
    },
    Group {
        world: World::DiskDone,
        steps: &[StepName::Escrow, StepName::Docker, StepName::Images],
        // Once more where the escrow is at stake.
        operator_killed: Some("passing the gate escrow"),
    },
    Group {
        world: World::ImagesDone,
        steps: &[StepName::Harden, StepName::Stacks, StepName::Vpn, StepName::Verify, StepName::Finish],
        operator_killed: None,
    },
];

pub(crate) fn up_to_the_disk() -> Result<()> {
    of(&GROUPS[0])
}

pub(crate) fn up_to_the_images() -> Result<()> {
    of(&GROUPS[1])
}

pub(crate) fn up_to_the_end() -> Result<()> {
    of(&GROUPS[2])
}

fn of(group: &Group) -> Result<()> {
    if !can_run("vm_power_cuts", &PROGRAMS)? {
        return Ok(());
    }
    let all = GROUPS.iter().flat_map(|group| group.steps);
    ensure!(StepName::ALL.iter().all(|step| all.clone().any(|cut| cut == step)), "a step is in no group");
    let start = Instant::now();
    let cuts = cuts(group.steps);
    let rig = group.world.fork()?;
    install(&rig, &cuts)?;
    if let Some(said) = group.operator_killed {
        let (_, killed) = rig.run_until(&PROVISION, |line| line.contains(said))?;
        ensure!(killed, "the run ended before it said {said:?}");
    }
    let runs = until_it_is_ready(&rig)?;
    let events = events(&rig)?;
    every_cut_happened(&rig, cuts.len())?;
    let receipt = spec::Receipt::from_json(super::receipt(&rig)?.as_bytes())?;
    if group.steps.contains(&StepName::Finish) {
        // The end of the last step: QEMU itself is killed, and the server comes back locked.
        act(&rig, "poweroff")?;
        act(&rig, "poweron")?;
        wait_until_locked(&rig)?;
        unlock(&rig)?;
    }
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;
    rig.xtask(&["escrow", "verify", "--project", "demo"])?.expect(0)?;
    show(&cuts, &events)?;
    println!(
        "{} cuts in {:.0} s, the operator's command ran {runs} times",
        cuts.len(),
        start.elapsed().as_secs_f64()
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

/// Runs the operator's command until it says that all is well. A cut may break a connection in the middle of an answer; a
/// run that ends by that is run again. Gives how many runs it took.
fn until_it_is_ready(rig: &Rig) -> Result<u32> {
    for run in 1.. {
        let ended = rig.xtask(&PROVISION)?;
        match ended.code {
            Some(0) => return Ok(run),
            // The last key on the root disk was revoked before the cut.
            Some(4) => unlock(rig)?,
            _ if run < 6 => {}
            _ => drop(ended.expect(0)?),
        }
    }
    unreachable!("a run that is not well is the last one")
}

/// Every cut of these steps in order. After the last step there is nothing left that could converge: it is cut by hand.
fn cuts(steps: &[StepName]) -> Vec<Cut> {
    let every = std::env::var_os("SOVEREIGN_EVERY_CUT").is_some();
    let both = steps.iter().flat_map(|step| [(STARTED, *step), (FINISHED, *step)]);
    both.filter(|cut| every || cut.0 == FINISHED || *cut == (STARTED, StepName::Preflight))
        .filter(|cut| *cut != (FINISHED, StepName::Finish))
        .collect()
}

/// Arms the first cut at once and each other one at the next boot.
fn install(rig: &Rig, cuts: &[Cut]) -> Result<()> {
    let list: String =
        cuts.iter().map(|(event, step)| format!("\"event\":\"{event}\",\"step\":\"{step}\"\n")).collect();
    let put = |path: &str, text: &str| format!("cat > {path} <<'EOF_CUTS'\n{text}EOF_CUTS\n");
    let script = [
        "set -e\n".to_owned(),
        put("/usr/local/sbin/cutter", CUTTER),
        put("/etc/systemd/system/cutter.service", UNIT),
        put("/var/lib/cuts", &list),
        tests::server::WITHOUT_CLOUD_INIT.to_owned(),
        "chmod 755 /usr/local/sbin/cutter\nsystemctl enable --quiet --now cutter.service\nsync\n".to_owned(),
    ];
    rig.xtask(&["ssh", "--project", "demo", "--", &script.concat()])?.expect(0)?;
    Ok(())
}

/// The server was started once more for each cut, and none is left to come.
fn every_cut_happened(rig: &Rig, cuts: usize) -> Result<()> {
    let said = rig.xtask(&["ssh", "--project", "demo", "--", "wc -l < /var/lib/boots; cat /var/lib/cuts"])?;
    let said = said.expect(0)?.stdout;
    ensure!(
        said.trim() == (cuts + 1).to_string(),
        "{cuts} cuts made these starts, and left these cuts: {said}"
    );
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

/// What became of each cut step in the boot after its cut.
fn show(cuts: &[Cut], events: &[Event]) -> Result<()> {
    let boots: Vec<&[Event]> = boots(events);
    ensure!(boots.len() >= cuts.len(), "{} cuts, and firstboot started {} times", cuts.len(), boots.len());
    // The run that the first cut ended may not have left a line; each cut is followed by one that did.
    let after = &boots[boots.len() - cuts.len()..];
    for ((event, step), boot) in cuts.iter().zip(after) {
        println!("{:<14} {:<10} {}", event, step.to_string(), outcome(boot, *step));
    }
    if let Some(pulled) = cuts.iter().position(|cut| *cut == (FINISHED, StepName::Images)) {
        // Pulled images are durable once the step has ended: none is pulled again.
        let again = outcome(after[pulled], StepName::Images);
        ensure!(again == "converged (held)", "an image was lost by a cut: {again}");
    }
    Ok(())
}

fn outcome(boot: &[Event], wanted: StepName) -> &'static str {
    let found = boot.iter().find_map(|event| match &event.kind {
        EventKind::StepFinished { step, outcome, .. } if *step == wanted => Some(*outcome),
        _ => None,
    });
    match found {
        Some(Outcome::Changed) => "converged (acted)",
        Some(Outcome::Unchanged) => "converged (held)",
        None => "converged (later)",
    }
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
