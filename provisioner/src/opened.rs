//! A project, its cloud and its keys, opened for a verb.

use crate::api::{Client, Notice};
use crate::cloud::Endpoint;
use crate::context::{Context, Way};
use crate::observe::observe;
use crate::project::{Folder, Project};
use crate::provision::Prepared;
use crate::report::Report;
use crate::whereabouts::Whereabouts;
use crate::world::{World, kind};
use anyhow::Result;
use std::net::IpAddr;
use std::sync::Arc;

/// What most verbs need.
pub struct Opened {
    /// The project's folder.
    pub folder: Folder,
    /// What `project.toml` says.
    pub project: Project,
    /// A client of its cloud.
    pub client: Client,
    /// Who watches.
    pub report: Arc<dyn Report>,
    way: Way,
}

impl Opened {
    /// Opens a project at a cloud; starts nothing.
    pub fn at(
        folder: Folder,
        project: Project,
        endpoint: &Endpoint,
        report: Arc<dyn Report>,
    ) -> Result<Self> {
        let client = endpoint.client(notices(&report))?;
        let whereabouts = Whereabouts { known: project.operator, service: endpoint.address_service.clone() };
        let way = Way { whereabouts, notice: notices(&report) };
        Ok(Self { folder, project, client, report, way })
    }

    /// The same for an operator who said where they come from.
    #[must_use]
    pub fn from(mut self, address: Option<IpAddr>) -> Self {
        self.way.whereabouts.known = address.or(self.way.whereabouts.known);
        self
    }

    /// For the provisioner's verbs.
    pub fn context(&self) -> Context<'_> {
        Context {
            folder: &self.folder,
            project: &self.project,
            client: &self.client,
            report: &*self.report,
            way: &self.way,
        }
    }

    /// The keys on this side, and what there is in the cloud, for a verb that reaches the server: refused where it is not
    /// clear which one that is, while all else that stands in the way is shown.
    pub async fn look(&self) -> Result<(Prepared, World)> {
        let prepared = self.context().prepare()?;
        let world = observe(&self.client, &self.project).await?;
        world.need_one(kind::SERVER, "reaching the server")?;
        world.warn(&self.project, &*self.report);
        Ok((prepared, world))
    }

    /// Looks, and does on the server what `verb` is for, with the door for ssh open meanwhile. `work` may block.
    pub async fn reach<T>(
        &self,
        verb: &str,
        work: impl FnOnce(&Context<'_>, &Prepared, &World) -> Result<T>,
    ) -> Result<T> {
        let (prepared, world) = self.look().await?;
        let context = self.context();
        let work = || work(&context, &prepared, &world);
        context.through_the_door(&world, verb, async || tokio::task::block_in_place(work)).await
    }
}

/// What a client has to say, said to who watches.
pub fn notices(report: &Arc<dyn Report>) -> Notice {
    let report = Arc::clone(report);
    Arc::new(move |text| report.note(text))
}
