//! Every `cargo xtask …` in the sources, README.md and docs is a command that the front door takes, with its verbs, flags
//! and arguments; `NAME`, `FILE` and what is in braces stand for what the operator puts there.

use crate::Cli;
use clap::Parser as _;
use clap::error::ErrorKind;
use std::path::{Path, PathBuf};

const PROGRAM: &str = concat!("cargo", " xtask");

/// The commands in a text as they are written there, without what stands around them.
fn commands(text: &str, rust: bool) -> Vec<String> {
    // A literal that goes on in the next line of source.
    let joined = one_line(text);
    let mut found = Vec::new();
    for (at, _) in joined.match_indices(PROGRAM) {
        let rest = &joined[at + PROGRAM.len()..];
        let line = joined[..at].rfind('\n').map_or(0, |start| start + 1);
        let before = joined[line..at].trim_start();
        let end = if before.ends_with('`') {
            rest.find('`')
        } else if before.ends_with("$(") {
            rest.find(')')
        } else if rust && !before.starts_with("//") {
            rest.find(['"', '\n']).min(rest.find("\\n").or(rest.find(['"', '\n'])))
        } else {
            rest.find('\n')
        };
        let said = rest[..end.unwrap_or(rest.len())].replace('\n', " ");
        let said = [" #", " > ", " | jq", ": ", "; "]
            .iter()
            .fold(said.as_str(), |said, stop| said.split(stop).next().unwrap_or_default());
        // Several in one line share the program's name.
        found.extend(said.split(" · ").map(|one| one.trim().to_owned()));
    }
    found.retain(|said| !said.is_empty() && !said.starts_with('…'));
    found
}

fn one_line(text: &str) -> String {
    let mut pieces = text.split("\\\n");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |all, piece| all + piece.trim_start())
}

/// Words as a shell takes them, each with the number of the optional group it is in.
fn words(said: &str) -> Vec<(String, Option<usize>)> {
    let (mut all, mut word, mut quote, mut group, mut groups) = (Vec::new(), String::new(), None, None, 0);
    for c in said.chars().chain([' ']) {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => (group, groups) = (Some(groups), groups + 1),
            (None, ']' | ' ') => {
                if !word.is_empty() {
                    all.push((std::mem::take(&mut word), group));
                }
                if c == ']' {
                    group = None;
                }
            }
            _ => word.push(c),
        }
    }
    all
}

/// Why the front door does not take a command; `a|b` stands for both, what is in brackets may be left out.
fn complaint(said: &str) -> Option<String> {
    let words = words(said);
    let alternatives = words.iter().map(|(word, _)| word.split('|').count()).max().unwrap_or(1);
    let line = |turn: usize, group: Option<usize>| {
        let kept = words.iter().filter(|(_, of)| of.is_none() || *of == group);
        let chosen = kept.map(|(word, _)| {
            let all: Vec<_> = word.split('|').collect();
            all[turn % all.len()].to_owned()
        });
        std::iter::once(PROGRAM.to_owned()).chain(chosen).collect::<Vec<_>>()
    };
    let wrong = |line: Vec<String>| match Cli::try_parse_from(line) {
        Err(error) if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Some(error.to_string())
        }
        _ => None,
    };
    let groups = words.iter().filter_map(|(_, group)| *group).max().map_or(0, |last| last + 1);
    // Each alternative works, alone or with one of the groups; each group works with one of the alternatives.
    let alone = (0..alternatives).find_map(|turn| {
        let mut tried =
            std::iter::once(None).chain((0..groups).map(Some)).map(|group| wrong(line(turn, group)));
        let first = tried.next().flatten();
        first.filter(|_| !tried.any(|wrong| wrong.is_none()))
    });
    alone.or_else(|| {
        (0..groups).find_map(|group| {
            let mut tried = (0..alternatives).map(|turn| wrong(line(turn, Some(group))));
            let first = tried.next().flatten();
            first.filter(|_| !tried.any(|wrong| wrong.is_none()))
        })
    })
}

fn texts(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        let hidden = name.to_string_lossy().starts_with('.');
        // Tests look for parts of what is said.
        if path.is_dir() && !hidden && name != "target" && name != "tests" {
            texts(&path, found);
        } else if path.extension().is_some_and(|e| ["rs", "md", "toml"].iter().any(|known| e == *known)) {
            found.push(path);
        }
    }
}

#[test]
fn every_command_that_is_named_anywhere_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (mut files, mut count, mut wrong) = (Vec::new(), 0, Vec::new());
    texts(root, &mut files);
    for path in files.iter().filter(|path| !path.ends_with("xtask/src/texts.rs")) {
        let text = std::fs::read_to_string(path).unwrap();
        for said in commands(&text, path.extension().is_some_and(|e| e == "rs")) {
            count += 1;
            if let Some(why) = complaint(&said) {
                let why = why.lines().next().unwrap_or_default();
                wrong.push(format!(
                    "{}: `{PROGRAM} {said}`: {why}",
                    path.strip_prefix(root).unwrap().display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 100, "only {count} were found");
}

#[test]
fn what_is_no_command_is_found() {
    for said in [
        "rebuild",
        "provision",
        "status --project demo --yaml",
        "keys rotate --project x --slot moon",
        "escrow look|show --project x",
    ] {
        assert!(complaint(said).is_some(), "{said}");
    }
    for said in [
        "reap [--plan]",
        "escrow verify|show|open --project NAME [--identity FILE]",
        "help",
        "ssh --project {} -- sh -c 'a \"b\"'",
    ] {
        assert_eq!(complaint(said), None, "{said}");
    }
    let source = "\"do `X one` or \\\n    X two {name}\", \"X three\"\n".replace('X', PROGRAM);
    assert_eq!(commands(&source, true), ["one", "two {name}", "three"]);
}
