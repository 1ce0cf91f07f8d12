//! Rules on the text of files, which no compiler holds.

use super::{Held, Tree};
use anyhow::{Result, ensure};
use std::path::Path;

/// A file has one purpose; one that is longer than this has two.
const LONGEST: usize = 500;

/// Marks of work that is not finished. They are put together here so that this file does not hold them.
const UNFINISHED: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("dbg", "!("),
    concat!("to", "do!("),
    concat!("unimplement", "ed!("),
];

/// The one lint that closes all doors but one, and the one package that may lift it.
const DOOR_LINT: &str = concat!("disallowed", "_methods");
const DOOR: &str = "firstboot/host/";

/// Where the files of whoever wrote this lie; a program that names them runs on one machine only.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/wor", "k/"),
    concat!("/Use", "rs/"),
    concat!("/root", "/.cargo"),
    concat!("/root", "/.rustup"),
    concat!("/tmp", "/bash"),
];

pub(super) fn length(tree: &Tree) -> Result<Held> {
    each(tree, is_rust, |text| {
        let lines = text.lines().count();
        let long = (lines >= LONGEST).then(|| (lines, format!("{lines} lines; split it by purpose")));
        long.into_iter().collect()
    })
}

pub(super) fn unfinished(tree: &Tree) -> Result<Held> {
    each(tree, |_| true, |text| find(text, &UNFINISHED))
}

pub(super) fn one_door(tree: &Tree) -> Result<Held> {
    let outside = |file: &str| is_rust(file) && !file.starts_with(DOOR);
    each(tree, outside, |text| find(text, &[DOOR_LINT]))
}

pub(super) fn machine_paths(tree: &Tree) -> Result<Held> {
    let here = tree.workspace.display().to_string();
    let paths: Vec<&str> = MACHINE_PATHS.into_iter().chain([here.as_str()]).collect();
    each(tree, |_| true, |text| find(text, &paths))
}

/// An error whose sentence has its cause in it must not chain that cause too: whoever prints the chain says it twice.
pub(super) fn said_once(tree: &Tree) -> Result<Held> {
    each(tree, is_rust, said_twice)
}

fn said_twice(text: &str) -> Vec<(usize, String)> {
    // What thiserror takes for the cause: a field called so, or one marked so behind a sentence that shows it.
    let chained = [concat!("{sour", "ce}"), concat!("{sour", "ce:")];
    let marked = [concat!("#[fr", "om]"), concat!("#[sour", "ce]")];
    let lines: Vec<&str> = text.lines().collect();
    let sentences = (0..lines.len()).filter(|at| lines[*at].trim_start().starts_with("#[error("));
    let twice = sentences.filter(|at| {
        let end = lines[*at..].iter().position(|line| line.ends_with(")]")).map_or(*at, |length| at + length);
        let (sentence, field) = (lines[*at..=end].concat(), lines.get(end + 1).copied().unwrap_or_default());
        chained.iter().any(|mark| sentence.contains(mark))
            || sentence.contains("{0") && marked.iter().any(|mark| field.contains(mark))
    });
    twice.map(|at| (at + 1, lines[at].trim().to_owned())).collect()
}

fn is_rust(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "rs")
}

/// Looks at every text file that `which` picks and fails with all that `look` finds, as `file:line: what`.
fn each(
    tree: &Tree,
    which: impl Fn(&str) -> bool,
    look: impl Fn(&str) -> Vec<(usize, String)>,
) -> Result<Held> {
    let mut found = Vec::new();
    for file in tree.files()?.into_iter().filter(|file| which(file)) {
        // What is no text (a key ring, an image) holds no words of ours.
        let Ok(text) = String::from_utf8(std::fs::read(tree.workspace.join(&file))?) else { continue };
        found.extend(look(&text).into_iter().map(|(line, what)| format!("{file}:{line}: {what}")));
    }
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(Held::Yes)
}

/// The lines with one of the marks that does not begin inside a longer word or path.
fn find(text: &str, marks: &[&str]) -> Vec<(usize, String)> {
    let begins = |line: &str, at: usize| {
        line[..at]
            .chars()
            .next_back()
            .is_none_or(|before| !before.is_alphanumeric() && !"_-.}".contains(before))
    };
    let marked =
        |line: &str| marks.iter().any(|mark| line.match_indices(mark).any(|(at, _)| begins(line, at)));
    let lines = text.lines().enumerate().filter(|(_, line)| marked(line));
    lines.map(|(n, line)| (n + 1, line.trim().chars().take(100).collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_with_its_line() {
        let text = format!("fn a() {{}}\n    // {}: later\n", UNFINISHED[0]);
        assert_eq!(find(&text, &UNFINISHED), [(2, format!("// {}: later", UNFINISHED[0]))]);
        assert_eq!(find(&format!("    {}x)", UNFINISHED[3]), &UNFINISHED).len(), 1);
    }

    #[test]
    fn an_error_that_says_its_cause_and_chains_it_is_found() {
        let one = |sentence: &str, field: &str| {
            said_twice(&format!("    #[error({sentence})]\n    Wrong({field}),\n"))
        };
        assert_eq!(one(concat!("\"reading: {sour", "ce}\""), "x").len(), 1);
        assert_eq!(one("\"reading: {0}\"", concat!("#[fr", "om] io::Error")).len(), 1);
        assert_eq!(one(concat!("\n        \"reading: {sour", "ce}\"\n    "), "x").len(), 1);
        assert!(one("\"reading: {0}\"", "String").is_empty());
        assert!(one("transparent", concat!("#[fr", "om] io::Error")).is_empty());
    }

    #[test]
    fn a_mark_inside_a_word_or_path_is_none() {
        assert!(find(&format!("MAS{}N my_{}x)", UNFINISHED[0], UNFINISHED[4]), &UNFINISHED).is_empty());
        let path = MACHINE_PATHS[0];
        assert!(find(&format!("/var/lib/docker{path}x ${{base}}{path}"), &MACHINE_PATHS).is_empty());
        assert_eq!(find(&format!("let a = \"{path}main\";"), &MACHINE_PATHS).len(), 1);
    }
}
