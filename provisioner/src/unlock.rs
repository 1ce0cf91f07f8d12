//! Opens the volume after a reboot or a rebuild: the key goes from the escrow over the pinned channel into firstboot's
//! stdin.

use crate::context::Context;
use crate::errors::NeedsOperator;
use crate::escrow_folder::need_current;
use crate::first_boot::Server;
use crate::known_hosts::KnownHosts;
use crate::provision::{Made, Prepared, Provisioned};
use crate::report::Stage;
use crate::ssh::Session;
use crate::world::World;
use anyhow::{Context as _, Result, bail};
use escrow::{Bundle, Identity, LUKS_KEY, LUKS_RECOVERY};
use host::{Cmd, Host as _, Secret};
use spec::paths;

/// The opened escrow and the server it is for.
pub struct Unlock<'a> {
    context: &'a Context<'a>,
    prepared: &'a Prepared,
    world: &'a World,
    known_hosts: KnownHosts<'a>,
    session: Session,
    bundle: Bundle,
    key: &'static str,
}

/// Which of the escrow's keys is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// The key that is meant for it.
    Key,
    /// The recovery words.
    Recovery,
}

/// How far an unlocked server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlocked {
    /// Everything runs.
    Up,
    /// Its first boot is not done, as after a rebuild, or somebody changed its slots by hand: [`Unlock::finish`] brings it
    /// to its end.
    HalfWay,
    /// Not at all: firstboot or its node spec is missing or damaged. [`Unlock::mend`] sees to it.
    Damaged,
}

impl<'a> Unlock<'a> {
    /// Opens the escrow with the offline key.
    pub fn new(
        context: &'a Context<'a>,
        prepared: &'a Prepared,
        world: &'a World,
        identity: &Identity,
        with: With,
    ) -> Result<Self> {
        let server = world.server.as_ref().context("unlocking: there is no server")?;
        let known_hosts = KnownHosts::new(context.folder, server.id);
        let session = context.session(prepared, world)?;
        let bundle = need_current(context.folder)?.open(identity)?;
        let key = match with {
            With::Key => LUKS_KEY,
            With::Recovery => LUKS_RECOVERY,
        };
        Ok(Self { context, prepared, world, known_hosts, session, bundle, key })
    }

    /// Unlocks the volume, if the server has come as far as that. The key never touches a disk on the way.
    pub fn unlock(&self) -> Result<Unlocked> {
        let there = self.server().connect()?;
        let opens_by_itself = there.is_at_work() && !there.is_settled();
        let waits = there.has_data() && !opens_by_itself;
        if waits && !there.ran_as_it_is() {
            return Ok(Unlocked::Damaged);
        }
        if waits {
            self.send_key()?;
        }
        self.how_far()
    }

    /// Hands over again what is missing or damaged, then unlocks.
    pub fn mend(&self, made: &Made) -> Result<Unlocked> {
        let there = self.server().observe(|_| {})?;
        let node = self.context.describe(self.prepared, self.world, &made.lock)?;
        self.server().mend(&node, &made.binary, &there)?;
        self.send_key()?;
        self.how_far()
    }

    fn how_far(&self) -> Result<Unlocked> {
        // The volume's slots may have been changed by hand: that is seen to with somebody there to take the escrow.
        let done = self.server().connect()?.is_done();
        Ok(if done { Unlocked::Up } else { Unlocked::HalfWay })
    }

    /// Brings first boot to its end, unlocking on the way where that has not been done yet.
    pub fn finish(&self, made: &Made) -> Result<Provisioned> {
        let bring_up = || self.context.bring_up(self.prepared, self.world, true, made);
        match bring_up() {
            Err(error) if error.is::<NeedsOperator>() && self.server().observe(|_| {})?.is_locked() => {
                self.send_key()?;
                bring_up()
            }
            ended => ended,
        }
    }

    fn send_key(&self) -> Result<()> {
        let key = self.bundle.get(self.key);
        let key = key.with_context(|| {
            format!(
                "unlocking: the escrow holds no {}; {LUKS_KEY} is the ordinary key, {LUKS_RECOVERY} is sent with `--recovery`",
                self.key
            )
        })?;
        let stage = Stage::begin(self.context.report, "unlocking the volume, starting what was done before");
        // The end of the line says that this is all of it.
        let line = Secret::new([key.value.expose(), b"\n"].concat());
        let output = self.session.probe(&Cmd::new(paths::BINARY).arg("unlock").stdin_secret(&line))?;
        match output.code {
            Some(0) => stage.done("unlocked"),
            Some(4) => return Err(NeedsOperator(output.stderr.trim().to_owned()).into()),
            _ => bail!("unlocking: {}", output.stderr.trim()),
        }
        Ok(())
    }

    fn server(&self) -> Server<'_> {
        Server {
            folder: self.context.folder,
            session: &self.session,
            known_hosts: &self.known_hosts,
            report: self.context.report,
        }
    }
}
