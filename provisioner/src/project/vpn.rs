//! `[vpn]`: the private network between the server and the operator's devices.

use super::reader::{Document, Section};
use super::unlocking::tang_servers_in;
use crate::dns::{Dns, parse_domain};
use spec::{UnlockSpec, VpnSpec};

/// The name of the control server's record, which the stack asks for.
const RECORD: &str = "vpn";

/// Reads the section. It and the stack that serves the network come together or not at all.
pub(super) fn read(
    document: &mut Document<'_>,
    dns: Option<&Dns>,
    served_by: Option<&str>,
    unlock: &UnlockSpec,
) -> Option<VpnSpec> {
    let mut section = document.section("vpn");
    let there = section.is_there();
    let spec = VpnSpec {
        host: host(&mut section, dns, there),
        base_domain: base_domain(&mut section, dns, there),
        devices: section.list_checked("devices", name),
        names: section.list_checked("names", name),
    };
    for (key, names) in [("devices", &spec.devices), ("names", &spec.names)] {
        if names.iter().enumerate().any(|(at, name)| names[..at].contains(name)) {
            section.wrong(key, "names something twice");
        }
    }
    let inside = spec.host == spec.base_domain || spec.host.ends_with(&format!(".{}", spec.base_domain));
    let both_known = !spec.host.is_empty() && !spec.base_domain.is_empty();
    if there && inside && both_known && !section.is_wrong("host") && !section.is_wrong("base_domain") {
        let why = format!(
            "must not hold {}: devices resolve what lies in it inside the network, and would not find the way in",
            spec.host
        );
        section.wrong("base_domain", &why);
    }
    let shut_in = tang_servers_in(unlock, &spec.base_domain);
    if there && !shut_in.is_empty() && !section.is_wrong("base_domain") {
        let why = format!(
            "holds {}, which [unlock] needs while the volume is locked: the network is served from that volume",
            shut_in.join(" and ")
        );
        section.wrong("base_domain", &why);
    }
    match (there, served_by) {
        (true, None) if !section.is_mistaken("stacks.enabled") => {
            let why = format!("needs a stack that serves it: add \"{}\" to stacks.enabled", server_of_catalogue());
            section.wrong("devices", &why);
        }
        (false, Some(stack)) if !section.is_mistaken("vpn") => section.wrong(
            "host",
            &format!("is needed: stack {stack} serves a private network; add a section [vpn] with the `devices` that are in it"),
        ),
        _ => {}
    }
    section.finish();
    there.then_some(spec)
}

/// Our own stack that serves a private network.
fn server_of_catalogue() -> &'static str {
    let serves = |name: &&str| {
        let manifest = stacks::Folder::of_catalogue(name).and_then(|folder| folder.manifest());
        manifest.is_ok_and(|manifest| manifest.provides.private_network.is_some())
    };
    stacks::catalogue().find(serves).unwrap_or_default()
}

fn host(section: &mut Section<'_, '_>, dns: Option<&Dns>, there: bool) -> String {
    let named = section.checked("host", parse_domain);
    let by_zone = dns.map(|dns| format!("{RECORD}.{}", dns.zone));
    match (&named, &by_zone) {
        (Some(named), Some(by_zone)) if named != by_zone => {
            section.wrong("host", &format!("must be {by_zone}, which is the record the zone gets; leave it out"));
        }
        (None, None) if there && !section.is_wrong("host") && !section.is_mistaken("dns.zone") => section.wrong(
            "host",
            "is needed where there is no [dns] zone: the name that devices reach the server by, e.g. \"vpn.example.org\"",
        ),
        _ => {}
    }
    by_zone.or(named).unwrap_or_default()
}

fn base_domain(section: &mut Section<'_, '_>, dns: Option<&Dns>, there: bool) -> String {
    let named = section.checked("base_domain", parse_domain);
    let domain = named.or_else(|| dns.map(|dns| format!("internal.{}", dns.zone)));
    if domain.is_none() && there && !section.is_wrong("base_domain") && !section.is_mistaken("dns.zone") {
        section.wrong(
            "base_domain",
            "is needed where there is no [dns] zone: a domain for the names inside the network, e.g. \"internal.example.org\"",
        );
    }
    domain.unwrap_or_default()
}

/// A label of a DNS name.
fn name(text: &str) -> Result<String, String> {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let good = (1..=40).contains(&text.len()) && text.bytes().all(plain);
    if good && !text.starts_with('-') && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("cannot be used: 1 to 40 of a-z, 0-9 and -, neither first nor last a -".into())
    }
}

#[cfg(test)]
mod tests {
    use crate::project::Project;
    use spec::Protocol;

    const BASE: &str = "[cloud]\nrehearsal = true\n[escrow]\nthrowaway_identity = true\n";
    const STACKS: &str = "[stacks]\nenabled = [\"headscale\"]\n";

    fn parse(text: &str) -> Result<Project, Vec<String>> {
        let parsed = Project::parse("demo", &format!("{BASE}{text}"));
        parsed.map_err(|mistakes| mistakes.0.iter().map(ToString::to_string).collect())
    }

    fn refused(text: &str, word: &str) {
        let mistakes = parse(text).unwrap_err();
        assert!(mistakes.iter().any(|m| m.contains(word)), "{word}: {mistakes:#?}");
    }

    #[test]
    fn the_zone_is_enough() {
        let text = format!(
            "{STACKS}[dns]\nzone = \"example.org\"\n[vpn]\ndevices = [\"laptop\"]\nnames = [\"metrics\"]\n"
        );
        let project = parse(&text).unwrap();
        let vpn = project.vpn.clone().unwrap();
        assert_eq!(
            (vpn.host.as_str(), vpn.base_domain.as_str()),
            ("vpn.example.org", "internal.example.org")
        );
        assert_eq!((vpn.devices, vpn.names), (vec!["laptop".to_owned()], vec!["metrics".to_owned()]));
        let records: Vec<_> = project.records().iter().map(|r| format!("{} {}", r.name, r.kind)).collect();
        assert!(records.contains(&"vpn A".to_owned()), "{records:?}");
    }

    #[test]
    fn the_stacks_ports_are_open_to_the_world_and_the_pages_for_administrators_are_not() {
        let text = format!(
            "[firewall]\nopen = [\"443/tcp\"]\n{STACKS}[vpn]\nhost = \"vpn.example.org\"\nbase_domain = \"in.example.org\"\n"
        );
        let open = parse(&text).unwrap().open;
        let shown: Vec<_> = open.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["443/tcp", "3478/udp", "41641/udp"]);
        assert!(open.iter().all(|port| port.port != 9090 || port.protocol == Protocol::Udp));
    }

    #[test]
    fn network_and_stack_come_together() {
        refused("[vpn]\nhost = \"vpn.example.org\"\nbase_domain = \"in.example.org\"\n", "add \"headscale\"");
        refused(STACKS, "add a section [vpn]");
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        let with = |rest: &str| format!("{STACKS}[vpn]\n{rest}");
        refused(&with("base_domain = \"in.example.org\"\n"), "vpn.host is needed");
        refused(&with("host = \"vpn.example.org\"\n"), "vpn.base_domain is needed");
        refused(
            &with("host = \"vpn.example.org\"\nbase_domain = \"example.org\"\n"),
            "must not hold vpn.example.org",
        );
        refused(&with("host = \"a.org\"\nbase_domain = \"a.org\"\n"), "must not hold a.org");
        refused(&with("host = \"a.org\"\nbase_domain = \"b.org\"\ndevices = [\"My Laptop\"]\n"), "My Laptop");
        refused(&with("host = \"a.org\"\nbase_domain = \"b.org\"\ndevices = [\"x\", \"x\"]\n"), "twice");
        let tang = "[unlock]\nmode = \"tang\"\n[[unlock.servers]]\nurl = \"http://tang.b.org:7500\"\n\
                    thumbprint = \"dFXq1ajq5dEuYM8oqFpHtFI9ZCCZ3uQF5bdJkn5uZGY\"\n";
        refused(
            &format!("{tang}{}", with("host = \"a.org\"\nbase_domain = \"b.org\"\n")),
            "holds http://tang.b.org:7500",
        );
        refused(&format!("[dns]\nzone = \"c.org\"\n{}", with("host = \"a.org\"\n")), "must be vpn.c.org");
    }
}
