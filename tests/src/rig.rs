use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _, Local};
use images::registry::Registry;
use provisioner::api::Client;
use sha2::{Digest as _, Sha256};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

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
    dir: TempDir,
    xtask: PathBuf,
    cache: Option<PathBuf>,
}

impl Rig {
    /// A fresh one. The front door is the one that runs the tests, or the one built beside them.
    pub fn new() -> Result<Self> {
        // Socket addresses are short, so the directory is too.
        let dir = tempfile::Builder::new()
            .prefix("rig")
            .tempdir_in("/var/tmp")
            .context("making the rig's directory")?;
        let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("xtask"));
        let xtask = std::env::var_os("SOVEREIGN_XTASK").map(PathBuf::from).or_else(beside);
        let xtask = xtask
            .filter(|path| path.exists())
            .context("finding xtask: run the tests with `cargo xtask test`")?;
        Ok(Self { dir, xtask, cache: None })
    }

    /// Gives it a cache of its own.
    #[must_use]
    pub fn with_cache(mut self, cache: &Path) -> Self {
        self.cache = Some(cache.to_owned());
        self
    }

    /// The rig's directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where its projects are.
    pub fn projects(&self) -> PathBuf {
        self.dir.path().join("projects")
    }

    /// Where its cloud keeps its state.
    pub fn cloud(&self) -> PathBuf {
        self.dir.path().join("state/cloud")
    }

    /// Its container registry, for stopping it; the port it has is of no matter for that.
    pub fn registry(&self) -> Registry {
        Registry::new(self.dir.path().join("state/registry"), 0)
    }

    /// The front door.
    pub fn program(&self) -> &Path {
        &self.xtask
    }

    /// Writes a project's file.
    pub fn project(&self, name: &str, toml: &str) -> Result<()> {
        Ok(host::files::write(&self.projects().join(name).join("project.toml"), toml.as_bytes(), 0o644)?)
    }

    /// Makes a project like the demo.
    pub fn demo(&self, name: &str) -> Result<()> {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../projects/demo/project.toml");
        self.project(name, &std::fs::read_to_string(demo)?)
    }

    fn cmd(&self, args: &[&str]) -> Cmd {
        let mut cmd = Cmd::new(&self.xtask).whole_env_from_parent();
        if let Some(cache) = &self.cache {
            cmd = cmd.env("SOVEREIGN_CACHE", cache);
        }
        let state = self.dir.path().join("state");
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
        if std::env::var_os("SOVEREIGN_KEEP").is_some() {
            eprintln!("kept: {}", self.dir.path().display());
            self.dir.disable_cleanup(true);
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
