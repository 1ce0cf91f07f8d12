use super::{Record, url};
use crate::Error;
use crate::config::Config;
use crate::machine::{Files, Hypervisor, qemu::Qemu};
use host::{Cmd, files};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How long a daemon has to come up or to end.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How much of its log is shown when it does not come up.
const LOG_TAIL: usize = 2000;

/// Where a running cloud is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The API's base URL, with `/v1`.
    pub url: String,
    /// The API's token.
    pub token: String,
    /// The daemon's process id.
    pub pid: u32,
    /// Whether this call started it.
    pub started: bool,
}

/// What [`stop`] stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Whether a daemon ran.
    pub daemon: bool,
    /// How many machines ran and were powered off.
    pub machines: usize,
}

/// Finds the daemon of the configuration's state directory, or starts it with a copy of `exe`, which must
/// understand `cloud daemon DIR` and `cloud relay SOCKET`. A daemon of another executable or
/// another configuration is replaced; its machines go on running. This blocks.
pub fn ensure_running(config: &Config, exe: &Path) -> Result<Endpoint, Error> {
    let config = config.clone().prepared()?;
    let _one_at_a_time = wait_for_lock(&config)?;
    let wanted = stamp(exe)?;
    let setup = super::setup(&wanted, &config);
    if let Some(record) = Record::load(&config.state_dir)?.filter(|record| record.process.is_alive()) {
        if record.setup == setup && answers(&record) {
            return Ok(endpoint(&record, false));
        }
        record.process.end(PATIENCE);
    }
    config.save()?;
    copy_executable(&config, exe, &wanted)?;
    launch(&config)
}

/// The daemon of a state directory, if one runs.
pub fn find(state_dir: &Path) -> Result<Option<Endpoint>, Error> {
    let record = Record::load(state_dir)?.filter(|record| record.process.is_alive() && answers(record));
    Ok(record.map(|record| endpoint(&record, false)))
}

/// Stops the daemon of a state directory and, where asked, cuts the power of its machines. What it knows stays.
/// A directory that is not there has none.
pub fn stop(state_dir: &Path, machines: bool) -> Result<Stopped, Error> {
    let mut stopped = Stopped { daemon: false, machines: 0 };
    if let Some(record) = Record::load(state_dir)?.filter(|record| record.process.is_alive()) {
        record.process.end(PATIENCE);
        stopped.daemon = true;
    }
    if !machines || !state_dir.exists() {
        return Ok(stopped);
    }
    let state_dir = state_dir.canonicalize().map_err(|e| host::Error::io("resolving", state_dir, e))?;
    let files = Files::new(&state_dir);
    let qemu = Qemu::new(files.clone(), None);
    for server in files.servers() {
        if qemu.runs(server) {
            qemu.cut_power(server).map_err(|failure| Error::Said(failure.message))?;
            stopped.machines += 1;
        }
    }
    Ok(stopped)
}

/// What the copied executable was copied from; empty where none was copied.
pub(super) fn source(state_dir: &Path) -> Result<String, Error> {
    let text = files::read(&state_dir.join("daemon.source"))?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

fn endpoint(record: &Record, started: bool) -> Endpoint {
    Endpoint { url: url(record.port), token: record.token.clone(), pid: record.process.pid, started }
}

fn wait_for_lock(config: &Config) -> Result<files::Lock, Error> {
    let start = Instant::now();
    loop {
        if let Some(lock) = files::try_lock(&config.path("starting"))? {
            return Ok(lock);
        }
        if start.elapsed() > PATIENCE {
            let dir = config.state_dir.display();
            return Err(Error::Said(format!(
                "starting the cloud in {dir}: another process is at it; try again"
            )));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// What a file is known by: a rebuilt one differs in size, time or inode.
fn stamp(exe: &Path) -> Result<String, Error> {
    let meta = std::fs::metadata(exe).map_err(|e| host::Error::io("looking at", exe, e))?;
    Ok(format!("{}:{}.{}:{}", meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino()))
}

/// Copies the executable, so that a rebuild does not pull it away under the daemon and the relays.
fn copy_executable(config: &Config, exe: &Path, stamp: &str) -> Result<(), Error> {
    let to = config.path("daemon");
    if to.exists() && source(&config.state_dir)? == stamp {
        return Ok(());
    }
    let part = config.path("daemon.part");
    let copied = std::fs::copy(exe, &part)
        .and_then(|_| std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o755)))
        .and_then(|()| std::fs::rename(&part, &to));
    copied.map_err(|e| host::Error::io("copying the executable to", &to, e))?;
    Ok(files::write(&config.path("daemon.source"), stamp.as_bytes(), 0o600)?)
}

fn launch(config: &Config) -> Result<Endpoint, Error> {
    let log = config.path("daemon.log");
    let failed = |e| host::Error::io("opening", &log, e);
    let out = std::fs::File::options().create(true).append(true).open(&log).map_err(failed)?;
    let begin = out.metadata().map_err(failed)?.len();
    let err = out.try_clone().map_err(failed)?;
    // A session of its own: neither the terminal's end nor Ctrl-C reaches it.
    let cmd = Cmd::new("setsid").path(config.path("daemon"));
    let cmd = cmd.args(["cloud", "daemon"]).path(&config.state_dir);
    let mut command = cmd.to_std()?;
    command.stdout(Stdio::from(out)).stderr(Stdio::from(err)).current_dir(&config.state_dir);
    let mut child = command.spawn().map_err(|e| host::Error::io("starting", "the cloud's daemon", e))?;
    let start = Instant::now();
    loop {
        let record = Record::load(&config.state_dir)?.filter(|record| record.process.pid == child.id());
        if let Some(record) = record.filter(|record| record.process.is_alive() && answers(record)) {
            return Ok(endpoint(&record, true));
        }
        let ended = child.try_wait().ok().flatten();
        if ended.is_some() || start.elapsed() > PATIENCE {
            let how =
                ended.map_or("it does not answer".to_owned(), |status| format!("it ended with {status}"));
            return Err(Error::Said(format!(
                "starting the rehearsal cloud: {how}; its log, {}, says:\n{}",
                log.display(),
                tail(&log, begin)
            )));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn tail(log: &Path, begin: u64) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let begin =
        usize::try_from(begin).unwrap_or(0).max(bytes.len().saturating_sub(LOG_TAIL)).min(bytes.len());
    String::from_utf8_lossy(&bytes[begin..]).trim_end().to_owned()
}

/// Whether the daemon answers on its port, with its token.
fn answers(record: &Record) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from(([127, 0, 0, 1], record.port));
        let limit = Duration::from_secs(5);
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        let token = &record.token;
        write!(
            stream,
            "GET /_rehearsal/health HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Connection: close\r\n\r\n"
        )?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}
