//! What names and values of DNS records may look like.

use super::TYPES;
use super::zonefile::{Field, split_line};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Of a domain name, without the dot at its end.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;
/// Of a character string in a TXT record, in bytes.
const LONGEST_STRING: usize = 255;

/// Fails unless this can be a zone's name. Whether it can be registered is not looked up in the public suffix
/// list; a dot in it is enough.
pub(crate) fn check_zone_name(name: &str) -> Result<(), String> {
    let host_like = |label: &str| is_label(label) && !label.contains('_');
    let top = name.rsplit('.').next().unwrap_or_default();
    let fine = name.len() <= LONGEST_NAME
        && name.contains('.')
        && name.split('.').all(host_like)
        && !top.bytes().all(|b| b.is_ascii_digit());
    if fine {
        return Ok(());
    }
    Err("must be a domain name in lower case without a dot at its end, like example.com; \
         other alphabets in Punycode"
        .into())
}

/// Fails unless this can be the name of an RRSet in the zone.
pub(crate) fn check_name(name: &str, zone: &str) -> Result<(), String> {
    if name == "@" {
        return Ok(());
    }
    if name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.')) {
        return Err(format!("must not end with the zone's name; it is relative to {zone}"));
    }
    let labels = name.strip_prefix("*.").unwrap_or(if name == "*" { "x" } else { name });
    if name.len() + 1 + zone.len() > LONGEST_NAME || !labels.split('.').all(is_label) {
        return Err("must be @, or labels of a-z, 0-9, - and _ in lower case without a dot at the end; \
                    the first may be *"
            .into());
    }
    Ok(())
}

/// In lower case, with letters and digits at its ends; underscores mark services.
fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

pub(crate) fn check_comment(comment: &str) -> Result<(), String> {
    if comment.chars().any(char::is_control) {
        return Err("a comment is one line without control characters".into());
    }
    Ok(())
}

/// Fails unless this is a value of a record of this type, in the form of a zone file.
pub(crate) fn check_value(kind: &str, value: &str) -> Result<(), String> {
    let fields = split_value(value)?;
    let numbers = |count: usize, largest: u32| {
        let head = fields.iter().take(count);
        head.filter(|f| !f.quoted && is_number(&f.text, largest)).count() == count
    };
    let host = |index: usize| fields.get(index).is_some_and(|f| !f.quoted && is_host(&f.text));
    let hexadecimal = |from: usize| {
        let digits: String = fields.iter().skip(from).map(|f| f.text.as_str()).collect();
        !digits.is_empty() && digits.len().is_multiple_of(2) && digits.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let count = fields.len();
    let (byte, short, long) = (u32::from(u8::MAX), u32::from(u16::MAX), u32::MAX);
    let (fine, form) = match kind {
        "A" => (value.parse::<Ipv4Addr>().is_ok(), "an IPv4 address"),
        "AAAA" => (value.parse::<Ipv6Addr>().is_ok(), "an IPv6 address"),
        "CNAME" | "NS" | "PTR" => (count == 1 && host(0), "a host name"),
        "MX" => (count == 2 && numbers(1, short) && host(1), "a preference and a host: 10 mail.example.com."),
        "SRV" => (
            count == 4 && numbers(3, short) && host(3),
            "priority, weight, port and target: 0 5 5060 sip.example.com.",
        ),
        "TXT" => (is_text(&fields), "strings in quotes of at most 255 bytes each: \"one\" \"two\""),
        "CAA" => (
            count == 3 && numbers(1, byte) && is_tag(&fields[1]) && fields[2].quoted,
            "flags, tag and a value in quotes: 0 issue \"letsencrypt.org\"",
        ),
        "DS" => (
            count >= 4 && numbers(3, short) && is_number(&fields[1].text, byte) && hexadecimal(3),
            "key tag, algorithm, digest type and digest",
        ),
        "TLSA" => {
            (count >= 4 && numbers(3, byte) && hexadecimal(3), "usage, selector, matching type and data")
        }
        "HINFO" => (count == 2, "processor and system: \"ARM\" \"Linux\""),
        "RP" => (count == 2 && host(0) && host(1), "a mailbox as a name, and a name with a TXT record"),
        "SOA" => (
            count == 7 && host(0) && host(1) && fields[2..].iter().all(|f| is_number(&f.text, long)),
            "name server, mailbox, serial, refresh, retry, expire and minimum",
        ),
        "HTTPS" | "SVCB" => (
            count >= 2 && numbers(1, short) && host(1) && fields[2..].iter().all(is_parameter),
            "priority, target and parameters: 1 . alpn=\"h3,h2\"",
        ),
        _ => return Err(format!("there is no type '{kind}'; there are {}", TYPES.join(", "))),
    };
    if fine { Ok(()) } else { Err(format!("{kind} must be {form}")) }
}

/// The fields of a value. What a zone file would read as a comment or as going on in the next line is refused.
fn split_value(value: &str) -> Result<Vec<Field>, String> {
    if value.chars().any(char::is_control) {
        return Err("must be one line without control characters".into());
    }
    let fields = split_line(value)?;
    let dense = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let read: String = fields.iter().map(|field| dense(&field.written())).collect();
    if read != dense(value) {
        return Err("must have no parentheses or semicolons outside of quotes".into());
    }
    Ok(fields)
}

fn is_number(text: &str, largest: u32) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u32>().is_ok_and(|number| number <= largest)
}

/// A host, absolute with a dot at its end or relative to the zone; `@` is the zone, `.` is none.
fn is_host(text: &str) -> bool {
    if text == "@" || text == "." {
        return true;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let looks_like_an_address = name.parse::<Ipv4Addr>().is_ok();
    name.len() <= LONGEST_NAME && !looks_like_an_address && name.to_ascii_lowercase().split('.').all(is_label)
}

fn is_text(fields: &[Field]) -> bool {
    let short = |field: &Field| field.quoted && unescaped_length(&field.text) <= LONGEST_STRING;
    !fields.is_empty() && fields.iter().all(short)
}

fn is_tag(field: &Field) -> bool {
    !field.quoted && !field.text.is_empty() && field.text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// `key` or `key=value`.
fn is_parameter(field: &Field) -> bool {
    let key = field.text.split('=').next().unwrap_or_default();
    !field.quoted && !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// In bytes, where `\"` and `\034` are one.
fn unescaped_length(text: &str) -> usize {
    let (mut bytes, mut length) = (text.bytes().peekable(), 0);
    while let Some(byte) = bytes.next() {
        length += 1;
        if byte == b'\\' {
            let digits = (0..3).take_while(|_| bytes.next_if(u8::is_ascii_digit).is_some()).count();
            if digits == 0 {
                bytes.next();
            }
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_of_their_type() {
        let longest = format!("\"{}\"", "x".repeat(255));
        let too_long = format!("\"{}\"", "x".repeat(256));
        let escaped = format!("\"{}\"", "\\034".repeat(255));
        let table = [
            ("A", "192.0.2.1", true),
            ("A", "192.0.2.256", false),
            ("A", "192.0.2.1 ", false),
            ("A", "2001:db8::1", false),
            ("AAAA", "2001:db8::1", true),
            ("AAAA", "192.0.2.1", false),
            ("CNAME", "example.com.", true),
            ("CNAME", "www", true),
            ("CNAME", "@", true),
            ("CNAME", "a b", false),
            ("CNAME", "", false),
            ("CNAME", "192.0.2.1", false),
            ("CNAME", "a..b", false),
            ("NS", "ns1.example.com.", true),
            ("PTR", "host.example.com.", true),
            ("MX", "10 mail.example.com.", true),
            ("MX", "0 .", true),
            ("MX", "mail.example.com.", false),
            ("MX", "65536 mail", false),
            ("MX", "+1 mail", false),
            ("MX", "10 192.0.2.1", false),
            ("SRV", "0 5 5060 sip.example.com.", true),
            ("SRV", "0 5 sip.example.com.", false),
            ("TXT", "\"v=spf1 mx -all\"", true),
            ("TXT", "\"one\" \"two\"", true),
            ("TXT", "\"a;b(c\"", true),
            ("TXT", "\"say \\\"hi\\\"\"", true),
            ("TXT", "unquoted", false),
            ("TXT", "\"open", false),
            ("TXT", "\"a\" b", false),
            ("TXT", "\"\"", true),
            ("TXT", "", false),
            ("TXT", "\"a\nb\"", false),
            ("TXT", &longest, true),
            ("TXT", &too_long, false),
            ("TXT", &escaped, true),
            ("CAA", "0 issue \"letsencrypt.org\"", true),
            ("CAA", "0 issue letsencrypt.org", false),
            ("CAA", "256 issue \"x\"", false),
            ("CAA", "0 is-sue \"x\"", false),
            ("DS", "60485 5 1 2BB183AF5F22588179A53B0A 98631FAD1A292118", true),
            ("DS", "60485 5 1 XYZ", false),
            ("TLSA", "3 1 1 0b9fa5a59eed715c26c1020c711b4f6e", true),
            ("TLSA", "3 1 1 0b9", false),
            ("HINFO", "\"ARM\" \"Linux\"", true),
            ("HINFO", "ARM", false),
            ("RP", "admin.example.com. info.example.com.", true),
            ("SOA", "ns. admin.example.com. 1 2 3 4 5", true),
            ("SOA", "ns. admin.example.com. 1 2 3 4", false),
            ("HTTPS", "1 . alpn=\"h3,h2\" ipv4hint=192.0.2.1", true),
            ("SVCB", "0 svc.example.com.", true),
            ("HTTPS", "svc.example.com.", false),
            ("MX", "10 mail ; comment", false),
            ("MX", "10 (mail)", false),
            ("SPF", "\"v=spf1\"", false),
        ];
        for (kind, value, expected) in table {
            assert_eq!(check_value(kind, value).is_ok(), expected, "{kind} {value}");
        }
    }

    #[test]
    fn names_are_relative_and_in_lower_case() {
        let long = format!("{}.x", "a".repeat(63));
        let table = [
            ("@", true),
            ("*", true),
            ("*.www", true),
            ("www", true),
            ("a.b.c", true),
            ("_dmarc", true),
            ("_25._tcp.mail", true),
            (&long, true),
            ("", false),
            ("WWW", false),
            ("www.", false),
            ("a..b", false),
            ("a.*", false),
            ("-a", false),
            ("a-", false),
            ("ü", false),
            ("a/b", false),
            ("a b", false),
            ("example.com", false),
            ("www.example.com", false),
            ("wwwexample.com", true),
        ];
        for (name, expected) in table {
            assert_eq!(check_name(name, "example.com").is_ok(), expected, "{name}");
        }
        assert!(check_name(&"a.".repeat(130), "example.com").is_err());
        assert!(check_name(&["a"; 125].join("."), "example.com").is_err());
    }

    #[test]
    fn zones_are_domains() {
        for name in ["example.com", "xn--mnchen-3ya.de", "a.b.co.uk", "1.de"] {
            assert!(check_zone_name(name).is_ok(), "{name}");
        }
        for name in
            ["", "com", "Example.com", "example.com.", ".com", "a_b.de", "münchen.de", "1.2.3.4", "a b.de"]
        {
            assert!(check_zone_name(name).is_err(), "{name}");
        }
    }
}
