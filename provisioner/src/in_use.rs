//! What is asked of a server in use over the pinned channel: a question answered at once, or a change that the server
//! begins, that is followed like first boot, and confirmed from outside.

use crate::context::Context;
use crate::first_boot::Server;
use crate::known_hosts::KnownHosts;
use crate::node::ImageLock;
use crate::provision::Prepared;
use crate::report::Stage;
use crate::ssh::Session;
use crate::world::{World, kind};
use anyhow::{Context as _, Result, bail, ensure};
use escrow::Expected;
use host::{Cmd, Host as _, Output};
use spec::{NodeSpec, paths};

/// The project's server, asked about one thing.
pub struct InUse<'a> {
    pub(crate) context: &'a Context<'a>,
    prepared: &'a Prepared,
    world: &'a World,
    known_hosts: KnownHosts<'a>,
    session: Session,
    about: &'static str,
}

impl<'a> InUse<'a> {
    /// `about` says in errors what it is asked about: "its keys".
    pub fn new(
        context: &'a Context<'a>,
        prepared: &'a Prepared,
        world: &'a World,
        about: &'static str,
    ) -> Result<Self> {
        let server = world.server.as_ref();
        let server =
            server.with_context(|| format!("asking the server about {about}: there is no server"))?;
        let known_hosts = KnownHosts::new(context.folder, server.id);
        let session = context.session(prepared, world)?;
        Ok(Self { context, prepared, world, known_hosts, session, about })
    }

    /// What the server shall be by the project as it is now, with these images.
    pub(crate) fn described(&self, lock: &ImageLock) -> Result<NodeSpec> {
        self.context.describe(self.prepared, self.world, lock)
    }

    /// What firstboot on the server answers to these words.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<Output> {
        self.tell(words, Vec::new())
    }

    /// The same, with something on stdin.
    pub(crate) fn tell(&self, words: &[&str], stdin: Vec<u8>) -> Result<Output> {
        let output = self.session.probe(&Cmd::new(paths::BINARY).args(words.iter().copied()).stdin(stdin))?;
        ensure!(
            output.code != Some(2),
            "asking the server about {}: its firstboot is of an earlier release; run `cargo xtask provision --project {}` first",
            self.about,
            self.context.folder.name()
        );
        if !output.success() {
            let said = output.stderr.trim();
            bail!("on the server: {}", said.strip_prefix("error: ").unwrap_or(said));
        }
        Ok(output)
    }

    /// Has firstboot on the server answer to the operator itself; gives its exit code.
    pub fn pass_on(&self, words: &[&str]) -> Result<u8> {
        let asked = Cmd::new(paths::BINARY).args(words.iter().copied());
        let code = self.session.sh(&asked.line()).run_inherited()?;
        Ok(u8::try_from(code).unwrap_or(1))
    }

    /// Connects for a change; a locked server is refused.
    pub(crate) fn change(&self) -> Result<Change<'_>> {
        self.world.need_one(kind::VOLUME, &format!("changing {}", self.about))?;
        let server = Server {
            folder: self.context.folder,
            session: &self.session,
            known_hosts: &self.known_hosts,
            report: self.context.report,
        };
        let there = server.connect()?;
        if !there.unlocked {
            return Err(server.locked());
        }
        let volume = self.world.volume.as_ref();
        let volume = volume.with_context(|| format!("changing {}: the volume is not there", self.about))?;
        let expected = Expected {
            project: &self.context.project.name,
            volume_id: volume.id,
            recipients: &self.prepared.recipients,
        };
        Ok(Change { of: self, server, expected, running_from: there.running_from() })
    }
}

/// A change on the way: [`wait_for_what_runs`](Self::wait_for_what_runs), [`make`](Self::make),
/// [`confirm`](Self::confirm).
pub(crate) struct Change<'a> {
    of: &'a InUse<'a>,
    server: Server<'a>,
    expected: Expected<'a>,
    running_from: Option<u64>,
}

impl Change<'_> {
    /// Follows a run that is going on to its end; gives whether there was one.
    pub(crate) fn wait_for_what_runs(&self) -> Result<bool> {
        if let Some(from) = self.running_from {
            self.server.follow(from, &self.expected)?;
        }
        Ok(self.running_from.is_some())
    }

    /// Has the server begin, and follows it to its end. `doing` is shown meanwhile.
    pub(crate) fn make(&self, doing: String, words: &[&str]) -> Result<()> {
        let stage = Stage::begin(self.of.context.report, doing);
        let said = self.of.ask(words)?;
        stage.done("begun");
        let from = said.line().and_then(|number| number.parse().ok()).with_context(|| {
            format!(
                "changing {}: the server said {:?} instead of an event's number",
                self.of.about,
                said.text()
            )
        })?;
        self.server.follow(from, &self.expected)?;
        Ok(())
    }

    /// Looks at the result from outside and files the receipt.
    pub(crate) fn confirm(&self) -> Result<()> {
        let there = self.server.observe(|_| {})?;
        let receipt = there.receipt().with_context(|| {
            format!("reading the receipt: {} changed, but the receipt is gone", self.of.about)
        })?;
        self.of.context.confirm_and_file(self.of.prepared, self.of.world, receipt, true)?;
        Ok(())
    }
}
