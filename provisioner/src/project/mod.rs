//! The project folder and its `project.toml`: one file, one type, every mistake reported at once.

mod access;
mod dns;
mod exceptions;
mod folder;
mod mistakes;
mod own_stacks;
mod reader;
mod stacks;
mod unlocking;
mod value;
mod vpn;
mod wishes;

pub use access::parse_operator;
pub use folder::Folder;
pub use mistakes::{Mistake, Mistakes};
pub use wishes::{Lease, StorageBoxWish};

use crate::dns::{Datum, Dns, RrSetWish, wanted};
use crate::network::Network;
use ::stacks::Plan;
use reader::Document;
use spec::{Exception, Port, Protocol, RebootWindow, StackSpec, UnlockSpec, VpnSpec};
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
    /// The stacks to run, without their images.
    pub stacks: Vec<StackSpec>,
    /// The domain below which they are reached.
    pub domain: Option<String>,
    /// All that follows from them.
    pub plan: Plan,
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

/// The stacks that lie in a project's folder: each one's files, by their paths inside it.
pub type OwnStacks = BTreeMap<String, BTreeMap<String, String>>;

/// Where container images come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// Made from Debian's packages and served from this machine.
    Packages,
    /// Pulled from registries, each pinned by digest in `[images.pins]`.
    Pins(BTreeMap<String, String>),
}

impl Project {
    /// Reads `project.toml`'s text. Nothing is looked at but the text; every mistake in it is reported at once, and only
    /// once: what follows from another mistake is none.
    pub fn parse(name: &str, text: &str) -> Result<Self, Mistakes> {
        Self::parse_with(name, text, &OwnStacks::new())
    }

    /// The same with the stacks that lie in the project's folder.
    pub fn parse_with(name: &str, text: &str, own: &OwnStacks) -> Result<Self, Mistakes> {
        let mut document = Document::parse(text)?;
        check_name(name, &mut document);

        let mut cloud = document.section("cloud");
        let rehearsal = cloud.flag("rehearsal", false);
        let locations = cloud.some_of("location", "fsn1", &LOCATIONS);
        let context = cloud.optional_word("context");
        let token_command = cloud.texts("token_command", |word| Ok(word.to_owned()));
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
        let chosen = stacks::read(&mut document, own);
        let dns = dns::read(&mut document, name);
        let vpn = vpn::read(&mut document, dns.as_ref(), stacks::serves_network(&chosen.stacks), &unlock);
        let (plan, domain) = stacks::plan(&mut document, name, &chosen, dns.as_ref(), vpn.as_ref());
        let images = stacks::read_images(&mut document, &plan);
        dns::check(&mut document, dns.as_ref(), &plan);
        let open = stacks::with_ports_of(&plan, open);
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
            stacks: chosen.stacks,
            domain,
            plan,
            images,
            dns,
            vpn,
            storage_box,
            exceptions,
            lease: None,
        })
    }

    /// The images that its stacks run as they are chosen, each once.
    pub fn image_names(&self) -> Vec<String> {
        stacks::image_names(&self.plan)
    }

    /// The records the project wants, the server's own first, then what its stacks ask, then the operator's.
    pub fn records(&self) -> Vec<RrSetWish> {
        // What contradicts itself was a mistake when the file was read.
        self.dns.as_ref().and_then(|dns| wanted(dns, &self.plan.records).ok()).unwrap_or_default()
    }

    /// The names whose AAAA record leads to the server, with commas between them.
    pub(crate) fn names_over_ipv6(&self) -> String {
        let records = self.records();
        let names = records.iter().filter(|set| set.data.contains(&Datum::Ipv6)).map(|set| set.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }
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
    let recipients = section.texts("recipients", |text| match escrow::Recipient::parse(text) {
        Ok(recipient) => Ok(recipient.to_string()),
        Err(why) => Err(why.to_string()),
    });
    let throwaway = section.flag("throwaway_identity", false);
    if throwaway && !rehearsal && !section.is_mistaken("cloud.rehearsal") {
        section.wrong(
            "throwaway_identity",
            "is for rehearsals only: a real offline key never lies on this machine; name its `recipients` instead",
        );
    }
    let is_said = ["recipients", "throwaway_identity"].iter().any(|key| section.is_wrong(key));
    if recipients.is_empty() && !throwaway && !is_said {
        section.wrong(
            "recipients",
            "is needed: at least one age recipient (`age1…`), made on an offline machine with `age-keygen -o identity.txt`",
        );
    }
    section.finish();
    (recipients, throwaway)
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
mod tests;
