//! The zone's RRSets and the reverse names. What others keep in the zone is left as it is.

use super::{Change, Planner};
use crate::api::model::RRSet;
use crate::dns::{
    Datum, Dns, Held, RrSetWish, added, comparable, contradiction, full_name, held_at, held_by_others,
};
use std::collections::BTreeSet;

impl Planner<'_> {
    /// Whether the zone is the project's own: made by it, or about to be.
    pub(super) fn owns_zone(&self) -> bool {
        let wanted = self.project.dns.as_ref().is_some_and(|dns| dns.at_hetzner);
        wanted && self.world.zone.as_ref().is_none_or(|zone| self.names.own(&zone.labels))
    }

    pub(super) fn reverse_names(&mut self) {
        let Some(dns) = &self.project.dns else { return };
        let name = full_name(dns);
        let known = self.world.addresses();
        let addresses =
            [("ipv4", known.ipv4.map(|ip| ip.to_string())), ("ipv6", known.ipv6.map(|ip| ip.to_string()))];
        for (family, address) in addresses {
            let ip = self.world.ip(family);
            if ip.is_none() && self.world.server.is_some() {
                continue;
            }
            let found = ip.and_then(|ip| ip.dns_ptr.iter().find(|ptr| Some(&ptr.ip) == address.as_ref()));
            if found.is_none_or(|ptr| ptr.dns_ptr != name) {
                let reason =
                    found.map_or_else(|| "it has none".into(), |ptr| format!("it is {}", ptr.dns_ptr));
                self.add(Change::SetReverse { family, name: name.clone() }, reason);
            }
        }
    }

    pub(super) fn records(&mut self) {
        let Some(dns) = self.project.dns.as_ref().filter(|dns| dns.at_hetzner) else { return };
        if self.world.zone.is_none() {
            self.add(
                Change::CreateZone { name: dns.zone.clone() },
                "there is none; its registrar must name Hetzner's name servers",
            );
        }
        let wanted = self.project.records();
        for wish in &wanted {
            let kind = wish.kind.to_string();
            match self.world.rrsets.iter().find(|set| set.name == wish.name && set.kind == kind) {
                None => self.add(Change::CreateRecords { records: wish.clone() }, "there is none"),
                Some(found) if self.names.own(&found.labels) => self.own_records(dns, wish, found),
                Some(found) => self.others_records(dns, wish, found),
            }
        }
        self.contradictions(dns, &wanted);
        let (world, names) = (self.world, self.names);
        for found in world.rrsets.iter().filter(|set| names.own(&set.labels)) {
            if !wanted.iter().any(|wish| wish.name == found.name && wish.kind.to_string() == found.kind) {
                let change = Change::DeleteRecords { name: found.name.clone(), kind: found.kind.clone() };
                self.add(change, "nothing asks for it any more");
            }
        }
        for found in world.rrsets.iter().filter(|set| !names.own(&set.labels)) {
            self.no_longer_added(dns, &wanted, found);
        }
    }

    /// What cannot stand beside what others keep under the same name.
    fn contradictions(&mut self, dns: &Dns, wanted: &[RrSetWish]) {
        let names: BTreeSet<&str> = wanted.iter().map(|wish| wish.name.as_str()).collect();
        for name in names {
            let sets =
                self.world.rrsets.iter().filter(|set| set.name == name && !self.names.own(&set.labels));
            let others = sets.map(|set| held_by_others(&self.project.name, dns, set));
            let others: Vec<Held> = others.filter(|held| !held.values.is_empty()).collect();
            if let Some(why) = contradiction(name, &held_at(name, wanted), &others) {
                self.obstacle(format!(
                    "the zone {} cannot be as it is wished: with what others keep there it {why}; delete theirs, or change project.toml's [dns]",
                    dns.zone
                ));
            }
        }
    }

    /// Values that were added to others' RRSet, and that nothing asks for any more.
    fn no_longer_added(&mut self, dns: &Dns, wanted: &[RrSetWish], found: &RRSet) {
        let wish = wanted.iter().find(|wish| wish.name == found.name && wish.kind.to_string() == found.kind);
        let asked: Vec<String> = wish.map_or_else(Vec::new, |wish| {
            let values = wish.values(self.world.addresses()).unwrap_or_default();
            values.iter().map(|value| comparable(wish.kind, value, &dns.zone)).collect()
        });
        let mut values = added(&self.project.name, found);
        values.retain(|record| {
            wish.is_none_or(|w| !asked.contains(&comparable(w.kind, &record.value, &dns.zone)))
        });
        if !values.is_empty() {
            let (name, kind) = (found.name.clone(), found.kind.clone());
            self.add(Change::RemoveRecords { name, kind, values }, "nothing asks for them any more");
        }
    }

    fn own_records(&mut self, dns: &Dns, wish: &RrSetWish, found: &RRSet) {
        let wanted = wish.values(self.world.addresses());
        let same = wanted.is_some_and(|values| {
            let mut values: Vec<_> = values.iter().map(|v| comparable(wish.kind, v, &dns.zone)).collect();
            values.sort();
            values == present(dns, wish, found)
        });
        if !same {
            let change = Change::SetRecords { records: wish.clone() };
            self.add(change, format!("it is {}", shown(found)));
        }
        if found.ttl.is_some_and(|ttl| ttl != u64::from(wish.ttl)) {
            let change = Change::SetTtl { name: wish.name.clone(), kind: wish.kind, ttl: wish.ttl };
            self.add(change, "its TTL is not the project's");
        }
    }

    /// An RRSet that somebody else keeps: values may be added where several parties can, never taken away.
    fn others_records(&mut self, dns: &Dns, wish: &RrSetWish, found: &RRSet) {
        let present = present(dns, wish, found);
        let addresses = self.world.addresses();
        let is_missing = |datum: &&Datum| {
            let one = RrSetWish { data: vec![(*datum).clone()], ..wish.clone() };
            let values = one.values(addresses).unwrap_or_default();
            values.first().is_none_or(|value| !present.contains(&comparable(wish.kind, value, &dns.zone)))
        };
        let missing: Vec<_> = wish.data.iter().filter(is_missing).cloned().collect();
        if missing.is_empty() {
            return;
        }
        if wish.kind.is_shared() {
            let records = RrSetWish { data: missing, ..wish.clone() };
            return self.add(Change::AddRecords { records }, "others' values stay");
        }
        self.obstacle(format!(
            "the zone {} has a record {} {} ({}) that is not this project's: delete it, or choose another name in project.toml's [dns]",
            dns.zone, wish.name, wish.kind, shown(found)
        ));
    }
}

fn present(dns: &Dns, wish: &RrSetWish, found: &RRSet) -> Vec<String> {
    let mut values: Vec<_> =
        found.records.iter().map(|record| comparable(wish.kind, &record.value, &dns.zone)).collect();
    values.sort();
    values
}

fn shown(found: &RRSet) -> String {
    found.records.iter().map(|record| record.value.as_str()).collect::<Vec<_>>().join(", ")
}
