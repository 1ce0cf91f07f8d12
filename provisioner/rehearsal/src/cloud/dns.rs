//! DNS zones as the API has them. They are records: no name server answers with them.
//!
//! A change shows in a zone at once; its action is the publication. While one runs the zone is `updating`, and after one
//! that failed it is in `error` until the next succeeds. So changes of a zone need not wait for each other, as at Hetzner.
//! Only a deletion locks the zone, and takes effect when its action ends.

pub(crate) mod record;
pub(crate) mod zonefile;

use super::clock::now_text;
use crate::labels::Labels;
use record::{check_comment, check_name, check_value};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use zonefile::ZoneFile;

/// The name servers of every zone.
pub(crate) const NAMESERVERS: [&str; 3] =
    ["hydrogen.ns.hetzner.com.", "oxygen.ns.hetzner.com.", "helium.ns.hetzner.de."];
/// In seconds.
pub(crate) const DEFAULT_TTL: u32 = 3600;
/// In seconds.
pub(crate) const TTLS: std::ops::RangeInclusive<u32> = 60..=2_147_483_647;

/// The types of records there are.
pub(crate) const TYPES: [&str; 16] = [
    "A", "AAAA", "CAA", "CNAME", "DS", "HINFO", "HTTPS", "MX", "NS", "PTR", "RP", "SOA", "SRV", "SVCB",
    "TLSA", "TXT",
];

/// A zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Zone {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    /// In seconds, for RRSets without one of their own.
    pub(crate) ttl: u32,
    pub(crate) labels: Labels,
    pub(crate) created: String,
    pub(crate) protected: bool,
    pub(crate) primary_nameservers: Vec<Nameserver>,
    /// What the last look at the registrar found; nobody has looked at a new zone's.
    #[serde(default)]
    pub(crate) delegation: Option<Delegation>,
    /// By `name/TYPE`.
    pub(crate) rrsets: BTreeMap<String, RrSet>,
    serial: u32,
    /// The last publication failed.
    pub(super) failed: bool,
}

/// Where a zone's records come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// The API.
    #[default]
    Primary,
    /// Other name servers, by zone transfer.
    Secondary,
}

/// A name server that a secondary zone is transferred from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Nameserver {
    pub(crate) address: String,
    #[serde(default = "dns_port")]
    pub(crate) port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tsig_algorithm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tsig_key: Option<String>,
}

/// What the registrar says, as a look at it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delegation {
    pub(crate) status: DelegationStatus,
    /// The name servers that the registrar names.
    pub(crate) nameservers: Vec<String>,
    /// When it was looked at.
    pub(crate) checked: String,
}

/// How the name servers that a registrar names fit those of the zone; named as the API names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DelegationStatus {
    Valid,
    PartiallyValid,
    Invalid,
    Lame,
    Unregistered,
    Unknown,
}

fn dns_port() -> u16 {
    53
}

/// The records of one name and type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RrSet {
    /// In seconds; the zone's where there is none.
    pub(crate) ttl: Option<u32>,
    pub(crate) labels: Labels,
    pub(crate) created: String,
    /// Against changes.
    pub(crate) protected: bool,
    pub(crate) records: Vec<Record>,
}

/// One record, known by its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
}

/// The field that is wrong, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) field: &'static str,
    pub(crate) why: String,
}

impl Wrong {
    pub(crate) fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self { field, why: why.into() }
    }
}

/// What an action publishes; named as the API names its actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ZoneJob {
    CreateZone,
    DeleteZone,
    ChangeProtection,
    ChangeTtl,
    ChangePrimaryNameservers,
    ImportZonefile,
    CreateRrset,
    DeleteRrset,
    ChangeRrsetProtection,
    ChangeRrsetTtl,
    AddRrsetRecords,
    RemoveRrsetRecords,
    SetRrsetRecords,
    UpdateRrsetRecords,
}

impl ZoneJob {
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::CreateZone => "create_zone",
            Self::DeleteZone => "delete_zone",
            Self::ChangeProtection => "change_protection",
            Self::ChangeTtl => "change_ttl",
            Self::ChangePrimaryNameservers => "change_primary_nameservers",
            Self::ImportZonefile => "import_zonefile",
            Self::CreateRrset => "create_rrset",
            Self::DeleteRrset => "delete_rrset",
            Self::ChangeRrsetProtection => "change_rrset_protection",
            Self::ChangeRrsetTtl => "change_rrset_ttl",
            Self::AddRrsetRecords => "add_rrset_records",
            Self::RemoveRrsetRecords => "remove_rrset_records",
            Self::SetRrsetRecords => "set_rrset_records",
            Self::UpdateRrsetRecords => "update_rrset_records",
        }
    }

    /// Whether other changes of the zone have to wait.
    pub(crate) fn locks(self) -> bool {
        self == Self::DeleteZone
    }
}

impl RrSet {
    pub(crate) fn new(ttl: Option<u32>, labels: Labels, records: Vec<Record>) -> Self {
        Self { ttl, labels, created: now_text(), protected: false, records }
    }
}

/// How an RRSet is named: `www/A`.
pub(crate) fn key(name: &str, kind: &str) -> String {
    format!("{name}/{kind}")
}

impl Zone {
    /// A zone with its SOA and NS records; a secondary one is empty until it is transferred, which is never here.
    pub(crate) fn new(name: String, mode: Mode, ttl: u32, labels: Labels) -> Self {
        let created = now_text();
        let mut zone = Self {
            name,
            mode,
            ttl,
            labels,
            created,
            protected: false,
            primary_nameservers: Vec::new(),
            delegation: None,
            rrsets: BTreeMap::new(),
            serial: 0,
            failed: false,
        };
        if mode == Mode::Primary {
            zone.add_missing_defaults();
        }
        zone
    }

    fn add_missing_defaults(&mut self) {
        let soa = format!("{} dns.hetzner.com. 0 86400 10800 3600000 3600", NAMESERVERS[0]);
        for (kind, values) in [("SOA", vec![soa]), ("NS", NAMESERVERS.map(String::from).to_vec())] {
            let records = values.into_iter().map(|value| Record { value, comment: None }).collect();
            let default = || RrSet::new(None, Labels::new(), records);
            self.rrsets.entry(key("@", kind)).or_insert_with(default);
        }
        self.publish();
    }

    /// How many records the zone has.
    pub(crate) fn record_count(&self) -> usize {
        self.rrsets.values().map(|set| set.records.len()).sum()
    }

    /// Puts an RRSet into the zone, in the place of the one it has. Empty comments are none.
    pub(crate) fn put(&mut self, name: &str, kind: &str, mut set: RrSet) -> Result<(), Wrong> {
        check_name(name, &self.name).map_err(|why| Wrong::new("name", why))?;
        check_records(kind, &set.records)?;
        let single = ["SOA", "CNAME"].contains(&kind);
        if single && set.records.len() > 1 {
            return Err(Wrong::new("records", format!("{kind} has one record and no more")));
        }
        if kind == "SOA" && name != "@" {
            return Err(Wrong::new("name", "SOA belongs to the apex, @"));
        }
        if kind == "CNAME" && name == "@" {
            return Err(Wrong::new("name", "CNAME must not be at the apex, @"));
        }
        let neighbour =
            self.rrsets.keys().filter_map(|key| key.split_once('/')).find(|(other, other_kind)| {
                *other == name && *other_kind != kind && (kind == "CNAME" || *other_kind == "CNAME")
            });
        if let Some((_, other)) = neighbour {
            let why = format!("'{name}' has {other} records already, and CNAME stands alone at its name");
            return Err(Wrong::new("name", why));
        }
        for record in &mut set.records {
            record.comment.take_if(|comment| comment.trim().is_empty());
        }
        self.rrsets.insert(key(name, kind), set);
        Ok(())
    }

    /// Takes all records from a zone file. An import must bring SOA and NS records; at the zone's creation the
    /// usual ones fill the gap. On an error the zone is as it was.
    pub(crate) fn replace(&mut self, file: ZoneFile, is_import: bool) -> Result<(), Wrong> {
        let mut next = Self { rrsets: BTreeMap::new(), ..self.clone() };
        next.ttl = file.ttl.unwrap_or(self.ttl);
        for (id, set) in file.rrsets {
            let Some((name, kind)) = id.split_once('/') else { continue };
            let set = RrSet::new(set.ttl, Labels::new(), set.records);
            next.put(name, kind, set)
                .map_err(|wrong| Wrong::new("zonefile", format!("{id}: {}", wrong.why)))?;
        }
        if !is_import {
            next.add_missing_defaults();
        }
        if !next.rrsets.contains_key("@/SOA") {
            return Err(Wrong::new("zonefile", "there must be an SOA record"));
        }
        let has = |server: &&str| {
            let apex = next.rrsets.get("@/NS");
            apex.is_some_and(|set| set.records.iter().any(|r| r.value.eq_ignore_ascii_case(server)))
        };
        if let Some(missing) = NAMESERVERS.iter().find(|server| !has(server)) {
            return Err(Wrong::new("zonefile", format!("there must be an NS record for {missing}")));
        }
        *self = next;
        Ok(())
    }

    /// Counts the SOA's serial up: the date and two digits, or one more than it was.
    pub(crate) fn publish(&mut self) {
        let today = now_text().chars().take(10).filter(char::is_ascii_digit).collect::<String>();
        let first = today.parse().map_or(0, |day: u32| day.saturating_mul(100));
        self.serial = self.serial.wrapping_add(1).max(first);
        if let Some(record) = self.rrsets.get_mut("@/SOA").and_then(|set| set.records.first_mut()) {
            let serial = self.serial.to_string();
            let mut fields: Vec<_> = record.value.split_whitespace().collect();
            if let Some(field) = fields.get_mut(2) {
                *field = &serial;
            }
            record.value = fields.join(" ");
        }
    }
}

fn check_records(kind: &str, records: &[Record]) -> Result<(), Wrong> {
    let wrong = |why: String| Wrong::new("records", why);
    if records.is_empty() {
        return Err(wrong("must not be empty".into()));
    }
    check_distinct(records)?;
    for record in records {
        check_value(kind, &record.value).map_err(|why| wrong(format!("'{}': {why}", record.value)))?;
        check_comment(record.comment.as_deref().unwrap_or_default()).map_err(wrong)?;
    }
    Ok(())
}

/// Fails when two of the records have the same value.
pub(crate) fn check_distinct(records: &[Record]) -> Result<(), Wrong> {
    let mut seen = BTreeSet::new();
    match records.iter().find(|record| !seen.insert(&record.value)) {
        Some(twice) => Err(Wrong::new("records", format!("'{}' is there twice", twice.value))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[&str]) -> RrSet {
        let record = |value: &&str| Record { value: (*value).to_owned(), comment: None };
        RrSet::new(None, Labels::new(), values.iter().map(record).collect())
    }

    fn zone() -> Zone {
        Zone::new("example.com".into(), Mode::Primary, DEFAULT_TTL, Labels::new())
    }

    #[test]
    fn a_cname_stands_alone() {
        let mut zone = zone();
        zone.put("www", "CNAME", set(&["example.com."])).unwrap();
        assert_eq!(zone.put("www", "A", set(&["192.0.2.1"])).unwrap_err().field, "name");
        zone.put("mail", "A", set(&["192.0.2.1"])).unwrap();
        assert_eq!(zone.put("mail", "CNAME", set(&["www"])).unwrap_err().field, "name");
        assert_eq!(zone.put("@", "CNAME", set(&["www"])).unwrap_err().field, "name");
        assert_eq!(zone.put("ftp", "CNAME", set(&["www", "mail"])).unwrap_err().field, "records");
        zone.put("www", "CNAME", set(&["mail"])).unwrap();
        assert_eq!(zone.record_count(), 6);
    }

    #[test]
    fn the_serial_counts_up_from_the_date() {
        let mut zone = zone();
        let serial = |zone: &Zone| {
            let value = &zone.rrsets["@/SOA"].records[0].value;
            value.split(' ').nth(2).unwrap().parse::<u32>().unwrap()
        };
        let before = serial(&zone);
        assert!(before > 2_026_000_000 && before < 2_100_000_000, "{before}");
        zone.publish();
        assert!(serial(&zone) > before);
        zone.serial = u32::MAX;
        zone.publish();
        assert!(serial(&zone) > 0);
    }

    #[test]
    fn values_must_be_distinct() {
        assert_eq!(zone().put("a", "A", set(&["192.0.2.1", "192.0.2.1"])).unwrap_err().field, "records");
        assert_eq!(zone().put("a", "A", set(&[])).unwrap_err().field, "records");
    }
}
