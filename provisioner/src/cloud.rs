//! Which cloud is talked to, as whom.

mod token;

pub use token::Sources;

use crate::api::{Access, Client, DEFAULT_ENDPOINT, Notice, STORAGE_ENDPOINT};
use crate::errors::NeedsOperator;
use crate::whereabouts::ADDRESS_SERVICE;
use anyhow::Result;
use host::Secret;
use std::collections::BTreeMap;

/// An API and the right to use it. For a rehearsal the front door starts the cloud and fills this in;
/// past this point nothing knows the difference.
#[derive(Clone)]
pub struct Endpoint {
    /// The API's base URL.
    pub url: String,
    /// The API token.
    pub token: Secret,
    /// The base URL of the Storage Box API.
    pub storage_url: String,
    /// Its token.
    pub storage_token: Secret,
    /// Where the token came from, for people.
    pub source: String,
    /// Who tells the operator's machine the address it comes from.
    pub address_service: String,
}

impl Endpoint {
    /// One URL and one token for everything, as a rehearsal has.
    pub fn new(url: &str, token: &str, source: &str) -> Self {
        let token = Secret::new(token.into());
        Self {
            url: url.into(),
            token: token.clone(),
            storage_url: url.into(),
            storage_token: token,
            source: source.into(),
            address_service: address_service(url),
        }
    }

    /// [`find`](Self::find), for a project that names no source of its own.
    pub fn from_environment() -> Result<Self> {
        Self::find(&Sources::default())
    }

    /// Hetzner's own, or what `HCLOUD_ENDPOINT` and `HETZNER_ENDPOINT` name, with the first token of: `HCLOUD_TOKEN`,
    /// the project's `token_command`, the hcloud CLI's context.
    pub fn find(sources: &Sources<'_>) -> Result<Self> {
        Self::find_in(sources, &std::env::vars_os().filter_map(text).collect())
    }

    fn find_in(sources: &Sources<'_>, environment: &BTreeMap<String, String>) -> Result<Self> {
        let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let url = set("HCLOUD_ENDPOINT").map_or(DEFAULT_ENDPOINT, String::as_str);
        let own = is_allowed("HCLOUD_ENDPOINT", url)?;
        let named = set("HETZNER_ENDPOINT");
        let storage_url = match named {
            Some(url) => url,
            None if own => STORAGE_ENDPOINT,
            // A rehearsal must never reach the real API.
            None => url,
        };
        is_allowed("HETZNER_ENDPOINT", storage_url)?;
        let (token, source) = token::find(sources, environment)?;
        // Where one URL serves both, it knows one token.
        let storage_token = set("HETZNER_TOKEN").filter(|_| own || named.is_some());
        let storage_token = storage_token.map_or_else(|| token.clone(), |t| Secret::new(t.trim().into()));
        let address_service = if own { ADDRESS_SERVICE.into() } else { address_service(url) };
        let (url, storage_url) = (url.into(), storage_url.into());
        Ok(Self { url, token, storage_url, storage_token, source, address_service })
    }

    /// A client of it, for Storage Boxes, too.
    pub fn client(&self, notice: Notice) -> Result<Client> {
        let cloud = Access::new(&self.url, self.token.clone(), &self.source);
        let same = self.url == self.storage_url && self.token.expose() == self.storage_token.expose();
        let source =
            if self.token.expose() == self.storage_token.expose() { &self.source } else { "HETZNER_TOKEN" };
        let storage = Access::new(&self.storage_url, self.storage_token.clone(), source);
        Ok(Client::serving(cloud, (!same).then_some(storage), notice)?)
    }
}

/// The service of a cloud that is not Hetzner's: `/address` beside its API.
fn address_service(url: &str) -> String {
    format!("{}/address", url.trim_end_matches('/').trim_end_matches("/v1"))
}

fn text((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

/// Whether a URL is Hetzner's own; an error where a token must not be sent there.
fn is_allowed(name: &str, url: &str) -> Result<bool> {
    let wrong = |why: &str| NeedsOperator(format!("reading {name}: {url:?} {why}"));
    let parsed = reqwest::Url::parse(url).map_err(|e| wrong(&format!("is no URL: {e}")))?;
    match parsed.scheme() {
        "https" => {}
        "http" if crate::api::is_loopback(&parsed) => {}
        _ => {
            let why = "would carry the token unencrypted: give an https URL (http is for this machine only)";
            return Err(wrong(why).into());
        }
    }
    let host = parsed.host_str().unwrap_or_default();
    Ok([".hetzner.cloud", ".hetzner.com"].iter().any(|domain| host.ends_with(domain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "http://127.0.0.1:8080/v1";

    fn find(environment: &[(&str, &str)]) -> Result<Endpoint> {
        let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Endpoint::find_in(
            &Sources::default(),
            &pairs.chain([("HCLOUD_TOKEN".into(), "one".into())]).collect(),
        )
    }

    #[test]
    fn each_setting_leads_to_its_endpoints() {
        const OTHER: &str = "http://[::1]:1/v1";
        let hetzners = |token| [DEFAULT_ENDPOINT, "one", STORAGE_ENDPOINT, token];
        let all = [("HCLOUD_ENDPOINT", LOCAL), ("HETZNER_ENDPOINT", OTHER), ("HETZNER_TOKEN", "two")];
        let rows = [
            ([].as_slice(), hetzners("one")),
            (&[("HCLOUD_ENDPOINT", ""), ("HETZNER_TOKEN", "")], hetzners("one")),
            (&[("HCLOUD_ENDPOINT", DEFAULT_ENDPOINT)], hetzners("one")),
            (&[("HETZNER_TOKEN", "two\n")], hetzners("two")),
            (&all[..1], [LOCAL, "one", LOCAL, "one"]),
            (&[all[0], all[2]], [LOCAL, "one", LOCAL, "one"]),
            (&all, [LOCAL, "one", OTHER, "two"]),
        ];
        for (environment, expected) in rows {
            let found = find(environment).unwrap();
            let tokens =
                [&found.token, &found.storage_token].map(|t| String::from_utf8(t.expose().into()).unwrap());
            let service =
                if found.url == DEFAULT_ENDPOINT { ADDRESS_SERVICE } else { "http://127.0.0.1:8080/address" };
            assert_eq!(found.address_service, service);
            assert_eq!([&found.url, &tokens[0], &found.storage_url, &tokens[1]], expected, "{environment:?}");
            found.client(std::sync::Arc::new(|_: &str| {})).unwrap();
        }
    }

    #[test]
    fn a_token_goes_to_no_endpoint_unencrypted() {
        for name in ["HCLOUD_ENDPOINT", "HETZNER_ENDPOINT"] {
            for url in [
                "http://api.hetzner.cloud/v1",
                "http://127.0.0.1.example.com/v1",
                "ftp://localhost",
                "localhost",
            ] {
                let error = find(&[(name, url)]).err().unwrap();
                assert!(error.is::<NeedsOperator>() && error.to_string().contains(name), "{error}");
            }
        }
    }

    #[test]
    fn a_strangers_host_is_not_hetzners() {
        assert!(is_allowed("X", "https://api.hetzner.com/v1").unwrap());
        assert!(!is_allowed("X", "https://nothetzner.cloud/v1").unwrap());
        assert!(!is_allowed("X", "https://api.hetzner.cloud.example.com/v1").unwrap());
    }
}
