use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _, Local, Output};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Runs a program with another file of host names, in a mount namespace of its own.
const WITH_HOSTS: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
const ANSWER: Duration = Duration::from_secs(60);

/// A device in somebody's private network: a real node on this machine, without a network interface of its own. What
/// wants to go through it uses its SOCKS proxy. Dropped, it is stopped.
pub struct Peer {
    dir: PathBuf,
    programs: PathBuf,
    name: String,
    control: String,
    proxy: u16,
    child: Child,
}

impl Peer {
    /// Starts one that knows the control server `control` at `address` and trusts `certificate` (PEM), and nothing else.
    pub fn start(
        dir: &Path,
        programs: &Path,
        name: &str,
        (control, address): (&str, Ipv4Addr),
        certificate: &str,
    ) -> Result<Self> {
        let dir = dir.join(name);
        let write = |file: &str, text: &str| host::files::write(&dir.join(file), text.as_bytes(), 0o600);
        write("hosts", &format!("127.0.0.1 localhost\n{address} {control}\n"))?;
        write("certificate.pem", certificate)?;
        let proxy = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut cmd = Cmd::new("unshare").args(["--mount", "sh", "-c", WITH_HOSTS]).path(dir.join("hosts"));
        cmd = cmd
            .path(programs.join("tailscaled"))
            .args(["--tun=userspace-networking", "--no-logs-no-support"]);
        cmd = cmd.arg(format!("--statedir={}", dir.join("state").display()));
        cmd = cmd.arg(format!("--socket={}", dir.join("socket").display()));
        cmd = cmd.arg(format!("--socks5-server=127.0.0.1:{proxy}")).arg("--port=0");
        cmd = cmd.env("HOME", dir.to_string_lossy()).env("SSL_CERT_DIR", "/nonexistent");
        let mut command = cmd.env("SSL_CERT_FILE", dir.join("certificate.pem").to_string_lossy()).to_std()?;
        let log = std::fs::File::create(dir.join("log"))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let peer =
            Self { dir, programs: programs.into(), name: name.into(), control: control.into(), proxy, child };
        let start = Instant::now();
        while !peer.dir.join("socket").exists() {
            if start.elapsed() > ANSWER {
                bail!("starting {}: {}", peer.name, std::fs::read_to_string(peer.dir.join("log"))?);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(peer)
    }

    /// `tailscale` with these words, to its end.
    pub fn tailscale(&self, args: &[&str]) -> Result<Output> {
        let cmd = Cmd::new(self.programs.join("tailscale").to_string_lossy());
        let cmd = cmd.arg(format!("--socket={}", self.dir.join("socket").display()));
        Ok(Local.probe(&cmd.args(args.iter().copied()).timeout(ANSWER * 2))?)
    }

    /// Joins with a key; gives back what was said, whatever came of it.
    pub fn join(&self, key: &str) -> Result<Output> {
        let file = self.dir.join("key");
        host::files::write(&file, key.as_bytes(), 0o400)?;
        let (key, server) =
            (format!("--auth-key=file:{}", file.display()), format!("https://{}", self.control));
        let (server, name) = (format!("--login-server={server}"), format!("--hostname={}", self.name));
        let up = ["up", "--timeout=90s", "--accept-dns=false", "--netfilter-mode=off", &server, &name, &key];
        self.tailscale(&up)
    }

    /// Its own IPv4 address in the network.
    pub fn address(&self) -> Result<Ipv4Addr> {
        let said = self.tailscale(&["ip", "-4"])?;
        said.text()
            .parse()
            .with_context(|| format!("reading the address of {}: {:?}", self.name, said.stderr))
    }

    /// A connection through the network (SOCKS version 5, RFC 1928, to an IPv4 address).
    pub fn connect(&self, to: Ipv4Addr, port: u16) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.proxy))?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(&[5, 1, 0])?;
        let mut method = [0; 2];
        stream.read_exact(&mut method)?;
        let request = [&[5, 1, 0, 1], &to.octets()[..], &port.to_be_bytes()[..]].concat();
        stream.write_all(&request)?;
        let mut answer = [0; 10];
        stream
            .read_exact(&mut answer)
            .with_context(|| format!("connecting to {to}:{port} through the network"))?;
        if answer[1] != 0 {
            bail!("connecting to {to}:{port} through the network: the proxy answered {}", answer[1]);
        }
        Ok(stream)
    }

    /// HEAD over such a connection: the answer, and the connection, still open.
    pub fn head(&self, to: Ipv4Addr, port: u16, path: &str) -> Result<(String, TcpStream)> {
        let mut stream = self.connect(to, port)?;
        write!(stream, "HEAD {path} HTTP/1.1\r\nHost: {to}\r\n\r\n")?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).with_context(|| format!("reading the answer of {to}:{port}"))?;
            answer.push(byte[0]);
        }
        Ok((String::from_utf8_lossy(&answer).into_owned(), stream))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
