//! How the volume is opened after a restart, and when the server may restart by itself.

use super::reader::{Document, Section};
use spec::{RebootWindow, TangServer, UnlockSpec};
use std::net::IpAddr;

/// How many Tang servers fit into the volume's header: 12 KiB for everything, and each share of a key takes 1.8.
const MOST_SERVERS: usize = 4;
/// SHA-256 and SHA-1 in base64url without padding: what `tang-show-keys` prints, and what it printed once.
const THUMBPRINTS: [usize; 2] = [43, 27];

/// `[unlock]`.
pub(super) fn read_unlock(document: &mut Document<'_>) -> UnlockSpec {
    let mut section = document.section("unlock");
    let mode = section.one_of("mode", "operator", &["operator", "tang", "keyfile"]);
    let threshold = section.number("threshold", 1, 1..=MOST_SERVERS as i64);
    let rows = section.tables("servers", ["url", "thumbprint"], |key, text| match key {
        "url" => check_url(text),
        _ => check_thumbprint(text),
    });
    let servers: Vec<TangServer> =
        rows.into_iter().map(|[url, thumbprint]| TangServer { url, thumbprint }).collect();
    if mode == "tang" {
        check_tang(&mut section, threshold, &servers);
    } else if !section.is_wrong("mode") {
        for key in ["threshold", "servers"].into_iter().filter(|key| section.has(key)).collect::<Vec<_>>() {
            section.wrong(key, &format!("is for mode = \"tang\" only, and the mode is {mode:?}"));
        }
    }
    section.finish();
    match mode.as_str() {
        "tang" => UnlockSpec::Tang { threshold: u8::try_from(threshold).unwrap_or(u8::MAX), servers },
        "keyfile" => UnlockSpec::Keyfile,
        _ => UnlockSpec::Operator,
    }
}

fn check_tang(section: &mut Section<'_, '_>, threshold: i64, servers: &[TangServer]) {
    if section.is_wrong("servers") {
        return;
    }
    let count = servers.len();
    if servers.is_empty() {
        section.wrong("servers", "is needed: at least one [[unlock.servers]] with `url` and `thumbprint`");
    } else if count > MOST_SERVERS {
        section.wrong(
            "servers",
            &format!("names {count} servers, and {MOST_SERVERS} is the most that the volume's header holds"),
        );
    } else if usize::try_from(threshold).is_ok_and(|threshold| threshold > count) {
        section.wrong(
            "threshold",
            &format!("is {threshold}, but there are {count} servers: it could never be met"),
        );
    }
    let twice =
        servers.iter().enumerate().any(|(at, one)| servers[..at].iter().any(|other| other.url == one.url));
    if twice {
        section.wrong("servers", "names a server twice: two shares in one place are worth one");
    }
}

/// `http` is enough: what a Tang server says is signed, and what it is asked tells nobody anything.
fn check_url(text: &str) -> Result<(), String> {
    let url = reqwest::Url::parse(text).ok().filter(|url| {
        ["http", "https"].contains(&url.scheme())
            && url.host().is_some()
            && url.query().is_none()
            && url.username().is_empty()
    });
    if url.as_ref().is_some_and(is_inside) {
        return Err("lies in the private network, which is served from the locked volume: take an address that is reached \
                    without it"
            .into());
    }
    let plain = !text.ends_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"'\\".contains(&b));
    match url {
        Some(_) if plain => Ok(()),
        _ => {
            Err("must be an address such as \"http://tang.example.org:7500\", without a slash at its end"
                .into())
        }
    }
}

/// Whether it is an address of the private network: 100.64.0.0/10 or fd7a:115c:a1e0::/48.
fn is_inside(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            let [first, second, ..] = address.octets();
            first == 100 && (64..128).contains(&second)
        }
        Ok(IpAddr::V6(address)) => address.segments().starts_with(&[0xfd7a, 0x115c, 0xa1e0]),
        Err(_) => false,
    }
}

/// The Tang servers whose names lie in a domain.
pub(super) fn tang_servers_in<'u>(unlock: &'u UnlockSpec, domain: &str) -> Vec<&'u str> {
    let UnlockSpec::Tang { servers, .. } = unlock else { return Vec::new() };
    let host = |url: &str| reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let inside = |host: String| host == domain || host.ends_with(&format!(".{domain}"));
    let urls = servers.iter().map(|server| server.url.as_str());
    urls.filter(|url| host(url).is_some_and(inside)).collect()
}

fn check_thumbprint(text: &str) -> Result<(), String> {
    let base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if THUMBPRINTS.contains(&text.len()) && text.bytes().all(base64url) {
        Ok(())
    } else {
        Err("must be a thumbprint as `tang-show-keys` prints it on the Tang server (43 characters)".into())
    }
}

/// `[server] reboot_window`: only where the server comes back by itself.
pub(super) fn read_reboot(server: &mut Section<'_, '_>, unlock: &UnlockSpec) -> Option<RebootWindow> {
    let window = server.checked("reboot_window", parse_time)?;
    if *unlock == UnlockSpec::Operator && !server.is_mistaken("unlock.mode") {
        server.wrong(
            "reboot_window",
            "needs a server that comes back by itself: with [unlock] mode = \"operator\" it would stand locked from then \
             on; take mode = \"tang\" (or \"keyfile\"), or take this line out and restart it yourself",
        );
        return None;
    }
    Some(window)
}

fn parse_time(text: &str) -> Result<RebootWindow, String> {
    let number = |digits: &str, most: u8| {
        let digits = digits.as_bytes();
        let &[tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = digits else { return None };
        Some((tens - b'0') * 10 + ones - b'0').filter(|number| *number <= most)
    };
    let read = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        Some(RebootWindow { hour: number(hour, 23)?, minute: number(minute, 59)? })
    };
    read(text).ok_or_else(|| "must be a time of day in UTC such as \"04:00\"".into())
}

#[cfg(test)]
mod tests {
    use crate::project::Project;
    use spec::{RebootWindow, UnlockSpec};

    const THUMBPRINT: &str = "dFXq1ajq5dEuYM8oqFpHtFI9ZCCZ3uQF5bdJkn5uZGY";

    fn parse(text: &str) -> Result<Project, Vec<String>> {
        let text = format!("[cloud]\nrehearsal = true\n[escrow]\nthrowaway_identity = true\n{text}");
        Project::parse("demo", &text).map_err(|mistakes| mistakes.0.iter().map(ToString::to_string).collect())
    }

    fn server(url: &str) -> String {
        format!("[[unlock.servers]]\nurl = \"{url}\"\nthumbprint = \"{THUMBPRINT}\"\n")
    }

    #[test]
    fn without_a_word_the_server_waits_for_its_operator() {
        let project = parse("").unwrap();
        assert_eq!((project.unlock, project.reboot), (UnlockSpec::Operator, None));
    }

    #[test]
    fn tang_servers_are_read_with_their_threshold() {
        let text = format!(
            "[unlock]\nmode = \"tang\"\nthreshold = 2\n{}{}",
            server("http://a:7500"),
            server("https://b")
        );
        let UnlockSpec::Tang { threshold, servers } = parse(&text).unwrap().unlock else {
            panic!("not tang")
        };
        assert_eq!((threshold, servers.len()), (2, 2));
        assert_eq!((servers[0].url.as_str(), servers[0].thumbprint.as_str()), ("http://a:7500", THUMBPRINT));
    }

    #[test]
    fn every_mistake_about_tang_is_said_at_once() {
        let text = format!(
            "[server]\nreboot_window = \"4:00\"\n[unlock]\nmode = \"tang\"\nthreshold = 9\n{}\
             [[unlock.servers]]\nurl = \"ftp://x\"\nthumbprint = \"short\"\nport = 7500\n[[unlock.servers]]\nurl = \"http://c\"\n",
            server("http://a/")
        );
        let mistakes = parse(&text).unwrap_err();
        for expected in [
            "must be a time of day",
            "1 to 4, not 9",
            "without a slash",
            "ftp://x",
            "tang-show-keys",
            "servers.port is unknown",
            "servers.thumbprint is needed",
        ] {
            assert!(mistakes.iter().any(|m| m.contains(expected)), "{expected}: {mistakes:#?}");
        }
        assert_eq!(mistakes.len(), 7, "{mistakes:#?}");
    }

    #[test]
    fn what_could_never_work_is_a_mistake() {
        let one = |text: &str, expected: &str| {
            let mistakes = parse(text).unwrap_err();
            assert!(mistakes.len() == 1 && mistakes[0].contains(expected), "{expected}: {mistakes:#?}");
        };
        one("[unlock]\nmode = \"tang\"\n", "at least one");
        one(&format!("[unlock]\nmode = \"tang\"\nthreshold = 2\n{}", server("http://a")), "never be met");
        one(&format!("[unlock]\nmode = \"tang\"\n{}{}", server("http://a"), server("http://a")), "twice");
        one(&format!("[unlock]\n{}", server("http://a")), "mode = \"tang\" only");
        for inside in ["http://100.64.0.2:7500", "https://100.127.255.1", "http://[fd7a:115c:a1e0::2]:7500"] {
            one(&format!("[unlock]\nmode = \"tang\"\n{}", server(inside)), "lies in the private network");
        }
        for outside in ["http://100.128.0.1", "http://100.63.0.1", "http://[fd7a:115c:a1e1::2]"] {
            assert!(parse(&format!("[unlock]\nmode = \"tang\"\n{}", server(outside))).is_ok(), "{outside}");
        }
        one("[unlock]\nmode = \"magic\"\n", "operator, tang, keyfile");
        one("[unlock]\nmode = \"tang\"\nservers = 3\n", "must be tables");
    }

    #[test]
    fn a_window_to_restart_in_needs_a_server_that_comes_back() {
        let text = |mode: &str| format!("[server]\nreboot_window = \"04:30\"\n[unlock]\nmode = \"{mode}\"\n");
        let window = Some(RebootWindow { hour: 4, minute: 30 });
        assert_eq!(parse(&text("keyfile")).unwrap().reboot, window);
        let mistakes = parse(&text("operator")).unwrap_err();
        assert!(mistakes.len() == 1 && mistakes[0].contains("stand locked"), "{mistakes:#?}");
        for wrong in ["24:00", "04:60", "0400", "4:00", "", "+4:00"] {
            assert!(super::parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_may_come_in_is_read() {
        let from =
            |text: &str| parse(text).map(|p| p.ssh_from.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(from("").unwrap(), ["0.0.0.0/0", "::/0"]);
        assert_eq!(from("[ssh]\nfrom = [\"any\"]").unwrap(), ["0.0.0.0/0", "::/0"]);
        assert!(from("[ssh]\nfrom = []").unwrap().is_empty());
        assert_eq!(
            from("[ssh]\nfrom = [\"203.0.113.7\", \"10.0.0.0/8\"]").unwrap(),
            ["10.0.0.0/8", "203.0.113.7/32"]
        );
        let mistakes =
            from("[ssh]\nfrom = [\"10.0.0.1/8\", \"home\"]\n[operator]\naddress = \"::1\"").unwrap_err();
        assert_eq!(mistakes.len(), 3, "{mistakes:#?}");
    }
}
