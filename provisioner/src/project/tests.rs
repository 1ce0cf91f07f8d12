//! What holds of the whole file, whichever section a mistake is in.

use super::*;

const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = Project::parse("demo", text).unwrap_err();
    mistakes.0.iter().map(ToString::to_string).collect()
}

#[test]
fn a_short_file_is_enough() {
    let project = Project::parse("prod", &format!("[escrow]\nrecipients = [\"{RECIPIENT}\"]\n")).unwrap();
    assert_eq!(project.server_types, ["cax31"]);
    assert_eq!(project.locations, ["fsn1"]);
    assert!(project.protect && project.dns.is_none() && project.storage_box.is_none());
    assert_eq!(project.ssh_port, 22);
    assert!(!project.rehearsal);
}

#[test]
fn all_mistakes_are_reported_at_once_each_with_its_line_and_what_is_allowed() {
    let text = "[cloud]\nlocation = \"mars1\"\nspeed = 9\n\n[volume]\nsize_gb = 3\n\n[ssh]\nport = \"x\"\n\n[escrow]\nrecipients = [\"age1nonsense\"]\n\n[stack]\n";
    let mistakes = mistakes(text);
    let has = |parts: &[&str]| mistakes.iter().any(|m| parts.iter().all(|p| m.contains(p)));
    assert!(has(&["line 2", "cloud.location", "mars1", "fsn1"]), "{mistakes:#?}");
    assert!(has(&["line 3", "cloud.speed", "unknown", "rehearsal"]), "{mistakes:#?}");
    assert!(has(&["line 6", "volume.size_gb", "10 to 10240"]), "{mistakes:#?}");
    assert!(has(&["line 9", "ssh.port", "whole number"]), "{mistakes:#?}");
    assert!(has(&["line 12", "escrow.recipients", "age1nonsense"]), "{mistakes:#?}");
    assert!(has(&["line 14", "stack", "unknown", "stacks"]), "{mistakes:#?}");
    assert_eq!(mistakes.len(), 6, "{mistakes:#?}");
}

#[test]
fn a_real_key_is_asked_for_where_it_counts() {
    let text = "[escrow]\nthrowaway_identity = true\n";
    assert!(mistakes(text)[0].contains("rehearsals only"));
    assert!(Project::parse("demo", &format!("[cloud]\nrehearsal = true\n{text}")).is_ok());
    assert!(mistakes("")[0].contains("age-keygen"));
}

#[test]
fn ports_are_read_with_their_protocol() {
    let text = format!(
        "[escrow]\nrecipients = [\"{RECIPIENT}\"]\n[firewall]\nopen = [\"443/tcp\", \"0/tcp\", \"9\"]\n"
    );
    let mistakes = mistakes(&text);
    assert_eq!(mistakes.len(), 2, "{mistakes:#?}");
    assert!(mistakes[0].contains("line 4") && mistakes[0].contains("443/tcp"));
}

#[test]
fn a_name_that_cannot_be_a_host_name_is_refused() {
    for name in ["", "Prod", "a_b", "-a", "../x"] {
        assert!(
            Project::parse(name, &format!("[escrow]\nrecipients = [\"{RECIPIENT}\"]")).is_err(),
            "{name}"
        );
    }
}

#[test]
fn types_and_locations_are_one_or_several_in_order() {
    let text = format!(
        "[cloud]\nlocation = [\"nbg1\", \"fsn1\"]\n[server]\ntype = [\"cax31\", \"cpx42\"]\n[escrow]\nrecipients = [\"{RECIPIENT}\"]\n"
    );
    let project = Project::parse("prod", &text).unwrap();
    assert_eq!(project.locations, ["nbg1", "fsn1"]);
    assert_eq!(project.server_types, ["cax31", "cpx42"]);
    let wrong = mistakes("[cloud]\nlocation = []\n[server]\ntype = [\"cax31\", \"cax31\", 3]\n");
    assert!(wrong[0].contains("line 2") && wrong[0].contains("at least one"), "{wrong:#?}");
    assert!(wrong[1].contains("number 3"), "{wrong:#?}");
    assert!(wrong[2].contains("line 4") && wrong[2].contains("twice"), "{wrong:#?}");
}

#[test]
fn what_is_no_toml_is_all_that_is_said() {
    for (text, line) in [
        ("[cloud\n", "line 1"),
        ("[cloud]\nlocation = \n[volume\nsize = 3\n", "line 2"),
        ("a = \"x\n", "line 1"),
    ] {
        let mistakes = mistakes(text);
        assert!(mistakes[0].starts_with(line), "{mistakes:#?}");
        assert!(mistakes.iter().all(|mistake| mistake.contains("TOML is broken")), "{mistakes:#?}");
        let mut lines: Vec<_> = mistakes.iter().map(|mistake| mistake.split(':').next()).collect();
        lines.dedup();
        assert_eq!(lines.len(), mistakes.len(), "{mistakes:#?}");
    }
}

/// A file in which everything is said once.
const WHOLE: &str = r#"[cloud]
rehearsal = true
location = "fsn1"
protect = true
context = "c"
token_command = ["a"]
[server]
type = ["cax31"]
image = "debian-13"
snapshot_before_rebuild = true
reboot_window = "04:00"
[volume]
size_gb = 40
[ssh]
port = 22
authorized_keys = []
from = ["any"]
[operator]
address = "192.0.2.1"
[firewall]
open = ["443/tcp"]
[escrow]
recipients = []
throwaway_identity = true
[stacks]
enabled = ["headscale"]
[images]
from = "pins"
[images.pins]
headscale = "h@sha256:DIGEST"
tailscale = "t@sha256:DIGEST"
[dns]
zone = "example.org"
held = "hetzner"
host = "srv"
ttl = 60
records = ["www CNAME srv"]
[vpn]
host = "vpn.example.org"
base_domain = "in.example.org"
devices = ["laptop"]
names = ["metrics"]
[storage_box]
type = "bx11"
location = "fsn1"
adopt = 1
[unlock]
mode = "tang"
threshold = 1
[[unlock.servers]]
url = "http://tang.example.net"
thumbprint = "THUMBPRINT"
[[exceptions]]
check = "host-5.5"
reason = "ssh is on the VPN"
review = "2027-06-30"
"#;

fn whole() -> String {
    WHOLE
        .replace("DIGEST", &"a".repeat(64))
        .replace("THUMBPRINT", "dFXq1ajq5dEuYM8oqFpHtFI9ZCCZ3uQF5bdJkn5uZGY")
}

#[test]
fn one_wrong_value_is_one_mistake_whatever_depends_on_it() {
    let text = whole();
    Project::parse("demo", &text).unwrap();
    for (at, line) in text.lines().enumerate() {
        let Some((key, _)) = line.split_once(" = ") else { continue };
        // A date is right nowhere.
        let broken: Vec<_> = text
            .lines()
            .enumerate()
            .map(|(n, line)| if n == at { format!("{key} = 1979-05-27") } else { line.to_owned() })
            .collect();
        let found = mistakes(&broken.join("\n"));
        assert!(found.len() == 1 && found[0].starts_with(&format!("line {}: ", at + 1)), "{key}: {found:#?}");
    }
}

#[test]
fn a_section_that_is_none_is_one_mistake_whatever_depends_on_it() {
    let text = whole();
    let sections: Vec<_> = text
        .split_inclusive('\n')
        .filter(|line| line.starts_with('[') && !line.contains(['.', ' ']))
        .collect();
    for section in sections {
        let name = section.trim().trim_matches(['[', ']']);
        let mut kept = format!("{name} = 1979-05-27\n");
        let mut keep = true;
        for line in text.split_inclusive('\n') {
            if line.starts_with('[') {
                keep = line.trim().trim_matches(['[', ']']).split('.').next() != Some(name);
            }
            kept.push_str(if keep { line } else { "" });
        }
        let found = mistakes(&kept);
        assert!(found.len() == 1 && found[0].starts_with("line 1: "), "{name}: {found:#?}");
    }
}

#[test]
fn no_text_brings_a_line_of_its_own_with_it() {
    let text = whole();
    let mut tried = 0;
    for (at, quote) in text.match_indices('"').skip(1).step_by(2) {
        let broken = format!("{}\\n{}", &text[..at], &text[at..]);
        if text[..at].lines().last().is_some_and(|line| line.starts_with("token_command")) {
            continue;
        }
        let found = mistakes(&broken);
        assert!(found.iter().any(|mistake| mistake.contains("\\n")), "{quote} at {at}: {found:#?}");
        tried += 1;
    }
    assert!(tried > 25, "{tried}");
}

#[test]
fn a_secret_key_in_the_wrong_place_is_not_repeated() {
    let secret = "AGE-SECRET-KEY-1QQPQQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0JHXY";
    let found = mistakes(&format!("[escrow]\nrecipients = [\"{secret}\"]\n"));
    assert!(
        found.len() == 1 && found[0].contains("secret key") && !found[0].contains("QQPQQQ"),
        "{found:#?}"
    );
}
