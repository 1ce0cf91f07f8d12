//! `[stacks]` and `[images]`: which stacks run, what is chosen of each, and the plan that follows.

use super::reader::Document;
use super::value::setting;
use super::{ImageSource, OwnStacks};
use crate::dns::{Dns, parse_domain};
use spec::{Port, StackSpec, VpnSpec};
use stacks::manifest::From;
use stacks::{Folder, Manifest, Plan, Wish};
use std::collections::BTreeSet;

/// Keys of `[stacks]` that are no stack's name.
const KEYS: [&str; 2] = ["enabled", "domain"];

/// What the sections say.
pub(super) struct Chosen {
    pub(super) stacks: Vec<StackSpec>,
    pub(super) domain: Option<String>,
}

/// Reads `[stacks]`. `own` are the stacks that lie in the project's folder.
pub(super) fn read(document: &mut Document<'_>, own: &OwnStacks) -> Chosen {
    let mut known: Vec<&str> = stacks::catalogue().collect();
    known.extend(own.keys().map(String::as_str));
    let mut section = document.section("stacks");
    let enabled = section.list_checked("enabled", |name| {
        if known.contains(&name) {
            Ok(name.to_owned())
        } else {
            Err(format!("is no stack; allowed: {}", known.join(", ")))
        }
    });
    let domain = section.checked("domain", parse_domain);
    let mut chosen: Vec<StackSpec> = enabled
        .into_iter()
        .map(|name| StackSpec {
            files: own.get(&name).cloned().unwrap_or_default(),
            name,
            ..StackSpec::default()
        })
        .collect();
    for (name, table) in section.sections_but(&KEYS) {
        let Some(stack) = chosen.iter_mut().find(|stack| stack.name == name) else {
            section.wrong(
                &name,
                "is chosen for a stack that is not enabled: add it to stacks.enabled, or leave this out",
            );
            continue;
        };
        for (key, found) in table {
            let key = key.get_ref().to_string();
            if key == "hosts" {
                let hosts = found.get_ref().as_table().into_iter().flatten();
                stack.hosts.extend(hosts.filter_map(|(route, host)| {
                    Some((route.get_ref().to_string(), host.get_ref().as_str()?.to_owned()))
                }));
            } else if let Some(setting) = setting(found.get_ref()) {
                stack.options.insert(key, setting);
            } else {
                section.wrong(&format!("{name}.{key}"), "must be true or false, a whole number or a text");
            }
        }
    }
    section.finish();
    Chosen { stacks: chosen, domain }
}

/// Reads `[images]`.
pub(super) fn read_images(document: &mut Document<'_>, plan: &Plan) -> ImageSource {
    let mut section = document.section("images");
    let source = section.one_of("from", "packages", &["packages", "pins"]);
    let pins = section.table("pins", check_pin);
    if source == "pins" {
        let needed: Vec<String> = image_names(plan)
            .into_iter()
            .filter(|image| !section.is_wrong(&format!("pins.{image}")))
            .collect();
        let missing: Vec<_> = needed.into_iter().filter(|image| !pins.contains_key(image)).collect();
        if !missing.is_empty() {
            let why = format!("lacks the image(s) {} that the enabled stacks run", missing.join(", "));
            section.wrong("pins", &why);
        }
    }
    section.finish();
    if source == "pins" { ImageSource::Pins(pins) } else { ImageSource::Packages }
}

/// What the manifests of these stacks say; of one that has a mistake, the plan says so.
fn manifests(stacks: &[StackSpec]) -> impl Iterator<Item = (&StackSpec, Manifest)> {
    stacks.iter().filter_map(|stack| Some((stack, Folder::of(stack).ok()?.manifest().ok()?)))
}

/// The images that the stacks of a plan run, each once: of those that an option chooses between, the chosen one.
pub(super) fn image_names(plan: &Plan) -> Vec<String> {
    let all: BTreeSet<&str> = plan.stacks.iter().flat_map(stacks::Planned::images).collect();
    all.into_iter().map(str::to_owned).collect()
}

/// The stack that serves a private network, where one of these does.
pub(super) fn serves_network(stacks: &[StackSpec]) -> Option<&str> {
    manifests(stacks)
        .find(|(_, manifest)| manifest.provides.private_network.is_some())
        .map(|(stack, _)| stack.name.as_str())
}

/// The plan of the stacks; why there is none is a mistake, at the line that it follows from where that is in this file.
pub(super) fn plan(
    document: &mut Document<'_>,
    name: &str,
    chosen: &Chosen,
    dns: Option<&Dns>,
    vpn: Option<&VpnSpec>,
) -> (Plan, Option<String>) {
    if dns.is_some() && chosen.domain.is_some() {
        document.wrong("stacks", "domain", "is said by [dns] zone already; leave one of the two out");
    }
    let domain = dns.map(|dns| dns.zone.clone()).or_else(|| chosen.domain.clone());
    if ["stacks", "dns", "vpn"].iter().any(|section| document.is_mistaken(section)) {
        return (Plan::default(), domain);
    }
    let wish = Wish { project: name, domain: domain.as_deref(), vpn, stacks: &chosen.stacks };
    let plan = Plan::resolve(wish).unwrap_or_else(|error| {
        match error {
            stacks::Error::Option { stack, option, why } => {
                document.wrong("stacks", &format!("{stack}.{option}"), &why);
            }
            stacks::Error::Files(mistakes) => {
                for mistake in mistakes {
                    document.wrong_elsewhere("stacks.enabled", &mistake.to_string());
                }
            }
            other => document.wrong("stacks", "enabled", &other.to_string()),
        }
        Plan::default()
    });
    (plan, domain)
}

/// The ports that are open to the world: what the operator opens, and what the stacks are reached by.
pub(super) fn with_ports_of(plan: &Plan, mut open: Vec<Port>) -> Vec<Port> {
    for port in plan.ports(From::World) {
        if !open.contains(&port) {
            open.push(port);
        }
    }
    open
}

fn check_pin(image: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._/:-".contains(&b);
    let pinned = image.split_once("@sha256:").is_some_and(|(name, digest)| {
        let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        !name.is_empty() && name.bytes().all(plain) && digest.len() == 64 && digest.bytes().all(hexadecimal)
    });
    if pinned {
        return Ok(());
    }
    Err("must be pinned by digest: \"registry/name@sha256:<64 hexadecimal digits>\"".into())
}
