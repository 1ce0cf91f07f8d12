//! Programs that end with this one, however it ends: by its last line, a panic or a kill.

use anyhow::{Context as _, Result, bail};
use host::Cmd;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

/// How long they may take to be gone.
const END: Duration = Duration::from_secs(20);

/// A shell script as the first process of a PID namespace of its own. It runs until its stdin ends, which the kernel sees to
/// when this program is gone; and then everything else in the namespace ends with it.
pub struct Tied {
    child: Child,
    open: Option<ChildStdin>,
    first: u32,
}

impl Tied {
    /// Starts it by `unshare`, run as it is given, which may say more namespaces, with `words` as the script's arguments; and
    /// waits until it says the line `ready`. What it and its programs say on stderr goes to the file `log`.
    ///
    /// The script's last words are [`Tied::LAST`].
    pub fn start(unshare: Cmd, script: &str, words: &[&Path], log: &Path) -> Result<Self> {
        let cmd = unshare.args(["--pid", "--fork", "--kill-child"]);
        let cmd = cmd.args(["sh", "-c", script, "sh"]);
        let mut command = words.iter().fold(cmd, Cmd::path).to_std()?;
        let said = std::fs::File::create(log).with_context(|| format!("making {}", log.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(said);
        let mut child = command.spawn().context("starting unshare")?;
        let (open, stdout) = (child.stdin.take(), child.stdout.take());
        let mut tied = Self { child, open, first: 0 };
        let mut line = String::new();
        BufReader::new(stdout.context("a program without stdout")?).read_line(&mut line)?;
        if line != "ready\n" {
            bail!("starting a script in namespaces of its own: {}", std::fs::read_to_string(log)?.trim_end());
        }
        let unshare = tied.child.id();
        let children = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"))?;
        tied.first = children.trim().parse().context("finding the namespace's first process")?;
        Ok(tied)
    }

    /// How a script ends: it waits for the end of its stdin, and collects what its namespace leaves to it until then.
    pub const LAST: &str = "echo ready; cat >/dev/null; exit 0";

    /// The first process of the namespace, as this program's own namespace numbers it.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// A file in the script's root, seen from here.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        Path::new("/proc")
            .join(self.first.to_string())
            .join("root")
            .join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Ends all of it: when this returns, no process of it is left.
    pub fn stop(&mut self) -> Result<()> {
        drop(self.open.take());
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > END {
                // With it, its first child.
                self.child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        // What went wrong before matters more.
        let _ = self.stop();
    }
}
