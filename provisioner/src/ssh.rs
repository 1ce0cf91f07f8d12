//! Connections to the server: the system's ssh, always against a pinned host key.
//!
//! To a program at the other end a connection that was lost looks like the end of a file. So a file that is written says
//! first what it must come to, and one that is read how long it is; what is neither ends in a way that can be told.

use crate::journal::hex;
use crate::known_hosts::KnownHosts;
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Error, Host, Output};
use sha2::{Digest as _, Sha256};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, ErrorKind, Read as _, Take};
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

    /// Reads files in one connection, each whole.
    pub fn fetch<const N: usize>(&self, files: [&str; N]) -> Result<[Vec<u8>; N], Error> {
        let names = files.join(" ");
        let command = self.sh(&format!("stat -c %s {names} && cat {names}"));
        let said = self.reach(&command)?.into_success(&command)?.stdout;
        files_of(&said).ok_or_else(|| cut_short(&names))
    }

    /// Starts a command whose stdout is read line by line.
    pub fn lines(&self, line: &str) -> Result<Lines> {
        Lines::of(self.sh(line))
    }
}

/// ssh splits the value of `UserKnownHostsFile` at spaces.
fn quoted(path: &Path) -> Vec<u8> {
    [b"\"", path.as_os_str().as_bytes(), b"\""].concat()
}

/// A file as it goes over: its SHA-256 and its length in a line, then its bytes. Not in the command, which is for everybody
/// to see.
fn framed(content: &[u8]) -> Vec<u8> {
    let head = format!("{} {}\n", hex(&Sha256::digest(content)), content.len());
    [head.as_bytes(), content].concat()
}

/// Takes what is [`framed`] from stdin and puts it in place, whole or not at all.
fn take(path: &str, mode: u32) -> String {
    format!(
        "set -eu; umask 077; mkdir -p \"$(dirname '{path}')\"; part='{path}'.$$.part; trap 'rm -f \"$part\"' EXIT; \
         read -r sum length; cat > \"$part\"; \
         if ! echo \"$sum  $part\" | sha256sum --check --status; then \
         echo \"writing {path}: of $length bytes $(stat -c %s \"$part\") arrived; nothing was changed\" >&2; exit 1; fi; \
         chmod {mode:o} \"$part\"; sync \"$part\"; mv \"$part\" '{path}'"
    )
}

/// Files as `stat` and `cat` print them: their lengths, a line each, then their bytes. `None` where that is not all of it.
fn files_of<const N: usize>(said: &[u8]) -> Option<[Vec<u8>; N]> {
    let mut rest = said;
    let mut lengths = [0; N];
    for length in &mut lengths {
        let end = rest.iter().position(|b| *b == b'\n')?;
        *length = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        rest = &rest[end + 1..];
    }
    let mut files = [const { Vec::new() }; N];
    for (file, length) in files.iter_mut().zip(lengths) {
        *file = rest.split_off(..length)?.to_vec();
    }
    rest.is_empty().then_some(files)
}

fn cut_short(what: &str) -> Error {
    Error::io(
        "reading",
        what,
        std::io::Error::new(ErrorKind::UnexpectedEof, "it arrived cut short; try again"),
    )
}

/// The lines of a running command; dropped, it ends.
pub struct Lines {
    cmd: Cmd,
    child: Child,
    stdout: BufReader<Take<ChildStdout>>,
}

impl Lines {
    fn of(cmd: Cmd) -> Result<Self> {
        let mut command = cmd.to_std()?;
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("starting ssh")?;
        let stdout = child.stdout.take().context("starting ssh: no stdout")?.take(host::MOST_OUTPUT);
        Ok(Self { cmd, child, stdout: BufReader::new(stdout) })
    }

    /// The next whole line, or `None` when the command or the connection ended.
    ///
    /// # Errors
    /// All lines together come to more than [`host::MOST_OUTPUT`].
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut line = Vec::new();
        match self.stdout.read_until(b'\n', &mut line) {
            Ok(_) if line.ends_with(b"\n") => Ok(Some(line)),
            _ if self.stdout.get_ref().limit() == 0 => Err(self.cmd.says_too_much()),
            _ => Ok(None),
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
        let test = Cmd::new("test").arg("-e").path(path);
        let there = self.probe(&test)?;
        if there.code == Some(1) {
            return Ok(None);
        }
        there.into_success(&test)?;
        let [content] = self.fetch([&path.to_string_lossy()])?;
        Ok(Some(content))
    }

    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        let cmd = self.sh(&take(&path.to_string_lossy(), mode)).stdin(framed(content));
        self.reach(&cmd)?.into_success(&cmd).map(drop)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        self.run(&Cmd::new("rm").arg("-f").path(path)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::Local;
    use std::os::unix::fs::PermissionsExt as _;

    /// Every length at which a stream may end: in each of its parts, at each of their ends, and beside these.
    fn cuts(stream: &[u8]) -> Vec<usize> {
        let head = stream.iter().position(|b| *b == b'\n').unwrap();
        let ends = [0, 1, 63, 64, 65, head, head + 1, head + 2, stream.len() / 2, stream.len() - 1];
        ends.into_iter().filter(|cut| *cut < stream.len()).collect()
    }

    fn written(dir: &Path, stream: &[u8]) -> Output {
        let line = take(&dir.join("etc/file").to_string_lossy(), 0o640);
        Local.probe(&Cmd::new("sh").args(["-c", &line]).stdin(stream)).unwrap()
    }

    #[test]
    fn a_file_that_arrives_whole_is_put_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etc/file");
        for content in [&b""[..], b"\n", b"one\ntwo", &[0, 255, b'\n'].repeat(50_000)] {
            let output = written(dir.path(), &framed(content));
            assert!(output.success(), "{}", output.stderr);
            assert_eq!(std::fs::read(&path).unwrap(), content);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        }
    }

    #[test]
    fn a_file_cut_short_anywhere_leaves_the_one_that_was_there_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        assert!(written(dir.path(), &framed(b"before")).success());
        for content in [&b"\n"[..], b"after", &b"x\n".repeat(50_000)] {
            let stream = framed(content);
            for cut in cuts(&stream) {
                let output = written(dir.path(), &stream[..cut]);
                assert_eq!(output.code, Some(1), "{cut} of {}: {}", stream.len(), output.stderr);
                if cut > 66 + content.len().to_string().len() {
                    assert!(output.stderr.contains("arrived; nothing was changed"), "{}", output.stderr);
                }
                assert_eq!(std::fs::read(dir.path().join("etc/file")).unwrap(), b"before", "{cut}");
                assert_eq!(std::fs::read_dir(dir.path().join("etc")).unwrap().count(), 1, "{cut}");
            }
        }
        let other = [&framed(b"after")[..], b"more"].concat();
        assert!(!written(dir.path(), &other).success(), "more than was announced");
    }

    #[test]
    fn files_that_are_read_are_whole_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["one", "two", "none"].map(|name| dir.path().join(name));
        let contents = [b"12\n34".to_vec(), vec![7; 1000], vec![]];
        for (path, content) in paths.iter().zip(&contents) {
            std::fs::write(path, content).unwrap();
        }
        let cmd = |program: &str, args: &[&str]| {
            let cmd = paths.iter().fold(Cmd::new(program).args(args.iter().copied()), Cmd::path);
            Local.run(&cmd).unwrap().stdout
        };
        let said = [cmd("stat", &["-c", "%s"]), cmd("cat", &[])].concat();
        assert_eq!(files_of(&said), Some(contents));
        for cut in 0..said.len() {
            assert_eq!(files_of::<3>(&said[..cut]), None, "{cut}");
        }
        assert_eq!(files_of::<3>(&[&said[..], b"x"].concat()), None);
    }

    #[test]
    fn lines_without_end_are_refused() {
        for script in ["exec yes \"$(printf %65535s)\"", "exec cat /dev/zero", "printf 'one\\ntw'"] {
            let mut lines = Lines::of(Cmd::new("sh").args(["-c", script])).unwrap();
            let mut most = host::MOST_OUTPUT as usize / 65_536 + 1;
            let end = loop {
                match lines.next_line() {
                    Ok(Some(_)) if most > 0 => most -= 1,
                    end => break end,
                }
            };
            if script.starts_with("exec") {
                assert!(end.unwrap_err().to_string().contains("more than 64 MiB"), "{script}");
            } else {
                assert_eq!(end.unwrap(), None);
            }
        }
    }
}
