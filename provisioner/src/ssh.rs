//! Connections to the server: the system's ssh, always against a pinned host key.

use crate::known_hosts::KnownHosts;
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Error, Host, Output};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// ssh's own exit code for "no connection".
const NO_CONNECTION: i32 = 255;
/// One try at connecting, key exchange on an emulated processor included.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// The first try at a server that may not be up yet, and what each further one has more: a connection begun too early is
/// often never answered, and would be waited for in vain when the server is.
const FIRST_CONNECT_LIMIT: Duration = Duration::from_secs(4);
const NEXT_CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long a server that has answered once may be out of reach.
const REACH_LIMIT: Duration = Duration::from_secs(60);
const RETRY_PAUSE: Duration = Duration::from_millis(700);

/// Where the server is and who it must be.
#[derive(Debug, Clone)]
pub struct Session {
    address: String,
    port: u16,
    key: PathBuf,
    known_hosts: PathBuf,
    alias: String,
}

impl Session {
    /// A server's root, over ssh.
    pub fn new(address: &str, port: u16, key: &Path, known_hosts: &KnownHosts<'_>) -> Self {
        Self {
            address: address.into(),
            port,
            key: key.to_owned(),
            known_hosts: known_hosts.path(),
            alias: known_hosts.alias().into(),
        }
    }

    /// ssh with everything decided: no configuration file, no agent, no question, no unknown host.
    pub fn ssh(&self) -> Cmd {
        self.ssh_within(CONNECT_LIMIT)
    }

    fn ssh_within(&self, connect: Duration) -> Cmd {
        let option = |name: &str, value: &str| [String::from("-o"), format!("{name}={value}")];
        Cmd::new("ssh")
            .args(["-F", "/dev/null"])
            .args(option("BatchMode", "yes"))
            .args(option("StrictHostKeyChecking", "yes"))
            .arg("-o")
            .arg(OsString::from_vec([b"UserKnownHostsFile=".to_vec(), quoted(&self.known_hosts)].concat()))
            .args(option("GlobalKnownHostsFile", "/dev/null"))
            .args(option("HostKeyAlias", &self.alias))
            .args(option("HostKeyAlgorithms", "ssh-ed25519"))
            .args(option("UpdateHostKeys", "no"))
            .args(option("IdentitiesOnly", "yes"))
            .args(option("IdentityAgent", "none"))
            .args(option("ConnectTimeout", &connect.as_secs().to_string()))
            .args(option("ServerAliveInterval", "10"))
            .args(option("ServerAliveCountMax", "6"))
            .args(option("LogLevel", "ERROR"))
            // Each one is a connection of its own: a change of the server's doors is confirmed by a fresh one.
            .args(option("ControlMaster", "no"))
            .args(option("ControlPath", "none"))
            .arg("-i")
            .path(&self.key)
            .args(["-p", &self.port.to_string()])
            .arg(format!("root@{}", self.address))
    }

    /// The same as a configuration file, in which the server is called `name`: for `ssh -F FILE NAME`.
    pub fn config(&self, name: &str) -> Vec<u8> {
        let rest = format!(
            "Host {name}\n  HostName {}\n  Port {}\n  User root\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
             GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  HostKeyAlias {}\n  \
             HostKeyAlgorithms ssh-ed25519\n  UpdateHostKeys no\n  BatchMode yes\n  ConnectTimeout {}\n  LogLevel ERROR\n",
            self.address,
            self.port,
            self.alias,
            CONNECT_LIMIT.as_secs()
        );
        let file = |name: &str, path: &Path| [name.as_bytes(), &quoted(path), b"\n"].concat();
        let files =
            [file("  IdentityFile ", &self.key), file("  UserKnownHostsFile ", &self.known_hosts)].concat();
        [rest.into_bytes(), files].concat()
    }

    /// Runs a shell line on the server.
    pub fn sh(&self, line: &str) -> Cmd {
        self.shown(self.ssh(), line)
    }

    fn shown(&self, ssh: Cmd, line: &str) -> Cmd {
        let short: String = line.chars().take(60).collect();
        let dots = if short.len() < line.len() { "…" } else { "" };
        ssh.arg("--").arg(line).shown_as(format!("on {} `{short}{dots}`", self.address))
    }

    /// Runs a command made by [`Session::sh`], again when no connection came about: sshd restarts while a server
    /// is set up. Only for commands that may be run twice, as all of ours are.
    pub fn reach(&self, cmd: &Cmd) -> Result<Output, Error> {
        let start = Instant::now();
        loop {
            let output = host::Local.probe(cmd)?;
            let lost =
                output.code == Some(NO_CONNECTION) && !output.stderr.contains("Host key verification failed");
            if !lost || start.elapsed() >= REACH_LIMIT {
                return if output.code == Some(NO_CONNECTION) {
                    output.into_success(cmd)
                } else {
                    Ok(output)
                };
            }
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    /// A login shell with a terminal.
    pub fn shell(&self) -> Cmd {
        self.ssh().arg("-t").env_from_parent("TERM")
    }

    /// Waits until the server lets us in, as far as the deadline, and runs a shell line that succeeds.
    pub fn wait(&self, line: &str, limit: Duration, mut waiting: impl FnMut(&str)) -> Result<Output> {
        let start = Instant::now();
        let mut connect = FIRST_CONNECT_LIMIT;
        loop {
            let cmd = self.shown(self.ssh_within(connect), line).timeout(CONNECT_LIMIT);
            let output = host::Local.probe(&cmd)?;
            connect = CONNECT_LIMIT.min(connect + NEXT_CONNECT_LIMIT);
            if output.success() {
                return Ok(output);
            }
            let said = output.stderr.lines().last().unwrap_or("no answer").trim().to_owned();
            if said.contains("Host key verification failed")
                || said.contains("host key") && said.contains("changed")
            {
                bail!(
                    "connecting to {}: it answered with another host key than the pinned one, so nothing was sent; \
                     if somebody rebuilt the server by hand, look at {}",
                    self.address,
                    self.known_hosts.display()
                );
            }
            if start.elapsed() >= limit {
                bail!(
                    "connecting to {} port {}: no way in for {} s ({said}); look at the server's console, then run the same command again",
                    self.address,
                    self.port,
                    limit.as_secs()
                );
            }
            waiting(&said);
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    /// Starts a command whose stdout is read line by line.
    pub fn lines(&self, line: &str) -> Result<Lines> {
        let mut command = self.sh(line).to_std()?;
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("starting ssh")?;
        let stdout = child.stdout.take().context("starting ssh: no stdout")?;
        Ok(Lines { child, stdout: BufReader::new(stdout) })
    }
}

/// ssh splits the value of `UserKnownHostsFile` at spaces.
fn quoted(path: &Path) -> Vec<u8> {
    [b"\"", path.as_os_str().as_bytes(), b"\""].concat()
}

/// The lines of a running command; dropped, it ends.
pub struct Lines {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Lines {
    /// The next whole line, or `None` when the command or the connection ended.
    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        match self.stdout.read_until(b'\n', &mut line) {
            Ok(_) if line.ends_with(b"\n") => Some(line),
            _ => None,
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // It may have ended by itself already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Host for Session {
    fn probe(&self, cmd: &Cmd) -> Result<Output, Error> {
        let remote = self.sh(&cmd.line()).with_input_of(cmd);
        self.reach(&remote)
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        let test = self.probe(&Cmd::new("test").arg("-e").path(path))?;
        if !test.success() {
            return Ok(None);
        }
        Ok(Some(self.run(&Cmd::new("cat").path(path))?.stdout))
    }

    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        let path = path.display();
        let line = format!(
            "set -eu; umask 077; mkdir -p \"$(dirname '{path}')\"; cat > '{path}.part'; chmod {mode:o} '{path}.part'; sync '{path}.part'; mv '{path}.part' '{path}'"
        );
        let cmd = self.sh(&line).stdin(content);
        self.reach(&cmd)?.into_success(&cmd).map(drop)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        self.run(&Cmd::new("rm").arg("-f").path(path)).map(drop)
    }
}
