//! What leases left behind: found by its labels alone, and removed when they are over.

use super::agreed;
use crate::api::model::Labels;
use crate::api::{Client, Error};
use crate::destroy::{self, Fate};
use crate::names::{EXPIRES, OWNER, is_leased, leased_selector};
use crate::report::Report;
use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// How long after its end what was leased is left to its holder, in seconds: removing takes a while.
const GRACE: u64 = 120;
/// The file in a lease's folder that says when it ends.
pub(super) const EXPIRES_FILE: &str = "expires";

/// Every kind of resource that carries labels: what it is called, and its path at the API.
const KINDS: [(&str, &str); 13] = [
    ("server", "servers"),
    ("load balancer", "load_balancers"),
    ("volume", "volumes"),
    ("primary IP", "primary_ips"),
    ("floating IP", "floating_ips"),
    ("network", "networks"),
    ("placement group", "placement_groups"),
    ("snapshot", "images"),
    ("certificate", "certificates"),
    ("storage box", "storage_boxes"),
    ("zone", "zones"),
    ("firewall", "firewalls"),
    ("ssh key", "ssh_keys"),
];

/// Something that was leased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leased {
    /// What it is.
    pub kind: &'static str,
    /// Its name, or for what has none its description.
    pub name: String,
    /// Its id.
    pub id: u64,
    /// Who holds the lease.
    pub owner: String,
    /// When the lease ends, in seconds of Unix time; none where the label cannot be read.
    pub expires: Option<u64>,
    /// Whether it is protected from being deleted.
    pub protected: bool,
    #[serde(skip)]
    plural: &'static str,
}

impl Leased {
    /// How many seconds are left until it may be removed; none where that cannot be read, and then it never may.
    fn stays_for(&self, now: u64) -> Option<u64> {
        self.expires.map(|expires| until_swept(expires, now))
    }
}

impl fmt::Display for Leased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (id {}, {})", self.kind, self.name, self.id, self.owner)
    }
}

/// How many seconds what expires then stays: its lease, and the time its holder has to remove it.
fn until_swept(expires: u64, now: u64) -> u64 {
    expires.saturating_add(GRACE).saturating_sub(now)
}

/// A resource of any kind, as far as it matters here.
#[derive(Deserialize)]
struct Labelled {
    id: u64,
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    protection: crate::api::model::Protection,
}

/// Everything that was ever leased and is still there, of every kind, in the order it can be removed. The cloud is asked
/// for the labels and its answers are looked at once more here.
pub async fn leased(client: &Client) -> Result<Vec<Leased>, Error> {
    let selector = leased_selector();
    let selector = selector.as_str();
    let lists = KINDS.map(async |(kind, plural)| {
        let doing = format!("looking for leased {kind}s");
        let listed: Result<Vec<Labelled>, _> =
            client.list(&doing, &format!("/{plural}"), plural, &[("label_selector", selector)]).await;
        let all = match listed {
            // Storage boxes have an API of their own, which a token for servers need not open.
            Err(Error::Refused { status: 401 | 403, .. }) if kind == "storage box" => Vec::new(),
            listed => listed?,
        };
        let leased = all.into_iter().filter(|found| is_leased(&found.labels)).map(|found| Leased {
            kind,
            plural,
            id: found.id,
            name: found.name.or(found.description).unwrap_or_default(),
            owner: found.labels.get(OWNER).cloned().unwrap_or_default(),
            expires: found.labels.get(EXPIRES).and_then(|text| text.parse().ok()),
            protected: found.protection.delete,
        });
        Ok::<_, Error>(leased.collect::<Vec<_>>())
    });
    let lists = futures_util::future::try_join_all(lists).await?;
    Ok(lists.into_iter().flatten().collect())
}

/// What there is of leases, and by whose time they are over.
#[derive(Debug, Serialize)]
pub struct Swept {
    /// What may be removed.
    pub over: Vec<Leased>,
    /// What stays: the lease is not over, or cannot be read.
    pub others: Vec<Leased>,
    /// The cloud's time, in seconds of Unix time.
    #[serde(skip)]
    pub now: u64,
}

/// Looks for what leases left behind; says what goes and what stays, and removes nothing.
pub async fn sweep(client: &Client, report: &dyn Report) -> Result<Swept> {
    let all = leased(client).await?;
    let now = agreed(client)?;
    let (over, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|found| found.stays_for(now) == Some(0));
    for found in &others {
        let until = match found.stays_for(now) {
            Some(seconds) => format!("it is removed once its lease is over, in {seconds} s"),
            None => "its lease's end cannot be read; remove it by hand".into(),
        };
        report.note(&format!("  stays {found}: {until}"));
    }
    over.iter().for_each(|found| report.note(&format!("- goes {found}")));
    Ok(Swept { over, others, now })
}

/// Removes them, servers first; what fails is told at the end, when all others are gone.
pub async fn remove(client: &Client, over: &[Leased], report: &dyn Report) -> Result<()> {
    let mut failed = Vec::new();
    for found in over {
        // Protection is lifted by a person only, for a project and for a lease.
        let removed = if found.protected {
            Err(anyhow!("it is protected"))
        } else {
            let fate = Fate::of(found.kind, found.plural, &found.name, found.id);
            destroy::remove(client, &fate, report).await.map_err(Into::into)
        };
        if let Err(error) = removed {
            failed.push(format!("\n  {} {} (id {}): {error:#}", found.kind, found.name, found.id));
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("reaping: {} of {} could not be removed:{}", failed.len(), over.len(), failed.concat())
}

/// Removes the folders below `leases` of leases that are over, with the keys in them.
pub fn forget_folders(leases: &Path, now: u64) -> Result<()> {
    if !leases.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(leases).with_context(|| format!("reading {}", leases.display()))? {
        let folder = entry?.path();
        let expires = host::files::read(&folder.join(EXPIRES_FILE))?;
        let expires: Option<u64> = expires.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
        if expires.is_some_and(|expires| until_swept(expires, now) == 0) {
            std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_cannot_be_read_never_may_be_removed() {
        let found = |expires| Leased {
            kind: "server",
            plural: "servers",
            name: String::new(),
            id: 1,
            owner: String::new(),
            expires,
            protected: false,
        };
        assert_eq!(found(Some(5)).stays_for(5), Some(GRACE), "its holder may be removing it");
        assert_eq!(found(Some(5)).stays_for(5 + GRACE), Some(0));
        assert_eq!(found(None).stays_for(u64::MAX), None);
    }
}
