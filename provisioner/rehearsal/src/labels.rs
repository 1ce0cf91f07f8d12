//! Labels and the selectors that choose by them.

use std::collections::BTreeMap;

/// A resource's labels.
pub(crate) type Labels = BTreeMap<String, String>;

/// Why these labels cannot be set, if they cannot.
pub(crate) fn validate(labels: &Labels) -> Result<(), String> {
    for (key, value) in labels {
        check_key(key)?;
        if key.split_once('/').is_some_and(|(prefix, _)| reserved(prefix)) {
            return Err(format!("label key '{key}': the prefix hetzner.cloud/ is reserved"));
        }
        if !value.is_empty() && !name_like(value) {
            return Err(format!("label value '{value}' of '{key}': {NAME_RULE}"));
        }
    }
    Ok(())
}

const NAME_RULE: &str = "at most 63 letters, digits, '.', '_' and '-', with a letter or digit at both ends";

fn reserved(prefix: &str) -> bool {
    prefix == "hetzner.cloud" || prefix.ends_with(".hetzner.cloud")
}

fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if !name_like(name) {
        return Err(format!("label key '{key}': {NAME_RULE}"));
    }
    if let Some(prefix) = prefix {
        let part = |p: &str| name_like(p) && !p.contains(['_', '.']);
        if prefix.len() > 253 || !prefix.split('.').all(part) {
            return Err(format!("label key '{key}': the prefix must be a DNS name of at most 253 bytes"));
        }
    }
    Ok(())
}

fn name_like(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && ends(text.chars().next())
        && ends(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[derive(Debug, PartialEq)]
enum Term {
    Equals(String, String),
    Differs(String, String),
    Has(String),
    Lacks(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

/// A parsed label selector; all its terms must hold.
#[derive(Debug, PartialEq)]
pub(crate) struct Selector(Vec<Term>);

impl Selector {
    /// Parses `k==v`, `k=v`, `k!=v`, `k`, `!k`, `k in (a,b)` and `k notin (a,b)`, joined by commas.
    /// The empty selector chooses everything.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        split_outside_parentheses(text)?
            .iter()
            .map(|term| parse_term(term))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|term| match term {
            Term::Equals(key, value) => labels.get(key) == Some(value),
            Term::Differs(key, value) => labels.get(key) != Some(value),
            Term::Has(key) => labels.contains_key(key),
            Term::Lacks(key) => !labels.contains_key(key),
            Term::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Term::NotIn(key, values) => !labels.get(key).is_some_and(|v| values.contains(v)),
        })
    }
}

fn split_outside_parentheses(text: &str) -> Result<Vec<String>, String> {
    let (mut terms, mut term, mut depth) = (Vec::new(), String::new(), 0_i32);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if !(0..=1).contains(&depth) {
            return Err(format!("label selector '{text}': parentheses do not match"));
        }
        if c == ',' && depth == 0 {
            terms.push(std::mem::take(&mut term));
        } else {
            term.push(c);
        }
    }
    if depth != 0 {
        return Err(format!("label selector '{text}': parentheses do not match"));
    }
    terms.push(term);
    Ok(terms)
}

fn parse_term(term: &str) -> Result<Term, String> {
    let term = term.trim();
    let key = |text: &str| {
        let text = text.trim();
        check_key(text).map(|()| text.to_owned())
    };
    let value = |text: &str| {
        let text = text.trim();
        let fine = text.is_empty() || name_like(text);
        fine.then(|| text.to_owned()).ok_or_else(|| format!("label value '{text}': {NAME_RULE}"))
    };
    if let Some((head, list)) = term.strip_suffix(')').and_then(|t| t.split_once('(')) {
        let values = list.split(',').map(value).collect::<Result<Vec<_>, _>>()?;
        return match head.trim_end().rsplit_once(char::is_whitespace) {
            Some((name, "in")) => Ok(Term::In(key(name)?, values)),
            Some((name, "notin")) => Ok(Term::NotIn(key(name)?, values)),
            _ => Err(format!("label selector term '{term}': expected 'in (...)' or 'notin (...)'")),
        };
    }
    if let Some((name, wanted)) = term.split_once("!=") {
        return Ok(Term::Differs(key(name)?, value(wanted)?));
    }
    if let Some((name, wanted)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Ok(Term::Equals(key(name)?, value(wanted)?));
    }
    match term.strip_prefix('!') {
        Some(name) => Ok(Term::Lacks(key(name)?)),
        None => Ok(Term::Has(key(term)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn selectors_choose() {
        let labels = labels(&[("env", "prod"), ("tier", ""), ("example.com/role", "db")]);
        let table = [
            ("", true),
            ("env", true),
            ("!env", false),
            ("env=prod", true),
            ("env==prod", true),
            ("env == prod", true),
            ("env!=prod", false),
            ("env=test", false),
            ("env!=test", true),
            ("missing!=anything", true),
            // The document's own example: "and that don't have a `type=database` label".
            ("env=prod,type!=database", true),
            ("missing", false),
            ("!missing", true),
            ("tier=", true),
            ("env in (test,prod)", true),
            ("env in (test, staging)", false),
            ("env notin (test,staging)", true),
            ("missing notin (a)", true),
            ("missing in (a)", false),
            ("env=prod,tier,!missing", true),
            ("env=prod,tier,missing", false),
            ("env in (prod),example.com/role=db", true),
        ];
        for (selector, expected) in table {
            assert_eq!(Selector::parse(selector).unwrap().matches(&labels), expected, "{selector}");
        }
    }

    #[test]
    fn broken_selectors_are_refused() {
        for selector in
            ["=", "env=pro d", "env in prod", "env in (a", "env)", "!", "a,,b", "-a", "a/b/c", "env near (a)"]
        {
            assert!(Selector::parse(selector).is_err(), "{selector}");
        }
    }

    #[test]
    fn labels_are_checked() {
        let long = "x".repeat(64);
        let table = [
            ("env", "prod", true),
            ("env", "", true),
            ("example.com/env", "a.b_c-d", true),
            ("", "v", false),
            ("-env", "v", false),
            ("env", "-v", false),
            ("env", "v ", false),
            ("env", &long, false),
            (&long, "v", false),
            ("hetzner.cloud/env", "v", false),
            ("a/b/c", "v", false),
        ];
        for (key, value, expected) in table {
            assert_eq!(validate(&labels(&[(key, value)])).is_ok(), expected, "{key}={value}");
        }
    }
}
