//! A project, its cloud and its keys, opened for a verb.

use crate::cloud;
use crate::screen::Screen;
use anyhow::Result;
use provisioner::api::{Client, Notice};
use provisioner::cloud::{Endpoint, Sources};
use provisioner::door::{Way, Whereabouts};
use provisioner::observe::{World, observe};
use provisioner::project::{Folder, Project};
use provisioner::provision::{Context, Prepared};
use std::path::Path;
use std::sync::Arc;

/// Where the operator comes from.
#[derive(clap::Args)]
pub(crate) struct From {
    /// The address to let ssh in from, where the firewall keeps it out; asked for where it is not said.
    #[arg(long, value_name = "ADDRESS", value_parser = provisioner::project::parse_operator)]
    from: Option<std::net::IpAddr>,
}

/// What most verbs need.
pub(crate) struct Opened {
    /// The project's folder.
    pub(crate) folder: Folder,
    /// What `project.toml` says.
    pub(crate) project: Project,
    /// A client of its cloud.
    pub(crate) client: Client,
    /// The screen.
    pub(crate) screen: Arc<Screen>,
    way: Way,
}

impl Opened {
    /// Opens a project whose cloud is running; starts nothing.
    pub(crate) fn existing(projects: &Path, name: &str) -> Result<Self> {
        let folder = Folder::new(projects, name);
        let project = folder.load()?;
        let endpoint = endpoint(&project)?;
        Self::at(folder, project, &endpoint, Arc::new(Screen::new()))
    }

    /// Opens a project at a cloud.
    pub(crate) fn at(
        folder: Folder,
        project: Project,
        endpoint: &Endpoint,
        screen: Arc<Screen>,
    ) -> Result<Self> {
        let notices = Arc::clone(&screen);
        let client =
            endpoint.client(Arc::new(move |text| provisioner::report::Report::note(&*notices, text)))?;
        let notices = Arc::clone(&screen);
        let notice: Notice = Arc::new(move |text| provisioner::report::Report::note(&*notices, text));
        let whereabouts = Whereabouts { known: project.operator, service: endpoint.address_service.clone() };
        Ok(Self { folder, project, client, screen, way: Way { whereabouts, notice } })
    }

    /// The same for an operator who said where they come from.
    pub(crate) fn from(mut self, from: &From) -> Self {
        self.way.whereabouts.known = from.from.or(self.way.whereabouts.known);
        self
    }

    /// For the provisioner's verbs.
    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            folder: &self.folder,
            project: &self.project,
            client: &self.client,
            report: &*self.screen,
            way: &self.way,
        }
    }

    /// The keys on this side, and what there is in the cloud; refused where it is not clear which is the project's server.
    pub(crate) async fn look(&self) -> Result<(Prepared, World)> {
        let prepared = self.context().prepare()?;
        let world = observe(&self.client, &self.project).await?;
        world.refuse_obstacles(&self.project, "reaching the server")?;
        Ok((prepared, world))
    }
}

/// The cloud of a project: Hetzner's, or the rehearsal that an earlier run started.
pub(crate) fn endpoint(project: &Project) -> Result<Endpoint> {
    if project.rehearsal {
        return cloud::running();
    }
    let command = (!project.token_command.is_empty()).then_some(project.token_command.as_slice());
    Endpoint::find(&Sources { token_command: command, context: project.context.as_deref() })
}
