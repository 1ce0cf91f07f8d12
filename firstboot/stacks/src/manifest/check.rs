//! Holds a manifest against the rest of its folder: what it names is there, and what is there is named.

use super::{Hook, Loosened, Manifest, When, Word};
use crate::folder::{COMPOSE, CONFIG, Folder, MANIFEST};
use crate::{Mistake, template};
use serde_json::Value;
use spec::Setting;
use std::collections::BTreeSet;
use std::path::Path;

/// What firstboot's own secrets begin with.
const RESERVED: [&str; 2] = ["luks-", "vpn-"];
/// What lies beside secrets and is none.
const NOTES: [&str; 6] = ["complete", "escrowed", "acknowledged", "next", "kept", "revoked"];
/// The least chance a secret may hold, in bits.
const LEAST_BITS: usize = 120;

/// All that does not fit, each with its file and, where it can be told, its line.
pub(crate) fn check(folder: &Folder, manifest: &Manifest, compose: &Value) -> Vec<Mistake> {
    let mut look = Look { folder, manifest, compose, mistakes: Vec::new() };
    look.services();
    look.images();
    look.networks();
    look.memory();
    look.configuration();
    look.data();
    look.secrets();
    look.options();
    look.routes();
    look.exceptions();
    look.mistakes
}

struct Look<'a> {
    folder: &'a Folder,
    manifest: &'a Manifest,
    compose: &'a Value,
    mistakes: Vec<Mistake>,
}

impl Look<'_> {
    fn wrong(&mut self, path: &[&str], why: impl std::fmt::Display) {
        let text = self.folder.text(MANIFEST).unwrap_or_default();
        let line = Manifest::line_of(text, path);
        let key = path.join(".");
        self.mistakes.push(Mistake {
            stack: self.folder.name.clone(),
            file: MANIFEST.into(),
            line,
            why: format!("{key}: {why}"),
        });
    }

    fn wrong_in(&mut self, file: &str, why: String) {
        self.mistakes.push(Mistake { stack: self.folder.name.clone(), file: file.into(), line: None, why });
    }

    fn service_names(&self) -> Vec<&str> {
        self.compose["services"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }

    /// Every service that is named is in the compose file.
    fn services(&mut self) {
        let m = self.manifest;
        let mut named: Vec<(Vec<&str>, &Word)> = Vec::new();
        let provides = &m.provides;
        named.extend(provides.front_door.iter().map(|door| (vec!["provides", "front-door"], &door.service)));
        named.extend(provides.gate.iter().map(|gate| (vec!["provides", "gate"], &gate.service)));
        named.extend(
            provides
                .private_network
                .iter()
                .map(|network| (vec!["provides", "private-network"], &network.service)),
        );
        named.extend(m.routes.iter().map(|route| (vec!["routes", route.name.as_str()], &route.service)));
        named.extend(m.ports.iter().filter_map(|port| Some((vec!["ports"], port.service.as_ref()?))));
        named.extend(m.exports.iter().map(|export| (vec!["exports", export.name.as_str()], &export.service)));
        for import in &m.imports {
            named.extend(
                import.services.iter().map(|service| (vec!["imports", import.export.as_str()], service)),
            );
        }
        for client in &m.clients {
            named
                .extend(client.services.iter().map(|service| (vec!["clients", client.id.as_str()], service)));
        }
        named.extend(m.egress.iter().map(|service| (vec!["egress"], service)));
        named.extend(m.mail.iter().map(|service| (vec!["mail"], service)));
        named.extend(m.api.iter().map(|api| (vec!["api"], &api.service)));
        named.extend(m.exceptions.iter().map(|exception| (vec!["exceptions"], &exception.service)));
        let hooks: Vec<(&str, &Hook)> = m.hooks.each().collect();
        named.extend(hooks.iter().map(|(name, hook)| (vec!["hooks", *name], &hook.service)));
        let rotated = m.secrets.iter().filter_map(|(name, secret)| Some((name, secret.rotate.as_ref()?)));
        named.extend(rotated.map(|(name, hook)| (vec!["secrets", name.as_str()], &hook.service)));
        named.extend(m.timers.iter().map(|timer| (vec!["timers", timer.name.as_str()], &timer.service)));
        let there: BTreeSet<String> = self.service_names().into_iter().map(str::to_owned).collect();
        let missing: Vec<_> =
            named.into_iter().filter(|(_, service)| !there.contains(service.as_str())).collect();
        for (path, service) in missing {
            let list = there.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            self.wrong(&path, format!("there is no service {service} in {COMPOSE}, which has: {list}"));
        }
        let timers = m.timers.iter().map(|timer| (["timers", timer.name.as_str()], &timer.command));
        let commands = hooks.iter().map(|(name, hook)| (["hooks", *name], &hook.command)).chain(timers);
        for (path, _) in commands.filter(|(_, command)| command.is_empty()) {
            self.wrong(&path, "its command is empty");
        }
    }

    /// Images and services fit each other.
    fn images(&mut self) {
        let images = self.compose["services"].as_object().into_iter().flatten();
        let images = images.filter_map(|(_, service)| service["image"].as_str());
        let used: BTreeSet<&str> = images.flat_map(|image| may_be(self.manifest, image)).collect();
        let node = self.manifest.provides.private_network.as_ref().map(|network| network.node.as_str());
        for image in used.iter().chain(&node).filter(|image| !self.manifest.images.contains_key(**image)) {
            self.wrong(&["images"], format!("there is no [images.{image}], which the stack runs"));
        }
        for image in self
            .manifest
            .images
            .keys()
            .filter(|image| !used.contains(image.as_str()) && node != Some(image.as_str()))
        {
            self.wrong(&["images", image], format!("no service of {COMPOSE} runs it"));
        }
    }

    /// A compose file says which networks of its own there are and which services are in them, and no more: the rest is
    /// the plan's. What is published, the manifest says.
    fn networks(&mut self) {
        let bare =
            |network: &Value| network.is_null() || network.as_object().is_some_and(serde_json::Map::is_empty);
        let own: Vec<String> =
            self.compose["networks"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        for key in own.iter().filter(|key| !bare(&self.compose["networks"][key.as_str()])) {
            self.wrong_in(COMPOSE, format!("networks.{key}: a network of a stack is its own, internal, and has addresses by the plan; write `{key}:` with nothing after it"));
        }
        let services = self.compose["services"].as_object();
        for (name, service) in services.into_iter().flatten() {
            let listed: Option<Vec<&str>> = service
                .get("networks")
                .map_or_else(|| Some(vec![]), |list| list.as_array()?.iter().map(Value::as_str).collect());
            match listed {
                None => self.wrong_in(COMPOSE, format!("services.{name}.networks: must be a list of names")),
                Some(listed) => {
                    for key in listed.into_iter().filter(|key| !own.iter().any(|own| own == key)) {
                        self.wrong_in(
                            COMPOSE,
                            format!("services.{name}.networks: {key} is no network of this file"),
                        );
                    }
                }
            }
            if service.get("ports").is_some() {
                self.wrong_in(
                    COMPOSE,
                    format!("services.{name}.ports: what is published is said by [[ports]] in {MANIFEST}"),
                );
            }
        }
    }

    /// The services' limits fit into the stack's budget.
    fn memory(&mut self) {
        let mut sum = 0;
        for (name, service) in self.compose["services"].as_object().into_iter().flatten() {
            let limit = service.get("mem_limit").map_or_else(
                || Ok(super::DEFAULT_MEMORY),
                |limit| super::Size::try_from(limit.as_str().unwrap_or_default().to_owned()),
            );
            match limit {
                Ok(limit) => sum += limit.mib(),
                Err(why) => self.wrong_in(COMPOSE, format!("services.{name}.mem_limit: {why}")),
            }
        }
        if sum > self.manifest.memory.mib() {
            self.wrong(
                &["memory"],
                format!(
                    "the limits of its services add up to {sum} MiB, its budget is {}",
                    self.manifest.memory
                ),
            );
        }
    }

    /// Each file that is spoken of is there, and each template can be read.
    fn configuration(&mut self) {
        let there: BTreeSet<&str> = self.folder.config().map(|(path, _)| path).collect();
        let names = self.manifest.provides.private_network.iter().map(|network| &network.names);
        let documents =
            self.manifest.api.iter().flat_map(|api| &api.resources).map(|resource| &resource.document);
        let named = self.manifest.config.iter().map(|config| &config.file).chain(names).chain(documents);
        for file in named.filter(|file| !there.contains(file.as_str())).collect::<Vec<_>>() {
            self.wrong(&["config", file], format!("there is no {CONFIG}{file} in the folder"));
        }
        for (path, text) in self.folder.config() {
            if let Err(mistake) = template::parse(&self.folder.name, path, text) {
                self.mistakes.push(mistake);
            }
        }
    }

    /// No directory lies below another: a container could make that a link.
    fn data(&mut self) {
        let dirs = &self.manifest.data;
        for dir in dirs {
            let around = dirs
                .iter()
                .filter(|other| Path::new(dir.path.as_str()).starts_with(other.path.as_str()))
                .count();
            if around > 1 {
                self.wrong(
                    &["data", &dir.path],
                    "it lies below another one, where a container could put a link",
                );
            }
        }
    }

    fn secrets(&mut self) {
        for (name, secret) in &self.manifest.secrets {
            if secret.format.bits() < LEAST_BITS {
                self.wrong(
                    &["secrets", name],
                    format!("it holds fewer than {LEAST_BITS} bits of chance: make it longer"),
                );
            }
            let is_hashed =
                |of: &Word| self.manifest.secrets.get(of).is_some_and(|of| of.format.of().is_none());
            if let Some(of) = secret.format.of().filter(|of| !is_hashed(of)) {
                self.wrong(
                    &["secrets", name],
                    format!("{of} is no secret of this stack that could be hashed"),
                );
            }
            if secret.purpose.trim().is_empty() {
                self.wrong(&["secrets", name], "it does not say what it is for");
            }
            if RESERVED.iter().any(|reserved| name.starts_with(reserved)) || NOTES.contains(&name.as_str()) {
                let (beginnings, notes) = (RESERVED.join(" or "), NOTES.join(", "));
                self.wrong(
                    &["secrets", name],
                    format!("names that begin with {beginnings} are firstboot's own, and so are {notes}"),
                );
            }
        }
        for token in self.manifest.api.iter().map(|api| &api.token) {
            if !self.manifest.secrets.contains_key(token.secret.as_str()) {
                self.wrong(&["api", "token"], format!("there is no [secrets.{}]", token.secret));
            }
        }
        for client in self
            .manifest
            .clients
            .iter()
            .filter(|client| !self.manifest.secrets.contains_key(client.secret.as_str()))
        {
            self.wrong(&["clients", &client.id], format!("there is no [secrets.{}]", client.secret));
        }
    }

    fn options(&mut self) {
        for (name, choice) in &self.manifest.options {
            if let Setting::Text(default) = &choice.default
                && !choice.values.is_empty()
                && !choice.values.contains(default)
            {
                self.wrong(
                    &["options", name],
                    format!("its default is none of {}", choice.values.join(", ")),
                );
            }
        }
        for (path, when) in choices(self.manifest) {
            let why = match (self.manifest.options.get(when.option.as_str()), &when.value) {
                (None, _) => format!("there is no [options.{}]", when.option),
                (Some(choice), None) if matches!(choice.default, Setting::Number(_)) => {
                    format!("{} is a number: say which, `{}=…`", when.option, when.option)
                }
                (Some(choice), Some(value))
                    if !choice.values.is_empty() && !choice.values.contains(value) =>
                {
                    format!("{} is never {value}", when.option)
                }
                _ => continue,
            };
            self.wrong(&path, why);
        }
    }

    /// What nobody else's stack may.
    fn exceptions(&mut self) {
        let engine =
            self.manifest.exceptions.iter().any(|exception| exception.rule == Loosened::EngineSocket);
        if engine && !self.folder.ours {
            self.wrong(
                &["exceptions"],
                "the container engine's socket is for a stack of the catalogue only: import what one of those exports of it instead",
            );
        }
    }

    fn routes(&mut self) {
        let routes = &self.manifest.routes;
        let twice =
            |(at, route): &(usize, &super::Route)| routes[..*at].iter().any(|other| other.name == route.name);
        for (_, route) in routes.iter().enumerate().filter(twice) {
            self.wrong(&["routes", &route.name], "there are two of that name");
        }
        let known = |name: &str| routes.iter().any(|route| route.name.as_str() == name);
        let sign_in = self
            .manifest
            .provides
            .sign_in
            .iter()
            .map(|sign_in| (vec!["provides", "sign-in"], &sign_in.route));
        let private = self
            .manifest
            .provides
            .private_network
            .iter()
            .map(|network| (vec!["provides", "private-network"], &network.route));
        let clients = self
            .manifest
            .clients
            .iter()
            .filter_map(|client| Some((vec!["clients", client.id.as_str()], client.route.as_ref()?)));
        for (path, route) in
            sign_in.chain(private).chain(clients).filter(|(_, route)| !known(route)).collect::<Vec<_>>()
        {
            self.wrong(&path, format!("there is no route {route}"));
        }
        let is_gate = self.manifest.provides.gate.is_some();
        for client in self.manifest.clients.iter().filter(|client| client.route.is_none() && !is_gate) {
            self.wrong(&["clients", &client.id], "it names no `route`, which only the gate's may leave out");
        }
        for route in routes.iter().filter(|route| !route.paths.is_empty() && route.path.as_str() != "/") {
            self.wrong(&["routes", &route.name], "it has both `path` and `paths`");
        }
    }
}

/// The image that a service runs, or those that it may by an option: `{{ option.NAME }}`.
fn may_be<'a>(m: &'a Manifest, image: &'a str) -> Vec<&'a str> {
    let option = image.strip_prefix("{{ option.").and_then(|rest| rest.strip_suffix(" }}"));
    match option.and_then(|option| m.options.get(option)) {
        Some(choice) => choice.values.iter().map(String::as_str).collect(),
        None => vec![image],
    }
}

/// Everything that depends on a choice of the project's.
fn choices(m: &Manifest) -> Vec<(Vec<&str>, &When)> {
    let door = m.provides.front_door.iter().flat_map(|door| [&door.vouched, &door.vouched_inside]);
    let door = door.map(|when| (vec!["provides", "front-door"], when));
    let ports = m.ports.iter().map(|port| (vec!["ports"], &port.when));
    let routes = m.routes.iter().map(|route| (vec!["routes", route.name.as_str()], &route.when));
    let secrets = m.secrets.iter().map(|(name, secret)| (vec!["secrets", name.as_str()], &secret.when));
    let hooks = m.hooks.each().map(|(name, hook)| (vec!["hooks", name], &hook.when));
    let clients = m.clients.iter().map(|client| (vec!["clients", client.id.as_str()], &client.elsewhere));
    let all = door.chain(hooks).chain(ports).chain(routes).chain(secrets).chain(clients);
    all.filter_map(|(path, when)| Some((path, when.as_ref()?))).collect()
}
