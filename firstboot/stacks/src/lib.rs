//! The catalogue of stacks: what runs on a server besides the system itself.
//!
//! 1. A stack is a folder under `catalogue/`: a `compose.yaml` a human can read, and a [`Stack`] that says which
//!    images it names, which secrets and data directories it needs. [`find`] looks one up.
//! 2. [`render`] puts in the image references pinned by digest and adds what every stack shares: see [`mod@harden`].
//!    The same inputs give the same bytes. [`label()`] adds what compose does not see of what a container reads.
//! 3. [`lint()`] reads the result as a stranger would and refuses what no stack may do, each rule a [`Rule`].
//!
//! [`SERVER_PACKAGES`] are the Debian packages a stock server needs before any of it.

pub mod harden;
mod inputs;
mod lint;
pub mod release;

pub use inputs::{DIGEST, Labelled, Left, label, left};
pub use lint::{Finding, Rule, lint};

use serde_json::Value;
use spec::{Port, StackSpec, VpnSpec};

#[path = "../catalogue/headscale/stack.rs"]
mod headscale;
#[path = "../catalogue/postgres/stack.rs"]
mod postgres;

/// All stacks there are.
pub const CATALOGUE: &[Stack] = &[postgres::STACK, headscale::STACK];

/// The stack that the private network is served by.
pub const HEADSCALE: &str = "headscale";

/// The Debian 13 packages a server needs beyond a stock cloud image, baked in or installed by cloud-init: LUKS, the firewall, the container engine and what unpacks its images, and what confines containers.
pub const SERVER_PACKAGES: &[&str] = &[
    "apparmor",
    "auditd",
    "ca-certificates",
    "chrony",
    "clevis",
    "containerd",
    "cryptsetup-bin",
    "curl",
    "docker-cli",
    "docker-compose",
    "docker.io",
    "e2fsprogs",
    "fail2ban",
    "iptables",
    "nftables",
    "openssh-server",
    "openssl",
    "pigz",
    "python3-systemd",
    "ufw",
    "unattended-upgrades",
];

/// One stack of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Stack {
    /// Its name: the folder, the compose project, the systemd instance.
    pub name: &'static str,
    /// The compose file as a human wrote it.
    pub compose: &'static str,
    /// The image names the compose file uses; each needs a pinned reference in [`StackSpec::images`].
    pub images: &'static [&'static str],
    /// The secrets it reads.
    pub secrets: &'static [SecretNeed],
    /// The directories it keeps data in.
    pub data: &'static [DataDir],
    /// The configuration files it reads, from `config/` in its folder.
    pub config: &'static [ConfigFile],
    /// The user that reads `tls/certificate.pem` and `tls/key.pem` in its folder, where it serves TLS by itself.
    pub certificate: Option<u32>,
    /// The ports that are open to the world because of it, published or the host's.
    pub ports: &'static [Port],
    /// The ports of pages for administrators: published, and let in from the private network only.
    pub vpn_ports: &'static [Port],
    /// The subnet it sends mail from, fixed in its compose file: nothing else on the server may connect to port 25.
    pub mail: Option<&'static str>,
    /// The DNS records it is reached by, as lines of a zone file: `NAME TYPE DATA`, with `{host}`, `{ipv4}` and
    /// `{ipv6}` for what only the project knows.
    pub records: &'static [&'static str],
}

/// A secret a stack reads from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretNeed {
    /// Its name, unique over all stacks.
    pub name: &'static str,
    /// What it is for, in a sentence the escrow repeats.
    pub purpose: &'static str,
    /// How many characters of `A-Za-z0-9` are drawn; 43 carry 256 bits.
    pub length: usize,
    /// The user inside the container that reads it: compose secrets are bind mounts, so the file itself must be theirs.
    pub uid: u32,
}

/// A file of a stack's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigFile {
    /// Its name in `config/`.
    pub name: &'static str,
    /// Its text, with `{host}` and `{base_domain}` for what only the project knows of its private network.
    pub text: &'static str,
}

/// A directory below `/srv/sovereign/data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataDir {
    /// Relative to `/srv/sovereign/data`.
    pub path: &'static str,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its mode.
    pub mode: u32,
}

/// Why a stack could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not in the catalogue.
    #[error("rendering stack {name}: there is no such stack; the catalogue has: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// An image without a pinned reference, or a reference for no image.
    #[error("rendering stack {stack}: {why}; pin it by digest in the project")]
    Images {
        /// The stack.
        stack: String,
        /// What is wrong.
        why: String,
    },
    /// The compose file is not what it should be; a mistake in this crate.
    #[error("rendering stack {stack}: {why}")]
    Compose {
        /// The stack.
        stack: String,
        /// What is wrong.
        why: String,
    },
    /// It is part of the private network, and the project has none.
    #[error(
        "rendering stack {stack}: the project has no private network; add a section [vpn] to project.toml"
    )]
    NoVpn {
        /// The stack.
        stack: String,
    },
    /// The rendered stack breaks a rule.
    #[error("checking stack {stack}: {}", .findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Lint {
        /// The stack.
        stack: String,
        /// Each broken rule.
        findings: Vec<Finding>,
    },
}

/// The stack of that name.
pub fn find(name: &str) -> Result<&'static Stack, Error> {
    CATALOGUE.iter().find(|s| s.name == name).ok_or_else(|| Error::Unknown {
        name: name.into(),
        known: CATALOGUE.iter().map(|s| s.name).collect::<Vec<_>>().join(", "),
    })
}

/// The compose file as it goes to the server: images pinned, hardened, linted. Same inputs, same bytes.
pub fn render(wanted: &StackSpec, inbound: &[Port]) -> Result<String, Error> {
    let stack = find(&wanted.name)?;
    check_images(stack, wanted)?;
    let wrong = |why: String| Error::Compose { stack: stack.name.into(), why };
    let mut compose = parse(stack.compose).map_err(wrong)?;
    let services = compose.get_mut("services").and_then(Value::as_object_mut);
    for (name, service) in services.ok_or_else(|| wrong("it has no services".into()))? {
        let image = service.get("image").and_then(Value::as_str).unwrap_or_default();
        let pinned = wanted.images.get(image);
        let pinned =
            pinned.ok_or_else(|| wrong(format!("service {name} names no image of the catalogue")))?;
        service["image"] = pinned.clone().into();
        harden::harden(service);
    }
    harden::publish_on_both(&mut compose);
    let rendered = to_yaml(stack.name, &compose)?;
    let published: Vec<Port> = inbound.iter().chain(stack.vpn_ports).copied().collect();
    let findings = lint(stack, &rendered, &published);
    if findings.is_empty() { Ok(rendered) } else { Err(Error::Lint { stack: stack.name.into(), findings }) }
}

/// The networks of a rendered compose file that are to have IPv6, by their keys.
pub fn networks_with_ipv6(rendered: &str) -> Vec<String> {
    let compose = parse(rendered).unwrap_or_default();
    let networks = compose["networks"].as_object().into_iter().flatten();
    networks.filter(|(_, network)| network["enable_ipv6"] == true).map(|(key, _)| key.clone()).collect()
}

/// A stack's configuration files as they go to the server: name and text. Same inputs, same bytes.
pub fn config(stack: &Stack, vpn: Option<&VpnSpec>) -> Result<Vec<(&'static str, String)>, Error> {
    if stack.config.is_empty() {
        return Ok(Vec::new());
    }
    let vpn = vpn.ok_or_else(|| Error::NoVpn { stack: stack.name.into() })?;
    let fill = |text: &str| text.replace("{host}", &vpn.host).replace("{base_domain}", &vpn.base_domain);
    Ok(stack.config.iter().map(|file| (file.name, fill(file.text))).collect())
}

fn check_images(stack: &Stack, wanted: &StackSpec) -> Result<(), Error> {
    let wrong = |why: String| Err(Error::Images { stack: stack.name.into(), why });
    if let Some(missing) = stack.images.iter().find(|i| !wanted.images.contains_key(**i)) {
        return wrong(format!("image {missing} has no pinned reference"));
    }
    match wanted.images.keys().find(|i| !stack.images.contains(&i.as_str())) {
        Some(surplus) => wrong(format!("it names no image {surplus}")),
        None => Ok(()),
    }
}

/// Writes a compose file, as it lies on the server.
fn to_yaml(stack: &str, compose: &Value) -> Result<String, Error> {
    let plain = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let yaml = serde_saphyr::to_string_with_options(compose, plain)
        .map_err(|e| Error::Compose { stack: stack.into(), why: e.to_string() })?;
    Ok(format!("# Rendered by firstboot from the catalogue; changes here are overwritten.\n{yaml}"))
}

/// Reads a compose file; keys keep their order.
pub(crate) fn parse(yaml: &str) -> Result<Value, String> {
    serde_saphyr::from_str(yaml).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn wanted(images: &[(&str, &str)]) -> StackSpec {
        let images = images.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        StackSpec { name: "postgres".into(), images: images.collect::<BTreeMap<_, _>>() }
    }

    #[test]
    fn an_unknown_stack_lists_what_there_is() {
        let error = find("mysql").err().unwrap().to_string();
        assert!(error.contains("mysql") && error.contains("postgres"), "{error}");
    }

    #[test]
    fn images_must_match_exactly() {
        let missing = render(&wanted(&[]), &[]).unwrap_err().to_string();
        assert!(missing.contains("no pinned reference"), "{missing}");
        let surplus = render(&wanted(&[("postgres", "r@sha256:0"), ("redis", "r@sha256:0")]), &[]);
        assert!(surplus.unwrap_err().to_string().contains("no image redis"));
    }

    #[test]
    fn every_stack_keeps_its_files_where_the_catalogue_says() {
        for stack in CATALOGUE {
            for secret in stack.secrets {
                let file = format!("file: /srv/sovereign/stacks/{}/secrets/{}\n", stack.name, secret.name);
                assert!(stack.compose.contains(&file), "{file}");
                assert!(secret.length >= 43, "{} carries fewer than 256 bits", secret.name);
            }
            if let Some(subnet) = stack.mail {
                assert!(stack.compose.contains(&format!("subnet: {subnet}\n")), "{subnet} is not fixed");
            }
            for dir in stack.data {
                assert!(stack.compose.contains(&format!("source: /srv/sovereign/data/{}\n", dir.path)));
            }
        }
    }

    #[test]
    fn the_configuration_names_the_project_and_no_placeholder_is_left() {
        let vpn = VpnSpec {
            host: "vpn.example.org".into(),
            base_domain: "internal.example.org".into(),
            devices: vec![],
            names: vec![],
        };
        let stack = find(HEADSCALE).unwrap();
        let files = config(stack, Some(&vpn)).unwrap();
        assert!(files[0].1.contains("server_url: https://vpn.example.org\n"));
        assert!(files[0].1.contains("base_domain: internal.example.org\n"));
        assert!(files.iter().all(|(_, text)| !text.contains("{host}") && !text.contains("{base_domain}")));
        assert!(config(stack, None).unwrap_err().to_string().contains("[vpn]"));
    }

    #[test]
    fn no_relay_but_our_own_is_ever_named() {
        let config = find(HEADSCALE).unwrap().config[0].text;
        assert!(config.contains("  urls: []\n  paths: []\n  auto_update_enabled: false\n"));
        assert!(!config.contains("tailscale.com"));
    }

    #[test]
    fn a_page_for_administrators_is_never_open_to_the_world() {
        for stack in CATALOGUE {
            assert!(stack.vpn_ports.iter().all(|port| !stack.ports.contains(port)), "{}", stack.name);
        }
    }

    #[test]
    fn no_data_directory_lies_below_another_where_a_container_could_make_it_a_link() {
        let dirs = || CATALOGUE.iter().flat_map(|s| s.data).map(|dir| std::path::Path::new(dir.path));
        for dir in dirs() {
            assert_eq!(dirs().filter(|other| dir.starts_with(other)).count(), 1, "{}", dir.display());
            assert!(dir.components().all(|c| matches!(c, std::path::Component::Normal(_))));
        }
    }

    #[test]
    fn secrets_are_unique_over_all_stacks() {
        let mut names: Vec<_> = CATALOGUE.iter().flat_map(|s| s.secrets).map(|s| s.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
