//! All that follows from the manifests of the enabled stacks, worked out once and purely: who needs whom, who may talk to
//! whom and at which address, what is reached by which name and from where, which secrets there are.
//!
//! 1. [`Plan::resolve`] is the table of contents. It says of everything that does not fit what, and where it is written.
//! 2. `order` puts what is needed first; `network` and `address` say which networks there are and who is in them;
//!    `route` and `door` say what is reached from outside; `values` is what templates may name.
//!    `filled` puts them in, `api` says what Admin APIs are held to, `access` who reaches what.
//! 3. Whoever renders, looks, opens a port or writes a record reads the plan, and asks for no stack by its name.

mod access;
mod address;
mod api;
mod door;
mod filled;
mod memory;
mod name;
mod network;
mod order;
mod route;
mod show;
mod values;

pub use access::{Access, Who};
pub use address::{Subnet4, Subnet6};
pub use door::FrontDoor;
pub(crate) use name::name_of;
pub use network::{Member, Network};
pub use route::PlannedRoute;

use crate::folder::{COMPOSE, Folder, MANIFEST};
use crate::manifest::{self, From, Manifest, Owner, Published, Secret, Size};
use crate::{Error, Mistake, parse};
use serde_json::Value;
use spec::{NodeSpec, Port, Setting, StackSpec, VpnSpec};
use std::collections::BTreeMap;

/// What is planned for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The project's name.
    pub project: &'a str,
    /// The domain below which stacks are reached.
    pub domain: Option<&'a str>,
    /// The private network.
    pub vpn: Option<&'a VpnSpec>,
    /// The stacks; their images may be missing.
    pub stacks: &'a [StackSpec],
}

impl<'a> std::convert::From<&'a NodeSpec> for Wish<'a> {
    fn from(spec: &'a NodeSpec) -> Self {
        Self {
            project: &spec.project,
            domain: spec.domain.as_deref(),
            vpn: spec.vpn.as_ref(),
            stacks: &spec.stacks,
        }
    }
}

/// What follows from all enabled stacks together; by default, from none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The stacks, each after those that it needs.
    pub stacks: Vec<Planned>,
    /// All networks, by name.
    pub networks: Vec<Network>,
    /// What is reached through the front door, longest path first where hosts are the same.
    pub routes: Vec<PlannedRoute>,
    /// Who is the front door.
    pub front_door: Option<FrontDoor>,
    /// The secrets, by name.
    pub secrets: Vec<PlannedSecret>,
    /// The names that each stack's own certificate is for, by the stack.
    pub certificates: BTreeMap<String, Vec<String>>,
    /// The DNS records that the stacks need: `NAME TYPE DATA`, with `{host}`, `{ipv4}` and `{ipv6}`.
    pub records: Vec<String>,
    /// What all services may use together.
    pub memory: Size,
    /// What the templates of every stack may name.
    values: BTreeMap<String, Value>,
}

/// One stack of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its options, with their defaults where the project says nothing.
    pub options: BTreeMap<String, Setting>,
    /// The ports that are published or the host's because of it, and are there in this plan.
    pub ports: Vec<Published>,
    /// The compose file as a human wrote it.
    pub(crate) compose: Value,
    pub(crate) folder: Folder,
}

/// A secret of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSecret {
    /// Its name.
    pub name: String,
    /// The stack whose it is.
    pub stack: String,
    /// What its manifest says of it.
    pub secret: Secret,
    /// Every stack that reads it as a file, and as whom.
    pub readers: Vec<(String, Owner)>,
}

impl Planned {
    /// Whether a service of it is excepted from a rule.
    pub fn is_excepted(&self, service: &str, rule: manifest::Loosened) -> bool {
        self.manifest
            .exceptions
            .iter()
            .any(|exception| exception.rule == rule && exception.service.as_str() == service)
    }
}

impl Plan {
    /// Works the plan out.
    pub fn resolve(wish: Wish<'_>) -> Result<Self, Error> {
        let stacks = read(wish)?;
        let stacks = order::in_order(stacks)?;
        let front_door = door::find(&stacks)?;
        let stacks = door::with_active_ports(stacks, front_door.is_some());
        let routes = route::resolve(&stacks, wish, front_door.is_some())?;
        let networks = network::resolve(&stacks, &routes, front_door.as_ref())?;
        let front_door = front_door.map(|door| door.in_networks(&networks));
        let secrets = secrets(&stacks)?;
        door::check_ports(&stacks)?;
        let memory = Size::from_mib(stacks.iter().map(|stack| stack.manifest.memory.mib()).sum());
        let records = route::records(&stacks, &routes, wish.domain);
        let certificates = door::certificates(&stacks, &routes, wish.vpn);
        let mut plan = Self {
            stacks,
            networks,
            routes,
            front_door,
            secrets,
            certificates,
            records,
            memory,
            values: BTreeMap::new(),
        };
        plan.values = values::of_all(&plan, wish);
        plan.fill().and_then(|()| plan.check_templates()).map_err(|error| plan.explained(error))?;
        Ok(plan)
    }

    /// The plan of what a server shall be.
    pub fn of(spec: &NodeSpec) -> Result<Self, Error> {
        Self::resolve(spec.into())
    }

    /// The stack of that name, if it is enabled.
    pub fn stack(&self, name: &str) -> Option<&Planned> {
        self.stacks.iter().find(|stack| stack.name == name)
    }

    /// The stack that serves the private network.
    pub fn private_network(&self) -> Option<(&Planned, &manifest::PrivateNetwork)> {
        self.stacks.iter().find_map(|stack| Some((stack, stack.manifest.provides.private_network.as_ref()?)))
    }

    /// Where the host itself reaches whoever answers by the private network's name: the front door, or the control server.
    pub fn private_network_address(&self) -> Option<std::net::Ipv4Addr> {
        let (stack, network) = self.private_network()?;
        match &self.front_door {
            Some(door) => door.address,
            None => self
                .networks_of(&stack.name, &network.service)
                .find(|(network, _)| !network.internal)
                .map(|(_, place)| place.address),
        }
    }

    /// The ports that are open to the world, or over the private network only, because of the stacks; sorted.
    pub fn ports(&self, from: From) -> Vec<Port> {
        let published = self.stacks.iter().flat_map(|stack| &stack.ports).filter(|port| port.from == from);
        let mut ports: Vec<Port> = published.map(Published::outside).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// The networks that a service of a stack is in.
    pub fn networks_of<'p>(
        &'p self,
        stack: &'p str,
        service: &'p str,
    ) -> impl Iterator<Item = (&'p Network, &'p Member)> {
        self.networks.iter().filter_map(move |network| Some((network, network.member(stack, service)?)))
    }

    /// The networks that mail is sent from, to port 25.
    pub fn mail(&self) -> Vec<Subnet4> {
        let senders = self.stacks.iter().flat_map(|stack| {
            stack.manifest.mail.iter().map(|service| (stack.name.as_str(), service.as_str()))
        });
        let outside = senders
            .flat_map(|(stack, service)| self.networks_of(stack, service))
            .filter(|(network, _)| !network.internal);
        let mut subnets: Vec<_> = outside.map(|(network, _)| network.subnet).collect();
        subnets.sort_unstable();
        subnets.dedup();
        subnets
    }

    /// The secrets that a stack reads as files, and as whom.
    pub fn secrets_of<'p>(&'p self, stack: &'p str) -> impl Iterator<Item = (&'p PlannedSecret, Owner)> {
        self.secrets.iter().flat_map(move |secret| {
            secret
                .readers
                .iter()
                .filter(move |(reader, _)| reader == stack)
                .map(move |(_, owner)| (secret, *owner))
        })
    }

    /// A stack's configuration, filled in: each file's path below `config/` and its text.
    pub fn config(&self, stack: &Planned) -> Result<Vec<(String, crate::Text)>, Error> {
        let values = &self.values[&stack.name];
        let file = |(path, text): (&str, &str)| {
            Ok((path.to_owned(), crate::template::render(&stack.name, path, text, values)?))
        };
        stack
            .folder
            .config()
            .map(file)
            .collect::<Result<_, Mistake>>()
            .map_err(|mistake| Error::Files(vec![mistake]))
    }

    /// A stack that is reached through the front door cannot be filled in where there is none; that is the better reason.
    fn explained(&self, error: Error) -> Error {
        let is_reached = |name: &str| self.stack(name).is_some_and(|stack| !stack.manifest.routes.is_empty());
        match &error {
            Error::Files(mistakes)
                if self.front_door.is_none() && mistakes.iter().any(|one| is_reached(&one.stack)) =>
            {
                Error::Clash(format!(
                    "stack {} is reached through the front door, and no enabled stack provides that",
                    mistakes[0].stack
                ))
            }
            _ => error,
        }
    }

    /// Every template is filled in once, so that what is wrong with one is found before there is a server.
    fn check_templates(&self) -> Result<(), Error> {
        for stack in &self.stacks {
            for (path, text) in self.config(stack)? {
                let said = stack.manifest.config.iter().find(|config| config.file.as_str() == path);
                for name in text.secrets() {
                    let why = if !self.secrets.iter().any(|secret| secret.name == name) {
                        format!("there is no secret {name}")
                    } else if said.is_none_or(|said| said.reader.is_none()) {
                        format!(
                            "it holds the secret {name} and nobody is named in {MANIFEST} as its `reader`"
                        )
                    } else {
                        continue;
                    };
                    return Err(Error::file(
                        &stack.name,
                        &format!("{}{path}", crate::folder::CONFIG),
                        None,
                        why,
                    ));
                }
            }
            self.check_documents(stack)?;
        }
        Ok(())
    }
}

/// Reads every stack's folder; of all of them together everything that is wrong is said at once.
fn read(wish: Wish<'_>) -> Result<Vec<Planned>, Error> {
    let mut stacks = Vec::new();
    let mut mistakes = Vec::new();
    for wanted in wish.stacks {
        match read_one(wanted) {
            Ok(stack) => stacks.push(stack),
            Err(Error::Files(more)) => mistakes.extend(more),
            Err(other) => return Err(other),
        }
    }
    if mistakes.is_empty() { Ok(stacks) } else { Err(Error::Files(mistakes)) }
}

fn read_one(wanted: &StackSpec) -> Result<Planned, Error> {
    let folder = Folder::of(wanted)?;
    let manifest = folder.manifest()?;
    let compose =
        parse(folder.text(COMPOSE)?).map_err(|why| Error::file(&wanted.name, COMPOSE, None, why))?;
    let mistakes = manifest::check(&folder, &manifest, &compose);
    if !mistakes.is_empty() {
        return Err(Error::Files(mistakes));
    }
    let options = options(wanted, &manifest)?;
    Ok(Planned { name: wanted.name.clone(), manifest, options, ports: Vec::new(), compose, folder })
}

/// What the project chose, held against what there is to choose.
fn options(wanted: &StackSpec, manifest: &Manifest) -> Result<BTreeMap<String, Setting>, Error> {
    let wrong =
        |option: &str, why: String| Error::Option { stack: wanted.name.clone(), option: option.into(), why };
    for (name, chosen) in &wanted.options {
        let Some(choice) = manifest.options.get(name.as_str()) else {
            let known: Vec<_> = manifest.options.keys().map(ToString::to_string).collect();
            let known = if known.is_empty() {
                "it has none".into()
            } else {
                format!("there are: {}", known.join(", "))
            };
            return Err(wrong(name, format!("is no option of this stack; {known}")));
        };
        if chosen.kind() != choice.default.kind() {
            return Err(wrong(name, format!("must be {}", choice.default.kind())));
        }
        if let Setting::Text(text) = chosen
            && !choice.values.is_empty()
            && !choice.values.contains(text)
        {
            return Err(wrong(name, format!("must be one of {}", choice.values.join(", "))));
        }
    }
    let chosen = |(name, choice): (&manifest::Word, &manifest::Choice)| {
        (name.to_string(), wanted.options.get(name.as_str()).unwrap_or(&choice.default).clone())
    };
    Ok(manifest.options.iter().map(chosen).collect())
}

/// All secrets, each once, with everybody who reads it.
fn secrets(stacks: &[Planned]) -> Result<Vec<PlannedSecret>, Error> {
    let mut all: BTreeMap<&str, PlannedSecret> = BTreeMap::new();
    for stack in stacks {
        let is_there = |secret: &Secret| secret.when.as_ref().is_none_or(|when| when.holds(&stack.options));
        for (name, secret) in stack.manifest.secrets.iter().filter(|(_, secret)| is_there(secret)) {
            if let Some(other) = all.get(name.as_str()) {
                return Err(Error::Clash(format!(
                    "stacks {} and {} both have a secret {name}: call one of them otherwise",
                    other.stack, stack.name
                )));
            }
            // A reader in a stack that is not enabled does not read.
            let reads = |reader: &manifest::Reader| {
                let by = reader.stack.as_ref().map_or(stack.name.as_str(), |named| named.as_str());
                stacks.iter().any(|stack| stack.name == by).then(|| (by.to_owned(), reader.owner()))
            };
            let readers = secret.readers.iter().filter_map(reads).collect();
            let planned = PlannedSecret {
                name: name.to_string(),
                stack: stack.name.clone(),
                secret: secret.clone(),
                readers,
            };
            all.insert(name.as_str(), planned);
        }
    }
    Ok(all.into_values().collect())
}
