//! What cannot stand together at one name, whoever put it there.

use super::text;

/// Texts of which a name may have one. With a second one, whoever reads them takes neither.
const SINGLE_TEXTS: [(&str, &str); 5] = [
    ("v=spf1", "SPF (RFC 7208, 4.5)"),
    ("v=DMARC1", "DMARC (RFC 7489, 6.6.3)"),
    ("v=DKIM1", "DKIM (RFC 6376, 3.6.2.2)"),
    ("v=STSv1", "MTA-STS (RFC 8461, 3.1)"),
    ("v=TLSRPTv1", "TLSRPT (RFC 8460, 3)"),
];

/// The values of one type at a name, in the form in which they are [compared](super::comparable).
pub(crate) struct Held {
    /// The type.
    pub(crate) kind: String,
    /// The values.
    pub(crate) values: Vec<String>,
}

/// Why `ours` cannot be at a name, among themselves and beside what `others` keep there. What others contradict
/// themselves in is theirs.
pub(crate) fn contradiction(name: &str, ours: &[Held], others: &[Held]) -> Option<String> {
    if ours.is_empty() {
        return None;
    }
    let all = || ours.iter().chain(others);
    // A CNAME says that everything about a name is elsewhere (RFC 1034, 3.6.2).
    let cname = |held: &Held| held.kind == "CNAME";
    if let Some(alias) = all().find(|held| cname(held))
        && let Some(other) = all().find(|held| !cname(held))
    {
        let (alias, other) = (shown(alias), shown(other));
        return Some(format!("has {alias} at {name:?} beside {other}: a CNAME must stand alone"));
    }
    if let Some(held) = ours.iter().find(|held| cname(held) && held.values.len() > 1) {
        return Some(format!("has {} at {name:?}: a CNAME has one value", shown(held)));
    }
    if let Some(mail) = ours.iter().find(|held| ["MX", "SRV"].contains(&held.kind.as_str())) {
        let values = together(&mail.kind, ours, others);
        if values.len() > 1 && values.iter().any(|value| value.ends_with(" .")) {
            let kind = &mail.kind;
            return Some(format!(
                "has {kind} {} at {name:?}: {kind} with a dot says that there is none",
                values.join(", ")
            ));
        }
    }
    SINGLE_TEXTS.iter().find_map(|(version, what)| {
        let own = together("TXT", ours, &[]).iter().any(|value| is_version(value, version));
        let mut texts = together("TXT", ours, others);
        texts.retain(|value| is_version(value, version));
        (own && texts.len() > 1).then(|| {
            format!(
                "has {} texts of {what} at {name:?}, where there may be one: {}",
                texts.len(),
                texts.join(" and ")
            )
        })
    })
}

/// The values of a type, each once.
fn together<'h>(kind: &str, ours: &'h [Held], others: &'h [Held]) -> Vec<&'h str> {
    let held = ours.iter().chain(others).filter(|held| held.kind == kind);
    let mut values: Vec<&str> = held.flat_map(|held| &held.values).map(String::as_str).collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// Whether a text begins with this version and nothing longer; spaces around its `=` count for nothing.
fn is_version(value: &str, version: &str) -> bool {
    let Ok(text) = text::read(value) else { return false };
    let text = String::from_utf8_lossy(&text);
    let (tag, rest) = text.split_once('=').unwrap_or_default();
    let text = format!("{}={}", tag.trim(), rest.trim_start()).to_ascii_lowercase();
    text.strip_prefix(&version.to_ascii_lowercase())
        .is_some_and(|rest| rest.chars().next().is_none_or(|c| c == ';' || c.is_whitespace()))
}

fn shown(held: &Held) -> String {
    format!("{} {}", held.kind, held.values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(kind: &str, values: &[&str]) -> Held {
        Held { kind: kind.into(), values: values.iter().map(|value| (*value).to_owned()).collect() }
    }

    #[test]
    fn what_contradicts_itself_is_found_wherever_it_comes_from() {
        let spf = "\"v=spf1 mx -all\"";
        let rows: [(&[Held], &[Held], &str); 10] = [
            (&[held("A", &["192.0.2.1"])], &[held("CNAME", &["other."])], "must stand alone"),
            (&[held("CNAME", &["a."])], &[held("TXT", &["\"x\""])], "must stand alone"),
            (&[held("CNAME", &["a."]), held("A", &["192.0.2.1"])], &[], "must stand alone"),
            (&[held("CNAME", &["a.", "b."])], &[], "one value"),
            (&[held("TXT", &[spf])], &[held("TXT", &["\"V=SPF1 -all\""])], "SPF"),
            (&[held("TXT", &[spf, "\"v=spf1\""])], &[], "SPF"),
            (
                &[held("TXT", &["\"v=DMARC1; p=none\""])],
                &[held("TXT", &["\"v = DMARC1;p=reject\""])],
                "DMARC",
            ),
            (&[held("TXT", &["\"v=STSv1; id=1\"", "\"v=STSv1; id=2\""])], &[], "MTA-STS"),
            (&[held("MX", &["0 ."])], &[held("MX", &["10 mail."])], "there is none"),
            (&[held("SRV", &["0 0 0 .", "1 1 1 a."])], &[], "there is none"),
        ];
        for (ours, others, reason) in rows {
            let why = contradiction("x", ours, others).unwrap_or_default();
            assert!(why.contains(reason), "{reason}: {why}");
        }
    }

    #[test]
    fn what_goes_together_is_let_be() {
        let spf = "\"v=spf1 mx -all\"";
        let rows: [(&[Held], &[Held]); 7] = [
            (&[held("TXT", &[spf])], &[held("TXT", &[spf, "\"google-site-verification=1\""])]),
            (&[held("TXT", &[spf, "\"v=spf10 x\"", "\"v=spf1x\""])], &[held("A", &["192.0.2.1"])]),
            // Theirs is broken already, and ours has nothing to do with it.
            (&[held("TXT", &["\"x\""])], &[held("TXT", &["\"v=spf1 a\"", "\"v=spf1 b\""])]),
            (&[held("CNAME", &["a."])], &[]),
            (&[held("CNAME", &["a."])], &[held("CNAME", &["b."])]),
            (&[held("MX", &["0 ."])], &[held("MX", &["0 ."])]),
            (&[], &[held("CNAME", &["a."]), held("A", &["192.0.2.1"])]),
        ];
        for (at, (ours, others)) in rows.into_iter().enumerate() {
            assert_eq!(contradiction("x", ours, others), None, "row {at}");
        }
    }
}
