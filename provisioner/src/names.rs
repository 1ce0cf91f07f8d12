//! Names and labels: the same for the same project, so that a lost reply is followed by a look, not a second server.

use crate::api::model::{Labels, Resource};

/// The label that says the resource is ours, and its value.
const MANAGED_BY: (&str, &str) = ("managed-by", "sovereign");
/// The label that says which project's.
const PROJECT: &str = "sovereign-project";
/// The label on a volume that says which create call made it.
pub const FORMAT_NONCE: &str = "sovereign-format";
/// The label of an image that has everything installed; a stock image lacks it.
pub const BAKED_IMAGE: &str = "sovereign-image";

/// The names of one project's resources.
#[derive(Debug, Clone)]
pub struct Names<'a>(pub &'a str);

impl Names<'_> {
    /// The server; also its host name.
    pub fn server(&self) -> String {
        self.0.into()
    }

    /// The firewall.
    pub fn firewall(&self) -> String {
        self.0.into()
    }

    /// The ssh key.
    pub fn ssh_key(&self) -> String {
        self.0.into()
    }

    /// The volume.
    pub fn volume(&self) -> String {
        format!("{}-data", self.0)
    }

    /// The primary IP of a family (`ipv4`, `ipv6`).
    pub fn primary_ip(&self, family: &str) -> String {
        format!("{}-{family}", self.0)
    }

    /// The labels every one of them carries.
    pub fn labels(&self) -> Labels {
        [MANAGED_BY, (PROJECT, self.0)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    /// The same as a label selector.
    pub fn selector(&self) -> String {
        format!("{}={},{PROJECT}={}", MANAGED_BY.0, MANAGED_BY.1, self.0)
    }

    /// Whether a resource carries them.
    pub fn own(&self, resource: &impl Resource) -> bool {
        self.labels().iter().all(|(key, value)| resource.labels().get(key) == Some(value))
    }
}
