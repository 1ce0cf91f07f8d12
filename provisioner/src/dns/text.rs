//! Character-strings (RFC 1035, 5.1): how a person or a zone file writes a text, and how a zone has it.

use std::iter::Peekable;
use std::str::Chars;

/// The most bytes of one (RFC 1035, 3.3).
pub(super) const LONGEST: usize = 255;

/// The text of a TXT record. It is taken as it stands, or in a zone file's form: in quotes, in several strings, in
/// parentheses, with `\;`, `\"` and `\059` for single characters.
pub(super) fn read(data: &str) -> Result<Vec<u8>, String> {
    if data.starts_with(['"', '(']) { Ok(strings(data)?.concat()) } else { bare(data) }
}

/// Strings in quotes, one or more, perhaps in parentheses.
pub(super) fn strings(data: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut strings = Vec::new();
    let mut depth = 0_usize;
    let mut chars = data.chars().peekable();
    let unpaired = || "has parentheses that do not match".to_owned();
    while let Some(c) = chars.next() {
        match c {
            '"' => strings.push(quoted(&mut chars)?),
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or_else(unpaired)?,
            ';' => return Err("has a zone file's comment after a semicolon: leave it out".into()),
            c if c.is_whitespace() => {}
            c => return Err(format!("has {c:?} outside of its quotes: put the whole text into them")),
        }
    }
    if depth > 0 { Err(unpaired()) } else { Ok(strings) }
}

/// Reads to the closing quote.
fn quoted(chars: &mut Peekable<Chars<'_>>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    loop {
        match chars.next() {
            Some('"') => return Ok(bytes),
            Some('\\') => escaped(chars, &mut bytes)?,
            Some(c) => push(c, &mut bytes),
            None => return Err("has a quote that is not closed".into()),
        }
    }
}

fn bare(data: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut chars = data.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                return Err(
                    "has a quote inside: put the whole text into quotes, and write \\\" for each in it"
                        .into(),
                );
            }
            '\\' => escaped(&mut chars, &mut bytes)?,
            c => push(c, &mut bytes),
        }
    }
    Ok(bytes)
}

/// Reads what follows a backslash: three digits are a byte, another sign is itself. A letter is never escaped in a zone
/// file, so there it is the backslash that was meant.
fn escaped(chars: &mut Peekable<Chars<'_>>, bytes: &mut Vec<u8>) -> Result<(), String> {
    let digits: String = std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).take(3).collect();
    if digits.is_empty() {
        match chars.next() {
            Some(c) if !c.is_alphanumeric() => push(c, bytes),
            _ => return Err("has a backslash that escapes nothing: write \\\\ for a backslash".into()),
        }
        return Ok(());
    }
    let byte = digits.parse().ok().filter(|_| digits.len() == 3);
    bytes.push(byte.ok_or_else(|| format!("has \\{digits}, and a byte is \\000 to \\255 in three digits"))?);
    Ok(())
}

fn push(c: char, bytes: &mut Vec<u8>) {
    bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
}

/// A text as a zone has it: strings of at most 255 bytes, quoted; what cannot be seen is written as `\000`.
pub(super) fn quote(text: &[u8]) -> String {
    let mut strings = vec![String::new()];
    let mut length = 0;
    let mut add = |written: &str, bytes: usize| {
        match strings.last_mut() {
            Some(last) if length + bytes <= LONGEST => last.push_str(written),
            _ => {
                strings.push(written.into());
                length = 0;
            }
        }
        length += bytes;
    };
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            let (mut buffer, bytes) = ([0; 4], c.len_utf8());
            let written = c.encode_utf8(&mut buffer);
            match c {
                '"' | '\\' => add(&format!("\\{c}"), bytes),
                c if c.is_control() => written.bytes().for_each(|byte| add(&format!("\\{byte:03}"), 1)),
                _ => add(written, bytes),
            }
        }
        chunk.invalid().iter().for_each(|byte| add(&format!("\\{byte:03}"), 1));
    }
    strings.iter().map(|string| format!("\"{string}\"")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(data: &str) -> String {
        String::from_utf8(read(data).unwrap()).unwrap()
    }

    #[test]
    fn a_text_is_read_as_it_stands_or_as_a_zone_file_has_it() {
        for (data, expected) in [
            ("v=spf1 mx -all", "v=spf1 mx -all"),
            ("v=DKIM1; k=rsa; p=MIIB", "v=DKIM1; k=rsa; p=MIIB"),
            (r"v=DKIM1\; k=rsa\; p=MIIB", "v=DKIM1; k=rsa; p=MIIB"),
            (r#"( "v=DKIM1; k=rsa; " "p=MIIB" )"#, "v=DKIM1; k=rsa; p=MIIB"),
            (r#""v=DKIM1; " ( "p=MI" "IB" )"#, "v=DKIM1; p=MIIB"),
            (r#""v=DKIM1\; p=MIIB""#, "v=DKIM1; p=MIIB"),
            (r#""say \"hi\" \\ \059""#, r#"say "hi" \ ;"#),
            (r#""""#, ""),
            ("made by hand (2026)", "made by hand (2026)"),
        ] {
            assert_eq!(text(data), expected, "{data}");
        }
    }

    #[test]
    fn what_could_be_meant_otherwise_is_refused_with_the_reason() {
        for (data, reason) in [
            (r#""a" b"#, "outside of its quotes"),
            ("(v=DKIM1)", "outside of its quotes"),
            (r#""a" ; comment"#, "comment"),
            (r#"( "a""#, "parentheses"),
            (r#""a" )"#, "parentheses"),
            (r#""a"#, "not closed"),
            (r#""a\""#, "not closed"),
            (r#"say "hi""#, "quote inside"),
            (r"C:\dir", "escapes nothing"),
            (r"a\", "escapes nothing"),
            (r"\25", "three digits"),
            (r"\256", "three digits"),
        ] {
            let error = read(data).unwrap_err();
            assert!(error.contains(reason), "{data}: {error}");
        }
    }

    #[test]
    fn long_texts_are_divided() {
        let quoted = quote("k".repeat(600).as_bytes());
        assert_eq!(quoted.matches(' ').count(), 2);
        assert!(quoted.split(' ').all(|string| string.len() <= LONGEST + 2));
        assert_eq!(quote(b"a\n\xff"), r#""a\010\255""#);
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            let quoted = quote(&bytes);
            prop_assert!(!quoted.chars().any(char::is_control));
            prop_assert_eq!(read(&quoted).unwrap(), bytes);
        }

        #[test]
        fn nothing_panics_and_what_is_read_can_be_quoted(data in r#"[a-z0-9 "\\();=äø\t]{0,40}"#) {
            if let Ok(bytes) = read(&data) {
                prop_assert_eq!(read(&quote(&bytes)).unwrap(), bytes);
            }
        }
    }
}
