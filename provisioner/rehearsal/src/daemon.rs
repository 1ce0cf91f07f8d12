//! The daemon: served in the foreground by [`serve`], kept running in the background by [`ensure_running`].

mod background;
mod copy;
mod process;

pub use background::{Endpoint, Stopped, ensure_running, find, stop};
pub use copy::{Copied, start_copy};

use crate::cloud::{Cloud, images};
use crate::config::Config;
use crate::{Error, api};
use host::files::{self, Lock};
use process::Process;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

/// What a daemon leaves in `daemon.json` for those who look for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    process: Process,
    port: u16,
    token: String,
    version: String,
    /// What it was started from, to see when that has changed.
    setup: String,
}

impl Record {
    fn load(state_dir: &Path) -> Result<Option<Self>, Error> {
        let bytes = files::read(&state_dir.join("daemon.json"))?;
        // A broken record is as good as none: the lock still says whether a daemon runs.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }
}

/// A cloud that this process serves. Dropping it is a crash: nothing is finished, nothing is told.
pub struct Running {
    cloud: Arc<Cloud>,
    port: u16,
    server: JoinHandle<()>,
    _lock: Lock,
}

impl Running {
    /// The API's base URL, with `/v1`.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// The API's token.
    pub fn token(&self) -> &str {
        &self.cloud.token
    }

    /// Waits until a fault on order has struck. Each call tells of one strike, in order, be it past or to come.
    pub async fn struck(&self) {
        self.cloud.faults.next_strike().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
        self.cloud.abort();
    }
}

/// Everything a daemon is started from as one text: the executable, the configuration, the state of the image files.
fn setup(source: &str, config: &Config) -> String {
    serde_json::json!({"source": source, "config": config, "images": images::stamps(config)}).to_string()
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/v1")
}

/// Serves a cloud in this process, on the caller's runtime.
pub async fn start(config: Config) -> Result<Running, Error> {
    let config = config.prepared()?;
    let lock = take_lock(&config)?;
    let token = token(&config)?;
    let listener = listen(&config).await?;
    let port =
        listener.local_addr().map_err(|e| host::Error::io("asking for the port of", "the API", e))?.port();
    let record = Record {
        process: Process::this(),
        port,
        token: token.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        setup: setup(&background::source(&config.state_dir)?, &config),
    };
    let cloud = Cloud::open(config, token)?;
    cloud.resume();
    // Before the first answer: where this machine was restarted, no server runs any more.
    cloud.look_after_all().await;
    let router =
        api::router(Arc::clone(&cloud)).into_make_service_with_connect_info::<std::net::SocketAddr>();
    let server = tokio::spawn(async move {
        if let Err(e) = axum::serve(listener, router).await {
            host::say::err(format_args!("rehearsal: serving the API: {e}"));
        }
    });
    let text =
        serde_json::to_vec_pretty(&record).map_err(|e| Error::Said(format!("writing daemon.json: {e}")))?;
    files::write(&cloud.config.path("daemon.json"), &text, 0o600)?;
    Ok(Running { cloud, port, server, _lock: lock })
}

/// Serves a cloud until the process is told to end, and notes in its state directory how. Its machines go on running.
pub async fn serve(config: Config) -> Result<(), Error> {
    let failed = |e| host::Error::io("listening for", "signals", e);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let config = config.prepared()?;
    config.save()?;
    let running = start(config).await?;
    host::say::err(format_args!("rehearsal: serving {} as process {}", running.url(), std::process::id()));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let _ = files::remove(&running.cloud.config.path("daemon.json"));
    Ok(())
}

fn take_lock(config: &Config) -> Result<Lock, Error> {
    let path = config.path("lock");
    files::try_lock(&path)?.ok_or_else(|| {
        let holder = std::fs::read_to_string(&path).unwrap_or_default();
        Error::Said(format!(
            "serving the cloud in {}: process {} does that already; stop it with `cargo xtask cloud stop`",
            config.state_dir.display(),
            holder.trim()
        ))
    })
}

async fn listen(config: &Config) -> Result<TcpListener, Error> {
    let failed = |port: u16, e: std::io::Error| {
        Error::Said(format!(
            "listening on 127.0.0.1:{port} for the API: {e}; stop what listens there or choose another port"
        ))
    };
    if config.port != 0 {
        return TcpListener::bind(("127.0.0.1", config.port)).await.map_err(|e| failed(config.port, e));
    }
    // Clients keep URLs, so the last port is taken again if it is free.
    let last =
        files::read(&config.path("port"))?.and_then(|text| String::from_utf8(text).ok()?.trim().parse().ok());
    let again = match last {
        Some(port) => TcpListener::bind(("127.0.0.1", port)).await.ok(),
        None => None,
    };
    let listener = match again {
        Some(listener) => listener,
        None => TcpListener::bind(("127.0.0.1", 0)).await.map_err(|e| failed(0, e))?,
    };
    let port = listener.local_addr().map_err(|e| failed(0, e))?.port();
    files::write(&config.path("port"), format!("{port}\n").as_bytes(), 0o600)?;
    Ok(listener)
}

/// The configured token, else the one made on first use.
fn token(config: &Config) -> Result<String, Error> {
    let path = config.path("token");
    let known = files::read(&path)?.and_then(|bytes| String::from_utf8(bytes).ok());
    let token = match (&config.token, known) {
        (Some(token), _) => token.clone(),
        (None, Some(token)) if token.trim().len() == 64 => token.trim().into(),
        _ => new_token()?,
    };
    // Nobody's token is the empty one, and one that may only look must be told from one that may do everything.
    if [Some(&String::new()), Some(&token)].contains(&config.read_only_token.as_ref()) || token.is_empty() {
        return Err(Error::Said(
            "serving the cloud: its token and its read-only token must differ and not be empty; give others"
                .into(),
        ));
    }
    files::write(&path, format!("{token}\n").as_bytes(), 0o600)?;
    Ok(token)
}

fn new_token() -> Result<String, Error> {
    let mut bytes = [0; 32];
    let random = Path::new("/dev/urandom");
    std::fs::File::open(random)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|e| host::Error::io("reading", random, e))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
