//! A Tang server on this machine's loopback: Debian's `tangd`, once for each connection, as its systemd socket has it.

use anyhow::{Context as _, Result};
use host::{Cmd, Host as _, Local};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// The programs it takes.
pub const PROGRAMS: [&str; 3] = [TANGD, KEYGEN, "jose"];
const TANGD: &str = "/usr/libexec/tangd";
const KEYGEN: &str = "/usr/libexec/tangd-keygen";
/// This machine's loopback, as a rehearsed server sees it.
const FROM_A_SERVER: &str = "169.254.1.1";

/// One that answers until it is hushed or dropped.
pub struct Tang {
    /// Of the key it signs with, as `tang-show-keys` prints it.
    pub thumbprint: String,
    address: SocketAddr,
    told: Arc<Told>,
    serving: Option<JoinHandle<()>>,
}

impl Tang {
    /// A new one with keys of its own.
    pub fn new() -> Result<Self> {
        let keys = tempfile::tempdir().context("making a Tang server's directory")?;
        Local.run(&Cmd::new(KEYGEN).path(keys.path()))?;
        let thumbprint = signing_key(keys.path())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening as a Tang server")?;
        let address = listener.local_addr()?;
        let told = Arc::<Told>::default();
        let hears = Arc::clone(&told);
        let serving = std::thread::spawn(move || serve(&listener, &keys, &hears));
        Ok(Self { thumbprint, address, told, serving: Some(serving) })
    }

    /// Where a rehearsed server finds it.
    pub fn url(&self) -> String {
        format!("http://{FROM_A_SERVER}:{}", self.address.port())
    }

    /// From now on it lets everybody in and says nothing, as one that hangs.
    pub fn hush(&self) {
        self.told.hush.store(true, Ordering::SeqCst);
    }
}

/// What one that serves is to do from now on.
#[derive(Default)]
struct Told {
    hush: AtomicBool,
    stop: AtomicBool,
}

impl Drop for Tang {
    fn drop(&mut self) {
        self.told.stop.store(true, Ordering::SeqCst);
        // Wakes it, so that it hears.
        let _ = TcpStream::connect(self.address);
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

fn serve(listener: &TcpListener, keys: &TempDir, told: &Told) {
    let mut kept = Vec::new();
    for stream in listener.incoming().map_while(Result::ok) {
        if told.stop.load(Ordering::SeqCst) {
            return;
        }
        if told.hush.load(Ordering::SeqCst) {
            kept.push(stream);
        } else if let Err(error) = answer(stream, keys.path()) {
            eprintln!("      tangd: {error:#}");
        }
    }
}

/// One connection, to its end; a client speaks to one server at a time.
fn answer(stream: TcpStream, keys: &Path) -> Result<()> {
    let mut tangd = Cmd::new(TANGD).path(keys).to_std()?;
    let input = OwnedFd::from(stream.try_clone()?);
    tangd.stdin(Stdio::from(input)).stdout(Stdio::from(OwnedFd::from(stream)));
    tangd.status().context("running tangd")?;
    Ok(())
}

/// `tangd-keygen` names a key's file after its thumbprint.
fn signing_key(keys: &Path) -> Result<String> {
    for entry in std::fs::read_dir(keys)? {
        let path = entry?.path();
        let key: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        if key["alg"] == "ES512" {
            let name = path.file_stem().context("a key without a name")?;
            return Ok(name.to_string_lossy().into_owned());
        }
    }
    anyhow::bail!("making a Tang server's keys: there is none that signs")
}
