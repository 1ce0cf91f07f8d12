use super::*;
use crate::cloud::dns::{DEFAULT_TTL, Mode, RrSet};
use crate::labels::Labels;

const FILE: &str = r#"
; the zone of a test
$ORIGIN Example.com.
$TTL 1h30m
@ IN SOA hydrogen.ns.hetzner.com. dns.hetzner.com. (
    2024010100 ; serial
    86400 10800
    3600000 3600 ) ; the end
  IN NS hydrogen.ns.hetzner.com. ; Some comment.
  NS oxygen.ns.hetzner.com.
  10800 IN NS helium.ns.hetzner.de.

www A 192.0.2.1
    IN 300 AAAA 2001:db8::1
WWW.example.COM. a 192.0.2.2
mail MX 10 mail
@ TXT "v=spf1 mx -all" "with ; and ( in it \" and \\"
key TXT plain words
@ CAA 0 issue letsencrypt.org ; certificates
svc HTTPS 1 . alpn="h3,h2" ipv4hint=192.0.2.1
*.dev 2D CNAME @
"#;

fn values<'a>(file: &'a ZoneFile, id: &str) -> Vec<&'a str> {
    file.rrsets[id].records.iter().map(|record| record.value.as_str()).collect()
}

#[test]
fn a_zone_file_is_read() {
    let file = parse(FILE, "example.com").unwrap();
    assert_eq!(file.ttl, Some(5400));
    let soa = "hydrogen.ns.hetzner.com. dns.hetzner.com. 2024010100 86400 10800 3600000 3600";
    let table: [(&str, &[&str]); 9] = [
        ("@/SOA", &[soa]),
        ("@/NS", &["hydrogen.ns.hetzner.com.", "oxygen.ns.hetzner.com.", "helium.ns.hetzner.de."]),
        ("www/A", &["192.0.2.1", "192.0.2.2"]),
        ("www/AAAA", &["2001:db8::1"]),
        ("mail/MX", &["10 mail"]),
        ("@/TXT", &[r#""v=spf1 mx -all" "with ; and ( in it \" and \\""#]),
        ("key/TXT", &[r#""plain" "words""#]),
        ("@/CAA", &[r#"0 issue "letsencrypt.org""#]),
        ("svc/HTTPS", &[r#"1 . alpn="h3,h2" ipv4hint=192.0.2.1"#]),
    ];
    for (id, expected) in table {
        assert_eq!(values(&file, id), expected, "{id}");
    }
    assert_eq!(file.rrsets.len(), 10);
    assert_eq!(file.rrsets["*.dev/CNAME"].ttl, Some(172_800));
    assert_eq!((file.rrsets["@/NS"].ttl, file.rrsets["www/A"].ttl), (Some(10_800), None));
    let comment = |id: &str| file.rrsets[id].records[0].comment.as_deref();
    assert_eq!(comment("@/NS"), Some("Some comment."));
    assert_eq!(comment("@/SOA"), Some("the end"));
    assert_eq!(comment("www/A"), None);
}

#[test]
fn what_is_written_can_be_read() {
    let mut zone = Zone::new("example.com".into(), Mode::Primary, DEFAULT_TTL, Labels::new());
    zone.replace(parse(FILE, "example.com").unwrap(), true).unwrap();
    zone.put(
        "x",
        "TXT",
        RrSet::new(
            Some(60),
            Labels::new(),
            vec![Record { value: r#""semi;colon \" quote""#.into(), comment: Some("a ; b ( \" c".into()) }],
        ),
    )
    .unwrap();
    let text = write(&zone);
    assert!(text.starts_with("$ORIGIN\texample.com.\n$TTL\t5400\n\n@\tIN\tSOA\thydrogen"), "{text}");
    let read = parse(&text, "example.com").unwrap();
    assert_eq!(read.ttl, Some(zone.ttl));
    assert_eq!(read.rrsets.len(), zone.rrsets.len());
    for (id, set) in &zone.rrsets {
        assert_eq!((read.rrsets[id].ttl, &read.rrsets[id].records), (set.ttl, &set.records), "{id}");
    }
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    let table = [
        ("\n\n www A 192.0.2.1", "line 3: the first record has no name"),
        ("@ TXT \"open", "line 1: a quote is not closed"),
        ("@ TXT \"open\n\"", "line 1: a quote is not closed"),
        ("\n@ SOA ( a", "line 2: a parenthesis is not closed"),
        ("@ A ) 1", "line 1: a parenthesis was never opened"),
        ("@ A 1 \\", "line 1: ends with \\"),
        ("@ CH A 192.0.2.1", "line 1: the class must be IN, not CH"),
        ("@", "line 1: the record has no type"),
        ("@ IN 300", "line 1: the record has no type"),
        ("@ SPF x", "line 1: there is no type 'SPF'"),
        ("$ORIGIN example.org.", "line 1: $ORIGIN must be example.com."),
        ("$ORIGIN example.com", "line 1: $ORIGIN must be example.com."),
        ("$INCLUDE /etc/passwd", "line 1: '$INCLUDE /etc/passwd' is not supported"),
        ("$TTL", "line 1: '$TTL' is not supported"),
        ("$TTL 1x", "line 1: '1x' is no TTL"),
        ("$TTL 5", "line 1: '5' is no TTL"),
        ("@ 99999999999999999999999 A 192.0.2.1", "line 1: '99999999999999999999999' is no TTL"),
        ("@ 9999999999999999999w A 192.0.2.1", "line 1: '9999999999999999999w' is no TTL"),
        ("www.example.org. A 192.0.2.1", "line 1: 'www.example.org.' is not in the zone"),
        ("wwwexample.com. A 192.0.2.1", "line 1: 'wwwexample.com.' is not in the zone"),
        ("a 300 A 192.0.2.1\na 600 A 192.0.2.2", "line 2: the TTL of 'a' A is 600 here and was 300 before"),
    ];
    for (text, expected) in table {
        let error = parse(text, "example.com").unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn nonsense_is_refused_and_never_panics() {
    let alphabet: Vec<char> = "ab@.*$\"\\();\t \n01IN TXTA/=ü\u{0}-_".chars().collect();
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut zone = Zone::new("example.com".into(), Mode::Primary, DEFAULT_TTL, Labels::new());
    let mut feed = |text: &str| {
        if let Ok(file) = parse(text, "example.com")
            && zone.replace(file, false).is_ok()
        {
            let again = parse(&write(&zone), "example.com").unwrap();
            assert_eq!(again.rrsets.len(), zone.rrsets.len(), "{text}");
        }
    };
    for _ in 0..20_000 {
        let length = random(60);
        feed(&(0..length).map(|_| alphabet[random(alphabet.len())]).collect::<String>());
    }
    for (end, _) in FILE.char_indices() {
        feed(&FILE[..end]);
        let mut broken: Vec<char> = FILE.chars().collect();
        broken[end] = alphabet[random(alphabet.len())];
        feed(&broken.into_iter().collect::<String>());
    }
}
