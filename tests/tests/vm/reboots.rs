//! Three restarts in a row in each mode of unlock: the data, every unit and the host key are what they were, and the
//! volume is opened by whom the mode names, and by nobody else.

use super::{PROGRAMS, act, identity, keep_a_row, sql};
use anyhow::{Context as _, Result, ensure};
use std::time::{Duration, Instant};
use tests::server::WITHOUT_CLOUD_INIT;
use tests::tang::{self, Tang};
use tests::{Rig, World, can_run};

const ROW: &str = "there-after-every-restart";
/// How long a restart may take; a server that Tang does not help asks for two minutes before it waits for the operator.
const LIMIT: Duration = Duration::from_secs(420);
const PAUSE: Duration = Duration::from_secs(1);

/// What runs where the volume is open, and nowhere else.
const ON_THE_VOLUME: [&str; 5] = [
    "srv-sovereign.mount",
    "containerd.service",
    "docker.service",
    "sovereign-stacks.target",
    "sovereign-stack@postgres.service",
];
/// What runs in any case.
const ALWAYS: [&str; 5] =
    ["ssh.service", "ufw.service", "auditd.service", "chrony.service", "fail2ban.service"];

/// Nothing opens it but the operator.
pub(crate) fn opened_by_the_operator() -> Result<()> {
    if !can_run("vm_three_reboots", &PROGRAMS)? {
        return Ok(());
    }
    let rig = World::Ready.fork()?;
    let mut restarts = Restarts::begin(&rig)?;
    for how in HOWS {
        restarts.waits_for_the_operator("operator", how)?;
    }
    is_as_it_must_be(&rig, &[0, 2])?;
    restarts.print();
    Ok(())
}

/// Two Tang servers open it together, and one alone does not.
pub(crate) fn opened_by_tang() -> Result<()> {
    if !can_run("vm_three_reboots", &[&PROGRAMS[..], &tang::PROGRAMS].concat())? {
        return Ok(());
    }
    let rig = World::Ready.fork()?;
    let mut restarts = Restarts::begin(&rig)?;
    let (one, two) = (Tang::new()?, Tang::new()?);
    let servers: String = [&one, &two]
        .map(|server| {
            format!(
                "[[unlock.servers]]\nurl = \"{}\"\nthumbprint = \"{}\"\n",
                server.url(),
                server.thumbprint
            )
        })
        .concat();
    change(&rig, &format!("[unlock]\nmode = \"tang\"\nthreshold = 2\n{servers}"))?;
    restarts.come_back_alone("tang, 2 of 2")?;
    is_as_it_must_be(&rig, &[0, 2, 4])?;
    two.hush();
    restarts.waits_for_the_operator("tang, 1 hangs", How::Power)?;
    restarts.print();
    Ok(())
}

/// A key file on the root disk opens it, until the project says no more that it does.
pub(crate) fn opened_by_a_key_file() -> Result<()> {
    if !can_run("vm_three_reboots", &PROGRAMS)? {
        return Ok(());
    }
    let rig = World::Ready.fork()?;
    let mut restarts = Restarts::begin(&rig)?;
    change(
        &rig,
        "[unlock]\nmode = \"keyfile\"\n[[exceptions]]\ncheck = \"host-1.6\"\nreason = \"a trial of restarts\"\n\
         review = \"2099-12-31\"\n",
    )?;
    restarts.come_back_alone("keyfile")?;
    is_as_it_must_be(&rig, &[0, 2, 5])?;

    change(&rig, "")?;
    restarts.waits_for_the_operator("operator again", How::Clean)?;
    is_as_it_must_be(&rig, &[0, 2])?;
    restarts.print();
    Ok(())
}

/// Changes how the volume is opened, on the running server.
fn change(rig: &Rig, unlock: &str) -> Result<()> {
    rig.demo("demo")?;
    let file = rig.projects().join("demo/project.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, format!("{text}\n{unlock}"))?;
    let changed = rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?;
    println!("change of mode: {:.1} s", changed.took.as_secs_f64());
    Ok(())
}

/// The volume's slots are these, all of them in the escrow, and nothing is amiss.
fn is_as_it_must_be(rig: &Rig, slots: &[u64]) -> Result<()> {
    let listed = rig.xtask(&["keys", "list", "--project", "demo", "--json"])?.expect(0)?.stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed)?;
    let used = listed["slots"].as_array().context("no slots are listed")?;
    let numbers: Vec<u64> = used.iter().filter_map(|slot| slot["number"].as_u64()).collect();
    ensure!(numbers == slots, "slots {slots:?} were expected: {listed}");
    ensure!(used.iter().all(|slot| slot["escrowed"] == true), "not all is escrowed: {listed}");
    let tokens = there(rig, "cryptsetup luksDump --dump-json-metadata /dev/disk/by-id/scsi-0HC_Volume_*")?;
    let tokens: serde_json::Value = serde_json::from_str(&tokens)?;
    let bound = tokens["tokens"].as_object().context("the header lists no tokens")?.len();
    ensure!(bound == usize::from(slots.contains(&4)), "tokens in the header: {}", tokens["tokens"]);
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;
    rig.xtask(&["escrow", "verify", "--project", "demo"])?.expect(0)?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?.says(&["No changes"])?;
    Ok(())
}

/// How a server is restarted.
#[derive(Debug, Clone, Copy)]
enum How {
    /// `systemctl reboot`.
    Clean,
    /// The reset button.
    Power,
}

/// Three in a row.
const HOWS: [How; 3] = [How::Clean, How::Power, How::Power];

struct Restarts<'r> {
    rig: &'r Rig,
    host_key: String,
    /// Mode, how, the state it came up in, and the seconds until then and until it was ready.
    table: Vec<(&'static str, How, &'static str, f64, f64)>,
}

impl<'r> Restarts<'r> {
    fn begin(rig: &'r Rig) -> Result<Self> {
        keep_a_row(rig, ROW)?;
        Ok(Self { rig, host_key: pinned(rig)?, table: Vec::new() })
    }

    /// Restarted, nothing opens the volume until the operator comes.
    fn waits_for_the_operator(&mut self, mode: &'static str, how: How) -> Result<()> {
        let start = Instant::now();
        restart(self.rig, how, "locked").with_context(|| format!("{mode}: {how:?}"))?;
        let locked = start.elapsed().as_secs_f64();
        self.rig.xtask(&["status", "--project", "demo"])?.expect(4)?;
        let units = Units::look(self.rig)?;
        units.all_active(&ALWAYS)?;
        units.none_active(&ON_THE_VOLUME)?;
        let open = there(
            self.rig,
            "ls -d /dev/mapper/sovereign /srv/sovereign/* /run/docker.pid 2>/dev/null; true",
        )?;
        ensure!(open.trim().is_empty(), "the server is locked, and there are {open}");
        let start = Instant::now();
        self.rig
            .xtask(&["unlock", "--project", "demo", "--identity", &identity(self.rig, "demo")])?
            .expect(0)?;
        self.is_whole().with_context(|| format!("{mode}: {how:?}, unlocked"))?;
        self.table.push((mode, how, "locked", locked, start.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Restarted three times, it opens the volume by itself: the first time as every server starts, then without cloud-init.
    fn come_back_alone(&mut self, mode: &'static str) -> Result<()> {
        for how in HOWS {
            self.comes_back_alone(mode, how)?;
            there(self.rig, WITHOUT_CLOUD_INIT)?;
        }
        Ok(())
    }

    /// Restarted, it opens the volume by itself.
    fn comes_back_alone(&mut self, mode: &'static str, how: How) -> Result<()> {
        let start = Instant::now();
        restart(self.rig, how, "ready").with_context(|| format!("{mode}: {how:?}"))?;
        let up = start.elapsed().as_secs_f64();
        self.is_whole().with_context(|| format!("{mode}: {how:?}"))?;
        self.table.push((mode, how, "ready", up, up));
        Ok(())
    }

    fn is_whole(&self) -> Result<()> {
        self.rig.xtask(&["status", "--project", "demo"])?.expect(0)?.prints("demo: ready")?;
        let units = Units::look(self.rig)?;
        units.all_active(&ALWAYS)?;
        units.all_active(&ON_THE_VOLUME)?;
        ensure!(sql(self.rig, "demo", "SELECT what FROM kept")?.trim() == ROW, "the row is gone");
        // Every connection since then was let in by this very key.
        ensure!(pinned(self.rig)? == self.host_key, "another host key is pinned");
        Ok(())
    }

    fn print(&self) {
        println!("{:<16} {:<6} {:<7} {:>8} {:>8}", "mode", "how", "came up", "up", "ready");
        for (mode, how, state, up, ready) in &self.table {
            println!("{mode:<16} {:<6} {state:<7} {up:>6.1} s {ready:>6.1} s", format!("{how:?}"));
        }
    }
}

/// Restarts the server, and waits until it is in this state.
fn restart(rig: &Rig, how: How, state: &str) -> Result<()> {
    let before = boot(rig)?.context("asking which boot it is: the server is not there")?;
    match how {
        How::Power => act(rig, "reset")?,
        // The connection may be cut before the answer.
        How::Clean => drop(rig.xtask(&["ssh", "--project", "demo", "--", "systemctl reboot"])?),
    }
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        if boot(rig)?.is_some_and(|now| now != before) {
            let status = rig.xtask(&["status", "--project", "demo", "--json"])?.stdout;
            let status: serde_json::Value = serde_json::from_str(&status).context("reading the status")?;
            if status["state"] == state {
                return Ok(());
            }
            ensure!(
                ["unreachable", "starting"].iter().any(|word| status["state"] == *word),
                "it was to become {state}, and it is: {status}"
            );
        }
        std::thread::sleep(PAUSE);
    }
    anyhow::bail!("it was not {state} {} s after its restart", LIMIT.as_secs())
}

/// The id of the boot the server is in; none while it cannot be reached.
fn boot(rig: &Rig) -> Result<Option<String>> {
    let asked = rig.xtask(&["ssh", "--project", "demo", "--", "cat /proc/sys/kernel/random/boot_id"])?;
    Ok((asked.code == Some(0)).then_some(asked.stdout))
}

fn there(rig: &Rig, line: &str) -> Result<String> {
    Ok(rig.xtask(&["ssh", "--project", "demo", "--", line])?.expect(0)?.stdout)
}

fn pinned(rig: &Rig) -> Result<String> {
    Ok(std::fs::read_to_string(rig.projects().join("demo/known_hosts"))?)
}

/// What systemd says of its units, once all that starts at boot has started.
struct Units(Vec<(&'static str, String)>);

impl Units {
    /// Looks, and fails where a unit has failed.
    fn look(rig: &Rig) -> Result<Self> {
        let names = [ALWAYS, ON_THE_VOLUME].concat();
        let line = format!(
            "systemctl is-system-running --wait; systemctl --failed --no-legend --plain; echo ==; \
             systemctl is-active {}; true",
            names.join(" ")
        );
        let said = there(rig, &line)?;
        let (whole, each) = said.split_once("==\n").context("systemd said nothing")?;
        ensure!(whole.trim() == "running", "the system is {whole}");
        let states: Vec<String> = each.lines().map(str::to_owned).collect();
        ensure!(states.len() == names.len(), "systemd said of {names:?}: {each}");
        Ok(Self(names.into_iter().zip(states).collect()))
    }

    fn not(&self, names: &[&str], holds: impl Fn(&str) -> bool) -> Result<()> {
        let wrong: Vec<_> =
            self.0.iter().filter(|(name, state)| names.contains(name) && !holds(state)).collect();
        ensure!(wrong.is_empty(), "units: {wrong:?}");
        Ok(())
    }

    fn all_active(&self, names: &[&str]) -> Result<()> {
        self.not(names, |state| state == "active")
    }

    fn none_active(&self, names: &[&str]) -> Result<()> {
        self.not(names, |state| state == "inactive")
    }
}
