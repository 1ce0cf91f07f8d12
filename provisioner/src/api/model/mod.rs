//! The fields of Hetzner's answers that are looked at. All else passes unread.
//!
//! Only what an object cannot be worked with without is required: its id, its name where it has one, and the few
//! fields whose absence would be taken for something else (an address, a size). Everything else may be missing or
//! `null`, and words that nobody knows are passed on as they are. Times are RFC 3339 texts.

mod compute;
mod dns;
mod network;
mod pricing;
mod storage;
mod tolerant;

pub use compute::{CreatedFrom, Image, Server, ServerType, SshKey, TypeLocation, Volume};
pub use dns::{NameServers, RRSet, Record, RecordProtection, Zone};
pub use network::{Address, AppliedFirewall, DnsPtr, Firewall, PrimaryIp, PublicNet, Rule};
pub use pricing::{LocationPrice, Price, Pricing, PrimaryIpPricing, VolumePricing};
pub use storage::{AccessSettings, StorageBox, StorageBoxType};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tolerant::{or_default, whole_or_zero};

/// The labels of a resource.
pub type Labels = BTreeMap<String, String>;

/// A resource with an id, a name and labels.
pub trait Resource {
    /// Its id, unique within its kind.
    fn id(&self) -> u64;
    /// Its name.
    fn name(&self) -> &str;
    /// Its labels.
    fn labels(&self) -> &Labels;
}

macro_rules! resource {
    ($($kind:ident),*) => {$(
        impl Resource for $kind {
            fn id(&self) -> u64 { self.id }
            fn name(&self) -> &str { &self.name }
            fn labels(&self) -> &Labels { &self.labels }
        }
    )*};
}
resource!(Server, Volume, Firewall, SshKey, PrimaryIp, Zone, StorageBox);

impl Resource for Image {
    fn id(&self) -> u64 {
        self.id
    }

    /// A snapshot has no name; what it is called is its description.
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.description)
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }
}

/// The collections whose members list their actions.
const WITH_ACTIONS: [&str; 7] =
    ["/servers", "/volumes", "/firewalls", "/primary_ips", "/images", "/zones", "/storage_boxes"];

/// Something that may still be at work when it is found.
pub trait Subject {
    /// Where its actions are listed, where `path` is that of its collection; `None` for kinds without any.
    fn actions_path(&self, path: &str) -> Option<String>;
}

impl<T: Resource> Subject for T {
    fn actions_path(&self, path: &str) -> Option<String> {
        WITH_ACTIONS.contains(&path).then(|| format!("{path}/{}/actions", self.id()))
    }
}

impl Subject for RRSet {
    /// An RRSet's actions are its zone's.
    fn actions_path(&self, path: &str) -> Option<String> {
        path.strip_suffix("/rrsets").map(|zone| format!("{zone}/actions"))
    }
}

/// What may not be done to a resource.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Protection {
    /// It may not be deleted.
    #[serde(default, deserialize_with = "or_default")]
    pub delete: bool,
    /// It may not be rebuilt; only servers have this.
    #[serde(default, deserialize_with = "or_default")]
    pub rebuild: bool,
}

/// A location.
#[derive(Debug, Clone, Deserialize)]
pub struct Location {
    /// Its name, e.g. `fsn1`.
    pub name: String,
}

/// When something stops being sold.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Deprecation {
    /// When that was announced.
    #[serde(default, deserialize_with = "or_default")]
    pub announced: String,
    /// From when on it cannot be ordered.
    #[serde(default, deserialize_with = "or_default")]
    pub unavailable_after: String,
}

/// Something the cloud is doing.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Action {
    /// Its id.
    pub id: u64,
    /// E.g. `create_server`.
    #[serde(default, deserialize_with = "or_default")]
    pub command: String,
    /// `running`, `success` or `error`.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// Percent.
    #[serde(default, deserialize_with = "whole_or_zero")]
    pub progress: u32,
    /// When it began.
    #[serde(default, deserialize_with = "or_default")]
    pub started: String,
    /// When it ended.
    pub finished: Option<String>,
    /// What it is about.
    #[serde(default, deserialize_with = "or_default")]
    pub resources: Vec<ActionResource>,
    /// Why it failed.
    pub error: Option<ActionError>,
}

/// What an action is about.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct ActionResource {
    /// Its id.
    pub id: u64,
    /// `server`, `volume`, `image`, `storage_box`, …
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub kind: String,
}

/// Why an action failed.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct ActionError {
    /// A word.
    #[serde(default, deserialize_with = "or_default")]
    pub code: String,
    /// A sentence.
    #[serde(default, deserialize_with = "or_default")]
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    #[test]
    fn numbers_are_whole_however_they_are_written() {
        let size = |size: Value| {
            from_value::<Volume>(json!({ "id": 1, "name": "v", "size": size })).map(|volume| volume.size)
        };
        assert_eq!(size(json!(10)).unwrap(), 10);
        assert_eq!(size(json!(10.0)).unwrap(), 10);
        for odd in [Value::Null, json!(10.5), json!(-1), json!("10"), json!(1e300)] {
            assert!(size(odd.clone()).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_lists_its_actions_says_where() {
        let server: Server = from_value(json!({ "id": 7, "name": "s" })).unwrap();
        assert_eq!(server.actions_path("/servers").as_deref(), Some("/servers/7/actions"));
        let key: SshKey = from_value(json!({ "id": 7, "name": "k" })).unwrap();
        assert_eq!(key.actions_path("/ssh_keys"), None);
        let set: RRSet = from_value(json!({ "id": "www/A", "name": "www", "type": "A" })).unwrap();
        assert_eq!(set.actions_path("/zones/a.example/rrsets").as_deref(), Some("/zones/a.example/actions"));
    }
}
