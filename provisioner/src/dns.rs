//! The DNS records of a server: what the project, its stacks and the operator ask for, put together to RRSets.
//!
//! A record is written as in a zone file, without a TTL: `NAME TYPE DATA`, e.g. `www CNAME srv` or `@ MX 10 mail`.
//! `{ipv4}` and `{ipv6}` stand for the server's addresses and `{host}` for its name, since a stack knows neither.

use crate::api::model::RRSet;
use crate::project::{Dns, Project};
use serde::Serialize;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The most bytes one character-string of a TXT record has (RFC 1035, 3.3).
const TXT_STRING: usize = 255;

/// One record, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    name: String,
    kind: Kind,
    data: String,
}

/// The types of records that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Another name for a host.
    Cname,
    /// Where mail goes.
    Mx,
    /// Text.
    Txt,
    /// Where a service is.
    Srv,
    /// Who may issue certificates.
    Caa,
}

const KINDS: [(&str, Kind); 7] = [
    ("A", Kind::A),
    ("AAAA", Kind::Aaaa),
    ("CNAME", Kind::Cname),
    ("MX", Kind::Mx),
    ("TXT", Kind::Txt),
    ("SRV", Kind::Srv),
    ("CAA", Kind::Caa),
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(KINDS.iter().find(|(_, kind)| kind == self).map_or("", |(name, _)| name))
    }
}

impl Kind {
    /// Whether several parties may keep values of it under one name without harm.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Txt | Self::Mx | Self::Caa)
    }
}

/// A value of an RRSet that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Datum {
    /// As the zone has it: names are absolute, texts quoted.
    Value(String),
    /// The server's IPv4 address.
    Ipv4,
    /// The first address of the server's IPv6 network.
    Ipv6,
}

impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => f.write_str(value),
            Self::Ipv4 => f.write_str("the server's IPv4"),
            Self::Ipv6 => f.write_str("the server's IPv6"),
        }
    }
}

/// An RRSet that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RrSetWish {
    /// Relative to the zone; `@` is the zone itself.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// Seconds.
    pub ttl: u32,
    /// Its values, sorted.
    pub data: Vec<Datum>,
}

/// The addresses of a server, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Addresses {
    /// The IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// The first address of the IPv6 network.
    pub ipv6: Option<Ipv6Addr>,
}

impl RrSetWish {
    /// Its values, once the addresses in them are known.
    pub fn values(&self, addresses: Addresses) -> Option<Vec<String>> {
        let value = |datum: &Datum| match datum {
            Datum::Value(value) => Some(value.clone()),
            Datum::Ipv4 => addresses.ipv4.map(|ip| ip.to_string()),
            Datum::Ipv6 => addresses.ipv6.map(|ip| ip.to_string()),
        };
        self.data.iter().map(value).collect()
    }

    /// Its values as a person reads them before the addresses are known.
    pub fn shown(&self) -> String {
        self.data.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl Record {
    /// Reads `NAME TYPE DATA`.
    pub fn parse(line: &str) -> Result<Self, String> {
        let shape = || "must be \"NAME TYPE DATA\", e.g. \"www CNAME srv\" or \"@ MX 10 mail\"".to_owned();
        if line.chars().any(char::is_control) {
            return Err("holds a control character; a record is one line".into());
        }
        let (name, rest) = line.trim().split_once(char::is_whitespace).ok_or_else(shape)?;
        let (kind, data) = rest.trim().split_once(char::is_whitespace).ok_or_else(shape)?;
        check_name(name)?;
        let kind = KINDS.iter().find(|(text, _)| text.eq_ignore_ascii_case(kind)).ok_or_else(|| {
            let known: Vec<_> = KINDS.iter().map(|(text, _)| *text).collect();
            format!("has the type {kind:?}; allowed: {}", known.join(", "))
        })?;
        let record = Self { name: name.into(), kind: kind.1, data: data.trim().into() };
        record.datum("example.org", "srv").map(|_| record)
    }

    /// Its value in a zone: names made absolute, texts quoted, addresses left to be known.
    fn datum(&self, zone: &str, host: &str) -> Result<Datum, String> {
        let data = self.data.replace("{host}", host);
        let words: Vec<&str> = data.split_whitespace().collect();
        let wrong = |what: &str| Err(format!("needs {what} after {}", self.kind));
        let number = |text: &str| text.parse::<u16>().is_ok();
        Ok(Datum::Value(match (self.kind, words.as_slice()) {
            (Kind::A, ["{ipv4}"]) => return Ok(Datum::Ipv4),
            (Kind::Aaaa, ["{ipv6}"]) => return Ok(Datum::Ipv6),
            (Kind::A, [ip]) if ip.parse::<Ipv4Addr>().is_ok() => (*ip).into(),
            (Kind::A, _) => return wrong("an IPv4 address, or {ipv4} for the server's"),
            (Kind::Aaaa, [ip]) => match ip.parse::<Ipv6Addr>() {
                Ok(ip) => ip.to_string(),
                Err(_) => return wrong("an IPv6 address, or {ipv6} for the server's"),
            },
            (Kind::Aaaa, _) => return wrong("an IPv6 address, or {ipv6} for the server's"),
            (Kind::Cname, [target]) => absolute(target, zone)?,
            (Kind::Cname, _) => return wrong("one name"),
            (Kind::Mx, [preference, target]) if number(preference) => {
                format!("{preference} {}", absolute(target, zone)?)
            }
            (Kind::Mx, _) => return wrong("a preference and a name, e.g. \"10 mail\""),
            (Kind::Srv, [priority, weight, port, target])
                if [priority, weight, port].iter().all(|n| number(n)) =>
            {
                format!("{priority} {weight} {port} {}", absolute(target, zone)?)
            }
            (Kind::Srv, _) => {
                return wrong("priority, weight, port and a name, e.g. \"10 5 5060 sip\"");
            }
            (Kind::Caa, [flags, tag, ..])
                if flags.parse::<u8>().is_ok() && tag.bytes().all(|b| b.is_ascii_lowercase()) =>
            {
                let value = data.splitn(3, char::is_whitespace).nth(2).unwrap_or_default().trim();
                format!("{flags} {tag} \"{}\"", value.trim_matches('"'))
            }
            (Kind::Caa, _) => return wrong("flags, tag and value, e.g. 0 issue \"letsencrypt.org\""),
            (Kind::Txt, _) => quote(&unquote(&data)),
        }))
    }
}

/// Checks a name relative to its zone: `@`, or labels of `a-z`, `0-9`, `-` and `_`, the first perhaps `*`.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
    };
    let labels = || name.strip_prefix("*.").unwrap_or(name).split('.');
    if name == "@" || name == "*" || labels().all(plain) {
        return Ok(());
    }
    Err(format!(
        "has the name {name:?}; a name is relative to the zone, in lower case and without a dot at its end; @ is the zone itself"
    ))
}

/// Whether this can be a zone: at least two labels of `a-z`, `0-9` and `-`.
pub fn is_zone(zone: &str) -> bool {
    zone.contains('.') && zone.len() <= 253 && !zone.contains(['_', '*', '@']) && check_name(zone).is_ok()
}

/// A host name, made absolute: one that ends with a dot is, all others are relative to the zone.
fn absolute(name: &str, zone: &str) -> Result<String, String> {
    if let Some(name) = name.strip_suffix('.') {
        return check_name(name).map(|()| format!("{name}."));
    }
    check_name(name)?;
    Ok(if name == "@" { format!("{zone}.") } else { format!("{name}.{zone}.") })
}

/// A text as character-strings of at most 255 bytes, quoted.
fn quote(text: &str) -> String {
    let mut strings = vec![String::new()];
    let mut bytes = 0;
    for c in text.chars() {
        if bytes + c.len_utf8() > TXT_STRING {
            strings.push(String::new());
            bytes = 0;
        }
        bytes += c.len_utf8();
        if let Some(last) = strings.last_mut() {
            if c == '"' || c == '\\' {
                last.push('\\');
            }
            last.push(c);
        }
    }
    strings.iter().map(|s| format!("\"{s}\"")).collect::<Vec<_>>().join(" ")
}

/// The text of one or more character-strings; what is not quoted is taken as it stands.
fn unquote(data: &str) -> String {
    if !data.starts_with('"') {
        return data.into();
    }
    let mut text = String::new();
    let (mut inside, mut escaped) = (false, false);
    for c in data.chars() {
        match c {
            _ if escaped => {
                text.push(c);
                escaped = false;
            }
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            _ if inside => text.push(c),
            _ => {}
        }
    }
    text
}

/// A value as two of them are compared: names absolute and in lower case, texts without their division into strings.
pub fn comparable(kind: Kind, value: &str, zone: &str) -> String {
    let words: Vec<&str> = value.split_whitespace().collect();
    match (kind, words.split_last()) {
        (Kind::Txt, _) => unquote(value),
        (Kind::Cname | Kind::Mx | Kind::Srv, Some((target, before))) => {
            let target = target.to_lowercase();
            let target = if target.ends_with('.') { target } else { format!("{target}.{zone}.") };
            before.iter().copied().chain([target.as_str()]).collect::<Vec<_>>().join(" ")
        }
        (Kind::Aaaa, _) => {
            value.trim().parse::<Ipv6Addr>().map_or_else(|_| value.to_owned(), |ip| ip.to_string())
        }
        (Kind::Caa, _) => words.join(" ").replace('"', ""),
        _ => value.trim().to_owned(),
    }
}

/// The RRSets a project wants: the server's own addresses, what its stacks ask, what the operator adds.
/// Says what contradicts itself.
pub fn wanted(dns: &Dns, stacks: &[String]) -> Result<Vec<RrSetWish>, String> {
    let asked = stacks.iter().filter_map(|name| stacks::find(name).ok()).flat_map(|stack| stack.records);
    gather(dns, asked.copied())
}

fn gather<'a>(dns: &Dns, asked: impl Iterator<Item = &'a str>) -> Result<Vec<RrSetWish>, String> {
    let own = ["{host} A {ipv4}", "{host} AAAA {ipv6}"].map(str::to_owned);
    let mut records: Vec<Record> = Vec::new();
    for line in own.into_iter().chain(asked.map(str::to_owned)) {
        let line = line.replace("{host}", &dns.host);
        records.push(Record::parse(&line).map_err(|why| format!("{line:?} {why}"))?);
    }
    records.extend(dns.records.iter().cloned());
    let mut sets: Vec<RrSetWish> = Vec::new();
    for record in &records {
        let datum = record.datum(&dns.zone, &dns.host)?;
        match sets.iter_mut().find(|set| set.name == record.name && set.kind == record.kind) {
            Some(set) if set.data.contains(&datum) => {}
            Some(set) => set.data.push(datum),
            None => sets.push(RrSetWish {
                name: record.name.clone(),
                kind: record.kind,
                ttl: dns.ttl,
                data: vec![datum],
            }),
        }
    }
    sets.iter_mut().for_each(|set| set.data.sort());
    check_cnames(&sets)?;
    Ok(sets)
}

/// A CNAME stands alone at its name, has one value, and is never at the zone's own name (RFC 1034, 3.6.2).
fn check_cnames(sets: &[RrSetWish]) -> Result<(), String> {
    for set in sets.iter().filter(|set| set.kind == Kind::Cname) {
        if set.name == "@" {
            return Err("has a CNAME at @: the zone's own name cannot be another name for something".into());
        }
        let beside = sets.iter().any(|other| other.name == set.name && other.kind != Kind::Cname);
        if beside || set.data.len() > 1 {
            return Err(format!("has a CNAME at {:?} beside other records: it must stand alone", set.name));
        }
    }
    Ok(())
}

/// What marks a value that a project added to an RRSet that others keep values in.
pub fn comment(project: &str) -> String {
    format!("sovereign {project}")
}

/// The values that the project added to an RRSet.
pub fn added(project: &Project, set: &RRSet) -> Vec<crate::api::model::Record> {
    let own = comment(&project.name);
    set.records.iter().filter(|record| record.comment.as_ref() == Some(&own)).cloned().collect()
}

/// The name of a host in the zone, absolute but without the dot at its end, as a reverse name has it.
pub fn full_name(dns: &Dns) -> String {
    if dns.host == "@" { dns.zone.clone() } else { format!("{}.{}", dns.host, dns.zone) }
}

/// The first address of a network such as `2001:db8::/64`, where the server is.
pub fn first_address(network: &str) -> Option<Ipv6Addr> {
    let network: Ipv6Addr = network.split('/').next()?.parse().ok()?;
    Some(Ipv6Addr::from(u128::from(network) | 1))
}

/// The records as a table for a person who enters them elsewhere.
pub fn table(records: &[RrSetWish], addresses: Addresses) -> String {
    let mut text = format!("{:<24} {:<6} {:>6}  VALUE\n", "NAME", "TYPE", "TTL");
    for set in records {
        let values = set.values(addresses).unwrap_or_else(|| vec![format!("({})", set.shown())]);
        for value in values {
            text.push_str(&format!("{:<24} {:<6} {:>6}  {value}\n", set.name, set.kind, set.ttl));
        }
    }
    text
}

/// The records as a master file (RFC 1035, 5), to be imported elsewhere; what is not known yet is a comment in it.
pub fn zone_file(zone: &str, records: &[RrSetWish], addresses: Addresses) -> String {
    let mut text = format!("$ORIGIN {zone}.\n");
    for set in records {
        match set.values(addresses) {
            Some(values) => {
                for value in values {
                    text.push_str(&format!("{}\t{}\tIN\t{}\t{value}\n", set.name, set.ttl, set.kind));
                }
            }
            None => {
                text.push_str(&format!("; {} {}: {}, not known yet\n", set.name, set.kind, set.shown()));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(records: &[&str]) -> Dns {
        Dns {
            zone: "example.org".into(),
            at_hetzner: true,
            host: "srv".into(),
            ttl: 3600,
            records: records.iter().map(|line| Record::parse(line).unwrap()).collect(),
        }
    }

    fn all() -> Vec<RrSetWish> {
        let operators = dns(&[
            "@ MX 10 mail",
            "@ TXT v=spf1 mx -all",
            "@ TXT \"two words\"",
            "@ CAA 0 issue letsencrypt.org",
        ]);
        let stacks = [
            "cloud CNAME {host}",
            "mail A {ipv4}",
            "_sip._tcp SRV 10 5 5060 {host}",
            "@ MX 20 other.example.net.",
        ];
        gather(&operators, stacks.into_iter()).unwrap()
    }

    const KNOWN: Addresses = Addresses {
        ipv4: Some(Ipv4Addr::new(192, 0, 2, 7)),
        ipv6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    };

    #[test]
    fn records_of_all_sources_become_rrsets() {
        assert_eq!(
            zone_file("example.org", &all(), KNOWN),
            "$ORIGIN example.org.\n\
             srv\t3600\tIN\tA\t192.0.2.7\n\
             srv\t3600\tIN\tAAAA\t2001:db8::1\n\
             cloud\t3600\tIN\tCNAME\tsrv.example.org.\n\
             mail\t3600\tIN\tA\t192.0.2.7\n\
             _sip._tcp\t3600\tIN\tSRV\t10 5 5060 srv.example.org.\n\
             @\t3600\tIN\tMX\t10 mail.example.org.\n\
             @\t3600\tIN\tMX\t20 other.example.net.\n\
             @\t3600\tIN\tTXT\t\"two words\"\n\
             @\t3600\tIN\tTXT\t\"v=spf1 mx -all\"\n\
             @\t3600\tIN\tCAA\t0 issue \"letsencrypt.org\"\n"
        );
    }

    #[test]
    fn what_is_not_known_yet_is_said() {
        let shown = zone_file("example.org", &all(), Addresses::default());
        assert!(shown.contains("; srv A: the server's IPv4, not known yet"), "{shown}");
        assert!(table(&all(), Addresses::default()).contains("(the server's IPv6)"));
    }

    #[test]
    fn malformed_records_are_refused_with_what_is_allowed() {
        let rows = [
            ("www", "NAME TYPE DATA"),
            ("www CNAME", "NAME TYPE DATA"),
            ("www PTR x", "allowed: A, AAAA"),
            ("Www A 192.0.2.1", "lower case"),
            ("www. A 192.0.2.1", "without a dot"),
            ("www A 192.0.2", "IPv4"),
            ("www AAAA 192.0.2.1", "IPv6"),
            ("@ MX mail", "preference"),
            ("@ SRV 1 2 x", "priority"),
            ("@ CAA issue x", "flags"),
        ];
        for (line, sentence) in rows {
            let error = Record::parse(line).unwrap_err();
            assert!(error.contains(sentence), "{line}: {error}");
        }
    }

    #[test]
    fn a_cname_stands_alone() {
        assert!(wanted(&dns(&["srv CNAME www"]), &[]).unwrap_err().contains("stand alone"));
        assert!(wanted(&dns(&["@ CNAME www"]), &[]).unwrap_err().contains('@'));
        assert!(wanted(&dns(&["a CNAME b", "a CNAME c"]), &[]).is_err());
        assert!(wanted(&dns(&["a CNAME b", "a CNAME b"]), &[]).is_ok());
    }

    #[test]
    fn long_texts_are_divided_and_compared_whole() {
        let text = "k".repeat(600);
        let quoted = quote(&text);
        assert_eq!(quoted.matches(' ').count(), 2);
        assert!(quoted.split(' ').all(|s| s.len() <= TXT_STRING + 2));
        assert_eq!(comparable(Kind::Txt, &quoted, "example.org"), text);
        assert_eq!(unquote(&quote("say \"hi\" \\ there")), "say \"hi\" \\ there");
    }

    #[test]
    fn values_are_compared_as_resolvers_see_them() {
        assert_eq!(comparable(Kind::Cname, "Srv", "example.org"), "srv.example.org.");
        assert_eq!(comparable(Kind::Mx, "10  mail.example.org.", "example.org"), "10 mail.example.org.");
        assert_eq!(comparable(Kind::Aaaa, "2001:0db8::0001", "example.org"), "2001:db8::1");
        assert_eq!(comparable(Kind::Caa, "0 issue  \"x.org\"", "example.org"), "0 issue x.org");
    }

    #[test]
    fn the_first_address_of_a_network_is_the_servers() {
        assert_eq!(first_address("2001:db8:1::/64").unwrap().to_string(), "2001:db8:1::1");
        assert_eq!(first_address("nonsense"), None);
    }
}
