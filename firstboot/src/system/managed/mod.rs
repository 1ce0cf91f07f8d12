//! The files firstboot manages: of each it is remembered what was written last, so that an edit by hand is seen, shown,
//! and never overwritten.
//!
//! A record lies in a file of its own, written before the file it speaks of. Of a file on the volume it lies on the volume
//! too, and of a secret it holds no content. What is no longer as it was written is one of:
//!
//! * what was replaced by that write: the write was cut off or put back, and is done again;
//! * gone: nothing can be lost, and it is written anew;
//! * an edit: the step that wants it otherwise stops with [`Edited`], until the operator accepts or restores.

pub(crate) mod drift;
mod part;

pub(crate) use part::Part;

use crate::machine::Machine;
use crate::machine::digest::sha256;
use crate::run::Cx;
use anyhow::{Context as _, Result};
use host::Host as _;
use serde::{Deserialize, Serialize};
use spec::paths;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What was written last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    version: u32,
    path: PathBuf,
    /// How much of the file is ours.
    part: Part,
    /// SHA-256 of that.
    sha256: String,
    /// Itself, unless it is a secret or no text.
    content: Option<String>,
    /// SHA-256 of what it replaced, where something was there.
    replaced: Option<String>,
    /// SHA-256 of what is wanted now and was not written, since the file was edited.
    wanted: Option<String>,
    /// The edit that stays.
    accepted: Option<Accepted>,
}

/// An edit that the operator accepted in the place of one content; when another is wanted, it is an edit again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    sha256: String,
    instead_of: String,
}

/// A file was edited by hand, so it was left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "writing {path}: it was edited by hand since firstboot wrote it, so it was left as it is. On the server, \
     `{binary} drift accept {path}` keeps the edit, `{binary} drift restore {path}` puts firstboot's version back and keeps \
     a copy of the edit beside it. {shown}",
    path = .path.display(),
    binary = paths::BINARY
)]
pub(crate) struct Edited {
    path: PathBuf,
    /// The edit, or why it is not shown.
    shown: String,
}

/// What has to be done about a part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is what is wanted.
    Holds,
    /// It is an edit that was accepted.
    Accepted,
    /// It is what was written before, or nothing, and may be replaced.
    Ours,
    /// It is an edit.
    Edited,
}

/// Pure: from what is there, what is wanted and what was written.
fn judge(now: Option<&[u8]>, wanted: &[u8], record: Option<&Record>) -> Verdict {
    let (Some(now), wanted) = (now, sha256(wanted)) else { return Verdict::Ours };
    let now = sha256(now);
    if now == wanted {
        return Verdict::Holds;
    }
    let Some(record) = record else { return Verdict::Ours };
    let accepted = record.accepted.as_ref();
    if accepted.is_some_and(|a| a.sha256 == now && a.instead_of == wanted) {
        Verdict::Accepted
    } else if now == record.sha256 || record.replaced.as_ref() == Some(&now) {
        Verdict::Ours
    } else {
        Verdict::Edited
    }
}

/// A file whose content is a secret shows it to nobody.
fn is_secret(mode: u32) -> bool {
    mode & 0o777 == 0o400
}

/// Whether a file holds exactly these bytes, or an edit of it was accepted in their place.
pub(crate) fn holds(cx: &Cx<'_>, path: impl AsRef<Path>, content: &[u8]) -> Result<bool> {
    let there = cx.read(path.as_ref())?;
    if there.is_none() || there.as_deref() == Some(content) {
        return Ok(there.is_some());
    }
    part_holds(cx, path, &Part::Whole, content)
}

/// Makes a file hold exactly this; true when it had to be written. It is remembered, and an edit by hand is left as it
/// is: [`Edited`].
pub(crate) fn ensure_file(cx: &Cx<'_>, path: impl AsRef<Path>, content: &[u8], mode: u32) -> Result<bool> {
    ensure_part(cx, path, &Part::Whole, content, mode)
}

/// Whether a part of a file is as wanted, or an edit of it was accepted.
pub(crate) fn part_holds(
    cx: &Cx<'_>,
    path: impl AsRef<Path>,
    part: &Part,
    wanted: impl AsRef<[u8]>,
) -> Result<bool> {
    let path = path.as_ref();
    let whole = Zeroizing::new(cx.read(path)?);
    let now = whole.as_deref().and_then(|whole| part.of(whole));
    let wanted = part.of(wanted.as_ref()).unwrap_or_default();
    if now.as_deref() == Some(&wanted) {
        return Ok(true);
    }
    let record = record(cx.machine(), path, part)?;
    Ok(judge(now.as_ref().map(|now| now.as_slice()), &wanted, record.as_ref()) == Verdict::Accepted)
}

/// Makes a part of a file as wanted and leaves the rest; true when it had to be written. An edit by hand is left as
/// it is: [`Edited`].
pub(crate) fn ensure_part(
    cx: &Cx<'_>,
    path: impl AsRef<Path>,
    part: &Part,
    wanted: impl AsRef<[u8]>,
    mode: u32,
) -> Result<bool> {
    let path = path.as_ref();
    let there = Zeroizing::new(cx.read(path)?);
    let now = there.as_deref().and_then(|whole| part.of(whole));
    let ours = part.of(wanted.as_ref()).unwrap_or_default();
    let before = record(cx.machine(), path, part)?;
    let fresh = |replaced| Record {
        version: spec::VERSION,
        path: path.into(),
        part: part.clone(),
        sha256: sha256(&ours),
        content: String::from_utf8(ours.to_vec()).ok().filter(|_| !is_secret(mode)),
        replaced,
        wanted: None,
        accepted: None,
    };
    match judge(now.as_ref().map(|now| now.as_slice()), &ours, before.as_ref()) {
        Verdict::Holds => {
            if before.as_ref().is_none_or(|before| before.sha256 != sha256(&ours)) {
                save(cx, &fresh(None))?;
            }
            Ok(false)
        }
        Verdict::Accepted => Ok(false),
        Verdict::Ours => {
            if now.is_none() && before.is_some() {
                cx.say(format!("{} was gone and is written anew", path.display()))?;
            }
            let replaced = now.map(|now| sha256(&now));
            save(cx, &fresh(replaced))?;
            let whole = part.put(there.as_deref().unwrap_or_default(), wanted.as_ref());
            cx.write(path, &whole, mode)?;
            Ok(true)
        }
        Verdict::Edited => {
            let before = before.context("an edit without a record")?;
            let record = Record { wanted: Some(sha256(&ours)), ..before };
            save(cx, &record)?;
            Err(record.edited(&String::from_utf8_lossy(&now.unwrap_or_default())).into())
        }
    }
}

/// Forgets what was replaced, once all that was written has come to stay: from then on a file that is again as it was
/// before is an edit like any other.
pub(crate) fn forget_replaced(cx: &Cx<'_>) -> Result<()> {
    for record in drift::records(cx.machine())? {
        if record.replaced.is_some()
            && drift::present(cx.machine(), &record)?.is_some_and(|now| record.wrote(&now))
        {
            save(cx, &Record { replaced: None, ..record })?;
        }
    }
    Ok(())
}

fn save(cx: &Cx<'_>, record: &Record) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(record)?;
    json.push(b'\n');
    Ok(cx.write(&record_path(&record.path, &record.part), &json, 0o600)?)
}

impl Record {
    /// Whether this is what was written.
    fn wrote(&self, now: &[u8]) -> bool {
        sha256(now) == self.sha256
    }

    fn edited(&self, now: &str) -> Edited {
        // Errors are kept in the event stream, on the root disk.
        let shown = if self.path.starts_with(paths::DATA) {
            format!("It is on the volume, so the edit is not shown here: `{} drift` shows it", paths::BINARY)
        } else {
            self.diff(now)
        };
        Edited { path: self.path.clone(), shown }
    }

    /// From what was written to what is there, as a unified diff.
    fn diff(&self, now: &str) -> String {
        let Some(content) = &self.content else { return "Its content is a secret and is not shown".into() };
        let names = (
            format!("{} as firstboot wrote it", self.path.display()),
            format!("{} as it is", self.path.display()),
        );
        let diff = similar::TextDiff::from_lines(content.as_str(), now);
        format!("The edit:\n{}", diff.unified_diff().header(&names.0, &names.1))
    }
}

/// Forgets every file below a directory, which is about to be removed.
pub(crate) fn forget(cx: &Cx<'_>, dir: &Path) -> Result<()> {
    for record in drift::records(cx.machine())?.into_iter().filter(|record| record.path.starts_with(dir)) {
        cx.remove(&record_path(&record.path, &record.part))?;
    }
    Ok(())
}

/// Where the records are that lie beside a path: on the volume, or on the root disk.
fn folder(path: &Path) -> PathBuf {
    let top = if path.starts_with(paths::DATA) { paths::DATA } else { paths::STATE };
    Path::new(top).join("managed")
}

fn record_path(path: &Path, part: &Part) -> PathBuf {
    let name = path.to_string_lossy().replace('%', "%25").replace('/', "%2F");
    folder(path).join(format!("{name}{}", part.suffix()))
}

fn record(machine: &dyn Machine, path: &Path, part: &Part) -> Result<Option<Record>> {
    read(machine, &record_path(path, part))
}

fn read(machine: &dyn Machine, place: &Path) -> Result<Option<Record>> {
    let json = machine.read(place)?;
    let record = json.map(|json| serde_json::from_slice(&json)).transpose();
    record.with_context(|| format!("reading what firstboot wrote last, {}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    const FILE: &str = "/etc/some.conf";

    fn looking(fake: &Fake) -> Cx<'_> {
        Cx::read_only(fake).unwrap()
    }

    fn ensure(fake: &Fake, wanted: &str) -> Result<bool> {
        ensure_file(&looking(fake), FILE, wanted.as_bytes(), 0o644)
    }

    fn edited(fake: &Fake, wanted: &str) -> String {
        ensure(fake, wanted).unwrap_err().downcast::<Edited>().unwrap().to_string()
    }

    #[test]
    fn what_nobody_touched_is_replaced_when_the_wish_changes() {
        let fake = Fake::new();
        fake.put(FILE, b"the distribution's\n");
        assert!(ensure(&fake, "one\n").unwrap());
        assert!(!ensure(&fake, "one\n").unwrap());
        assert!(ensure(&fake, "two\n").unwrap());
        assert_eq!(fake.get(FILE).unwrap(), b"two\n");
    }

    #[test]
    fn an_edit_stays_and_is_shown_with_both_ways_out() {
        let fake = Fake::new();
        ensure(&fake, "a\nb\nc\n").unwrap();
        fake.put(FILE, b"a\nB\nc\n");
        assert!(!holds(&looking(&fake), FILE, b"a\nb\nc\n").unwrap());
        let said = edited(&fake, "a\nb\nc\n");
        for part in ["drift accept /etc/some.conf", "drift restore /etc/some.conf", "\n-b\n+B\n"] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(fake.get(FILE).unwrap(), b"a\nB\nc\n");
    }

    #[test]
    fn an_edit_that_does_what_is_wanted_is_none() {
        let fake = Fake::new();
        ensure(&fake, "one\n").unwrap();
        fake.put(FILE, b"two\n");
        assert!(!ensure(&fake, "two\n").unwrap());
        assert!(ensure(&fake, "three\n").unwrap(), "from then on it counts as ours");
    }

    #[test]
    fn what_is_gone_is_written_anew() {
        let fake = Fake::new();
        ensure(&fake, "one\n").unwrap();
        fake.state.borrow_mut().root.remove(Path::new(FILE));
        assert!(ensure(&fake, "one\n").unwrap());
    }

    #[test]
    fn a_write_that_was_cut_off_or_put_back_is_done_again() {
        let fake = Fake::new();
        fake.put(FILE, b"the distribution's\n");
        for wanted in ["one\n", "two\n"] {
            let before = fake.get(FILE).unwrap();
            ensure(&fake, wanted).unwrap();
            fake.put(FILE, &before);
            assert!(ensure(&fake, wanted).unwrap());
        }
    }

    #[test]
    fn of_a_secret_nothing_is_remembered_or_shown() {
        let fake = Fake::new();
        let path = "/srv/sovereign/stacks/x/secrets/password";
        let ensure = |value: &str| ensure_file(&looking(&fake), path, value.as_bytes(), 0o400);
        ensure("hush").unwrap();
        fake.put(path, b"another");
        let said = ensure("hush").unwrap_err().to_string();
        let state = fake.state.borrow();
        let records: Vec<_> =
            state.root.iter().filter(|(path, _)| path.starts_with("/srv/sovereign/managed")).collect();
        assert_eq!(records.len(), 1, "what is on the volume is remembered there");
        let kept = String::from_utf8_lossy(&records[0].1.bytes);
        for text in [&said, &*kept] {
            assert!(!text.contains("hush") && !text.contains("another"), "{text}");
        }
    }

    #[test]
    fn a_secret_of_whatever_bytes_arrives_as_it_is() {
        let fake = Fake::new();
        let path = "/srv/sovereign/stacks/x/secrets/key";
        let (one, other) = ([0, 255, 254, 10, 13, 128], [0, 254, 255, 10, 13, 128]);
        assert!(ensure_file(&looking(&fake), path, &one, 0o400).unwrap());
        assert_eq!(fake.get(path).unwrap(), one);
        assert!(!holds(&looking(&fake), path, &other).unwrap(), "as texts both read the same");
        assert!(ensure_file(&looking(&fake), path, &other, 0o400).unwrap());
        assert_eq!(fake.get(path).unwrap(), other);
    }

    #[test]
    fn of_a_file_with_a_block_of_ours_only_the_block_counts() {
        let fake = Fake::new();
        let block = Part::Block { begin: "# BEGIN".into(), end: "# END".into() };
        let ensure = |ours: &str| ensure_part(&looking(&fake), FILE, &block, ours, 0o644);
        fake.put(FILE, b"theirs\n");
        assert!(ensure("# BEGIN\none\n# END\n").unwrap());
        assert_eq!(fake.get(FILE).unwrap(), b"theirs\n# BEGIN\none\n# END\n");
        fake.put(FILE, b"more of theirs\n# BEGIN\none\n# END\n");
        assert!(!ensure("# BEGIN\none\n# END\n").unwrap());
        fake.put(FILE, b"# BEGIN\nedited\n# END\ntheirs\n");
        assert!(ensure("# BEGIN\ntwo\n# END\n").is_err());
        assert!(ensure("# BEGIN\nedited\n# END\n").is_ok());
    }
}
