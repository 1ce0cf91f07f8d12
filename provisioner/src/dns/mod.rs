//! The DNS records of a server: what the project, its stacks and the operator ask for, put together to RRSets.
//!
//! A record is written as in a zone file, without a TTL: `NAME TYPE DATA`, e.g. `www CNAME srv` or `@ MX 10 mail`.
//! `{ipv4}` and `{ipv6}` stand for the server's addresses and `{host}` for its name, since a stack knows neither.

mod listing;
mod name;
mod record;
mod rules;
mod text;

pub use listing::{table, zone_file};
pub use name::{check_in_zone, check_name, parse_domain};
pub use record::{Kind, Record, comparable};
pub(crate) use rules::{Held, contradiction};

use crate::api::model::{RRSet, Zone};
use serde::Serialize;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The names the server is reached by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// The zone, e.g. `example.org`.
    pub zone: String,
    /// Whether the zone is in the same Hetzner project; one held elsewhere gets its records by hand.
    pub at_hetzner: bool,
    /// The server's own name in the zone, e.g. `srv`, or `@`.
    pub host: String,
    /// Seconds that resolvers may remember a record.
    pub ttl: u32,
    /// Records the operator wants besides the server's own and the stacks'.
    pub records: Vec<Record>,
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

/// The RRSets a project wants: the server's own addresses, what its stacks ask (see [`stacks::Plan::records`]), what the
/// operator adds.
/// Says what contradicts itself.
pub fn wanted(dns: &Dns, asked: &[String]) -> Result<Vec<RrSetWish>, String> {
    let own = ["{host} A {ipv4}", "{host} AAAA {ipv6}"].map(str::to_owned);
    let mut records: Vec<Record> = Vec::new();
    for line in own.iter().chain(asked) {
        let line = line.replace("{host}", &dns.host);
        records.push(Record::parse(&line).map_err(|why| format!("{line:?} {why}"))?);
    }
    records.extend(dns.records.iter().cloned());
    let mut sets: Vec<RrSetWish> = Vec::new();
    for record in &records {
        name::check_in_zone(&record.name, &dns.zone)?;
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
    match sets.iter().find_map(|set| contradiction(&set.name, &held_at(&set.name, &sets), &[])) {
        Some(why) => Err(why),
        None => Ok(sets),
    }
}

/// What is wanted at a name.
pub(crate) fn held_at(name: &str, wanted: &[RrSetWish]) -> Vec<Held> {
    let sets = wanted.iter().filter(|set| set.name == name);
    let held = |set: &RrSetWish| Held {
        kind: set.kind.to_string(),
        values: set.data.iter().map(ToString::to_string).collect(),
    };
    sets.map(held).collect()
}

/// What an RRSet that is not the project's would hold without the values that the project added to it.
pub(crate) fn held_by_others(project: &str, dns: &Dns, set: &RRSet) -> Held {
    let own = added(project, set);
    let others =
        set.records.iter().filter(|record| !own.contains(record)).map(|record| record.value.as_str());
    let values = match Kind::parse(&set.kind) {
        Ok(kind) => others.map(|value| comparable(kind, value, &dns.zone)).collect(),
        Err(_) => others.map(str::to_owned).collect(),
    };
    Held { kind: set.kind.clone(), values }
}

/// What marks a value that a project added to an RRSet that others keep values in.
pub fn comment(project: &str) -> String {
    format!("sovereign {project}")
}

/// The values that the project added to an RRSet.
pub fn added(project: &str, set: &RRSet) -> Vec<crate::api::model::Record> {
    let own = comment(project);
    set.records.iter().filter(|record| record.comment.as_ref() == Some(&own)).cloned().collect()
}

/// The name of a host in the zone, absolute but without the dot at its end, as a reverse name has it.
pub fn full_name(dns: &Dns) -> String {
    name::full(&dns.host, &dns.zone)
}

/// The first address of a network such as `2001:db8::/64`, where the server is.
pub fn first_address(network: &str) -> Option<Ipv6Addr> {
    let network: Ipv6Addr = network.split('/').next()?.parse().ok()?;
    Some(Ipv6Addr::from(u128::from(network) | 1))
}

/// What keeps the world from seeing a zone's records, where the cloud knows that something does.
pub fn unseen(zone: &Zone) -> Option<String> {
    let servers = &zone.authoritative_nameservers;
    let told = match servers.delegation_status.as_str() {
        "valid" | "" => return None,
        "partially-valid" => "its registrar names other name servers of Hetzner's besides",
        "unregistered" => "the domain is not registered, which is the first thing to do",
        "lame" => "its registrar names name servers that do not know it",
        "unknown" => "whether its registrar names the right name servers is not known yet",
        _ => "its registrar names other name servers",
    };
    let assigned: Vec<_> = servers.assigned.iter().map(|server| server.trim_end_matches('.')).collect();
    let seen =
        if servers.delegation_status == "partially-valid" { "not everybody sees" } else { "nobody sees" };
    let perhaps = if servers.delegation_status == "unknown" { "perhaps " } else { "" };
    Some(format!(
        "{perhaps}{seen} the records of {} yet: {told}. Enter these at the registrar, and no others: {}",
        zone.name,
        assigned.join(", ")
    ))
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
        wanted(&operators, &stacks.map(str::to_owned)).unwrap()
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
    fn a_cname_stands_alone() {
        assert!(wanted(&dns(&["srv CNAME www"]), &[]).unwrap_err().contains("stand alone"));
        assert!(wanted(&dns(&["a CNAME b", "a CNAME c"]), &[]).is_err());
        assert!(wanted(&dns(&["a CNAME b", "a CNAME b"]), &[]).is_ok());
    }

    #[test]
    fn what_the_zone_decides_is_checked_with_it() {
        let refused = |records: &[&str], why: &str| {
            let error = wanted(&dns(records), &[]).unwrap_err();
            assert!(error.contains(why), "{records:?}: {error}");
        };
        refused(&["@ TXT v=spf1 mx -all", "@ TXT v=spf1 a -all"], "SPF");
        refused(&["_dmarc TXT v=DMARC1; p=none", "_dmarc TXT \"v=DMARC1;\" \"p=reject\""], "DMARC");
        refused(&["@ MX 0 .", "@ MX 10 mail"], "there is none");
        refused(&["www.example.org A 192.0.2.1"], "write \"www\"");
        refused(&["www CNAME srv.example.org"], "put a dot");
        assert!(
            wanted(&dns(&["@ TXT v=spf1 mx -all", "@ TXT site-verification=1", "@ MX 0 ."]), &[]).is_ok()
        );
    }

    #[test]
    fn a_zone_that_nobody_sees_says_what_to_enter_where() {
        let zone = |status: &str| -> Zone {
            serde_json::from_value(serde_json::json!({ "id": 1, "name": "example.org", "ttl": 60, "authoritative_nameservers": {
                "assigned": ["hydrogen.ns.hetzner.com.", "oxygen.ns.hetzner.com."], "delegated": [], "delegation_status": status,
            }}))
            .unwrap()
        };
        assert_eq!(unseen(&zone("valid")), None);
        for status in ["unknown", "invalid", "lame", "unregistered", "partially-valid", "of-tomorrow"] {
            let said = unseen(&zone(status)).unwrap();
            let whole = said.contains("registrar")
                && said.ends_with("hydrogen.ns.hetzner.com, oxygen.ns.hetzner.com");
            assert!(whole && said.contains("example.org"), "{status}: {said}");
        }
    }

    #[test]
    fn the_first_address_of_a_network_is_the_servers() {
        assert_eq!(first_address("2001:db8:1::/64").unwrap().to_string(), "2001:db8:1::1");
        assert_eq!(first_address("nonsense"), None);
    }
}
