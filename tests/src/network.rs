//! Networks other than this program's own: namespaces, and what can be reached from one.

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use host::Cmd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Who has not answered by then is silent; nothing here is far away.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A network namespace.
pub struct Space {
    file: File,
    path: PathBuf,
}

/// What came of a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// It was made.
    Open,
    /// Somebody said that nobody listens.
    Refused,
    /// Nobody said anything, or there is no way to go.
    Silent,
}

impl Space {
    /// The one behind a file such as `/proc/PID/ns/net`.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file = File::open(&path).with_context(|| format!("opening the network {}", path.display()))?;
        Ok(Self { file, path })
    }

    /// Whether it is this same one.
    pub fn is(&self, other: &Self) -> Result<bool> {
        use std::os::unix::fs::MetadataExt as _;
        let (one, other) = (self.file.metadata()?, other.file.metadata()?);
        Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
    }

    /// Does this on a thread that is in it. What the thread starts is in it, too, threads and programs alike; what it opens
    /// stays there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| -> Result<T> {
                let moved = move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network));
                moved.with_context(|| format!("entering the network {}", self.path.display()))?;
                Ok(work())
            });
            // A panic is the caller's.
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Does what waits for the network.
    pub fn block_on<T: Send>(&self, work: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
        self.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context("starting a runtime")?.block_on(work())
        })?
    }

    /// A program that is run in it, on this machine's own files.
    pub fn program(&self, program: &str) -> Cmd {
        Cmd::new("nsenter").arg(format!("--net={}", self.path.display())).arg("--").arg(program)
    }

    /// Where it is found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets connections in at these addresses, for as long as what it gives is kept.
    pub fn listen(&self, at: &[SocketAddr]) -> Result<Vec<TcpListener>> {
        let listen = |address: &SocketAddr| {
            TcpListener::bind(address).with_context(|| format!("listening at {address}"))
        };
        self.inside(|| at.iter().map(listen).collect())?
    }

    /// Tries a TCP connection to each, all at once.
    pub fn connect(&self, to: &[SocketAddr]) -> Result<Vec<Reach>> {
        self.block_on(async || Ok(join_all(to.iter().map(|address| connect(*address))).await))
    }
}

async fn connect(address: SocketAddr) -> Reach {
    match tokio::time::timeout(PATIENCE, tokio::net::TcpStream::connect(address)).await {
        Ok(Ok(_)) => Reach::Open,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Reach::Refused,
        _ => Reach::Silent,
    }
}
