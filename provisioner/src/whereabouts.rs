//! How the operator's address is found out.

use crate::api::is_loopback;
use anyhow::{Context as _, Result};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Where one asks for one's own address at Hetzner: it answers with the address alone. Hetzner's own tutorials use it.
pub const ADDRESS_SERVICE: &str = "https://ip.hetzner.com/";
const LIMIT: Duration = Duration::from_secs(10);
/// No address is longer.
const LONGEST: usize = 64;

/// How the operator's address is found out.
#[derive(Debug, Clone)]
pub struct Whereabouts {
    /// What the operator said, on the command line or in project.toml.
    pub known: Option<IpAddr>,
    /// Who is asked where nothing was said.
    pub service: String,
}

impl Whereabouts {
    /// The address that connections from here come from.
    pub async fn find(&self) -> Result<IpAddr> {
        match self.known {
            Some(address) => Ok(address),
            None => self.ask().await.with_context(|| {
                format!(
                    "asking {} for this machine's own address; say it with `--from ADDRESS`, or in project.toml as \
                     [operator] address",
                    self.service
                )
            }),
        }
    }

    /// Asks over IPv4, since that is how the server is reached, and past any proxy, since ssh goes past it too.
    async fn ask(&self) -> Result<IpAddr> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = reqwest::Url::parse(&self.service)?;
        let own = if is_loopback(&url) { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let client = reqwest::Client::builder()
            .timeout(LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .local_address(IpAddr::from(own))
            .build()?;
        let mut answer = client.get(url).send().await?.error_for_status()?;
        let mut text = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            text.extend_from_slice(&piece);
            anyhow::ensure!(text.len() <= LONGEST, "it answered with more than an address");
        }
        let text = String::from_utf8_lossy(&text);
        text.trim().parse().with_context(|| format!("it answered {:?}, which is no address", text.trim()))
    }
}
