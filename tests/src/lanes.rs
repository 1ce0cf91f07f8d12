//! Machine trials side by side: a lane for each core, and in it one trial after the other, each in a process of its own with
//! namespaces of its own. No port, address or process of a trial is another's, and all that a trial started ends with it.

use crate::{rig, trial, world};
use anyhow::{Context as _, Result, bail, ensure};
use host::{Cmd, Host as _, Local};
use libtest_mimic::Arguments;

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

/// Tells this program that it is a trial's own process, and which trial's.
const CHILD: &str = "SOVEREIGN_TRIAL";
/// Before the trial begins: a loopback, and a place for the network namespaces it makes itself.
const PREPARE: &str =
    "ip link set lo up && mkdir -p /run/netns && mount -t tmpfs none /run/netns && \"$0\" \"$@\"; exit $?";

/// A trial on machines.
pub struct Subject {
    /// What it shows.
    pub name: &'static str,
    /// The trial.
    pub run: fn() -> Result<()>,
    /// Where it runs.
    pub place: Place,
}

/// Where a trial runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a network of its own, with nothing but a loopback.
    Apart,
    /// In this machine's network, since it fetches packages.
    Here,
}

/// Runs the trials in the order given, so the longest should come first. Gives the exit code.
/// Before the first, `fetch` brings what cannot be had from a trial's own network.
pub fn run(subjects: Vec<Subject>, fetch: fn() -> Result<()>) -> Result<u8> {
    if let Some(name) = std::env::var_os(CHILD) {
        let subject = subjects.iter().find(|subject| name == subject.name).context("finding the trial")?;
        (subject.run)()?;
        return Ok(0);
    }
    let mut arguments = Arguments::from_args();
    let chosen = subjects.iter().filter(|subject| is_chosen(&arguments, subject.name)).count();
    if arguments.list || chosen == 0 {
        let none = subjects.into_iter().map(|subject| trial(subject.name, || Ok(()))).collect();
        return Ok(u8::from(crate::run(&arguments, none).has_failed()));
    }
    if !can_part()? {
        ensure!(
            std::env::var_os("CI").is_none(),
            "machine trials: namespaces cannot be made, and CI skips nothing"
        );
        eprintln!("SKIPPED all machine trials: this user may not make namespaces; run the tests as root");
        return Ok(0);
    }
    let cores = std::thread::available_parallelism().context("counting this machine's cores")?.get();
    arguments.test_threads = Some(cores);
    fetch()?;
    let lanes = Arc::new(Lanes {
        key: world::key()?,
        cores: Mutex::new((0..cores).rev().collect()),
        aloud: chosen == 1,
    });
    let trials = subjects.into_iter().map(|subject| {
        let lanes = Arc::clone(&lanes);
        trial(subject.name, move || lanes.run(&subject))
    });
    let conclusion = crate::run(&arguments, trials.collect());
    Ok(u8::from(conclusion.has_failed()))
}

fn is_chosen(arguments: &Arguments, name: &str) -> bool {
    let fits =
        |filter: &String| if arguments.exact { name == filter } else { name.contains(filter.as_str()) };
    arguments.filter.as_ref().is_none_or(fits) && !arguments.skip.iter().any(fits)
}

/// Whether there is the leave to make namespaces.
pub(crate) fn can_part() -> Result<bool> {
    let try_it = Cmd::new("unshare").args(["--net", "--pid", "--fork", "--mount-proc", "ip", "link"]);
    Ok(Local.probe(&try_it).is_ok_and(|tried| tried.success()))
}

struct Lanes {
    /// What the worlds are cached under.
    key: String,
    /// Those no trial has. Machines get one processor each: two that wait for each other on one core take a third longer. Nor
    /// do two trials share a core: all of them together take longer then.
    cores: Mutex<Vec<usize>>,
    /// What the one trial says is shown while it says it.
    aloud: bool,
}

impl Lanes {
    fn run(&self, subject: &Subject) -> Result<()> {
        let core = lock(&self.cores).pop().context("finding a core: there are more trials than cores")?;
        let outcome = self.run_on(core, subject);
        lock(&self.cores).push(core);
        outcome
    }

    fn run_on(&self, core: usize, subject: &Subject) -> Result<()> {
        let dir = tempfile::Builder::new()
            .prefix("lane")
            .tempdir_in("/var/tmp")
            .context("making a lane's directory")?;
        let own = std::env::current_exe().context("finding this program")?;
        let child = match subject.place {
            // Where this program is killed, the trial is too.
            Place::Apart => Cmd::new("setpriv")
                .args(["--pdeathsig", "KILL", "unshare"])
                .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", PREPARE])
                .args(["taskset", "--cpu-list", &core.to_string()])
                .path(&own),
            Place::Here => Cmd::new("taskset").args(["--cpu-list", &core.to_string()]).path(&own),
        };
        let child = child.whole_env_from_parent().env(CHILD, subject.name).env(world::KEY, &self.key);
        let mut command = child.env(rig::DIRECTORY, dir.path()).to_std()?;
        command.stdin(Stdio::null());
        if self.aloud {
            let status = command.status().context("running the trial")?;
            ensure!(status.success(), "it failed: what it said stands above");
            return Ok(());
        }
        let log = dir.path().join("log");
        let file = std::fs::File::create(&log).context("making the trial's log")?;
        let status = command.stdout(file.try_clone()?).stderr(file).status().context("running the trial")?;
        let said = std::fs::read(&log).context("reading the trial's log")?;
        println!("\n---- {}\n{}", subject.name, String::from_utf8_lossy(&said));
        if !status.success() {
            bail!("it failed: what it said stands above, behind ---- {}", subject.name);
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
