//! Scripts that use Hetzner's own Python library: every one of `tests/clients`, each against a cloud of its own.

use crate::cloud::Cloud;
use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tests::{can_run, python_environment};

const PACKAGES: [&str; 1] = ["hcloud==2.27.0"];
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn run_all() -> Result<()> {
    let name = "clients_pypi_hcloud";
    if !can_run(name, &["python3"])? {
        return Ok(());
    }
    let python = python_environment(&PACKAGES)?.join("python");
    let scripts = scripts()?;
    ensure!(!scripts.is_empty(), "there are no scripts in tests/clients");
    let mut wrong = Vec::new();
    for script in &scripts {
        let shown = script.file_name().unwrap_or_default().to_string_lossy();
        let cloud = Cloud::start()?;
        // What the library gives up soon, Hetzner has given up already.
        let run = Cmd::new(&python)
            .args(["-W", "error::DeprecationWarning"])
            .path(script)
            .env("HCLOUD_ENDPOINT", cloud.url())
            .env("HCLOUD_TOKEN", cloud.token())
            .env("HOME", cloud.dir())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .timeout(LIMIT);
        let start = Instant::now();
        match Local.run(&run) {
            Ok(output) => {
                println!("{name}: {shown}: {} ({:.1} s)", output.text(), start.elapsed().as_secs_f64());
            }
            Err(error) => wrong.push(format!("{shown}: {error}")),
        }
    }
    ensure!(wrong.is_empty(), "{} of {} scripts failed:\n{}", wrong.len(), scripts.len(), wrong.join("\n"));
    Ok(())
}

fn scripts() -> Result<Vec<PathBuf>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let entries = std::fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))?;
    let mut scripts = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "py"));
    scripts.sort();
    Ok(scripts)
}
