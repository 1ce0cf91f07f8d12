//! What a stack's `stack.toml` says, as types. `docs/stacks.md` describes it for those who write one.
//!
//! * `words` are the values that check themselves: a mistake is found with its line.
//! * [`api`] says what a stack's Admin API shall hold.
//! * `hooks` are the commands that are run in its services, `image` what they are made of.
//! * `route` says what is reached through the front door, and how.
//! * `secret` says what a secret looks like and who reads it.
//! * `check` holds the manifest against the rest of its folder.

pub mod api;
mod check;
mod hooks;
mod image;
mod route;
mod secret;
mod words;

pub use hooks::{Every, Hook, Hooks, Timer};
pub use image::{Image, Upgrade};
pub use route::{Limit, Route};
pub use secret::{Format, Reader, Secret, Source};
pub use words::{Host, Label, Mode, PathPrefix, RelativePath, Size, When, Word};

use crate::Error;
use crate::folder::{Folder, MANIFEST};
use serde::Deserialize;
use spec::{Port, Protocol, Setting};
use std::collections::BTreeMap;

pub(crate) use check::check;

/// What a service may use that says nothing of it.
pub(crate) const DEFAULT_MEMORY: Size = Size::from_mib(256);

/// A stack's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// What it is, in a sentence.
    pub about: String,
    /// The stacks that have to be up before it, and are stopped after it.
    #[serde(default)]
    pub needs: Vec<Word>,
    /// What it does for others, who ask for that and not for a stack by its name.
    #[serde(default)]
    pub provides: Provides,
    /// What its services may use together.
    pub memory: Size,
    /// The images its compose file names, and those that a hook takes programs out of.
    pub images: BTreeMap<Word, Image>,
    /// What a project may choose, as `[stacks.NAME]`.
    #[serde(default)]
    pub options: BTreeMap<Word, Choice>,
    /// What it keeps from the world. A name is unique over all stacks.
    #[serde(default)]
    pub secrets: BTreeMap<Word, Secret>,
    /// Who reads which of the templates below `config/`; one that is not named is everybody's and holds no secret.
    #[serde(default)]
    pub config: Vec<ConfigFile>,
    /// Where it keeps its data.
    #[serde(default)]
    pub data: Vec<DataDir>,
    /// What is reached through the front door.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// What is reached without it.
    #[serde(default)]
    pub ports: Vec<Published>,
    /// The services that other stacks may reach, each by a network of its own.
    #[serde(default)]
    pub exports: Vec<Export>,
    /// What it reaches of others.
    #[serde(default)]
    pub imports: Vec<Import>,
    /// The log-ins it offers, by whoever provides sign-in.
    #[serde(default)]
    pub clients: Vec<Client>,
    /// The services that may reach the internet.
    #[serde(default)]
    pub egress: Vec<Word>,
    /// The services that send mail themselves, to port 25.
    #[serde(default)]
    pub mail: Vec<Word>,
    /// The DNS records it needs besides those of its routes: `NAME TYPE DATA`, with `{host}`, `{ipv4}` and `{ipv6}`.
    #[serde(default)]
    pub records: Vec<String>,
    /// The certificate it answers with where no public authority vouches for it.
    pub certificate: Option<Certificate>,
    /// What is run in its services at certain moments.
    #[serde(default)]
    pub hooks: Hooks,
    /// What is run in them every so often.
    #[serde(default)]
    pub timers: Vec<Timer>,
    /// The Admin API that its settings are held to their documents through.
    pub api: Option<api::Api>,
    /// Rules of the hardening that a service of it cannot keep.
    #[serde(default)]
    pub exceptions: Vec<Exception>,
}

/// What a stack may do for others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Provides {
    /// Takes every request from outside and hands it to the service that a route names.
    pub front_door: Option<FrontDoor>,
    /// Says of a request whether somebody with the right role made it.
    pub gate: Option<Gate>,
    /// Knows who somebody is, over OpenID Connect.
    pub sign_in: Option<SignIn>,
    /// The private network that administrators come in by.
    pub private_network: Option<PrivateNetwork>,
}

/// Who takes every request from outside, and by which certificates it is known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontDoor {
    /// By its name in the compose file.
    pub service: Word,
    /// When a public authority vouches for names that the world knows; the server's own certificate has them otherwise.
    pub vouched: Option<When>,
    /// When it vouches, besides, for names inside the private network.
    pub vouched_inside: Option<When>,
}

/// Who says of a request whether somebody with the right role made it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// By its name in the compose file.
    pub service: Word,
    /// The port it listens on.
    pub port: u16,
    /// Where its own pages are, at every host that it guards something of.
    pub path: PathPrefix,
}

/// An OpenID provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The route that it is reached by.
    pub route: Word,
    /// The issuer's path below that: `/realms/main`.
    pub issuer: PathPrefix,
}

/// A control server of a private network, and where a node's programs come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateNetwork {
    /// The control server.
    pub service: Word,
    /// The route that devices reach it by: its host is the network's own.
    pub route: Word,
    /// The image that the host's own node is taken out of.
    pub node: Word,
    /// The file of its configuration that the names of administrators' pages are written to, and read of at once.
    pub names: RelativePath,
}

/// Something that a project may choose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What it does, in a sentence.
    pub about: String,
    /// What it is where the project says nothing; its type is the choice's.
    pub default: Setting,
    /// The texts it may be; any where there are none.
    #[serde(default)]
    pub values: Vec<String>,
}

/// Who reads a file of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// Its path below `config/`.
    pub file: RelativePath,
    /// The one user who reads it; only such a file may hold secrets.
    pub reader: Option<Owner>,
    /// Whether its service sees a change of it by itself: then nothing is started anew for one.
    #[serde(default)]
    pub live: bool,
}

/// A user and a group, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// A directory below `/srv/sovereign/data`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataDir {
    /// Relative to that.
    pub path: RelativePath,
    /// Whose it is.
    pub owner: Owner,
    /// Its mode, in octal.
    pub mode: Mode,
}

/// From where something is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// From everywhere.
    World,
    /// Over the private network only.
    Vpn,
}

/// A port that is published, or is the host's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The port outside.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Who may reach it.
    pub from: From,
    /// The service that listens; the host itself where there is none.
    pub service: Option<Word>,
    /// The port inside, where it is another.
    pub target: Option<u16>,
    /// Whether it is there only while no stack is the front door.
    #[serde(default)]
    pub without_front_door: bool,
    /// The choice that it is there for.
    pub when: Option<When>,
}

impl Published {
    /// The port outside.
    pub fn outside(&self) -> Port {
        Port { port: self.port, protocol: self.protocol }
    }
}

/// A service that others may reach.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// What it is called.
    pub name: Word,
    /// The service.
    pub service: Word,
    /// Its port.
    pub port: u16,
    /// The stacks that may; where none is named, each that imports it.
    #[serde(default)]
    pub to: Vec<Word>,
}

impl Export {
    /// Whether a stack may import it.
    pub fn is_for(&self, stack: &str) -> bool {
        self.to.is_empty() || self.to.iter().any(|to| to == stack)
    }
}

/// Something that another stack exports.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// That stack.
    pub stack: Word,
    /// What it calls it.
    pub export: Word,
    /// The services that reach it.
    pub services: Vec<Word>,
}

/// A client of OpenID Connect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its id.
    pub id: Word,
    /// Its secret.
    pub secret: Word,
    /// The route whose host it is at. One without is the gate's, and is at every host that the gate guards something of.
    pub route: Option<Word>,
    /// The paths that a log-in may end at.
    pub redirects: Vec<PathPrefix>,
    /// The services that speak to the provider.
    pub services: Vec<Word>,
    /// The choice by which the provider is none of the project's stacks. Its services may reach the internet then.
    pub elsewhere: Option<When>,
}

impl Client {
    /// Whether the provider is none of the project's stacks.
    pub fn is_elsewhere(&self, options: &BTreeMap<String, Setting>) -> bool {
        self.elsewhere.as_ref().is_some_and(|when| when.holds(options))
    }
}

/// A certificate that is signed by its own key, for the names that the plan says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Who reads its key.
    pub reader: Owner,
}

/// A rule that a service cannot keep.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The service.
    pub service: Word,
    /// Which rule.
    pub rule: Loosened,
    /// Why it cannot.
    pub reason: String,
}

/// The rules that there may be exceptions to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loosened {
    /// A read-only root file system.
    ReadOnly,
    /// Not root.
    Root,
    /// Not the container engine's socket, which whoever may write to owns the server by. For stacks of the catalogue only.
    EngineSocket,
}

impl Folder {
    /// Its manifest.
    pub fn manifest(&self) -> Result<Manifest, Error> {
        Manifest::parse(&self.name, self.text(MANIFEST)?)
    }
}

impl Manifest {
    /// Reads a manifest; a mistake is named with its line. What can be seen with the rest of the folder only, [`check()`] sees.
    pub(crate) fn parse(stack: &str, text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_at(text, span.start));
            Error::file(stack, MANIFEST, line, error.message().trim().to_owned())
        })
    }

    /// The line that a table of it stands at, by its path: `["routes", "site"]` is the route of that name.
    pub(crate) fn line_of(text: &str, path: &[&str]) -> Option<usize> {
        use toml::de::{DeTable, DeValue};
        let root = DeTable::parse(text).ok()?;
        let mut at = None;
        let mut here: Option<&DeValue<'_>> = None;
        for part in path {
            let next = match here {
                None => root.get_ref().get(*part),
                Some(DeValue::Table(table)) => table.get(*part),
                Some(DeValue::Array(items)) => items.iter().find(|item| {
                    let named = |key: &str| {
                        item.get_ref().get(key).and_then(|name| name.get_ref().as_str().map(str::to_owned))
                    };
                    ["name", "file", "path", "id", "export"]
                        .iter()
                        .any(|key| named(key).as_deref() == Some(part))
                }),
                Some(_) => None,
            };
            let Some(next) = next else { break };
            at = Some(next.span().start);
            here = Some(next.get_ref());
        }
        at.map(|start| line_at(text, start))
    }
}

/// The line, from 1, that a byte of a text is in.
fn line_at(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
}
