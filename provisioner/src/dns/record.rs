//! Records: as they are asked for, and the one form in which their values are published and compared.

use super::name::{absolute, absolute_or_none, check_name};
use super::{Datum, text};
use serde::Serialize;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Stands for the zone while it is not known.
const ANY_ZONE: &str = "zone.invalid";

/// One record, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub(super) name: String,
    pub(super) kind: Kind,
    data: String,
}

/// The types of records that are kept: all that the API takes but SOA, which is the zone's own.
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
    /// Who answers for a part of the zone.
    Ns,
    /// The key such a part is signed with.
    Ds,
    /// The certificate a service has.
    Tlsa,
    /// How a web server is reached.
    Https,
    /// How a service is reached.
    Svcb,
    /// The name of an address.
    Ptr,
    /// Who is responsible.
    Rp,
    /// What a host is.
    Hinfo,
}

/// Each type's name, and what its data are.
const KINDS: [(Kind, &str, &str); 15] = [
    (Kind::A, "A", "an IPv4 address, or {ipv4} for the server's"),
    (Kind::Aaaa, "AAAA", "an IPv6 address, or {ipv6} for the server's"),
    (Kind::Cname, "CNAME", "one name"),
    (Kind::Mx, "MX", "a preference and a name, e.g. \"10 mail\", or \"0 .\" for a name that takes no mail"),
    (Kind::Txt, "TXT", "a text"),
    (
        Kind::Srv,
        "SRV",
        "priority, weight, port and a name, e.g. \"10 5 5060 sip\", or \"0 0 0 .\" for no such service",
    ),
    (Kind::Caa, "CAA", "flags, tag and value, e.g. 0 issue \"letsencrypt.org\", or 0 issue \";\" for nobody"),
    (Kind::Ns, "NS", "one name"),
    (Kind::Ds, "DS", "key tag, algorithm, digest type and the digest in hexadecimal"),
    (Kind::Tlsa, "TLSA", "usage (0 to 3), selector (0, 1), matching type (0 to 2) and data in hexadecimal"),
    (
        Kind::Https,
        "HTTPS",
        "priority, a name or \".\", and parameters, e.g. \"1 . alpn=h2\"; priority 0 has none",
    ),
    (
        Kind::Svcb,
        "SVCB",
        "priority, a name or \".\", and parameters, e.g. \"1 srv port=853\"; priority 0 has none",
    ),
    (Kind::Ptr, "PTR", "one name"),
    (Kind::Rp, "RP", "a mailbox as a name and a name with a TXT record; \".\" for either that is not there"),
    (Kind::Hinfo, "HINFO", "two texts, e.g. \"ARM\" \"Linux\""),
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().1)
    }
}

impl Record {
    /// Reads `NAME TYPE DATA`.
    pub fn parse(line: &str) -> Result<Self, String> {
        let shape = || "must be \"NAME TYPE DATA\", e.g. \"www CNAME srv\" or \"@ MX 10 mail\"".to_owned();
        let (name, rest) = line.trim().split_once(char::is_whitespace).ok_or_else(shape)?;
        let (kind, data) = rest.trim().split_once(char::is_whitespace).ok_or_else(shape)?;
        check_name(name)?;
        let record = Self { name: name.into(), kind: Kind::parse(kind)?, data: data.trim().into() };
        if name == "@" && matches!(record.kind, Kind::Cname | Kind::Ns | Kind::Ds) {
            return Err(format!("is a {kind} at @: the zone's own name has none that a project could keep"));
        }
        record.datum(ANY_ZONE, "host").map(|_| record)
    }

    /// Its value in a zone: names made absolute, texts quoted, addresses left to be known.
    pub(super) fn datum(&self, zone: &str, host: &str) -> Result<Datum, String> {
        match (self.kind, self.data.as_str()) {
            (Kind::A, "{ipv4}") => return Ok(Datum::Ipv4),
            (Kind::Aaaa, "{ipv6}") => return Ok(Datum::Ipv6),
            (_, data) if ["{ipv4}", "{ipv6}"].iter().any(|address| data.contains(address)) => {
                return Err(
                    "holds {ipv4} or {ipv6}: that is the whole of an A or AAAA record, or nothing".into()
                );
            }
            _ => {}
        }
        self.kind.value(&self.data.replace("{host}", host), zone).map(Datum::Value)
    }
}

impl Kind {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some((kind, ..)) = KINDS.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(*kind);
        }
        if text.eq_ignore_ascii_case("IN") || text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("has {text:?} before its type: a record is written without class and TTL"));
        }
        let known: Vec<_> = KINDS.iter().map(|(_, name, _)| *name).collect();
        Err(format!("has the type {text:?}; allowed: {}", known.join(", ")))
    }

    fn row(self) -> &'static (Self, &'static str, &'static str) {
        KINDS.iter().find(|(kind, ..)| *kind == self).unwrap_or(&KINDS[0])
    }

    /// Whether several parties may keep values of it under one name without harm.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Txt | Self::Mx | Self::Caa)
    }

    /// A value of this type in the form of a zone file, as it is published: every other way to write it leads here too.
    fn value(self, data: &str, zone: &str) -> Result<String, String> {
        let words: Vec<&str> = data.split_whitespace().collect();
        let shape = || format!("needs {} after {self}", self.row().2);
        let short = |text: &str| number(text, u16::MAX).ok_or_else(shape);
        let byte = |text: &str, most: u8| number(text, most.into()).ok_or_else(shape);
        Ok(match (self, words.as_slice()) {
            (Self::A, [ip]) => ip.parse::<Ipv4Addr>().map_err(|_| shape())?.to_string(),
            (Self::Aaaa, [ip]) => ip.parse::<Ipv6Addr>().map_err(|_| shape())?.to_string(),
            (Self::Cname | Self::Ns | Self::Ptr, [target]) => absolute(target, zone)?,
            // Of mail there is either none or some: no preference but 0 goes with no host (RFC 7505, 3).
            (Self::Mx, ["0", "."]) => "0 .".into(),
            (Self::Mx, [preference, target]) if *target != "." => {
                format!("{} {}", short(preference)?, absolute(target, zone)?)
            }
            (Self::Srv, [priority, weight, port, target]) => {
                let (priority, weight, port) = (short(priority)?, short(weight)?, short(port)?);
                format!("{priority} {weight} {port} {}", absolute_or_none(target, zone)?)
            }
            (Self::Rp, [mailbox, text]) => {
                format!("{} {}", absolute_or_none(mailbox, zone)?, absolute_or_none(text, zone)?)
            }
            (Self::Https | Self::Svcb, [priority, target, parameters @ ..]) => {
                let (priority, target) = (short(priority)?, absolute_or_none(target, zone)?);
                if !parameters.iter().copied().all(is_parameter) || (priority == 0 && !parameters.is_empty())
                {
                    return Err(shape());
                }
                let mut parameters: Vec<_> = parameters.iter().map(|word| word.replace('"', "")).collect();
                parameters.sort();
                [priority.to_string(), target].into_iter().chain(parameters).collect::<Vec<_>>().join(" ")
            }
            (Self::Ds, [tag, algorithm, kind, digest @ ..]) => {
                let (tag, algorithm, kind) = (short(tag)?, byte(algorithm, u8::MAX)?, byte(kind, u8::MAX)?);
                let bytes = [(1, 20), (2, 32), (4, 48)].into_iter().find(|(known, _)| *known == kind);
                let digest = hexadecimal(digest, bytes.map(|(_, bytes)| bytes)).ok_or_else(shape)?;
                format!("{tag} {algorithm} {kind} {digest}")
            }
            (Self::Tlsa, [usage, selector, matching, data @ ..]) => {
                let (usage, selector, matching) = (byte(usage, 3)?, byte(selector, 1)?, byte(matching, 2)?);
                let bytes = [(1, 32), (2, 64)].into_iter().find(|(known, _)| *known == matching);
                let data = hexadecimal(data, bytes.map(|(_, bytes)| bytes)).ok_or_else(shape)?;
                format!("{usage} {selector} {matching} {data}")
            }
            (Self::Caa, [flags, tag, _, ..]) if tag.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                let value = data.splitn(3, char::is_whitespace).nth(2).unwrap_or_default().trim();
                let value = text::read(value).ok().filter(|value| value.len() <= text::LONGEST);
                let value = text::quote(&value.ok_or_else(shape)?);
                format!("{} {} {value}", byte(flags, u8::MAX)?, tag.to_ascii_lowercase())
            }
            (Self::Hinfo, words) => {
                let in_quotes = data.contains('"');
                let bare = || words.iter().map(|word| text::read(word)).collect::<Result<Vec<_>, _>>();
                let texts = if in_quotes { text::strings(data)? } else { bare()? };
                if texts.len() != 2 || texts.iter().any(|text| text.len() > text::LONGEST) {
                    return Err(shape());
                }
                texts.iter().map(|text| text::quote(text)).collect::<Vec<_>>().join(" ")
            }
            (Self::Txt, _) => text::quote(&text::read(data)?),
            _ => return Err(shape()),
        })
    }
}

/// A value as two of them are compared: what says the same is the same. What cannot be read is itself.
pub fn comparable(kind: Kind, value: &str, zone: &str) -> String {
    kind.value(value, zone).unwrap_or_else(|_| value.trim().to_owned())
}

fn number(text: &str, most: u16) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number <= most)
}

/// Hexadecimal digits, perhaps in several words, of so many bytes where that is known.
fn hexadecimal(words: &[&str], bytes: Option<usize>) -> Option<String> {
    let digits = words.concat().to_ascii_lowercase();
    let right = bytes.map_or(!digits.is_empty() && digits.len() % 2 == 0, |bytes| digits.len() == 2 * bytes);
    (right && digits.bytes().all(|b| b.is_ascii_hexdigit())).then_some(digits)
}

/// `key`, `key=value` or `key="value"` (RFC 9460, 2.1), its value without what a zone file would have to escape.
fn is_parameter(word: &str) -> bool {
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    let inner = value.strip_prefix('"').map_or(Some(value), |value| value.strip_suffix('"'));
    !key.is_empty()
        && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && inner.is_some_and(|inner| inner.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\();".contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn published(line: &str) -> String {
        Record::parse(line).unwrap().datum("example.org", "srv").unwrap().to_string()
    }

    #[test]
    fn every_type_is_published_as_the_zone_has_it() {
        let digest = "AB".repeat(32);
        let rows = [
            ("a A 192.0.2.1", "192.0.2.1"),
            ("a AAAA 2001:0db8::0001", "2001:db8::1"),
            ("a CNAME Srv", "srv.example.org."),
            ("a CNAME {host}", "srv.example.org."),
            ("@ MX 010 mail", "10 mail.example.org."),
            ("@ MX 0 .", "0 ."),
            ("_imap._tcp SRV 0 0 0 .", "0 0 0 ."),
            ("_sip._tcp SRV 10 5 5060 @", "10 5 5060 example.org."),
            ("@ CAA 0 Issue letsencrypt.org", "0 issue \"letsencrypt.org\""),
            ("@ CAA 0 issue \";\"", "0 issue \";\""),
            (
                "@ CAA 128 issue \"a.org; validationmethods=dns-01\"",
                "128 issue \"a.org; validationmethods=dns-01\"",
            ),
            ("sub NS ns1.example.net.", "ns1.example.net."),
            ("a PTR host", "host.example.org."),
            ("@ RP admin.example.org. .", "admin.example.org. ."),
            ("@ HINFO ARM Linux", "\"ARM\" \"Linux\""),
            ("@ HINFO \"ARM\" \"Debian 13\"", "\"ARM\" \"Debian 13\""),
            ("@ HTTPS 1 . ipv4hint=192.0.2.1 alpn=\"h3,h2\"", "1 . alpn=h3,h2 ipv4hint=192.0.2.1"),
            ("_dns SVCB 0 dns.example.net.", "0 dns.example.net."),
        ];
        for (line, expected) in rows {
            assert_eq!(published(line), expected, "{line}");
        }
        assert_eq!(
            published(&format!("sub DS 60485 8 2 {digest}")),
            format!("60485 8 2 {}", digest.to_lowercase())
        );
        let (left, right) = digest.split_at(20);
        let wanted = format!("3 1 1 {}", digest.to_lowercase());
        assert_eq!(published(&format!("_25._tcp.mail TLSA 3 1 1 {left} {right}")), wanted);
    }

    #[test]
    fn malformed_records_are_refused_with_what_is_allowed() {
        let rows = [
            ("www", "NAME TYPE DATA"),
            ("www CNAME", "NAME TYPE DATA"),
            ("www SOA x", "allowed: A, AAAA"),
            ("www 3600 IN A 192.0.2.1", "without class and TTL"),
            ("www IN A 192.0.2.1", "without class and TTL"),
            ("Www A 192.0.2.1", "lower case"),
            ("www. A 192.0.2.1", "without a dot"),
            ("bücher A 192.0.2.1", "xn--bcher-kva"),
            ("www A 192.0.2", "IPv4"),
            ("www AAAA 192.0.2.1", "IPv6"),
            ("www TXT v=spf1 ip4:{ipv4} -all", "{ipv4}"),
            ("@ MX mail", "preference"),
            ("@ MX +1 mail", "preference"),
            ("@ MX 10 .", "\"0 .\""),
            ("@ MX 10 -bad-", "hyphen"),
            ("@ MX 10 *", "wildcard"),
            ("a CNAME .", "has the name \"\""),
            ("@ CNAME www", "at @"),
            ("@ NS ns1.example.net.", "at @"),
            ("@ DS 60485 8 2 AB", "at @"),
            ("@ SRV 1 2 x", "priority"),
            ("@ CAA issue x", "flags"),
            ("@ CAA 0 issue", "flags"),
            ("@ CAA 256 issue x", "flags"),
            ("sub DS 60485 8 2 ABCD", "digest"),
            ("_25._tcp TLSA 4 1 1 ABCD", "usage"),
            ("_25._tcp TLSA 3 1 0 ABC", "usage"),
            ("@ HTTPS 0 a alpn=h2", "priority 0 has none"),
            ("@ HTTPS 1 . alpn=\"h2", "parameters"),
            ("@ HINFO one", "two texts"),
        ];
        for (line, sentence) in rows {
            let error = Record::parse(line).unwrap_err();
            assert!(error.contains(sentence), "{line}: {error}");
        }
    }

    #[test]
    fn values_are_compared_as_resolvers_see_them() {
        for (kind, one, other) in [
            (Kind::Cname, "Srv", "srv.example.org."),
            (Kind::Mx, "10  mail.example.org.", "10 mail"),
            (Kind::Aaaa, "2001:0db8::0001", "2001:db8::1"),
            (Kind::Caa, "0 issue  \"x.org\"", "0 issue x.org"),
            (Kind::Txt, "\"v=spf1 \" \"mx\"", "v=spf1 mx"),
            (Kind::Tlsa, "3 1 0 AB CD", "3 1 0 abcd"),
            (Kind::Https, "1 . port=1 alpn=\"h2\"", "1 . alpn=h2 port=1"),
        ] {
            assert_eq!(
                comparable(kind, one, "example.org"),
                comparable(kind, other, "example.org"),
                "{kind} {one}"
            );
        }
        assert_ne!(
            comparable(Kind::Txt, "\"A\"", "example.org"),
            comparable(Kind::Txt, "\"a\"", "example.org")
        );
        assert_eq!(comparable(Kind::Mx, " nonsense ", "example.org"), "nonsense");
    }

    proptest! {
        /// What is published reads as itself, on one line and whatever was asked for.
        #[test]
        fn what_is_published_is_its_own_form(
            kind in proptest::sample::select(&KINDS[..]), data in r#"[a-z0-9A-Z."\\();=_{} \t\n-]{0,30}"#,
        ) {
            if let Ok(value) = kind.0.value(&data, "example.org") {
                prop_assert!(!value.chars().any(char::is_control), "{value:?}");
                prop_assert_eq!(kind.0.value(&value, "example.org"), Ok(value));
            }
        }

        #[test]
        fn no_line_makes_it_panic(line in "\\PC{0,60}") {
            let _ = Record::parse(&line);
        }
    }
}
