//! The engine itself: hardened containers, and nothing of it left.

use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tests::engine::{self, Engine, SERVER, Side};
use tests::network::Reach;
use tests::samples;

/// Tells this program that it is the one to be killed.
const KILLED: &str = "SOVEREIGN_ENGINE_OF_A_KILLED";
const NAME: &str = "hardened";

/// See the module.
pub(crate) fn leaves_nothing() -> Result<()> {
    if !engine::can_run("parts_an_engine_leaves_nothing", &[])? {
        return Ok(());
    }
    let start = Instant::now();
    let mut engine = Engine::start(1)?;
    println!("engine started: {:.2} s", start.elapsed().as_secs_f64());
    run_hardened(&mut engine)?;
    let version = engine.docker(["version", "--format", "{{.Server.Version}}"])?;
    let differs = engine.docker(["info", "--format", "cgroups v{{.CgroupVersion}}, {{.SecurityOptions}}"])?;
    println!("Docker {version}: {differs}");
    ensure!(version.starts_with("26.1."), "firstboot tells version {version} something else");
    engine.restart_daemon()?;
    let container = &engine.containers(None)?[0];
    ensure!(container.pid.is_some(), "the container did not outlive the daemon");
    let traces = Traces::of(&engine)?;
    ensure!(!traces.found()?.is_empty(), "nothing is found of an engine that runs");
    drop(engine);
    let left = traces.found()?;
    ensure!(left.is_empty(), "an engine that was dropped left: {left:#?}");
    Ok(())
}

/// The program is killed while its engine runs a container. Nothing runs on, and the next engine removes the rest.
pub(crate) fn killed_leaves_nothing() -> Result<()> {
    if !engine::can_run("parts_a_killed_programs_engine_leaves_nothing", &[])? {
        return Ok(());
    }
    let own = std::env::current_exe().context("finding this program")?;
    let mut command = Cmd::new(own).whole_env_from_parent().env(KILLED, "1").to_std()?;
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting a program to kill")?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("a program without stdout")?).read_line(&mut line)?;
    let (first, folder) = line.trim().split_once(' ').context("the program to kill started no engine")?;
    let traces = Traces::new(first.parse()?, Path::new(folder))?;
    child.kill()?;
    child.wait()?;
    let start = Instant::now();
    tests::until("all ended that the killed program started", || Ok(traces.running()?.is_empty()))?;
    println!("all ended {:.2} s after the kill", start.elapsed().as_secs_f64());
    ensure!(Path::new(folder).exists(), "somebody else removed its folder, and nothing is shown");
    drop(Engine::start(1)?);
    let left = traces.found()?;
    ensure!(left.is_empty(), "the next engine left of a killed one: {left:#?}");
    Ok(())
}

/// Where this program was started to be killed: what it does until then.
pub(crate) fn be_the_killed() -> Option<Result<()>> {
    std::env::var_os(KILLED)?;
    let run = || {
        let mut engine = Engine::start(1)?;
        run_hardened(&mut engine)?;
        println!("{} {}", engine.first_process(), engine.beside("").display());
        std::thread::sleep(Duration::from_secs(600));
        Ok(())
    };
    Some(run().inspect_err(|error: &anyhow::Error| eprintln!("{error:#}")))
}

/// Two at once, of the same names, addresses and ports: each has its own.
pub(crate) fn side_by_side() -> Result<()> {
    if !engine::can_run("parts_two_engines_run_side_by_side", &[])? {
        return Ok(());
    }
    let (mut one, mut two) = (Engine::start(1)?, Engine::start(1)?);
    let image = samples::native("busybox")?;
    for (engine, port) in [(&mut one, "8081:8080"), (&mut two, "8082:8080")] {
        let image = engine.pull(&image)?;
        engine.docker([
            "run",
            "--detach",
            "--name",
            NAME,
            "--publish",
            port,
            &image,
            "httpd",
            "-f",
            "-p",
            "8080",
        ])?;
    }
    for engine in [&one, &two] {
        let container = &engine.containers(None)?[0];
        tests::until("the container listens", || Ok(container.listening()? == [8080]))?;
    }
    let both = [8081, 8082].map(|port| format!("{}:{port}", SERVER[0]).parse());
    let both: Vec<_> = both.into_iter().collect::<std::result::Result<_, _>>()?;
    let open = |engine: &Engine| engine.outside(Side::Internet).connect(&both);
    ensure!(open(&one)? == [Reach::Open, Reach::Refused], "{:?}", open(&one)?);
    ensure!(open(&two)? == [Reach::Refused, Reach::Open], "{:?}", open(&two)?);
    drop(one);
    ensure!(open(&two)? == [Reach::Refused, Reach::Open], "the end of one engine was felt by the other");
    ensure!(two.containers(None)?[0].pid.is_some(), "the end of one engine ended the other's container");
    Ok(())
}

/// A container with nothing that it does not need, which is indeed without it.
fn run_hardened(engine: &mut Engine) -> Result<()> {
    let image = engine.pull(&samples::native("busybox")?)?;
    let hardened =
        ["--cap-drop=ALL", "--read-only", "--security-opt=no-new-privileges", "--init", "--network=none"];
    engine.docker(["run", "--detach", "--name", NAME].into_iter().chain(hardened).chain([image.as_str()]))?;
    let status = engine.exec(NAME, &["cat", "/proc/self/status"])?;
    let has = |line: &str| status.lines().any(|found| found.split_whitespace().eq(line.split(' ')));
    for line in ["CapEff: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"] {
        ensure!(has(line), "the container's process does not have {line}:\n{status}");
    }
    let written = Local.probe(&engine.program("docker").args(["exec", NAME, "sh", "-c", "echo >/x"]))?;
    ensure!(written.stderr.contains("Read-only file system"), "{written:?}");
    Ok(())
}

/// What could be left of an engine.
struct Traces {
    folder: PathBuf,
    name: String,
    /// The namespaces of its first process and of the networks outside.
    namespaces: BTreeSet<u64>,
}

impl Traces {
    fn of(engine: &Engine) -> Result<Self> {
        Self::new(engine.first_process(), &engine.beside(""))
    }

    fn new(first: u32, folder: &Path) -> Result<Self> {
        let process = Path::new("/proc").join(first.to_string());
        let mut namespaces = BTreeSet::new();
        for of in ["ns/net", "ns/mnt", "ns/pid", "ns/ipc", "root/run/netns/internet", "root/run/netns/vpn"] {
            let inode = process.join(of).metadata().with_context(|| format!("looking at {of}"))?.ino();
            namespaces.insert(inode);
        }
        let name = folder.file_name().context("a folder without a name")?.to_string_lossy().into_owned();
        Ok(Self { folder: folder.components().collect(), name, namespaces })
    }

    /// Processes in one of its namespaces or groups, and mounts that anybody has.
    fn running(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for process in std::fs::read_dir("/proc")?.flatten().map(|entry| entry.path()) {
            // It may end meanwhile.
            let read = |file: &str| std::fs::read_to_string(process.join(file)).unwrap_or_default();
            let inode = |file: &str| process.join("ns").join(file).metadata().map(|found| found.ino());
            let inside = ["net", "mnt", "pid", "ipc"]
                .into_iter()
                .any(|file| inode(file).is_ok_and(|inode| self.namespaces.contains(&inode)));
            if inside || read("cgroup").contains(&self.name) {
                found.push(format!("{} {}", process.display(), read("comm").trim()));
            }
            if read("mountinfo").contains(&self.name) {
                found.push(format!("a mount of {}", process.display()));
            }
        }
        Ok(found)
    }

    /// All that there is of it.
    fn found(&self) -> Result<Vec<String>> {
        let mut found = self.running()?;
        let groups =
            std::fs::read_dir("/sys/fs/cgroup")?.flatten().map(|entry| entry.path().join(&self.name));
        let groups = groups.chain([Path::new("/sys/fs/cgroup").join(&self.name), self.folder.clone()]);
        found.extend(groups.filter(|path| path.exists()).map(|path| path.display().to_string()));
        Ok(found)
    }
}
