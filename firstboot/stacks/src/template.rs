//! Configuration files are templates in Jinja's language over a closed set of values.
//!
//! A value that there is not is an error, never an empty text. Secrets stay out of the engine: `secret("NAME")` leaves a
//! mark, and the secret is put in its place when the text is written where it belongs, into memory that is wiped.

use crate::Mistake;
use crate::folder::CONFIG;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::Value;

/// More than any configuration needs: a template that does not end is stopped.
const FUEL: u64 = 10_000_000;
/// Around the name of a secret: `Raw` as it is, `Quoted` as a string of JSON, which YAML and TOML read alike. Configuration
/// has no use for control characters, and what holds one is refused.
const RAW: char = '\u{1}';
const QUOTED: char = '\u{2}';

/// A rendered text, with marks where secrets belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'t> {
    /// As it is.
    Plain(&'t str),
    /// The secret of this name, as it is.
    Secret(&'t str),
    /// The secret of this name, as a string of JSON.
    QuotedSecret(&'t str),
}

impl Text {
    /// Its parts, in their order.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let mut rest = self.0.as_str();
        std::iter::from_fn(move || {
            let first = rest.chars().next()?;
            if first == RAW || first == QUOTED {
                let (name, after) = rest[1..].split_once(first)?;
                rest = after;
                return Some(if first == RAW { Part::Secret(name) } else { Part::QuotedSecret(name) });
            }
            let end = rest.find([RAW, QUOTED]).unwrap_or(rest.len());
            let (plain, after) = rest.split_at(end);
            rest = after;
            Some(Part::Plain(plain))
        })
    }

    /// The names of the secrets in it.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.parts().filter_map(|part| match part {
            Part::Plain(_) => None,
            Part::Secret(name) | Part::QuotedSecret(name) => Some(name),
        })
    }

    /// The whole text with each secret's bytes in its place, to be wiped by whoever asked for it. The error says which secret
    /// is not there, is no text that could be quoted, or would be taken for something of the file's own language unquoted.
    pub fn with(&self, secret: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Vec<u8>, String> {
        let value = |name: &str| secret(name).ok_or_else(|| format!("secret {name} is not there"));
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_.".contains(byte);
        // Long enough for any configuration: a buffer that grows leaves its old bytes behind.
        let mut all = Vec::with_capacity(1 << 16);
        for part in self.parts() {
            match part {
                Part::Plain(text) => all.extend(text.as_bytes()),
                Part::Secret(name) => {
                    let value = value(name)?;
                    if !value.iter().all(plain) {
                        return Err(format!("secret {name} has to be quoted there: `quoted_secret`"));
                    }
                    all.extend(value);
                }
                Part::QuotedSecret(name) => {
                    let value = value(name)?;
                    let text =
                        std::str::from_utf8(&value).map_err(|_| format!("secret {name} is no text"))?;
                    serde_json::to_writer(&mut all, text)
                        .map_err(|error| format!("secret {name}: {error}"))?;
                }
            }
        }
        Ok(all)
    }

    /// For people: each secret by its name.
    pub fn shown(&self) -> String {
        let part = |part| match part {
            Part::Plain(text) => text.to_owned(),
            Part::Secret(name) | Part::QuotedSecret(name) => format!("<secret {name}>"),
        };
        self.parts().map(part).collect()
    }
}

/// Whether a text is a template at all.
pub(crate) fn parse(stack: &str, file: &str, text: &str) -> Result<(), Mistake> {
    if text.contains([RAW, QUOTED]) {
        return Err(Mistake {
            stack: stack.into(),
            file: format!("{CONFIG}{file}"),
            line: None,
            why: "holds a control character".into(),
        });
    }
    engine().template_from_named_str(file, text).map(drop).map_err(|error| mistake(stack, file, &error))
}

/// Fills in a template.
pub(crate) fn render(stack: &str, file: &str, text: &str, values: &Value) -> Result<Text, Mistake> {
    engine()
        .render_named_str(file, text, Serde(values))
        .map(Text)
        .map_err(|error| mistake(stack, file, &error))
}

fn engine() -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(Some(FUEL));
    // The text's own format decides on what is to be escaped, and no name of a file tells that: `tojson` quotes.
    engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    engine.set_syntax(syntax());
    engine.add_function("secret", |name: &str| marked(name, RAW));
    engine.add_function("quoted_secret", |name: &str| marked(name, QUOTED));
    engine
}

/// Lines with nothing but a tag leave nothing behind, and the last line keeps its end.
fn syntax() -> minijinja::syntax::SyntaxConfig {
    let mut syntax = minijinja::syntax::SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build().unwrap_or_default()
}

fn marked(name: &str, mark: char) -> Result<String, Error> {
    if name.contains([RAW, QUOTED]) {
        return Err(Error::new(ErrorKind::InvalidOperation, "that is no name of a secret"));
    }
    Ok(format!("{mark}{name}{mark}"))
}

fn mistake(stack: &str, file: &str, error: &Error) -> Mistake {
    let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Mistake { stack: stack.into(), file: format!("{CONFIG}{file}"), line: error.line(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rendered(text: &str) -> Result<String, String> {
        let values = json!({ "host": "x.org", "list": ["a", "b"], "none": null, "odd": "a\"b\\c#$" });
        render("s", "f", text, &values).map(|text| text.shown()).map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn what_there_is_not_is_an_error_with_its_line() {
        for text in [
            "a\n{{ hots }}",
            "a\n{{ host.x }}",
            "a\n{% if hots %}{% endif %}",
            "a\n{% for x in hots %}{% endfor %}",
            "a\n{{ nothing() }}",
        ] {
            let error = rendered(text).unwrap_err();
            assert!(error.contains("config/f") && error.contains("line 2"), "{text}: {error}");
        }
        for text in ["{{", "{% if %}", "{{ 'a }}"] {
            assert!(parse("s", "f", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_template_that_does_not_end_is_stopped() {
        let error =
            rendered("{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}")
                .unwrap_err();
        assert!(error.contains("fuel"), "{error}");
    }

    #[test]
    fn lines_with_nothing_but_a_tag_leave_nothing() {
        let text = "all:\n{% for item in list %}\n  - {{ item }}\n{% endfor %}\n{% if none %}\nno\n{% endif %}\nend\n";
        assert_eq!(rendered(text).unwrap(), "all:\n  - a\n  - b\nend\n");
    }

    #[test]
    fn other_languages_placeholders_are_left_alone() {
        let text = "${role_admin} $x {a} <b> %{c} #{d}\n";
        assert_eq!(rendered(text).unwrap(), text);
    }

    #[test]
    fn a_text_is_quoted_for_yaml_and_json_alike() {
        let quoted = rendered("{{ odd|tojson }}").unwrap();
        assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), "a\"b\\c#$");
        assert_eq!(crate::parse(&quoted).unwrap(), json!("a\"b\\c#$"));
    }

    #[test]
    fn secrets_are_marked_and_never_in_the_engine() {
        let text =
            render("s", "f", "a={{ secret('one') }};b: {{ quoted_secret('two') }}\n", &json!({})).unwrap();
        let parts: Vec<_> = text.parts().collect();
        assert_eq!(
            parts,
            [
                Part::Plain("a="),
                Part::Secret("one"),
                Part::Plain(";b: "),
                Part::QuotedSecret("two"),
                Part::Plain("\n")
            ]
        );
        assert_eq!(text.secrets().collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(text.shown(), "a=<secret one>;b: <secret two>\n");
        assert!(parse("s", "f", "\u{1}forged\u{1}").is_err());
    }

    fn filled(template: &str, secret: &[u8]) -> Result<Vec<u8>, String> {
        render("s", "f", template, &json!({})).unwrap().with(|name| (name == "one").then(|| secret.to_vec()))
    }

    #[test]
    fn a_secret_that_cannot_stand_where_it_is_named_is_refused_by_its_name() {
        assert_eq!(filled("a={{ secret('one') }}\n", b"aZ09+/=-_.").unwrap(), b"a=aZ09+/=-_.\n");
        for other in [&b"a$b"[..], b"a b", b"a\nb", b"a\\b", b"a#b", b"\xff"] {
            let error = filled("{{ secret('one') }}", other).unwrap_err();
            assert!(error.contains("secret one has to be quoted"), "{error}");
        }
        assert!(filled("{{ quoted_secret('one') }}", b"\xff").unwrap_err().contains("is no text"));
        assert!(filled("{{ secret('two') }}", b"a").unwrap_err().contains("two is not there"));
    }

    proptest::proptest! {
        #[test]
        fn a_quoted_secret_arrives_as_it_is(
            secret in proptest::prop_oneof![".*", "[\\$#\"'\\\\{}%: \n\r\t\u{0}-\u{2}\u{7f}\u{2028}]{0,40}"],
        ) {
            let text = filled("{ \"a\": {{ quoted_secret('one') }}, \"b\": [{{ quoted_secret('one') }}] }", secret.as_bytes()).unwrap();
            let json: Value = serde_json::from_slice(&text).unwrap();
            proptest::prop_assert_eq!(&json, &json!({ "a": secret, "b": [secret] }));
            // YAML reads it alike, but for what it takes for no character.
            if !secret.contains(|c: char| c.is_control() || c == '\u{feff}' || c >= '\u{fffe}') {
                let yaml = crate::parse(std::str::from_utf8(&text).unwrap());
                proptest::prop_assert_eq!(yaml.unwrap(), json);
            }
        }
    }
}
