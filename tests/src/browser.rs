//! A real browser, headless Chromium, somewhere on a network of a trial's.

use crate::artifacts;
use crate::engine::{Engine, Side};
use crate::network::Space;
use crate::tied::Tied;
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _, Local};
use std::path::Path;
use tempfile::TempDir;
use thirtyfour::{ChromiumLikeCapabilities as _, DesiredCapabilities, WebDriver};

/// The programs it takes.
pub const PROGRAMS: [&str; 3] = ["chromium", "chromedriver", "certutil"];

/// Chromium's driver, with all it starts; `$1` is its home.
const DRIVER: &str = "HOME=\"$1\" chromedriver --port=0 >\"$1/driver.log\" 2>&1 & LAST";
/// How large a window is, for pictures of it.
const WINDOW: &str = "--window-size=1280,900";

/// One. Dropped, it is gone.
pub struct Browser {
    _driver: Tied,
    network: Space,
    port: u16,
    rules: String,
    _home: TempDir,
}

impl Browser {
    /// Starts one on this side of a server. It trusts this authority (PEM) besides the world's, and finds each of these hosts,
    /// a name or a pattern such as `*.example.org`, at the address beside it.
    pub fn start(engine: &Engine, side: Side, authority: &str, hosts: &[(&str, &str)]) -> Result<Self> {
        let network = engine.outside(side);
        let home = tempfile::Builder::new().prefix("browser-").tempdir_in(engine.beside(""));
        let home = home.context("making a browser's home")?;
        trust(home.path(), authority)?;
        let script = DRIVER.replace("LAST", Tied::LAST);
        let unshare = network.program("unshare").arg("--mount-proc");
        let driver = Tied::start(unshare, &script, &[home.path()], &home.path().join("script.log"))?;
        let port = port(&home.path().join("driver.log"))?;
        let rules: Vec<String> =
            hosts.iter().map(|(host, address)| format!("MAP {host} {address}")).collect();
        let rules = format!("--host-resolver-rules={}", rules.join(", "));
        Ok(Self { _driver: driver, network: Space::at(network.path())?, port, rules, _home: home })
    }

    /// Opens a window with nothing remembered of any other, does this in it, and closes it. Where that fails, a picture
    /// `NAME-failed.png` of what stood in the window and its page are left among the artifacts.
    pub fn drive<T: Send>(
        &self,
        name: &str,
        work: impl AsyncFnOnce(&WebDriver) -> Result<T> + Send,
    ) -> Result<T> {
        // Nothing is encrypted on the way to the driver, but the client wants to be able to. Somebody may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        self.network.block_on(async || {
            let driver =
                WebDriver::new(format!("http://127.0.0.1:{}", self.port), self.capabilities()?).await;
            let driver = driver.context("opening a browser's window")?;
            let mut done = work(&driver).await;
            if done.is_err()
                && let Some(said) = keep(&driver, name).await
            {
                done = done.context(said);
            }
            driver.quit().await.context("closing a browser's window")?;
            done
        })
    }

    fn capabilities(&self) -> Result<thirtyfour::ChromeCapabilities> {
        let mut chrome = DesiredCapabilities::chrome();
        for argument in
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", WINDOW, &self.rules]
        {
            chrome.add_arg(argument)?;
        }
        chrome.set_binary(&host::find_program("chromium")?.to_string_lossy())?;
        Ok(chrome)
    }
}

/// Opens a page. Where the browser shows one of its own instead, since it trusts nobody who vouches for the page, that is an
/// error, too: to the driver it is not.
pub async fn open(driver: &WebDriver, url: &str) -> Result<()> {
    driver.goto(url).await.with_context(|| format!("opening {url}"))?;
    let page = driver.source().await.with_context(|| format!("reading {url}"))?;
    if let Some((_, error)) = page.split_once("\"errorCode\":\"net::") {
        bail!("opening {url}: net::{}", error.split('"').next().unwrap_or_default());
    }
    Ok(())
}

/// Leaves a picture of the window, `NAME.png`, among the artifacts.
pub async fn picture(driver: &WebDriver, name: &str) -> Result<std::path::PathBuf> {
    let file = artifacts::file(&format!("{name}.png"))?;
    let bytes = driver.screenshot_as_png().await.with_context(|| format!("taking the picture {name}"))?;
    host::files::write(&file, &bytes, 0o644)?;
    Ok(file)
}

/// What can be kept of a window in which something failed; gives the sentence that says so.
async fn keep(driver: &WebDriver, name: &str) -> Option<String> {
    let name = format!("{name}-failed");
    let picture = picture(driver, &name).await.ok()?;
    let url = driver.current_url().await.ok()?;
    let page = artifacts::file(&format!("{name}.html")).ok()?;
    host::files::write(&page, driver.source().await.ok()?.as_bytes(), 0o644).ok()?;
    Some(format!("in the browser at {url}; see {} and {}", picture.display(), page.display()))
}

/// Chromium takes authorities from a database in its user's home.
fn trust(home: &Path, authority: &str) -> Result<()> {
    let file = home.join("authority.pem");
    host::files::write(&file, authority.as_bytes(), 0o644)?;
    let database = home.join(".pki/nssdb");
    std::fs::create_dir_all(&database).context("making a browser's authorities")?;
    let database = format!("sql:{}", database.display());
    Local.run(&Cmd::new("certutil").args(["-d", &database, "-N", "--empty-password"]))?;
    let add = Cmd::new("certutil").args(["-d", &database, "-A", "-t", "C,,", "-n", "authority", "-i"]);
    Local.run(&add.path(file))?;
    Ok(())
}

/// The port that the driver says it is at.
fn port(log: &Path) -> Result<u16> {
    let mut port = None;
    crate::until("chromedriver has started", || {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let line = said.lines().find_map(|line| line.split_once("started successfully on port "));
        port = line.and_then(|(_, port)| port.strip_suffix('.')?.parse().ok());
        Ok(port.is_some())
    })?;
    port.context("chromedriver says no port")
}
