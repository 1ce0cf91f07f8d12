//! The command that a server is leased for, with the caller's environment and terminal.

use anyhow::{Context as _, Result};
use host::Cmd;
use rustix::process::{Pid, Signal};
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long the command may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(10);

/// Runs it to its end; gives its exit code, 128 and the number where a signal ended it. `aside`: what it says on stdout goes
/// to stderr.
pub(super) async fn command<const N: usize>(
    words: &[OsString],
    variables: [(&str, OsString); N],
    aside: bool,
) -> Result<u8> {
    let cmd = Cmd::new("env").arg("--").args(words.iter().cloned()).whole_env_from_parent();
    let cmd = variables.into_iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value));
    let mut command = cmd.to_std()?;
    command.stdin(Stdio::inherit());
    if aside {
        command.stdout(std::io::stderr());
    }
    if !std::io::stdin().is_terminal() {
        // Without a terminal nobody else sends signals to the command's children, so they get a group of their own.
        command.process_group(0);
    }
    let mut child = Child(tokio::process::Command::from(command).spawn().context("starting the command")?);
    Ok(exit_code(child.0.wait().await?))
}

/// The running command; dropped while it runs, it and its children are asked to end, and then made to.
struct Child(tokio::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let Some(pid) = self.0.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) else {
            return;
        };
        let signal = |signal| {
            // Its own group where it has one, else the process alone.
            if rustix::process::kill_process_group(pid, signal).is_err() {
                let _ = rustix::process::kill_process(pid, signal);
            }
        };
        signal(Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < GRACE && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        signal(Signal::KILL);
        let _ = self.0.try_wait();
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|number| 128 + number));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
