//! A cloud without machines for one trial, served by this process: programs reach it over loopback.

use anyhow::Result;
use provisioner::api::Client;
use rehearsal::{Architecture, Config, ImageSource, Machines, Profile, Running};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tests::Hurried;
use tokio::runtime::Runtime;

/// How long actions may take, by a clock that skips what is waited.
const ACTION_LIMIT: Duration = Duration::from_secs(600);

/// A cloud of its own, gone when it is dropped.
pub(crate) struct Cloud {
    running: Running,
    client: Client,
    runtime: Runtime,
    dir: TempDir,
}

impl Cloud {
    /// With the images on offer that published examples name.
    pub(crate) fn start() -> Result<Self> {
        Self::playing(Profile::Current)
    }

    /// The same, of another time.
    pub(crate) fn playing(profile: Profile) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut config = Config::new(dir.path().join("cloud"));
        config.machines = Machines::None;
        config.profile = profile;
        config.rate_limit = 1_000_000;
        for (flavor, version) in [("debian", "13"), ("ubuntu", "24.04")] {
            config.images.extend([Architecture::X86, Architecture::Arm].map(|a| image(flavor, version, a)));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let running = runtime.block_on(rehearsal::start(config))?;
        let client = Client::new(&running.url(), running.token(), Arc::new(|_: &str| {}))?;
        let client = client.with_clock(Arc::new(Hurried::default()));
        Ok(Self { running, client, runtime, dir })
    }

    /// The base URL, with `/v1`.
    pub(crate) fn url(&self) -> String {
        self.running.url()
    }

    /// The token.
    pub(crate) fn token(&self) -> &str {
        self.running.token()
    }

    /// A directory for the trial's files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Makes a resource and waits for its actions. The whole answer is given back.
    pub(crate) fn make(&self, path: &str, body: &Value) -> Result<Value> {
        self.runtime.block_on(async {
            let doing = format!("making something at {path}");
            let answer = self.client.create(&doing, path, body).await?;
            self.client.finish(&doing, &answer, ACTION_LIMIT).await?;
            Ok(answer)
        })
    }

    /// Everything in a list.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Value>> {
        let key = path.rsplit('/').next().unwrap_or_default();
        Ok(self.runtime.block_on(self.client.list("listing", path, key, &[]))?)
    }

    /// Whether there is such a path, whatever it takes: no path has the method PATCH.
    pub(crate) fn has(&self, path: &str) -> Result<bool> {
        let patch = "PATCH".parse()?;
        let answer = self.runtime.block_on(self.client.change("looking for a path", patch, path, None));
        let error = answer.err().map(|error| error.to_string()).unwrap_or_default();
        anyhow::ensure!(!error.is_empty(), "PATCH {path} was done");
        Ok(!error.contains("no such path"))
    }
}

fn image(flavor: &str, version: &str, architecture: Architecture) -> ImageSource {
    ImageSource {
        name: format!("{flavor}-{version}"),
        description: format!("{flavor} {version}"),
        architecture,
        os_flavor: flavor.into(),
        os_version: Some(version.into()),
        disk: "".into(),
        kernel: None,
        initrd: None,
        cmdline: String::new(),
        labels: std::collections::BTreeMap::new(),
    }
}
