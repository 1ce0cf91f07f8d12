use super::mistakes::{Mistake, Mistakes};
use super::value::{article, line, text};
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The file being read: sections are asked for by name, and what nobody asked for is a mistake.
pub(super) struct Document<'a> {
    text: &'a str,
    root: DeTable<'a>,
    mistakes: Vec<Mistake>,
    sections: Vec<&'static str>,
}

impl<'a> Document<'a> {
    /// Of a file that is no TOML nothing else can be said: what seems to be missing in it may be what could not be read.
    pub(super) fn parse(text: &'a str) -> Result<Self, Mistakes> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut broken: Vec<Mistake> = errors.iter().map(|error| broken(text, error)).collect();
        // Behind the first break of a line the others are guesses.
        broken.sort_by_key(|mistake| mistake.line);
        broken.dedup_by_key(|mistake| mistake.line);
        if !broken.is_empty() {
            return Err(Mistakes(broken));
        }
        Ok(Self { text, root: root.into_inner(), mistakes: Vec::new(), sections: Vec::new() })
    }

    pub(super) fn section(&mut self, name: &'static str) -> Section<'_, 'a> {
        self.sections.push(name);
        let found = self.root.get(name);
        let (table, span) = match found {
            None => (None, None),
            Some(value) => match value.get_ref() {
                DeValue::Table(table) => (Some(table), Some(value.span())),
                other => {
                    let why = format!("must be a section [{name}], not {}", article(other));
                    self.mistakes.push(Mistake {
                        line: Some(line_of(self.text, &value.span())),
                        key: name.into(),
                        why,
                    });
                    (None, None)
                }
            },
        };
        Section {
            name,
            table,
            span,
            text: self.text,
            mistakes: &mut self.mistakes,
            keys: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Reads a section that may stand there any number of times, as `[[name]]`.
    pub(super) fn each(&mut self, name: &'static str, mut read: impl FnMut(&mut Section<'_, 'a>)) {
        self.sections.push(name);
        let Some(value) = self.root.get(name) else { return };
        let tables = value.get_ref().as_array().map(|items| {
            items.iter().map(|item| item.get_ref().as_table().map(|table| (table, item.span()))).collect()
        });
        let Some(tables): Option<Vec<_>> = tables.and_then(|tables: Option<Vec<_>>| tables) else {
            let why = format!("must be written as [[{name}]], once for each");
            let line = Some(line_of(self.text, &value.span()));
            self.mistakes.push(Mistake { line, key: name.into(), why });
            return;
        };
        for (table, span) in tables {
            let (table, span) = (Some(table), Some(span));
            let mut section = Section {
                name,
                table,
                span,
                text: self.text,
                mistakes: &mut self.mistakes,
                keys: Vec::new(),
                others: Vec::new(),
            };
            read(&mut section);
            section.finish();
        }
    }

    /// Notes a mistake about a key of a section that was read before, at its line or the section's.
    pub(super) fn wrong(&mut self, section: &str, key: &str, why: &str) {
        let mut here = self.root.get(section);
        let mut span = here.map(Spanned::span);
        for part in key.split('.') {
            here = here.and_then(|value| value.get_ref().as_table()?.get(part));
            span = here.map(Spanned::span).or(span);
        }
        let line = span.map(|span| line_of(self.text, &span));
        self.mistakes.push(Mistake { line, key: format!("{section}.{key}"), why: why.into() });
    }

    /// Notes a mistake that is in another file.
    pub(super) fn wrong_elsewhere(&mut self, key: &str, why: &str) {
        self.mistakes.push(Mistake {
            line: None,
            key: key.into(),
            why: format!("names a stack with a mistake: {why}"),
        });
    }

    /// Whether a mistake in a section, or about a key, was noted already.
    pub(super) fn is_mistaken(&self, full: &str) -> bool {
        is_mistaken(&self.mistakes, full)
    }

    pub(super) fn wrong_name(&mut self, name: &str) {
        let why = format!("{name:?} cannot be used: 1 to 40 of a-z, 0-9 and -, neither first nor last a -");
        self.mistakes.push(Mistake { line: None, key: "the project's name".into(), why });
    }

    pub(super) fn finish(mut self) -> Result<(), Mistakes> {
        let unknown = self.root.keys().filter(|key| !self.sections.contains(&key.get_ref().as_ref()));
        let unknown: Vec<_> = unknown.map(|key| unknown_key(self.text, key, "", &self.sections)).collect();
        self.mistakes.extend(unknown);
        self.mistakes.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        if self.mistakes.is_empty() { Ok(()) } else { Err(Mistakes(self.mistakes)) }
    }
}

fn broken(text: &str, error: &toml::de::Error) -> Mistake {
    let line = error.span().map(|span| line_of(text, &span));
    Mistake { line, key: "TOML".into(), why: format!("is broken: {}", error.message()) }
}

/// One `[section]`: every reader notes the mistake it finds and goes on with the default.
pub(super) struct Section<'d, 'a> {
    name: &'static str,
    table: Option<&'d DeTable<'a>>,
    span: Option<Range<usize>>,
    text: &'a str,
    mistakes: &'d mut Vec<Mistake>,
    keys: Vec<&'static str>,
    /// Keys that were read without being known before.
    others: Vec<String>,
}

impl<'d, 'a> Section<'d, 'a> {
    fn get(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'a>>> {
        self.keys.push(key);
        self.table.and_then(|table| table.get(key))
    }

    fn mistake(&mut self, key: &str, span: Option<Range<usize>>, why: String) {
        let line = span.map(|span| line_of(self.text, &span));
        self.mistakes.push(Mistake { line, key: format!("{}.{key}", self.name), why });
    }

    /// Notes a mistake that only the caller can see, at the key's line or the section's.
    pub(super) fn wrong(&mut self, key: &str, why: &str) {
        let at = self.table.and_then(|table| table.get(key)).map(Spanned::span).or(self.span.clone());
        self.mistake(key, at, why.into());
    }

    /// Whether a mistake about this key was noted already.
    pub(super) fn is_wrong(&self, key: &str) -> bool {
        self.is_mistaken(&format!("{}.{key}", self.name))
    }

    /// The same for any key of the file, by its full name: what it says is not known then, and nothing follows from it.
    pub(super) fn is_mistaken(&self, full: &str) -> bool {
        is_mistaken(self.mistakes, full)
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.get(key) else { return default };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.mistake(
                key,
                Some(value.span()),
                format!("must be true or false, not {}", article(value.get_ref())),
            );
            default
        })
    }

    pub(super) fn number(&mut self, key: &'static str, default: i64, allowed: RangeInclusive<i64>) -> i64 {
        let Some(value) = self.get(key) else { return default };
        let number =
            value.get_ref().as_integer().and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
        let found = number.map_or_else(|| article(value.get_ref()), |n| n.to_string());
        number.filter(|n| allowed.contains(n)).unwrap_or_else(|| {
            let why =
                format!("must be a whole number from {} to {}, not {found}", allowed.start(), allowed.end());
            self.mistake(key, Some(value.span()), why);
            default
        })
    }

    pub(super) fn word(&mut self, key: &'static str, default: &str) -> String {
        let Some(value) = self.get(key) else { return default.into() };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let word = value.get_ref().as_str().filter(|w| !w.is_empty() && w.chars().all(plain));
        word.map_or_else(
            || {
                let why = format!("must be a name such as \"{default}\", not {}", article(value.get_ref()));
                self.mistake(key, Some(value.span()), why);
                default.into()
            },
            str::to_owned,
        )
    }

    /// A name that may be left out.
    pub(super) fn optional_word(&mut self, key: &'static str) -> Option<String> {
        let there = self.table.is_some_and(|table| table.contains_key(key));
        let word = self.word(key, if there { "name" } else { "" });
        (there && !self.is_wrong(key)).then_some(word)
    }

    /// A text that must be there; the empty one where it is not, or is not `expected`.
    pub(super) fn text(&mut self, key: &'static str, expected: &str, fits: impl Fn(&str) -> bool) -> String {
        let Some(value) = self.get(key) else {
            let at = self.span.clone();
            self.mistake(key, at, format!("is needed: {expected}"));
            return String::new();
        };
        let unfit = || format!("must be {expected}, not {}", article(value.get_ref()));
        let text = line(value.get_ref()).and_then(|text| if fits(text) { Ok(text) } else { Err(unfit()) });
        let fitting = text.map_err(|why| self.mistake(key, Some(value.span()), why));
        fitting.map_or_else(|()| String::new(), str::to_owned)
    }

    /// Whether a key is in the file.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// A text that says itself what is wrong with it, or that may be left out.
    pub(super) fn checked<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let read = line(value.get_ref()).and_then(|text| read(text).map_err(|why| format!("{text:?} {why}")));
        read.map_err(|why| self.mistake(key, Some(value.span()), why)).ok()
    }

    /// Tables that repeat, `[[section.key]]`, each with exactly these texts in it. One with a mistake is left out.
    pub(super) fn tables<const N: usize>(
        &mut self,
        key: &'static str,
        fields: [&'static str; N],
        check: impl Fn(&str, &str) -> Result<(), String>,
    ) -> Vec<[String; N]> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.mistake(key, Some(value.span()), format!("must be tables [[{}.{key}]]", self.name));
            return Vec::new();
        };
        let mut rows = Vec::new();
        for item in items {
            let Some(table) = item.get_ref().as_table() else {
                self.mistake(key, Some(item.span()), format!("must be tables [[{}.{key}]]", self.name));
                continue;
            };
            let before = self.mistakes.len();
            let unknown = table.keys().filter(|name| !fields.contains(&name.get_ref().as_ref()));
            let section = format!("{}.{key}", self.name);
            self.mistakes.extend(unknown.map(|name| unknown_key(self.text, name, &section, &fields)));
            let row = fields.map(|field| {
                let full = format!("{key}.{field}");
                let Some(value) = table.get(field) else {
                    self.mistake(&full, Some(item.span()), "is needed".into());
                    return String::new();
                };
                let checked = line(value.get_ref()).and_then(|text| {
                    check(field, text).map(|()| text.to_owned()).map_err(|why| format!("{text:?} {why}"))
                });
                checked.unwrap_or_else(|why| {
                    self.mistake(&full, Some(value.span()), why);
                    String::new()
                })
            });
            if self.mistakes.len() == before {
                rows.push(row);
            }
        }
        rows
    }

    /// The sections in it by any name but these keys.
    pub(super) fn sections_but(&mut self, keys: &[&str]) -> Vec<(String, &'d DeTable<'a>)> {
        let mut sections = Vec::new();
        let others =
            self.table.into_iter().flatten().filter(|(name, _)| !keys.contains(&name.get_ref().as_ref()));
        for (name, value) in others {
            let name = name.get_ref().to_string();
            match value.get_ref().as_table() {
                Some(table) => sections.push((name.clone(), table)),
                None => {
                    let why = format!(
                        "is unknown; allowed here: {}, and a section [{}.STACK]",
                        keys.join(", "),
                        self.name
                    );
                    self.mistake(&name, Some(value.span()), why);
                }
            }
            self.others.push(name);
        }
        sections
    }

    /// Whether the section is in the file.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// One name, or several in the order they are tried.
    pub(super) fn words(&mut self, key: &'static str, default: &str) -> Vec<String> {
        if self.table.and_then(|table| table.get(key)).is_none_or(|value| value.get_ref().is_str()) {
            return vec![self.word(key, default)];
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let words = self.list(key, &format!("a name such as {default:?}"), |word| {
            (!word.is_empty() && word.chars().all(plain)).then(|| word.to_owned())
        });
        self.distinct(key, words, default)
    }

    /// One of the allowed names, or several in the order they are tried.
    pub(super) fn some_of(&mut self, key: &'static str, default: &str, allowed: &[&str]) -> Vec<String> {
        if self.table.and_then(|table| table.get(key)).is_none_or(|value| value.get_ref().is_str()) {
            return vec![self.one_of(key, default, allowed)];
        }
        let expected = format!("one of {}", allowed.join(", "));
        let words = self.list(key, &expected, |word| allowed.contains(&word).then(|| word.to_owned()));
        self.distinct(key, words, default)
    }

    fn distinct(&mut self, key: &'static str, mut words: Vec<String>, default: &str) -> Vec<String> {
        let count = words.len();
        let mut seen = std::collections::BTreeSet::new();
        words.retain(|word| seen.insert(word.clone()));
        if words.len() < count {
            self.wrong(key, "names something twice");
        }
        if words.is_empty() {
            if !self.is_wrong(key) {
                self.wrong(key, "must name at least one");
            }
            words.push(default.into());
        }
        words
    }

    pub(super) fn one_of(&mut self, key: &'static str, default: &str, allowed: &[&str]) -> String {
        let Some(value) = self.get(key) else { return default.into() };
        let found = value.get_ref().as_str();
        found.filter(|w| allowed.contains(w)).map_or_else(
            || {
                let found = found.map_or_else(|| article(value.get_ref()), |w| format!("{w:?}"));
                self.mistake(
                    key,
                    Some(value.span()),
                    format!("must be one of {}, not {found}", allowed.join(", ")),
                );
                default.into()
            },
            str::to_owned,
        )
    }

    /// A list whose every item is read by `read`; `expected` is what an item looks like.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        self.list_checked(key, |text| read(text).ok_or_else(|| format!("is not {expected}")))
    }

    /// A list of lines that say themselves what is wrong with them.
    pub(super) fn list_checked<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        self.items(key, |value| {
            let text = line(value)?;
            read(text).map_err(|why| format!("{text:?} {why}"))
        })
    }

    /// The same for texts of any shape, of which a mistake repeats no more than `read` says: they may be secrets.
    pub(super) fn texts<T>(&mut self, key: &'static str, read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        self.items(key, |value| text(value).and_then(&read))
    }

    fn items<T>(&mut self, key: &'static str, read: impl Fn(&DeValue<'_>) -> Result<T, String>) -> Vec<T> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.mistake(
                key,
                Some(value.span()),
                format!("must be a list of texts, not {}", article(value.get_ref())),
            );
            return Vec::new();
        };
        let mut read_items = Vec::new();
        for item in items {
            match read(item.get_ref()) {
                Ok(read) => read_items.push(read),
                Err(why) => self.mistake(key, Some(item.span()), why),
            }
        }
        read_items
    }

    /// A table of texts, each checked.
    pub(super) fn table(
        &mut self,
        key: &'static str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> BTreeMap<String, String> {
        let Some(value) = self.get(key) else { return BTreeMap::new() };
        let Some(table) = value.get_ref().as_table() else {
            self.mistake(
                key,
                Some(value.span()),
                format!("must be a table of texts, not {}", article(value.get_ref())),
            );
            return BTreeMap::new();
        };
        let mut entries = BTreeMap::new();
        for (name, value) in table {
            match line(value.get_ref()).and_then(|text| check(text).map(|()| text)) {
                Ok(text) => drop(entries.insert(name.get_ref().to_string(), text.to_owned())),
                Err(why) => self.mistake(&format!("{key}.{}", name.get_ref()), Some(value.span()), why),
            }
        }
        entries
    }

    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        let is_known = |key: &str| self.keys.contains(&key) || self.others.iter().any(|other| other == key);
        let unknown = table.keys().filter(|key| !is_known(key.get_ref()));
        self.mistakes.extend(unknown.map(|key| unknown_key(self.text, key, self.name, &self.keys)));
    }
}

fn is_mistaken(mistakes: &[Mistake], full: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    mistakes.iter().any(|mistake| within(&mistake.key, full) || within(full, &mistake.key))
}

fn unknown_key(text: &str, key: &Spanned<toml::de::DeString<'_>>, section: &str, known: &[&str]) -> Mistake {
    let name = key.get_ref();
    let full = if section.is_empty() { format!("[{name}]") } else { format!("{section}.{name}") };
    let mut known = known.to_vec();
    known.dedup();
    Mistake {
        line: Some(line_of(text, &key.span())),
        key: full,
        why: format!("is unknown; allowed here: {}", known.join(", ")),
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.as_bytes()[..span.start.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
}
