//! Names and labels: the same for the same project, so that a lost reply is followed by a look, not a second server.

use crate::api::model::Labels;
use crate::project::{Lease, Project};

/// The label that says the resource is ours, and its value.
const MANAGED_BY: (&str, &str) = ("managed-by", "sovereign");
/// The label that says which project's.
const PROJECT: &str = "sovereign-project";
/// The label on a volume that says which create call made it.
pub const FORMAT_NONCE: &str = "sovereign-format";
/// The label of an image that has everything installed; a stock image lacks it.
pub const BAKED_IMAGE: &str = "sovereign-image";

/// The label that says which throw-away server's.
pub const EPHEMERAL: &str = "sovereign-ephemeral";
/// The label that says who holds the lease of a throw-away server.
pub const OWNER: &str = "sovereign-owner";
/// The label that says when the lease ends, in seconds of Unix time.
pub const EXPIRES: &str = "sovereign-expires";

/// The names and labels of one project's resources, or of one throw-away server's.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    project: &'a str,
    lease: Option<&'a Lease>,
}

impl<'a> Names<'a> {
    /// Those of a project, or of the lease it was made for.
    pub fn of(project: &'a Project) -> Self {
        Self { project: &project.name, lease: project.lease.as_ref() }
    }

    /// The server; also its host name.
    pub fn server(&self) -> String {
        self.project.into()
    }

    /// The firewall.
    pub fn firewall(&self) -> String {
        self.project.into()
    }

    /// The ssh key.
    pub fn ssh_key(&self) -> String {
        self.project.into()
    }

    /// The volume.
    pub fn volume(&self) -> String {
        format!("{}-data", self.project)
    }

    /// The primary IP of a family (`ipv4`, `ipv6`).
    pub fn primary_ip(&self, family: &str) -> String {
        format!("{}-{family}", self.project)
    }

    /// The storage box.
    pub fn storage_box(&self) -> String {
        format!("{}-backup", self.project)
    }

    /// What says whose it is: the same for as long as the resource lives.
    fn identity(&self) -> [(&'static str, &'a str); 2] {
        let whose = if self.lease.is_some() { EPHEMERAL } else { PROJECT };
        [MANAGED_BY, (whose, self.project)]
    }

    /// The labels every one of them carries.
    pub fn labels(&self) -> Labels {
        let mut labels: Labels = self.identity().map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        if let Some(lease) = self.lease {
            labels.insert(OWNER.into(), lease.owner.clone());
            labels.insert(EXPIRES.into(), lease.expires.to_string());
        }
        labels
    }

    /// What chooses them, as a label selector.
    pub fn selector(&self) -> String {
        self.identity().map(|(key, value)| format!("{key}={value}")).join(",")
    }

    /// Whether these are among a resource's labels. What a lease's labels mark is never a project's, whatever else it carries.
    pub fn own(&self, labels: &Labels) -> bool {
        self.identity().iter().all(|(key, value)| labels.get(*key).is_some_and(|found| found == value))
            && (self.lease.is_some() || !labels.contains_key(EPHEMERAL))
    }
}

/// What chooses everything that was ever leased, and nothing of any project.
pub fn leased_selector() -> String {
    format!("{}={},{EPHEMERAL},!{PROJECT}", MANAGED_BY.0, MANAGED_BY.1)
}

/// Whether labels mark a leased resource: ours, of a lease, and of no project.
pub fn is_leased(labels: &Labels) -> bool {
    labels.get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1)
        && labels.contains_key(EPHEMERAL)
        && !labels.contains_key(PROJECT)
}
