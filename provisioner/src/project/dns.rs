//! `[dns]`: the zone, the server's name in it, and the operator's records.

use super::reader::Document;
use crate::dns::{Dns, Record, check_in_zone, check_name, parse_domain, wanted};
use ::stacks::Plan;

/// Reads the section.
pub(super) fn read(document: &mut Document<'_>, project: &str) -> Option<Dns> {
    let mut section = document.section("dns");
    let zone = section.checked("zone", parse_domain);
    let at_hetzner = section.one_of("held", "hetzner", &["hetzner", "elsewhere"]) == "hetzner";
    let host = section.checked("host", parse_host).unwrap_or_else(|| project.into());
    let ttl = section.number("ttl", 3600, 60..=i64::from(i32::MAX));
    let records = section.list_checked("records", Record::parse);
    let is_sound = !section.is_mistaken("dns") && !section.is_mistaken("the project's name");
    let dns =
        zone.map(|zone| Dns { zone, at_hetzner, host, ttl: u32::try_from(ttl).unwrap_or(3600), records });
    match &dns {
        Some(dns) if is_sound => {
            if let Err(why) = check_in_zone(&dns.host, &dns.zone) {
                section.wrong("host", &why);
            }
        }
        None if section.is_there() && !section.is_wrong("zone") => {
            section.wrong("zone", "is needed: the domain whose records are kept, e.g. \"example.org\"");
        }
        _ => {}
    }
    section.finish();
    dns
}

/// What its records and those of the stacks contradict each other in is a mistake.
pub(super) fn check(document: &mut Document<'_>, dns: Option<&Dns>, plan: &Plan) {
    let Some(dns) =
        dns.filter(|_| !document.is_mistaken("dns") && !document.is_mistaken("the project's name"))
    else {
        return;
    };
    if let Err(why) = wanted(dns, &plan.records) {
        document.wrong("dns", "records", &why);
    }
}

fn parse_host(name: &str) -> Result<String, String> {
    check_name(name)?;
    if name.starts_with('*') {
        return Err("is a wildcard, and a server has one name".into());
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::project::Project;

    fn parse(dns: &str) -> Result<Project, Vec<String>> {
        let text = format!("[cloud]\nrehearsal = true\n[escrow]\nthrowaway_identity = true\n[dns]\n{dns}");
        Project::parse("demo", &text).map_err(|mistakes| mistakes.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_zone_and_its_records_are_read_and_contradictions_are_mistakes() {
        let text = |records: &str| format!("zone = \"example.org\"\nrecords = [{records}]\n");
        let project = parse(&text("\"www CNAME demo\"")).unwrap();
        let shown: Vec<_> = project.records().iter().map(|r| format!("{} {}", r.name, r.kind)).collect();
        assert_eq!(shown, ["demo A", "demo AAAA", "www CNAME"]);
        for (records, why) in [
            ("\"demo CNAME www\"", "line 7: dns.records has CNAME"),
            ("\"www A 1.2.3\"", "line 7: dns.records"),
            ("\"www TXT a\\nwww A 1.2.3.4\"", "must be one line"),
            ("\"@ TXT v=spf1 a\", \"@ TXT v=spf1 mx\"", "2 texts of SPF"),
        ] {
            let mistakes = parse(&text(records)).unwrap_err();
            assert!(mistakes.len() == 1 && mistakes[0].contains(why), "{mistakes:#?}");
        }
    }

    #[test]
    fn a_name_that_is_wrong_is_one_mistake_and_says_what_is_right() {
        for (dns, why) in [
            ("host = \"srv\"\n", "dns.zone is needed"),
            ("zone = \"exämple.org\"\n", "xn--exmple-cua.org"),
            ("zone = \"org\"\n", "must be a domain"),
            ("zone = 7\n", "must be a text"),
            ("zone = \"example.org\"\nhost = \"Srv\"\n", "dns.host"),
            ("zone = \"example.org\"\nhost = \"*\"\n", "wildcard"),
            ("zone = \"example.org\"\nhost = \"srv.example.org\"\n", "write \"srv\""),
        ] {
            let mistakes = parse(dns).unwrap_err();
            assert!(mistakes.len() == 1 && mistakes[0].contains(why), "{dns}: {mistakes:#?}");
        }
    }
}
