//! The project folder and its `project.toml`: one file, one type, every mistake reported at once.

mod folder;
mod reader;

pub use folder::Folder;
pub use reader::{Mistake, Mistakes};

use reader::Document;
use spec::{Port, Protocol};
use std::collections::BTreeMap;

/// Hetzner sells volumes of this many GB (OpenAPI document, `POST /volumes`).
const VOLUME_GB: std::ops::RangeInclusive<i64> = 10..=10_240;
/// Hetzner's locations as of November 2026; the cloud's own list is looked at before anything is made.
const LOCATIONS: [&str; 6] = ["fsn1", "nbg1", "hel1", "ash", "hil", "sin"];

/// What the operator wants, as `projects/NAME/project.toml` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The folder's name; names and labels of everything in the cloud derive from it.
    pub name: String,
    /// Whether this machine plays the cloud.
    pub rehearsal: bool,
    /// Where the server, its volume and its addresses are.
    pub location: String,
    /// The server type's name, e.g. `cax31`.
    pub server_type: String,
    /// The image's name; the right architecture is picked by the server type.
    pub image: String,
    /// The size of the encrypted volume.
    pub volume_gb: u64,
    /// The port sshd listens on.
    pub ssh_port: u16,
    /// Public keys let in besides the project's own.
    pub authorized_keys: Vec<String>,
    /// Ports open to the world besides ssh.
    pub open: Vec<Port>,
    /// The offline keys the escrow is sealed to.
    pub recipients: Vec<String>,
    /// Whether a rehearsal's identity is made here, where a real one never lies.
    pub throwaway_identity: bool,
    /// The stacks to run.
    pub stacks: Vec<String>,
    /// Where their container images come from.
    pub images: ImageSource,
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
        let location = cloud.one_of("location", "fsn1", &LOCATIONS);
        cloud.finish();

        let mut server = document.section("server");
        let server_type = server.word("type", "cax31");
        let image = server.word("image", "debian-13");
        server.finish();

        let mut volume = document.section("volume");
        let volume_gb = volume.number("size_gb", 40, VOLUME_GB).unsigned_abs();
        volume.finish();

        let mut ssh = document.section("ssh");
        let ssh_port = u16::try_from(ssh.number("port", 22, 1..=65_535)).unwrap_or(22);
        let authorized_keys =
            ssh.list("authorized_keys", "a public ssh key such as \"ssh-ed25519 AAAA…\"", |line| {
                line.split_whitespace()
                    .nth(1)
                    .filter(|body| body.starts_with("AAAA"))
                    .map(|_| line.to_owned())
            });
        ssh.finish();

        let mut firewall = document.section("firewall");
        let open = firewall.list("open", "a port such as \"443/tcp\" or \"3478/udp\"", parse_port);
        firewall.finish();

        let (recipients, throwaway_identity) = read_escrow(&mut document, rehearsal);
        let (stacks, images) = read_stacks(&mut document);
        document.finish()?;

        Ok(Self {
            name: name.into(),
            rehearsal,
            location,
            server_type,
            image,
            volume_gb,
            ssh_port,
            authorized_keys,
            open,
            recipients,
            throwaway_identity,
            stacks,
            images,
        })
    }
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
        assert_eq!(project.server_type, "cax31");
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
}
