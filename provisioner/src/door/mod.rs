//! The door for ssh in the cloud's firewall: opened for the operator's address alone, for as long as one command needs it.
//!
//! [`through`] is the only way: it opens the door where the project keeps ssh shut, does the work, and closes the door
//! however the work ends: well, with an error, with a panic, or by a signal. The door is a rule of the project's firewall
//! whose description names the process that opened it. One that was killed outright cannot close anything; whoever comes
//! next, [`through`] or the plan of `provision`, finds its rule by that description and closes it. A door whose command is
//! still at work is left alone by everybody else.

mod tag;

use crate::api::model::{Firewall, Rule};
use crate::api::{Client, Notice};
use crate::context::Context;
use crate::network::Network;
use crate::project::{Folder, Project};
use crate::world::{World, kind};
use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::FutureExt as _;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tag::Tag;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

/// How long the cloud may take to apply a firewall's rules.
const APPLY_LIMIT: Duration = Duration::from_secs(60);
/// How often closing is tried, besides what the client does by itself.
const TRIES: u32 = 5;
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// How long another command of this folder may hold the firewall's rules while it changes them.
const TURN_LIMIT: Duration = Duration::from_secs(120);
const TURN_POLL: Duration = Duration::from_millis(200);

/// Does `work` with ssh let in from the operator's address, and for nothing longer. `verb` is what the operator runs.
///
/// A signal (SIGINT, SIGTERM, SIGHUP, SIGQUIT) closes the door and ends the process with 128 and its number. The runtime
/// must have more than one thread, since work may block its own.
///
/// # Errors
/// Those of `work`; and that the door could not be opened, or, which is worse and said beside whatever else failed, closed.
pub async fn through<T>(
    context: &Context<'_>,
    world: &World,
    verb: &str,
    work: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    let Some(door) = Door::needed(context, world, verb).await? else { return work().await };
    let hinges = Arc::new(Mutex::new(door));
    // First the signals, then the door: a signal in between is heard.
    let watch = tokio::spawn(close_on_signal(Signals::new()?, Arc::clone(&hinges)));
    let opened = hinges.lock().await.open().await;
    let done = match opened {
        Ok(()) => AssertUnwindSafe(work()).catch_unwind().await,
        Err(error) => Ok(Err(error)),
    };
    // From here on the watcher waits for this closing, which a signal does not cut short.
    let door = hinges.lock().await;
    let closed = door.close().await;
    drop(door);
    watch.abort();
    match (done, closed) {
        (Ok(done), Ok(())) => done,
        (Ok(Ok(_)), Err(open)) => Err(open),
        (Ok(Err(error)), Err(open)) => Err(open.context(format!("{error:#}; and then"))),
        (Err(panic), closed) => {
            if let Err(open) = closed {
                // The panic ends the process; this must be said before.
                host::say::err(format_args!("error: {open:#}"));
            }
            std::panic::resume_unwind(panic)
        }
    }
}

struct Signals(Vec<(i32, Signal)>);

impl Signals {
    fn new() -> Result<Self> {
        let kinds =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
        let signals = kinds.into_iter().map(|kind| Ok((kind.as_raw_value(), signal(kind)?)));
        Ok(Self(signals.collect::<std::io::Result<_>>().context("listening for signals")?))
    }

    /// The number of the signal that comes first.
    async fn next(&mut self) -> i32 {
        let signals = self.0.iter_mut().map(|(number, signal)| {
            Box::pin(async move {
                signal.recv().await;
                *number
            })
        });
        futures_util::future::select_all(signals).await.0
    }
}

async fn close_on_signal(mut signals: Signals, hinges: Arc<Mutex<Door>>) {
    let number = signals.next().await;
    let door = hinges.lock().await;
    (door.notice)("broken off by a signal; closing the door for ssh first");
    if let Err(open) = door.close().await {
        host::say::err(format_args!("error: {open:#}"));
    }
    std::process::exit(128 + number);
}

/// One rule of the firewall, ours for a while.
struct Door {
    wall: Wall,
    notice: Notice,
    project: String,
    /// None where only what others left behind has to be closed.
    rule: Option<Rule>,
}

impl Door {
    /// The door that has to be opened, or closed after others; `None` where ssh is let in anyway.
    async fn needed(context: &Context<'_>, world: &World, verb: &str) -> Result<Option<Self>> {
        let Some(firewall) = &world.firewall else { return Ok(None) };
        let address = context.project.needs_door().then(|| context.way.whereabouts.find());
        let address = match address {
            Some(found) => Some(found.await?).filter(|address| !context.project.admits(*address)),
            None => None,
        };
        if address.is_none() && world.doors_left_behind.is_empty() {
            return Ok(None);
        }
        if address.is_none() && world.doubts(kind::FIREWALL).next().is_some() {
            // Tidying up can wait until it is clear where.
            return Ok(None);
        }
        world.need_one(kind::FIREWALL, "opening ssh in the cloud's firewall")?;
        let tag = Tag::new(verb, context.client.cloud_time()?.as_secs());
        Ok(Some(Self {
            wall: Wall::new(context.client, context.folder, firewall.id),
            notice: Arc::clone(&context.way.notice),
            project: context.folder.name().into(),
            rule: address.map(|address| rule(context.project.ssh_port, Network::of(address), &tag)),
        }))
    }

    async fn open(&self) -> Result<()> {
        let _turn = self.wall.turn().await?;
        let now = self.wall.client.cloud_time()?.as_secs();
        let (left, mut rules): (Vec<_>, Vec<_>) = self
            .wall
            .rules("looking at the firewall")
            .await?
            .into_iter()
            .partition(|rule| tag::is_left_behind(rule, now));
        for rule in &left {
            (self.notice)(&format!("closing a door for ssh that was left open to {}", described(rule)));
        }
        if let Some(rule) = &self.rule {
            (self.notice)(&format!("opening ssh in the cloud's firewall for {}", sources(rule)));
            rules.push(rule.clone());
        }
        self.wall.set(&rules).await.context("opening the door for ssh; nothing was sent to the server")
    }

    /// Closes it, and looks whether it is closed: again and again, since this is what must not be left undone.
    async fn close(&self) -> Result<()> {
        let Some(own) = &self.rule else { return Ok(()) };
        let mut last = anyhow!("it was not tried");
        for attempt in 1..=TRIES {
            match self.close_once(own).await {
                Ok(()) => {
                    (self.notice)("closed the door for ssh");
                    return Ok(());
                }
                Err(error) => {
                    (self.notice)(&format!("closing the door for ssh, try {attempt} of {TRIES}: {error:#}"));
                    last = error;
                }
            }
            if attempt < TRIES {
                self.wall.client.rest(TRY_AGAIN).await;
            }
        }
        Err(last.context(format!(
            "closing the door for ssh: IT IS STILL OPEN for {} in firewall {}; `cargo xtask status --project {}` closes it \
             as soon as the cloud answers",
            sources(own),
            self.wall.firewall,
            self.project
        )))
    }

    async fn close_once(&self, own: &Rule) -> Result<()> {
        let _turn = self.wall.turn().await?;
        let is_own = |rule: &Rule| rule.description == own.description;
        let mut rules = self.wall.rules("looking whether the door for ssh is closed").await?;
        if !rules.iter().any(is_own) {
            return Ok(());
        }
        rules.retain(|rule| !is_own(rule));
        self.wall.set(&rules).await?;
        if self.wall.rules("looking whether the door for ssh is closed").await?.iter().any(is_own) {
            bail!("the cloud said that it is done, but the rule is still there");
        }
        Ok(())
    }
}

/// Sets a firewall's rules around the doors that are open in it for commands at work.
pub(crate) async fn set_rules(client: &Client, folder: &Folder, firewall: u64, rules: &[Rule]) -> Result<()> {
    let wall = Wall::new(client, folder, firewall);
    let _turn = wall.turn().await?;
    let now = client.cloud_time()?.as_secs();
    let there = wall.rules("looking for doors in the firewall").await?;
    let at_work = there.into_iter().filter(|rule| tag::is_door(rule) && !tag::is_left_behind(rule, now));
    wall.set(&rules.iter().cloned().chain(at_work).collect::<Vec<_>>()).await
}

/// A firewall whose rules several commands of one folder change.
struct Wall {
    client: Client,
    lock: PathBuf,
    firewall: u64,
}

impl Wall {
    fn new(client: &Client, folder: &Folder, firewall: u64) -> Self {
        Self { client: client.clone(), lock: folder.file(".door.lock"), firewall }
    }

    /// Its rules; a firewall that is gone has none.
    async fn rules(&self, doing: &str) -> Result<Vec<Rule>> {
        let path = format!("/firewalls/{}", self.firewall);
        match self.client.get::<Firewall>(doing, &path, "firewall").await {
            Err(error) if error.code() == Some("not_found") => Ok(Vec::new()),
            firewall => Ok(firewall?.rules),
        }
    }

    async fn set(&self, rules: &[Rule]) -> Result<()> {
        let doing = "changing the firewall's rules";
        let path = format!("/firewalls/{}/actions/set_rules", self.firewall);
        let body = json!({ "rules": rules });
        let answer = self.client.change(doing, reqwest::Method::POST, &path, Some(&body)).await?;
        Ok(self.client.finish(doing, &answer, APPLY_LIMIT).await?)
    }

    /// Rules are read, changed and set as a whole, so two commands of one folder take turns.
    async fn turn(&self) -> Result<host::files::Lock> {
        let start = std::time::Instant::now();
        loop {
            if let Some(lock) = host::files::try_lock(&self.lock)? {
                return Ok(lock);
            }
            if start.elapsed() > TURN_LIMIT {
                bail!(
                    "waiting to change the firewall: another command of this project has held {} for {} s",
                    self.lock.display(),
                    TURN_LIMIT.as_secs()
                );
            }
            tokio::time::sleep(TURN_POLL).await;
        }
    }
}

impl Project {
    /// Whether not everybody is let in at all times, over the protocol that a server is reached by.
    fn needs_door(&self) -> bool {
        !self.ssh_from.iter().any(|network| {
            [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST].into_iter().all(|end| network.contains(end.into()))
        })
    }

    /// Whether ssh is let in from an address at all times.
    fn admits(&self, address: IpAddr) -> bool {
        self.ssh_from.iter().any(|network| network.contains(address))
    }
}

fn rule(port: u16, source: Network, tag: &Tag) -> Rule {
    Rule {
        direction: "in".into(),
        protocol: "tcp".into(),
        port: Some(port.to_string()),
        source_ips: vec![source.to_string()],
        description: Some(tag.to_string()),
    }
}

fn sources(rule: &Rule) -> String {
    rule.source_ips.join(", ")
}

fn described(rule: &Rule) -> String {
    format!("{} ({})", sources(rule), rule.description.as_deref().unwrap_or_default())
}

/// The doors among a firewall's rules that nobody will close any more: to whom each is open, and whose it was.
pub(crate) fn left_behind(rules: &[Rule], now: u64) -> Vec<String> {
    rules.iter().filter(|rule| tag::is_left_behind(rule, now)).map(described).collect()
}

/// A firewall's rules but for its doors.
pub(crate) fn without_doors(rules: &[Rule]) -> Vec<Rule> {
    rules.iter().filter(|rule| !tag::is_door(rule)).cloned().collect()
}
