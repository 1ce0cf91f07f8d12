//! Zone files in the form of RFC 1035: read for an import, written for an export.
//!
//! Read are `$ORIGIN` (which must be the zone), `$TTL`, comments, parentheses over several lines, quotes and
//! escapes, `@`, relative and absolute names, owners left out, TTLs like `1h30m`, and the class IN.

use super::{Record, TTLS, TYPES, Zone, key};
use std::collections::BTreeMap;

/// What a zone file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ZoneFile {
    /// From `$TTL`.
    pub(crate) ttl: Option<u32>,
    /// By `name/TYPE`.
    pub(crate) rrsets: BTreeMap<String, FileSet>,
}

/// The records of one name and type.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FileSet {
    pub(crate) ttl: Option<u32>,
    pub(crate) records: Vec<Record>,
}

/// A word, or a string that was in quotes; escapes are as they were written.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Field {
    pub(crate) text: String,
    pub(crate) quoted: bool,
}

impl Field {
    pub(crate) fn written(&self) -> String {
        if self.quoted { format!("\"{}\"", self.text) } else { self.text.clone() }
    }
}

/// What stands on one line, or on several within parentheses.
#[derive(Debug, Clone, Default)]
struct Entry {
    line: usize,
    /// The line begins with white space: the owner is the last one.
    indented: bool,
    fields: Vec<Field>,
    /// What follows a semicolon on the last line.
    comment: Option<String>,
}

/// The fields of a single line.
pub(crate) fn split_line(text: &str) -> Result<Vec<Field>, String> {
    Ok(split(text)?.pop().map(|entry| entry.fields).unwrap_or_default())
}

fn split(text: &str) -> Result<Vec<Entry>, String> {
    let mut reader = Reader { line: 1, entry: Entry { line: 1, ..Entry::default() }, ..Reader::default() };
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => reader.end_line(),
            ';' => {
                reader.end_field();
                let comment: String = std::iter::from_fn(|| chars.next_if(|c| *c != '\n')).collect();
                reader.entry.comment = Some(comment.trim().to_owned()).filter(|text| !text.is_empty());
            }
            '(' | ')' => reader.parenthesis(c)?,
            '"' => reader.quote(&mut chars)?,
            '\\' => {
                reader.field.push(c);
                let next = chars.next_if(|c| *c != '\n').ok_or_else(|| reader.broken("ends with \\"))?;
                reader.field.push(next);
            }
            c if c.is_whitespace() => reader.space(),
            c => reader.field.push(c),
        }
    }
    if reader.depth > 0 {
        return Err(reader.broken("a parenthesis is not closed"));
    }
    reader.end_line();
    Ok(reader.entries)
}

#[derive(Default)]
struct Reader {
    line: usize,
    depth: usize,
    field: String,
    entry: Entry,
    entries: Vec<Entry>,
}

impl Reader {
    fn broken(&self, why: &str) -> String {
        format!("line {}: {why}", self.line)
    }

    fn end_field(&mut self) {
        if !self.field.is_empty() {
            self.entry.fields.push(Field { text: std::mem::take(&mut self.field), quoted: false });
        }
    }

    fn space(&mut self) {
        let at_start = self.field.is_empty() && self.entry.fields.is_empty() && self.depth == 0;
        self.entry.indented |= at_start;
        self.end_field();
    }

    fn end_line(&mut self) {
        self.end_field();
        self.line += 1;
        if self.depth > 0 {
            self.entry.comment = None;
            return;
        }
        let next = Entry { line: self.line, ..Entry::default() };
        let entry = std::mem::replace(&mut self.entry, next);
        if !entry.fields.is_empty() {
            self.entries.push(entry);
        }
    }

    fn parenthesis(&mut self, c: char) -> Result<(), String> {
        self.end_field();
        if c == '(' {
            self.depth += 1;
        } else {
            self.depth =
                self.depth.checked_sub(1).ok_or_else(|| self.broken("a parenthesis was never opened"))?;
        }
        Ok(())
    }

    /// Reads to the closing quote. After `key=` the string belongs to the word, as in the parameters of HTTPS.
    fn quote(&mut self, chars: &mut impl Iterator<Item = char>) -> Result<(), String> {
        let mut text = String::new();
        let mut escaped = false;
        loop {
            match chars.next() {
                Some('"') if !escaped => break,
                None | Some('\n') => return Err(self.broken("a quote is not closed")),
                Some(c) => {
                    escaped = c == '\\' && !escaped;
                    text.push(c);
                }
            }
        }
        if self.field.is_empty() {
            self.entry.fields.push(Field { text, quoted: true });
        } else {
            self.field.push_str(&format!("\"{text}\""));
        }
        Ok(())
    }
}

/// Reads a zone file of the zone of this name. Values are not looked at; that is done as for every record.
pub(crate) fn parse(text: &str, zone: &str) -> Result<ZoneFile, String> {
    let mut file = ZoneFile::default();
    let mut owner = None;
    for entry in split(text)? {
        let at_line = |why: String| format!("line {}: {why}", entry.line);
        let first = entry.fields.first().map_or("", |field| field.text.as_str());
        if first.starts_with('$') && !entry.indented {
            direct(&mut file, &entry.fields, zone).map_err(at_line)?;
            continue;
        }
        let mut fields = entry.fields.iter();
        if !entry.indented {
            fields.next();
            owner = Some(relative(first, zone).map_err(at_line)?);
        }
        let Some(name) = &owner else { return Err(at_line("the first record has no name".into())) };
        add(&mut file, name, fields.as_slice(), entry.comment.clone()).map_err(at_line)?;
    }
    Ok(file)
}

fn direct(file: &mut ZoneFile, fields: &[Field], zone: &str) -> Result<(), String> {
    let words: Vec<_> = fields.iter().map(|field| field.text.as_str()).collect();
    match words[..] {
        ["$ORIGIN", origin] if origin.strip_suffix('.').is_some_and(|o| o.eq_ignore_ascii_case(zone)) => {
            Ok(())
        }
        ["$ORIGIN", ..] => Err(format!("$ORIGIN must be {zone}.")),
        ["$TTL", text] => {
            file.ttl = Some(parse_ttl(text)?);
            Ok(())
        }
        _ => Err(format!("'{}' is not supported; $ORIGIN and $TTL are", words.join(" "))),
    }
}

fn relative(owner: &str, zone: &str) -> Result<String, String> {
    let owner = owner.to_ascii_lowercase();
    let Some(absolute) = owner.strip_suffix('.') else { return Ok(owner) };
    if absolute == zone {
        return Ok("@".into());
    }
    let inside = absolute.strip_suffix(zone).and_then(|rest| rest.strip_suffix('.'));
    inside.map(str::to_owned).ok_or_else(|| format!("'{owner}' is not in the zone {zone}"))
}

/// Adds a record from what follows its owner: TTL and class in any order, type, value.
fn add(file: &mut ZoneFile, name: &str, fields: &[Field], comment: Option<String>) -> Result<(), String> {
    let (mut ttl, mut rest) = (None, fields);
    while let Some((field, others)) = rest.split_first() {
        let class = field.text.to_ascii_uppercase();
        if ["CH", "CS", "HS", "ANY"].contains(&class.as_str()) {
            return Err(format!("the class must be IN, not {class}"));
        }
        if field.text.starts_with(|c: char| c.is_ascii_digit()) && ttl.is_none() {
            ttl = Some(parse_ttl(&field.text)?);
        } else if class != "IN" {
            break;
        }
        rest = others;
    }
    let Some((kind, values)) = rest.split_first() else { return Err("the record has no type".into()) };
    let kind = kind.text.to_ascii_uppercase();
    if !TYPES.contains(&kind.as_str()) {
        return Err(format!("there is no type '{kind}'; there are {}", TYPES.join(", ")));
    }
    let set = file.rrsets.entry(key(name, &kind)).or_default();
    if let (Some(before), Some(now)) = (set.ttl, ttl)
        && before != now
    {
        return Err(format!("the TTL of '{name}' {kind} is {now} here and was {before} before"));
    }
    set.ttl = set.ttl.or(ttl);
    set.records.push(Record { value: join(&kind, values), comment });
    Ok(())
}

/// The value as the API has it, with quotes where a zone file may leave them out.
fn join(kind: &str, fields: &[Field]) -> String {
    let written = fields.iter().enumerate().map(|(index, field)| {
        let is_string = kind == "TXT" || (kind == "CAA" && index == 2);
        Field { quoted: field.quoted || is_string, ..field.clone() }.written()
    });
    written.collect::<Vec<_>>().join(" ")
}

/// Seconds, or numbers with s, m, h, d and w.
fn parse_ttl(text: &str) -> Result<u32, String> {
    let wrong = || format!("'{text}' is no TTL from {} to {} seconds", TTLS.start(), TTLS.end());
    let (mut total, mut number) = (0_u64, None::<u64>);
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let before = number.unwrap_or(0);
            let next = before.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit)));
            number = Some(next.ok_or_else(wrong)?);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(wrong()),
        };
        let part = number.take().and_then(|n| n.checked_mul(unit)).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
    }
    total = total.checked_add(number.unwrap_or(0)).ok_or_else(wrong)?;
    u32::try_from(total).ok().filter(|ttl| TTLS.contains(ttl)).ok_or_else(wrong)
}

/// Writes a zone as a file: SOA and NS first, then by name.
pub(crate) fn write(zone: &Zone) -> String {
    let mut sets: Vec<_> =
        zone.rrsets.iter().filter_map(|(id, set)| Some((id.split_once('/')?, set))).collect();
    sets.sort_by_key(|((name, kind), _)| (*name != "@", *kind != "SOA", *kind != "NS", *name, *kind));
    let mut text = format!("$ORIGIN\t{}.\n$TTL\t{}\n", zone.name, zone.ttl);
    for ((name, kind), set) in sets {
        text.push('\n');
        for record in &set.records {
            let ttl = set.ttl.map(|ttl| format!("{ttl}\t")).unwrap_or_default();
            let comment = record.comment.as_ref().map(|c| format!(" ; {c}")).unwrap_or_default();
            text.push_str(&format!("{name}\tIN\t{ttl}{kind}\t{}{comment}\n", record.value));
        }
    }
    text
}

#[cfg(test)]
#[path = "zonefile_tests.rs"]
mod tests;
