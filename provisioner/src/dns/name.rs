//! Names: of records, of what they point at, and of domains.

/// The most bytes a name has without the dot at its end (RFC 1035, 2.3.4).
const LONGEST: usize = 253;
/// The most bytes between two dots.
const LONGEST_LABEL: usize = 63;

/// Checks a name relative to its zone: `@`, or labels of `a-z`, `0-9`, `-` and `_`, the first perhaps `*`.
pub fn check_name(name: &str) -> Result<(), String> {
    let labels = name.strip_prefix("*.").unwrap_or(name);
    if name == "@" || name == "*" || labels.split('.').all(is_label) {
        return Ok(());
    }
    let rule = || {
        "a name is relative to the zone, in lower case and without a dot at its end, and no label of it begins or ends \
         with a hyphen; @ is the zone itself"
            .to_owned()
    };
    Err(format!("has the name {name:?}; {}", spelt_in_ascii(name).unwrap_or_else(rule)))
}

/// Reads a domain such as `example.org`: at least two labels of `a-z`, `0-9` and `-`, and no address.
pub fn parse_domain(text: &str) -> Result<String, String> {
    let domain = text.strip_suffix('.').unwrap_or(text).to_lowercase();
    let host_like = |label: &str| is_label(label) && !label.contains('_');
    let top = domain.rsplit('.').next().unwrap_or_default();
    let sound = domain.contains('.')
        && domain.len() <= LONGEST
        && domain.split('.').all(host_like)
        && !top.bytes().all(|b| b.is_ascii_digit());
    if sound {
        return Ok(domain);
    }
    Err(spelt_in_ascii(&domain).unwrap_or_else(|| "must be a domain such as \"example.org\"".into()))
}

/// A name of a zone, relative to it or `@`, without the dot at the end.
pub(super) fn full(name: &str, zone: &str) -> String {
    if name == "@" { zone.into() } else { format!("{name}.{zone}") }
}

/// Checks a name that [`check_name`] lets pass against its zone: it does not repeat it, and fits into it.
pub fn check_in_zone(name: &str, zone: &str) -> Result<(), String> {
    if let Some(relative) = inside(name, zone) {
        return Err(format!("has the name {name:?}, which is relative to {zone}: write {relative:?}"));
    }
    if full(name, zone).len() > LONGEST {
        return Err(format!(
            "has the name {name:?}, which is too long: with its zone {LONGEST} bytes is the most"
        ));
    }
    Ok(())
}

/// The name of another host, made absolute: one that ends with a dot is, all others are relative to the zone.
pub(super) fn absolute(name: &str, zone: &str) -> Result<String, String> {
    let name = name.to_lowercase();
    let (labels, absolute) = match name.strip_suffix('.') {
        Some(labels) => (labels, name.clone()),
        None => (name.as_str(), format!("{}.", full(&name, zone))),
    };
    if labels.starts_with('*') {
        return Err(format!("points at {name:?}, and a wildcard is no host"));
    }
    check_name(labels)?;
    if labels == name && inside(&name, zone).is_some() {
        return Err(format!("points at {name:?}, which is relative to {zone}: put a dot at its end"));
    }
    if absolute.len() > LONGEST + 1 {
        return Err(format!("points at {name:?}, which is too long: {LONGEST} bytes is the most"));
    }
    Ok(absolute)
}

/// The name of another host, or `.` where that says that there is none.
pub(super) fn absolute_or_none(name: &str, zone: &str) -> Result<String, String> {
    if name == "." { Ok(name.into()) } else { absolute(name, zone) }
}

/// What a name that repeats its zone should be.
fn inside<'n>(name: &'n str, zone: &str) -> Option<&'n str> {
    if name == zone { Some("@") } else { name.strip_suffix(zone)?.strip_suffix('.') }
}

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// For a name in another alphabet: how DNS has it.
fn spelt_in_ascii(name: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii(name)
        .ok()
        .filter(|ascii| !name.is_ascii() && ascii.split('.').all(is_label))?;
    Some(format!("has letters that DNS has not: write {ascii:?}, which is the same name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_other_alphabets_are_told_their_punycode() {
        let zone = parse_domain("exämple.org").unwrap_err();
        assert!(zone.contains("\"xn--exmple-cua.org\""), "{zone}");
        assert!(check_name("bücher").unwrap_err().contains("\"xn--bcher-kva\""));
        assert!(absolute("mail.exämple.org.", "a.org").unwrap_err().contains("\"mail.xn--exmple-cua.org\""));
        assert_eq!(parse_domain("xn--exmple-cua.org").unwrap(), "xn--exmple-cua.org");
    }

    #[test]
    fn domains_are_read() {
        assert_eq!(parse_domain("Example.org.").unwrap(), "example.org");
        for wrong in [
            "",
            "org",
            ".",
            "a..org",
            "-a.org",
            "a-.org",
            "a_b.org",
            "*.a.org",
            "192.0.2.1",
            "a.org..",
            "a b.org",
        ] {
            let error = parse_domain(wrong).unwrap_err();
            assert!(error.contains("must be a domain"), "{wrong}: {error}");
        }
        assert!(parse_domain(&format!("{}org", "a.".repeat(126))).is_err());
    }

    #[test]
    fn labels_neither_begin_nor_end_with_a_hyphen() {
        for wrong in ["-bad", "bad-", "-", "a.-b", "*.-a", "a.*", ""] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
        for right in ["@", "*", "*.a", "a-b", "_dmarc", "x--y"] {
            check_name(right).unwrap();
        }
    }

    #[test]
    fn a_name_that_repeats_its_zone_is_caught() {
        assert!(check_in_zone("www.a.org", "a.org").unwrap_err().contains("write \"www\""));
        assert!(check_in_zone("a.org", "a.org").unwrap_err().contains("write \"@\""));
        assert!(absolute("www.a.org", "a.org").unwrap_err().contains("put a dot"));
        assert_eq!(absolute("www.a.org.", "a.org").unwrap(), "www.a.org.");
        assert_eq!(absolute("www.aa.org", "a.org").unwrap(), "www.aa.org.a.org.");
        assert_eq!(absolute("@", "a.org").unwrap(), "a.org.");
        let long = ["a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(60)].join(".");
        assert!(check_in_zone(&long, "example.org").is_err() && check_in_zone(&long, "b.org").is_ok());
    }
}
