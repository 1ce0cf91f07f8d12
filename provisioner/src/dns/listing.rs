//! The records for whoever enters them by hand.

use super::{Addresses, RrSetWish};

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
