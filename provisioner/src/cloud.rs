//! Which cloud is talked to, as whom.

use crate::api::{Client, DEFAULT_ENDPOINT, Notice};
use crate::errors::NeedsOperator;
use anyhow::Result;

/// An API and the right to use it. For a rehearsal the front door starts the cloud and fills this in;
/// past this point nothing knows the difference.
#[derive(Clone)]
pub struct Endpoint {
    /// The API's base URL.
    pub url: String,
    /// The API token.
    pub token: String,
}

impl Endpoint {
    /// Hetzner's own, by `HCLOUD_TOKEN` and, where set, `HCLOUD_ENDPOINT`.
    pub fn from_environment() -> Result<Self> {
        let token = std::env::var("HCLOUD_TOKEN").ok().filter(|token| !token.is_empty()).ok_or_else(|| {
            NeedsOperator(
                "connecting to Hetzner: HCLOUD_TOKEN is not set; make a token with read and write permission in the \
                 Cloud Console and export it, or rehearse with `rehearsal = true` in project.toml's [cloud]"
                    .into(),
            )
        })?;
        let url = std::env::var("HCLOUD_ENDPOINT").unwrap_or_else(|_| DEFAULT_ENDPOINT.into());
        Ok(Self { url, token })
    }

    /// A client of it.
    pub fn client(&self, notice: Notice) -> Result<Client> {
        Ok(Client::new(&self.url, &self.token, notice)?)
    }
}
