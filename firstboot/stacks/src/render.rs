//! The compose file as it goes to the server: what a human wrote, with images pinned, hardened, in the plan's networks.

use crate::manifest::Loosened;
use crate::plan::{Plan, Planned};
use crate::{Error, confinement, lint, to_yaml};
use serde_json::{Map, Value, json};
use spec::{Port, StackSpec};

impl Plan {
    /// Renders and lints a stack of the plan. `inbound` are the ports that the project declares open. Same inputs, same bytes.
    pub fn render(&self, wanted: &StackSpec, inbound: &[Port]) -> Result<String, Error> {
        let stack = self.stack(&wanted.name).ok_or_else(|| Error::Unknown {
            name: wanted.name.clone(),
            known: self.stacks.iter().map(|stack| stack.name.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        check_images(stack, wanted)?;
        let rendered = self.assemble(stack, |image| wanted.images.get(image).cloned())?;
        let findings = lint(self, stack, &rendered, inbound);
        if findings.is_empty() {
            Ok(rendered)
        } else {
            Err(Error::Lint { stack: stack.name.clone(), findings })
        }
    }

    /// A stack's compose file with its images by their published names, for people: nothing is pinned in it.
    pub fn shown_compose(&self, stack: &Planned) -> Result<String, Error> {
        self.assemble(stack, |image| Some(stack.manifest.images.get(image)?.upstream.clone()))
    }

    /// Puts images, hardening, networks and ports into what a human wrote.
    fn assemble(&self, stack: &Planned, reference: impl Fn(&str) -> Option<String>) -> Result<String, Error> {
        let mut compose = stack.compose.clone();
        let mut networks = Map::new();
        let services = compose.get_mut("services").and_then(Value::as_object_mut);
        for (name, service) in services.into_iter().flatten() {
            let image = service["image"].as_str().unwrap_or_default();
            service["image"] = reference(image).into();
            confinement::confine(service);
            if stack.is_excepted(name, Loosened::ReadOnly) {
                service["read_only"] = false.into();
            }
            let mut joined = Map::new();
            for (network, place) in self.networks_of(&stack.name, name) {
                networks.insert(network.name.clone(), json!({ "external": true, "name": network.name }));
                let mut aliases = vec![crate::plan::name_of(&stack.name, name)];
                aliases.extend(place.aliases.iter().cloned());
                let mut value = json!({ "ipv4_address": place.address, "aliases": aliases });
                if let Some(address) = place.address6 {
                    value["ipv6_address"] = json!(address);
                }
                joined.insert(network.name.clone(), value);
            }
            service["networks"] = joined.into();
            let ports: Vec<Value> = stack.published_by(name).map(Value::from).collect();
            if !ports.is_empty() {
                service["ports"] = ports.into();
            }
        }
        compose["networks"] = networks.into();
        to_yaml(&stack.name, &compose)
    }
}

impl Planned {
    /// Each service and its definition, as a human wrote it.
    pub fn services(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.compose["services"].as_object().into_iter().flatten()
    }

    /// The names of the images that it runs in this plan, and of those that programs are taken out of.
    pub fn images(&self) -> std::collections::BTreeSet<&str> {
        let run = self.services().filter_map(|(_, service)| service["image"].as_str());
        run.chain(self.manifest.provides.private_network.iter().map(|network| network.node.as_str()))
            .collect()
    }

    /// The ports that a service publishes, as Compose has them.
    fn published_by(&self, service: &str) -> impl Iterator<Item = String> {
        let own = self
            .ports
            .iter()
            .filter(move |port| port.service.as_ref().is_some_and(|named| named.as_str() == service));
        own.map(|port| {
            let outside = port.outside().to_string();
            let (number, protocol) = outside.split_once('/').unwrap_or((&outside, "tcp"));
            format!("{number}:{}/{protocol}", port.target.unwrap_or(port.port))
        })
    }
}

/// Every image has a reference, and no reference is for none.
fn check_images(stack: &Planned, wanted: &StackSpec) -> Result<(), Error> {
    let wrong = |why: String| Err(Error::Images { stack: stack.name.clone(), why });
    let images = &stack.manifest.images;
    if let Some(missing) = stack.images().into_iter().find(|image| !wanted.images.contains_key(*image)) {
        return wrong(format!("image {missing} has no pinned reference"));
    }
    match wanted.images.keys().find(|image| !images.contains_key(image.as_str())) {
        Some(surplus) => wrong(format!("it names no image {surplus}")),
        None => Ok(()),
    }
}
