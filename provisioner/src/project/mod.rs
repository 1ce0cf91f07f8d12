//! The project folder and its `project.toml`: one file, one type, every mistake reported at once.

mod access;
mod exceptions;
mod folder;
mod reader;
mod unlocking;
mod vpn;
mod wishes;

pub use access::parse_operator;
pub use folder::Folder;
pub use reader::{Mistake, Mistakes};
pub use wishes::{Dns, Lease, StorageBoxWish};

use crate::dns::{self, Record, RrSetWish};
use crate::network::Network;
use reader::Document;
use spec::{Exception, Port, Protocol, RebootWindow, UnlockSpec, VpnSpec};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Hetzner sells volumes of this many GB (OpenAPI document, `POST /volumes`).
const VOLUME_GB: std::ops::RangeInclusive<i64> = 10..=10_240;
/// Where Hetzner has storage boxes.
const BOX_LOCATIONS: [&str; 2] = ["fsn1", "hel1"];
/// Hetzner's locations as of November 2026; the cloud's own list is looked at before anything is made.
const LOCATIONS: [&str; 6] = ["fsn1", "nbg1", "hel1", "ash", "hil", "sin"];

/// What the operator wants, as `projects/NAME/project.toml` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The folder's name; names and labels of everything in the cloud derive from it.
    pub name: String,
    /// Whether this machine plays the cloud.
    pub rehearsal: bool,
    /// Where the server, its volume and its addresses may be, in the order it is tried; never empty.
    pub locations: Vec<String>,
    /// The context of the hcloud CLI whose token is used, where no token is in the environment.
    pub context: Option<String>,
    /// The command that prints the token, where none is in the environment.
    pub token_command: Vec<String>,
    /// Whether what is made is protected from being deleted.
    pub protect: bool,
    /// The server types that will do, e.g. `cax31`, in the order they are tried; never empty.
    pub server_types: Vec<String>,
    /// The image's name; the right architecture is picked by the server type.
    pub image: String,
    /// Whether the root disk is kept as a snapshot before it is overwritten.
    pub snapshot_before_rebuild: bool,
    /// The size of the encrypted volume; a throw-away server may do without one.
    pub volume_gb: Option<u64>,
    /// The port sshd listens on.
    pub ssh_port: u16,
    /// Public keys let in besides the project's own.
    pub authorized_keys: Vec<String>,
    /// From where ssh is let through to the server at all times; from nowhere where it is empty.
    pub ssh_from: Vec<Network>,
    /// Where the operator comes from, where that is always the same address.
    pub operator: Option<IpAddr>,
    /// How the volume is opened after a restart.
    pub unlock: UnlockSpec,
    /// When the server may restart by itself.
    pub reboot: Option<RebootWindow>,
    /// Ports open to the world besides ssh: the operator's, then the stacks'.
    pub open: Vec<Port>,
    /// The offline keys the escrow is sealed to.
    pub recipients: Vec<String>,
    /// Whether a rehearsal's identity is made here, where a real one never lies.
    pub throwaway_identity: bool,
    /// The stacks to run.
    pub stacks: Vec<String>,
    /// Where their container images come from.
    pub images: ImageSource,
    /// The names the server is reached by.
    pub dns: Option<Dns>,
    /// The private network, where there is one.
    pub vpn: Option<VpnSpec>,
    /// The box that backups go to.
    pub storage_box: Option<StorageBoxWish>,
    /// Findings of the audit that are accepted.
    pub exceptions: Vec<Exception>,
    /// Set on a throw-away server's project only.
    pub lease: Option<Lease>,
}

/// Where container images come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// Made from Debian's packages and served from this machine.
    Packages,
    /// Pulled from registries, each pinned by digest in `[images.pins]`.
    Pins(BTreeMap<String, String>),
}

impl Project {
    /// Reads `project.toml`'s text. Nothing is looked at but the text; every mistake in it is reported at once.
    pub fn parse(name: &str, text: &str) -> Result<Self, Mistakes> {
        let mut document = Document::parse(text);
        check_name(name, &mut document);

        let mut cloud = document.section("cloud");
        let rehearsal = cloud.flag("rehearsal", false);
        let locations = cloud.some_of("location", "fsn1", &LOCATIONS);
        let context = cloud.optional_word("context");
        let token_command = cloud.list("token_command", "a word of a command", |word| Some(word.to_owned()));
        let protect = cloud.flag("protect", true);
        cloud.finish();

        let unlock = unlocking::read_unlock(&mut document);

        let mut server = document.section("server");
        let server_types = server.words("type", "cax31");
        let image = server.word("image", "debian-13");
        let snapshot_before_rebuild = server.flag("snapshot_before_rebuild", true);
        let reboot = unlocking::read_reboot(&mut server, &unlock);
        server.finish();

        let mut volume = document.section("volume");
        let volume_gb = Some(volume.number("size_gb", 40, VOLUME_GB).unsigned_abs());
        volume.finish();

        let access::Ssh { port: ssh_port, authorized_keys, from: ssh_from } = access::read_ssh(&mut document);
        let operator = access::read_operator(&mut document);

        let mut firewall = document.section("firewall");
        let open = firewall.list("open", "a port such as \"443/tcp\" or \"3478/udp\"", parse_port);
        firewall.finish();

        let (recipients, throwaway_identity) = read_escrow(&mut document, rehearsal);
        let (stacks, images) = read_stacks(&mut document);
        let dns = read_dns(&mut document, name, &stacks);
        let vpn = vpn::read(&mut document, dns.as_ref(), &stacks, &unlock);
        let open = vpn::with_ports_of(&stacks, open);
        let storage_box = read_storage_box(&mut document);
        let exceptions = exceptions::read(&mut document);
        document.finish()?;

        Ok(Self {
            name: name.into(),
            rehearsal,
            locations,
            context,
            token_command,
            protect,
            server_types,
            image,
            snapshot_before_rebuild,
            volume_gb,
            ssh_port,
            authorized_keys,
            ssh_from,
            operator,
            unlock,
            reboot,
            open,
            recipients,
            throwaway_identity,
            stacks,
            images,
            dns,
            vpn,
            storage_box,
            exceptions,
            lease: None,
        })
    }

    /// The images that its stacks name.
    pub fn image_names(&self) -> Vec<&'static str> {
        let stacks = self.stacks.iter().filter_map(|name| stacks::find(name).ok());
        stacks.flat_map(|stack| stack.images).copied().collect()
    }

    /// The records the project wants, the server's own first, then what its stacks ask, then the operator's.
    pub fn records(&self) -> Vec<RrSetWish> {
        // What contradicts itself was a mistake when the file was read.
        self.dns.as_ref().and_then(|dns| dns::wanted(dns, &self.stacks).ok()).unwrap_or_default()
    }
}

fn read_dns(document: &mut Document<'_>, project: &str, stacks: &[String]) -> Option<Dns> {
    let mut section = document.section("dns");
    let zone = section.optional_word("zone");
    let at_hetzner = section.one_of("held", "hetzner", &["hetzner", "elsewhere"]) == "hetzner";
    let host = section.optional_word("host").unwrap_or_else(|| project.into());
    let ttl = section.number("ttl", 3600, 60..=i64::from(i32::MAX));
    let records = section.list_checked("records", Record::parse);
    let dns = zone.map(|zone| Dns {
        zone: zone.trim_end_matches('.').to_lowercase(),
        at_hetzner,
        host,
        ttl: u32::try_from(ttl).unwrap_or(3600),
        records,
    });
    match &dns {
        Some(dns) => {
            if !dns::is_zone(&dns.zone) {
                section.wrong("zone", "must be a domain such as \"example.org\"");
            } else if let Err(why) = dns::wanted(dns, stacks) {
                section.wrong("records", &why);
            }
            if let Err(why) = dns::check_name(&dns.host) {
                section.wrong("host", &why);
            }
        }
        None if section.is_there() && !section.is_wrong("zone") => {
            section.wrong("zone", "is needed: the domain whose records are kept, e.g. \"example.org\"");
        }
        None => {}
    }
    section.finish();
    dns
}

fn read_storage_box(document: &mut Document<'_>) -> Option<StorageBoxWish> {
    let mut section = document.section("storage_box");
    let wish = StorageBoxWish {
        kind: section.word("type", "bx11"),
        location: section.one_of("location", "fsn1", &BOX_LOCATIONS),
        adopt: match section.number("adopt", 0, 0..=i64::MAX) {
            0 => None,
            id => Some(id.unsigned_abs()),
        },
    };
    let there = section.is_there();
    section.finish();
    there.then_some(wish)
}

fn read_escrow(document: &mut Document<'_>, rehearsal: bool) -> (Vec<String>, bool) {
    let mut section = document.section("escrow");
    let recipients = section.list_checked("recipients", |text| match escrow::Recipient::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(why) => Err(why.to_string()),
    });
    let throwaway = section.flag("throwaway_identity", false);
    if throwaway && !rehearsal {
        section.wrong(
            "throwaway_identity",
            "is for rehearsals only: a real offline key never lies on this machine; name its `recipients` instead",
        );
    }
    if recipients.is_empty() && !throwaway && !section.is_wrong("recipients") {
        section.wrong(
            "recipients",
            "is needed: at least one age recipient (`age1…`), made on an offline machine with `age-keygen -o identity.txt`",
        );
    }
    section.finish();
    (recipients, throwaway)
}

fn read_stacks(document: &mut Document<'_>) -> (Vec<String>, ImageSource) {
    let known: Vec<&str> = stacks::CATALOGUE.iter().map(|stack| stack.name).collect();
    let mut section = document.section("stacks");
    let enabled = section.list_checked("enabled", |name| {
        if known.contains(&name) {
            Ok(name.to_owned())
        } else {
            Err(format!("is no stack; allowed: {}", known.join(", ")))
        }
    });
    section.finish();

    let mut section = document.section("images");
    let source = section.one_of("from", "packages", &["packages", "pins"]);
    let pins = section.table("pins", |image| {
        let digest = image.split_once("@sha256:").map(|(_, digest)| digest.len());
        if digest == Some(64) {
            Ok(())
        } else {
            Err("must be pinned by digest: \"registry/name@sha256:<64 hexadecimal digits>\"".into())
        }
    });
    if source == "pins" {
        let needed = enabled.iter().filter_map(|name| stacks::find(name).ok()).flat_map(|stack| stack.images);
        let missing: Vec<_> = needed.filter(|image| !pins.contains_key(**image)).copied().collect();
        if !missing.is_empty() {
            section.wrong(
                "pins",
                &format!("lacks the image(s) {} that the enabled stacks run", missing.join(", ")),
            );
        }
    }
    section.finish();
    (enabled, if source == "pins" { ImageSource::Pins(pins) } else { ImageSource::Packages })
}

fn check_name(name: &str, document: &mut Document<'_>) {
    let label = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let shaped = !name.is_empty() && name.len() <= 40 && name.bytes().all(label);
    if !shaped || name.starts_with('-') || name.ends_with('-') {
        document.wrong_name(name);
    }
}

fn parse_port(text: &str) -> Option<Port> {
    let (port, protocol) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    port.parse().ok().filter(|port| *port != 0).map(|port| Port { port, protocol })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    fn mistakes(text: &str) -> Vec<String> {
        let mistakes = Project::parse("demo", text).unwrap_err();
        mistakes.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_short_file_is_enough() {
        let project = Project::parse("prod", &format!("[escrow]\nrecipients = [\"{RECIPIENT}\"]\n")).unwrap();
        assert_eq!(project.server_types, ["cax31"]);
        assert_eq!(project.locations, ["fsn1"]);
        assert!(project.protect && project.dns.is_none() && project.storage_box.is_none());
        assert_eq!(project.ssh_port, 22);
        assert!(!project.rehearsal);
    }

    #[test]
    fn all_mistakes_are_reported_at_once_each_with_its_line_and_what_is_allowed() {
        let text = "[cloud]\nlocation = \"mars1\"\nspeed = 9\n\n[volume]\nsize_gb = 3\n\n[ssh]\nport = \"x\"\n\n[escrow]\nrecipients = [\"age1nonsense\"]\n\n[stack]\n";
        let mistakes = mistakes(text);
        let has = |parts: &[&str]| mistakes.iter().any(|m| parts.iter().all(|p| m.contains(p)));
        assert!(has(&["line 2", "cloud.location", "mars1", "fsn1"]), "{mistakes:#?}");
        assert!(has(&["line 3", "cloud.speed", "unknown", "rehearsal"]), "{mistakes:#?}");
        assert!(has(&["line 6", "volume.size_gb", "10 to 10240"]), "{mistakes:#?}");
        assert!(has(&["line 9", "ssh.port", "whole number"]), "{mistakes:#?}");
        assert!(has(&["line 12", "escrow.recipients", "age1nonsense"]), "{mistakes:#?}");
        assert!(has(&["line 14", "stack", "unknown", "stacks"]), "{mistakes:#?}");
        assert_eq!(mistakes.len(), 6, "{mistakes:#?}");
    }

    #[test]
    fn broken_toml_says_where() {
        assert!(mistakes("[cloud\n").iter().any(|m| m.contains("line 1")));
    }

    #[test]
    fn a_real_key_is_asked_for_where_it_counts() {
        let text = "[escrow]\nthrowaway_identity = true\n";
        assert!(mistakes(text)[0].contains("rehearsals only"));
        assert!(Project::parse("demo", &format!("[cloud]\nrehearsal = true\n{text}")).is_ok());
        assert!(mistakes("")[0].contains("age-keygen"));
    }

    #[test]
    fn ports_are_read_with_their_protocol() {
        let text = format!(
            "[escrow]\nrecipients = [\"{RECIPIENT}\"]\n[firewall]\nopen = [\"443/tcp\", \"0/tcp\", \"9\"]\n"
        );
        let mistakes = mistakes(&text);
        assert_eq!(mistakes.len(), 2, "{mistakes:#?}");
        assert!(mistakes[0].contains("line 4") && mistakes[0].contains("443/tcp"));
    }

    #[test]
    fn a_name_that_cannot_be_a_host_name_is_refused() {
        for name in ["", "Prod", "a_b", "-a", "../x"] {
            assert!(
                Project::parse(name, &format!("[escrow]\nrecipients = [\"{RECIPIENT}\"]")).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn types_and_locations_are_one_or_several_in_order() {
        let text = format!(
            "[cloud]\nlocation = [\"nbg1\", \"fsn1\"]\n[server]\ntype = [\"cax31\", \"cpx42\"]\n[escrow]\nrecipients = [\"{RECIPIENT}\"]\n"
        );
        let project = Project::parse("prod", &text).unwrap();
        assert_eq!(project.locations, ["nbg1", "fsn1"]);
        assert_eq!(project.server_types, ["cax31", "cpx42"]);
        let wrong = mistakes("[cloud]\nlocation = []\n[server]\ntype = [\"cax31\", \"cax31\", 3]\n");
        assert!(wrong[0].contains("line 2") && wrong[0].contains("at least one"), "{wrong:#?}");
        assert!(wrong[1].contains("number 3"), "{wrong:#?}");
        assert!(wrong[2].contains("line 4") && wrong[2].contains("twice"), "{wrong:#?}");
    }

    #[test]
    fn the_zone_and_its_records_are_read_and_contradictions_are_mistakes() {
        let text = |records: &str| {
            format!(
                "[escrow]\nrecipients = [\"{RECIPIENT}\"]\n[dns]\nzone = \"example.org\"\nrecords = [{records}]\n"
            )
        };
        let project = Project::parse("demo", &text("\"www CNAME demo\"")).unwrap();
        let shown: Vec<_> = project.records().iter().map(|r| format!("{} {}", r.name, r.kind)).collect();
        assert_eq!(shown, ["demo A", "demo AAAA", "www CNAME"]);
        assert!(mistakes(&text("\"demo CNAME www\""))[0].contains("CNAME"));
        assert!(mistakes(&text("\"www A 1.2.3\""))[0].contains("line 5"));
        assert!(mistakes("[dns]\nhost = \"srv\"\n").iter().any(|m| m.contains("dns.zone is needed")));
    }
}
