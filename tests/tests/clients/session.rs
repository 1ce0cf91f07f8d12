//! A session with a command-line client: what is asked in a file, one command a line, and what came back as a
//! transcript without what differs from run to run.
//!
//! A line is an exit code, the command's arguments, and after ` ~ ` a regular expression that stdout and stderr together
//! must match. What a named group of it matches is from then on what `{name}` in a command stands for. A line that begins
//! with a version and a colon is of that version alone. Lines that begin with `#` are comments.

use anyhow::{Context as _, Result, ensure};
use regex::Regex;
use std::collections::BTreeMap;
use std::path::Path;

/// One command.
pub(crate) struct Step {
    /// Where it stands in the file, from 1.
    pub(crate) line: usize,
    /// The exit code it must end with.
    pub(crate) code: i32,
    command: String,
    says: Regex,
}

/// Reads the steps that a version of the client takes.
pub(crate) fn parse(text: &str, version: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        let (only, line) = match line.split_once(": ") {
            Some((only, line)) if !only.contains(' ') => (only, line),
            _ => (version, line),
        };
        if only == version {
            steps.push(step(at + 1, line).with_context(|| format!("reading line {}", at + 1))?);
        }
    }
    Ok(steps)
}

fn step(line: usize, text: &str) -> Result<Step> {
    let (code, rest) = text.split_once(' ').context("there is no command")?;
    let (command, says) =
        rest.split_once(" ~ ").context("it must not say what the command says after ` ~ `")?;
    Ok(Step { line, code: code.parse()?, command: command.trim().to_owned(), says: Regex::new(says.trim())? })
}

impl Step {
    /// The command's arguments. Single quotes hold one together; a name that nothing has yet stays as it is.
    pub(crate) fn arguments(&self, known: &BTreeMap<String, String>) -> Vec<String> {
        let mut command = self.command.clone();
        for (name, value) in known {
            command = command.replace(&format!("{{{name}}}"), value);
        }
        let parts = command.split('\'').enumerate();
        let arguments = parts.flat_map(|(at, part)| {
            let whole = at % 2 == 1;
            if whole { vec![part] } else { part.split_whitespace().collect() }
        });
        arguments.map(str::to_owned).collect()
    }

    /// Fails when the command did not end or speak as it must; keeps what the named groups match.
    pub(crate) fn judge(
        &self,
        code: Option<i32>,
        said: &str,
        known: &mut BTreeMap<String, String>,
    ) -> Result<()> {
        let at = format!("line {}, `{}`", self.line, self.command);
        ensure!(code == Some(self.code), "{at}: expected exit code {}, got {code:?}:\n{said}", self.code);
        let found = self.says.captures(said);
        let found = found.with_context(|| format!("{at}: expected `{}` in:\n{said}", self.says))?;
        for name in self.says.capture_names().flatten() {
            let value = found.name(name).map(|value| value.as_str().to_owned());
            known.extend(value.map(|value| (name.to_owned(), value)));
        }
        Ok(())
    }
}

/// Takes out of a transcript what differs from run to run: ids become numbers in the order they appear, times,
/// ages and addresses what they are, columns two spaces apart.
pub(crate) fn normalise(text: &str) -> Result<String> {
    let mut text = text.to_owned();
    for (pattern, name) in [
        (r"[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d UTC \d{4}", "<time>"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "<time>"),
        (r"\b(now|\d+ (seconds?|minutes?) ago)\b", "<age>"),
        (r"(?m)\b(just <age>|\d+[sm]) *$", "<age>"),
        (r"static\.\d+\.\d+\.77\.127\b", "static.<ipv4>"),
        (r"127\.77\.\d+\.\d+", "<ipv4>"),
        (r"2001:db8:[0-9a-f:]*", "<ipv6>"),
        (r"(?m)(\S) {2,}", "$1  "),
        (r"(?m)\s+$", ""),
    ] {
        text = Regex::new(pattern)?.replace_all(&text, name).into_owned();
    }
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    let numbered = Regex::new(r"\d+")?.replace_all(&text, |found: &regex::Captures<'_>| {
        let number = &found[0];
        // The cloud counts from 100001; nothing else here has six digits and begins so.
        if number.len() != 6 || !number.starts_with('1') {
            return number.to_owned();
        }
        let next = ids.len() + 1;
        format!("#{}", ids.entry(number.to_owned()).or_insert(next))
    });
    Ok(format!("{}\n", numbered.trim_end()))
}

/// Compares a text with the one that was kept. With `UPDATE_GOLDEN=1` it is kept instead.
pub(crate) fn compare(path: &Path, text: &str) -> Result<()> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return Ok(host::files::write(path, text.as_bytes(), 0o644)?);
    }
    let kept = std::fs::read_to_string(path)
        .with_context(|| format!("reading {}; UPDATE_GOLDEN=1 writes it", path.display()))?;
    let (was, is): (Vec<_>, Vec<_>) = (kept.lines().collect(), text.lines().collect());
    let same = was.iter().zip(&is).take_while(|(was, is)| was == is).count();
    let around = |lines: &[&str]| {
        let (from, to) = (same.saturating_sub(6).min(lines.len()), (same + 6).min(lines.len()));
        lines[from..to].join("\n    ")
    };
    ensure!(
        kept == text,
        "line {} of {} is another now; run with UPDATE_GOLDEN=1 if that is meant. It was\n    {}\nand is\n    {}",
        same + 1,
        path.display(),
        around(&was),
        around(&is)
    );
    Ok(())
}
