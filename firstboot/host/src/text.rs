/// What somebody else wrote, made fit for a terminal: without the characters that would steer it, or show what stands there
/// in another order or not at all. Lines and tabs stay; each other such character is shown as one that could not be read.
pub fn clean(text: &str) -> String {
    text.replace("\r\n", "\n").chars().map(|c| if steers(c) { shown(c) } else { c }).collect()
}

fn shown(c: char) -> char {
    // A bar that a program draws over itself gives lines.
    if c == '\r' { '\n' } else { char::REPLACEMENT_CHARACTER }
}

/// Control characters of both sets, the ESC of terminals' sequences among them, and Unicode's marks of direction and
/// invisible ones.
fn steers(c: char) -> bool {
    let invisible = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    c.is_control() && !['\n', '\t'].contains(&c) || invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_steers_a_terminal() {
        for (text, cleaned) in [
            ("plain – ünï, 日本 👍\tand\nlines\n", "plain – ünï, 日本 👍\tand\nlines\n"),
            ("\x1b[31mred\x1b[0m", "\u{fffd}[31mred\u{fffd}[0m"),
            ("\x1b]0;title\x07", "\u{fffd}]0;title\u{fffd}"),
            ("\u{9b}2J\u{9d}x\u{9c}", "\u{fffd}2J\u{fffd}x\u{fffd}"),
            ("abc\x08\x08\x7f\0", "abc\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            ("\u{202e}drowssap\u{2069}\u{200f}\u{61c}", "\u{fffd}drowssap\u{fffd}\u{fffd}\u{fffd}"),
            ("a\u{200b}b\u{feff}\u{e0041}", "a\u{fffd}b\u{fffd}\u{fffd}"),
            ("dos\r\nover\rwritten", "dos\nover\nwritten"),
        ] {
            assert_eq!(clean(text), cleaned);
        }
    }
}
