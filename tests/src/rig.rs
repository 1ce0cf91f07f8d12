use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _, Local};
use images::registry::Registry;
use provisioner::api::Client;
use rehearsal::Power;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Names the directory that rigs are made in.
pub(crate) const DIRECTORY: &str = "SOVEREIGN_RIGS";

/// How a run of `cargo xtask` ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Ended {
    /// Itself when it ended with this code, else an error with all it said.
    pub fn expect(self, code: i32) -> Result<Self> {
        if self.code != Some(code) {
            bail!(
                "expected exit code {code}, got {:?} after {:?}\n{}\n{}",
                self.code,
                self.took,
                self.stdout,
                self.stderr
            );
        }
        Ok(self)
    }

    /// Itself when it said all of this on stderr, else an error with all it said.
    pub fn says(self, words: &[&str]) -> Result<Self> {
        match words.iter().find(|word| !self.stderr.contains(*word)) {
            Some(word) => bail!("expected {word:?} in:\n{}", self.stderr),
            None => Ok(self),
        }
    }

    /// The same of stdout.
    pub fn prints(self, word: &str) -> Result<Self> {
        if !self.stdout.contains(word) {
            bail!("expected {word:?} in:\n{}", self.stdout);
        }
        Ok(self)
    }
}

/// An operator's machine of its own: projects and state in a directory that goes away with it, the cache shared.
/// Dropped, it stops its cloud and its machines.
pub struct Rig {
    dir: PathBuf,
    /// Removes the directory in the end, where it is not to stay.
    temporary: Option<TempDir>,
    xtask: PathBuf,
    cache: Option<PathBuf>,
    /// The lock on the world it was forked from, which must stay as long as this does.
    world: Option<File>,
}

impl Rig {
    /// A fresh one, which goes away in the end.
    pub fn new() -> Result<Self> {
        // Socket addresses are short, so the directory is too.
        let above = std::env::var_os(DIRECTORY).unwrap_or_else(|| "/var/tmp".into());
        let dir =
            tempfile::Builder::new().prefix("rig").tempdir_in(above).context("making the rig's directory")?;
        let mut rig = Self::at(dir.path())?;
        rig.temporary = Some(dir);
        Ok(rig)
    }

    /// One in this directory, which stays. The front door is the one that runs the tests, or the one built beside them.
    pub(crate) fn at(dir: &Path) -> Result<Self> {
        let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("xtask"));
        let xtask = std::env::var_os("SOVEREIGN_XTASK").map(PathBuf::from).or_else(beside);
        let xtask = xtask
            .filter(|path| path.exists())
            .context("finding xtask: run the tests with `cargo xtask test`")?;
        Ok(Self { dir: dir.to_owned(), temporary: None, xtask, cache: None, world: None })
    }

    /// Takes up what the rig in `world` left asleep, and starts its cloud.
    pub(crate) fn forked_from(self, world: &Path, power: Power) -> Result<Self> {
        for name in ["projects", "state/registry"] {
            let to = self.dir.join(name);
            std::fs::create_dir_all(&to).with_context(|| format!("making {}", to.display()))?;
            let copy = Cmd::new("cp").args(["--archive", "--no-target-directory"]);
            Local.run(&copy.path(world.join(name)).path(&to))?;
        }
        rehearsal::fork(&world.join("state/cloud"), &self.cloud(), power)?;
        rehearsal::ensure_running(&rehearsal::Config::load(&self.cloud())?, &self.xtask)?;
        Ok(self)
    }

    /// Puts all of it to sleep as it is.
    pub(crate) fn asleep(self) -> Result<()> {
        rehearsal::suspend(&self.cloud())?;
        Ok(self.registry().stop()?)
    }

    /// Keeps the lock on the world it was forked from.
    pub(crate) fn holding(mut self, world: File) -> Self {
        self.world = Some(world);
        self
    }

    /// Gives it a cache of its own.
    #[must_use]
    pub fn with_cache(mut self, cache: &Path) -> Self {
        self.cache = Some(cache.to_owned());
        self
    }

    /// The rig's directory.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Where its projects are.
    pub fn projects(&self) -> PathBuf {
        self.path().join("projects")
    }

    /// Where its cloud keeps its state.
    pub fn cloud(&self) -> PathBuf {
        self.path().join("state/cloud")
    }

    /// Its container registry, for stopping it; the port it has is of no matter for that.
    pub fn registry(&self) -> Registry {
        Registry::new(self.path().join("state/registry"), 0)
    }

    /// The front door.
    pub fn program(&self) -> &Path {
        &self.xtask
    }

    /// Writes a project's file.
    pub fn project(&self, name: &str, toml: &str) -> Result<()> {
        Ok(host::files::write(&self.projects().join(name).join("project.toml"), toml.as_bytes(), 0o644)?)
    }

    /// Makes a project of this name that is like `projects/plain`.
    pub fn demo(&self, name: &str) -> Result<()> {
        let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("../projects/plain/project.toml");
        self.project(name, &std::fs::read_to_string(plain)?)
    }

    /// Builds what servers of the two projects that trials begin with run, and gives back what was said: each thing with its digest.
    pub fn build_images(&self) -> Result<String> {
        let mut said = String::new();
        for name in ["plain", "demo-vpn"] {
            let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../projects").join(name);
            self.project(name, &std::fs::read_to_string(ours.join("project.toml"))?)?;
            said += &self.xtask(&["images", "build", "--project", name])?.expect(0)?.stdout;
        }
        Ok(said)
    }

    fn cmd(&self, args: &[&str]) -> Cmd {
        let mut cmd = Cmd::new(&self.xtask).whole_env_from_parent();
        if let Some(cache) = &self.cache {
            cmd = cmd.env("SOVEREIGN_CACHE", cache);
        }
        let state = self.path().join("state");
        cmd.env("SOVEREIGN_STATE", state).args(args.iter().copied()).arg("--projects").path(self.projects())
    }

    /// A whole command line.
    pub fn line(&self, args: &[&str]) -> Cmd {
        // `--projects` must stand before the `--` of `ssh`.
        let at = args.iter().position(|arg| *arg == "--").unwrap_or(args.len());
        self.cmd(&args[..at]).args(args[at..].iter().copied())
    }

    fn spawn(&self, args: &[&str]) -> Result<Child> {
        let mut command = self.line(args).to_std()?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("starting xtask")
    }

    /// Runs a verb to its end.
    pub fn xtask(&self, args: &[&str]) -> Result<Ended> {
        self.run_until(args, |_| false).map(|(ended, _)| ended)
    }

    /// Runs a verb to its end with this on its stdin.
    pub fn fed(&self, args: &[&str], input: Vec<u8>) -> Result<Ended> {
        let start = Instant::now();
        let output = Local.probe(&self.line(args).stdin(input))?;
        let (code, stdout) = (output.code, output.text());
        Ok(Ended { code, stdout, stderr: output.stderr, took: start.elapsed() })
    }

    /// Runs a verb and kills it (SIGKILL) as soon as a line of its stderr says so.
    /// Gives back how it ended and whether it was killed.
    pub fn run_until(&self, args: &[&str], mut kill_at: impl FnMut(&str) -> bool) -> Result<(Ended, bool)> {
        let start = Instant::now();
        let mut child = self.spawn(args)?;
        let mut stdout = child.stdout.take().context("no stdout")?;
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stdout.read_to_string(&mut text);
            text
        });
        let mut stderr = String::new();
        let mut killed = false;
        for line in BufReader::new(child.stderr.take().context("no stderr")?).lines() {
            let line = line?;
            eprintln!("      {:>6.1} | {line}", start.elapsed().as_secs_f64());
            stderr.push_str(&line);
            stderr.push('\n');
            if !killed && kill_at(&line) {
                child.kill()?;
                killed = true;
            }
        }
        let status = child.wait()?;
        let stdout = reader.join().unwrap_or_default();
        Ok((Ended { code: status.code(), stdout, stderr, took: start.elapsed() }, killed))
    }

    /// A client of the rig's cloud.
    pub fn client(&self) -> Result<Client> {
        let endpoint =
            rehearsal::find(&self.cloud())?.context("finding the rig's cloud: it is not running")?;
        Ok(Client::new(&endpoint.url, &endpoint.token, Arc::new(|text: &str| eprintln!("      {text}")))?)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(dir) = self.temporary.as_mut().filter(|_| std::env::var_os("SOVEREIGN_KEEP").is_some()) {
            eprintln!("kept: {}", dir.path().display());
            dir.disable_cleanup(true);
        }
        // What is left of a rig that never started a cloud or a registry is nothing.
        let _ = rehearsal::stop(&self.cloud(), true);
        let _ = self.registry().stop();
    }
}

/// SHA-256 of a file's content; holes read as zeros.
pub fn sha256_file(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash)?;
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}
