use crate::wire::{SERVER, Wire};
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _, Local, Output};
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Runs a program with another file of host names, in a mount namespace of its own.
const WITH_HOSTS: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
const ANSWER: Duration = Duration::from_secs(60);
/// Seconds within which a connection through the network must have come about and answered.
const TALK: &str = "25";

/// A device in somebody's private network: a real node at the other end of a [`Wire`], without a network interface of its
/// own. What wants to go through it asks its command line. Dropped, it is stopped.
pub struct Peer {
    dir: PathBuf,
    programs: PathBuf,
    name: String,
    control: String,
    child: Child,
}

impl Peer {
    /// Starts one that knows the control server by its name `control` and trusts `certificate` (PEM), and nothing else.
    pub fn start(
        wire: &Wire<'_>,
        dir: &Path,
        programs: &Path,
        name: &str,
        control: &str,
        certificate: &str,
    ) -> Result<Self> {
        let dir = dir.join(name);
        let write = |file: &str, text: &str| host::files::write(&dir.join(file), text.as_bytes(), 0o600);
        write("hosts", &format!("127.0.0.1 localhost\n{} {control}\n", SERVER[0]))?;
        write("certificate.pem", certificate)?;
        let cmd = wire.neighbour("unshare").args(["--mount", "sh", "-c", WITH_HOSTS]).path(dir.join("hosts"));
        let cmd = cmd.path(programs.join("tailscaled")).args([
            "--tun=userspace-networking",
            "--no-logs-no-support",
            "--port=0",
        ]);
        let cmd = cmd.arg(format!("--statedir={}", dir.join("state").display()));
        let cmd = cmd.arg(format!("--socket={}", dir.join("socket").display()));
        let cmd = cmd.env("HOME", &dir).env("SSL_CERT_DIR", "/nonexistent");
        let mut command = cmd.env("SSL_CERT_FILE", dir.join("certificate.pem")).to_std()?;
        let log = std::fs::File::create(dir.join("log"))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let peer = Self { dir, programs: programs.into(), name: name.into(), control: control.into(), child };
        let start = Instant::now();
        while !peer.dir.join("socket").exists() {
            if start.elapsed() > ANSWER {
                bail!("starting {}: {}", peer.name, peer.log()?);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(peer)
    }

    /// What it said so far.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.dir.join("log"))?)
    }

    fn command(&self, args: &[&str]) -> Cmd {
        let cmd = Cmd::new("timeout").arg("120").path(self.programs.join("tailscale"));
        cmd.arg(format!("--socket={}", self.dir.join("socket").display())).args(args.iter().copied())
    }

    /// `tailscale` with these words, to its end.
    pub fn tailscale(&self, args: &[&str]) -> Result<Output> {
        Ok(Local.probe(&self.command(args).timeout(ANSWER * 3))?)
    }

    /// Joins with a key; gives back what was said, whatever came of it.
    pub fn join(&self, key: &str) -> Result<Output> {
        let file = self.dir.join("key");
        host::files::write(&file, key.as_bytes(), 0o400)?;
        let key = format!("--auth-key=file:{}", file.display());
        let server = format!("--login-server=https://{}", self.control);
        let name = format!("--hostname={}", self.name);
        self.tailscale(&["up", "--timeout=90s", "--netfilter-mode=off", &server, &name, &key])
    }

    /// Its own IPv4 address in the network.
    pub fn address(&self) -> Result<Ipv4Addr> {
        let said = self.tailscale(&["ip", "-4"])?;
        said.text()
            .parse()
            .with_context(|| format!("reading the address of {}: {:?}", self.name, said.stderr))
    }

    /// Sends a request to an address in the network and reads the answer up to the end of its head: that, and
    /// the connection, still open.
    pub fn ask(&self, to: Ipv4Addr, port: u16, request: &str) -> Result<(String, Talk)> {
        let socket = format!("--socket={}", self.dir.join("socket").display());
        let cmd = Cmd::new("timeout").arg(TALK).path(self.programs.join("tailscale")).arg(socket);
        let mut command = cmd.args(["nc", &to.to_string(), &port.to_string()]).to_std()?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut talk = Talk(command.spawn()?);
        let (stdin, stdout) = (talk.0.stdin.as_mut(), talk.0.stdout.as_mut());
        stdin.context("no stdin")?.write_all(request.as_bytes())?;
        let stdout = stdout.context("no stdout")?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            let read = stdout.read_exact(&mut byte);
            read.with_context(|| format!("{} asking {to} port {port} through the network", self.name))?;
            answer.push(byte[0]);
        }
        Ok((String::from_utf8_lossy(&answer).into_owned(), talk))
    }
}

/// A connection through the network. Dropped, it is closed.
pub struct Talk(Child);

impl Drop for Talk {
    fn drop(&mut self) {
        // The program at this end leaves when nothing more can come from here.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
