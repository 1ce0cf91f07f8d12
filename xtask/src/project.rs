//! A project opened at its cloud.

use crate::args::Server;
use crate::cloud;
use crate::screen::screen;
use anyhow::Result;
use provisioner::cloud::{Endpoint, Sources};
use provisioner::opened::Opened;
use provisioner::project::{Folder, Project};
use std::path::Path;

/// Opens a project whose cloud is running; starts nothing.
pub(crate) fn existing(projects: &Path, name: &str) -> Result<Opened> {
    let folder = Folder::new(projects, name);
    let project = folder.load()?;
    let endpoint = endpoint(&project)?;
    Opened::at(folder, project, &endpoint, screen())
}

/// The same for a verb that reaches the server.
pub(crate) fn with_server(projects: &Path, server: &Server) -> Result<Opened> {
    Ok(existing(projects, &server.name.project)?.from(server.from))
}

/// The cloud of a project: Hetzner's, or the rehearsal that an earlier run started.
pub(crate) fn endpoint(project: &Project) -> Result<Endpoint> {
    if project.rehearsal {
        return cloud::running();
    }
    let command = (!project.token_command.is_empty()).then_some(project.token_command.as_slice());
    Endpoint::find(&Sources { token_command: command, context: project.context.as_deref() })
}
