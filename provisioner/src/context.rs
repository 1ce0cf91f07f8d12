//! What every verb of the main job works on.

use crate::api::{Client, Notice};
use crate::project::{Folder, Project};
use crate::report::Report;
use crate::whereabouts::Whereabouts;

/// One project, one cloud, one watcher: what every verb of the main job works on.
pub struct Context<'a> {
    /// The project's folder.
    pub folder: &'a Folder,
    /// What the operator wants.
    pub project: &'a Project,
    /// The cloud.
    pub client: &'a Client,
    /// Who watches.
    pub report: &'a dyn Report,
    /// How ssh is let in where the cloud's firewall keeps it out.
    pub way: &'a Way,
}

/// How commands of a project come in.
#[derive(Clone)]
pub struct Way {
    /// How the operator's address is found out, where it is wanted.
    pub whereabouts: Whereabouts,
    /// Told what is opened and closed.
    pub notice: Notice,
}
