//! A real browser on the internet opens a page that a container serves over TLS.

use crate::stack::{self, hardened};
use anyhow::{Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::time::Instant;
use tests::browser::{Browser, PROGRAMS, open, picture};
use tests::engine::{self, Engine, SERVER, Side};
use tests::samples;

const HOST: &str = "www.example.test";
const URL: &str = "https://www.example.test/";

/// See the module.
pub(crate) fn opens_a_page() -> Result<()> {
    if !engine::can_run("parts_a_browser_opens_a_page_through_a_published_port", &PROGRAMS)? {
        return Ok(());
    }
    let mut engine = Engine::start(1)?;
    let image = engine.pull(&samples::native("tls-page")?)?;
    let (authority, page) = certificate(HOST)?;
    let (stranger, _) = certificate(HOST)?;
    stack::secret(&engine, "page", "page.pem", page.as_bytes(), 65534)?;
    stack::compose(&engine, "page", &compose(&image))?;
    engine.up_alone("page")?;
    let start = Instant::now();
    for (version, address) in [("4", SERVER[0].to_owned()), ("6", format!("[{}]", SERVER[1]))] {
        let browser = Browser::start(&engine, Side::Internet, &authority, &[(HOST, &address)])?;
        let name = format!("parts-page-over-ipv{version}");
        let file = browser.drive(&name, async |driver| {
            open(driver, URL).await?;
            ensure!(driver.title().await? == "busybox", "another page: {}", driver.source().await?);
            picture(driver, &name).await
        })?;
        let png = std::fs::read(&file)?;
        ensure!(png.starts_with(b"\x89PNG") && png.len() > 1000, "{} is no picture", file.display());
        println!("{} after {:.2} s", file.display(), start.elapsed().as_secs_f64());
    }
    let wary = Browser::start(&engine, Side::Internet, &stranger, &[(HOST, SERVER[0])])?;
    let refused = wary.drive("parts-page-refused", async |driver| open(driver, URL).await);
    let why = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(why.contains("net::ERR_CERT_AUTHORITY_INVALID"), "an authority nobody trusts: {why}");
    Ok(())
}

fn compose(image: &str) -> String {
    format!(
        "services:\n  page:\n    image: {image}\n{}    ports: [\"443:8443\"]\n    secrets: [page.pem]\n    \
         networks: [edge]\nnetworks:\n  edge: {{ enable_ipv6: true }}\nsecrets:\n  page.pem:\n    \
         file: {}/secrets/page.pem\n",
        hardened(8443),
        stack::folder("page")
    )
}

/// An authority of its own, PEM, and what it vouches for by this name: key and certificate.
fn certificate(name: &str) -> Result<(String, String)> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Authority of a trial");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?.pem();
    let page_key = KeyPair::generate()?;
    let page =
        CertificateParams::new(vec![name.to_owned()])?.signed_by(&page_key, &Issuer::new(params, key))?;
    Ok((authority, format!("{}{}", page_key.serialize_pem(), page.pem())))
}
