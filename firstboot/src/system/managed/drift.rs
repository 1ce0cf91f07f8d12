//! `firstboot drift`: what was edited by hand, and the two ways out.

use super::{Accepted, Record, folder, read, save};
use crate::machine::Machine;
use crate::machine::digest::sha256;
use crate::run::{Cx, phase};
use anyhow::{Context as _, Result, bail};
use host::Host as _;
use serde::Serialize;
use spec::paths;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A managed file that is not as firstboot wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Drift {
    /// Which file.
    pub(crate) path: PathBuf,
    /// Whether the operator accepted it.
    pub(crate) accepted: bool,
    /// The edit as a unified diff, or that it is a secret.
    pub(crate) edit: String,
}

/// Every drift, by path. Files on the volume are looked at while it is open.
pub(crate) fn all(machine: &dyn Machine) -> Result<Vec<Drift>> {
    let mut drifts = Vec::new();
    for record in records(machine)? {
        let Some(now) = present(machine, &record)? else { continue };
        let digest = sha256(&now);
        if [Some(&record.sha256), record.replaced.as_ref(), record.wanted.as_ref()].contains(&Some(&digest)) {
            continue;
        }
        let wanted = record.wanted.as_ref().unwrap_or(&record.sha256);
        let accepted =
            record.accepted.as_ref().is_some_and(|a| a.sha256 == digest && a.instead_of == *wanted);
        drifts.push(Drift {
            path: record.path.clone(),
            accepted,
            edit: record.diff(&String::from_utf8_lossy(&now)),
        });
    }
    drifts.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(drifts)
}

/// What is edited and not accepted, each with its diff: nothing where all is well.
pub(crate) fn complaints(machine: &dyn Machine) -> Result<Vec<String>> {
    let drifts = all(machine)?.into_iter().filter(|drift| !drift.accepted);
    Ok(drifts
        .map(|drift| format!("{} was edited. {}", drift.path.display(), drift.edit.trim_end()))
        .collect())
}

/// Keeps an edit, for as long as nothing else is wanted than what it replaced. `project` names the files that say who is let
/// in, which the project alone decides.
pub(crate) fn accept(cx: &Cx<'_>, path: &Path, project: &[&str]) -> Result<()> {
    if project.iter().any(|file| Path::new(file) == path) {
        bail!(
            "accepting an edit of {path}: it says who is let in, and the server is held to what the project declares; \
             declare the port in `[firewall] open` of project.toml, then `{binary} drift restore {path}` and run \
             `cargo xtask provision --project NAME`",
            path = path.display(),
            binary = paths::BINARY
        );
    }
    for (record, now) in edited(cx, path)? {
        let instead_of = record.wanted.clone().unwrap_or_else(|| record.sha256.clone());
        let accepted = Some(Accepted { sha256: sha256(&now), instead_of });
        save(cx, &Record { accepted, ..record })?;
    }
    Ok(())
}

/// Copies an edit beside the file and lets the step that wants it otherwise write it again. Gives the copy's path.
pub(crate) fn restore(cx: &Cx<'_>, path: &Path) -> Result<PathBuf> {
    let edited = edited(cx, path)?;
    let copy = free_name(cx, path)?;
    let mode = cx.machine().stat(path)?.map_or(0o600, |found| found.mode);
    let content = cx.read(path)?.with_context(|| format!("reading {}: it is gone", path.display()))?;
    cx.write(&copy, host::Secret::new(content).expose(), mode)?;
    for (record, now) in edited {
        let replaced = Some(sha256(&now));
        save(cx, &Record { replaced, wanted: None, accepted: None, ..record })?;
    }
    phase::unsettle(cx.machine(), format!("{} is written again", path.display()))?;
    Ok(copy)
}

/// The records of a file of which something is edited, accepted or not, with what is there.
fn edited(cx: &Cx<'_>, path: &Path) -> Result<Vec<(Record, Zeroizing<Vec<u8>>)>> {
    let drifted = all(cx.machine())?.iter().any(|drift| drift.path == path);
    let mut edited = Vec::new();
    for record in records(cx.machine())?.into_iter().filter(|record| drifted && record.path == path) {
        if let Some(now) = present(cx.machine(), &record)?
            && !record.wrote(&now)
        {
            edited.push((record, now));
        }
    }
    if edited.is_empty() {
        bail!(
            "looking for an edit of {}: there is none, or firstboot does not manage it; `{} drift` lists what is edited",
            path.display(),
            paths::BINARY
        );
    }
    Ok(edited)
}

/// A name beside the file that nothing has yet, which no daemon takes for a configuration file of its own.
fn free_name(cx: &Cx<'_>, path: &Path) -> Result<PathBuf> {
    for n in 1_u32.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".edited-{n}"));
        let copy = PathBuf::from(name);
        if !cx.machine().exists(&copy)? {
            return Ok(copy);
        }
    }
    bail!("copying {}: no name is free beside it", path.display())
}

pub(super) fn present(machine: &dyn Machine, record: &Record) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let bytes = Zeroizing::new(machine.read(&record.path)?);
    Ok(bytes.as_deref().and_then(|bytes| record.part.of(bytes)))
}

pub(super) fn records(machine: &dyn Machine) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for top in [paths::STATE, paths::DATA] {
        let dir = folder(Path::new(top));
        for name in machine.list(&dir)?.iter().filter(|name| name.ends_with(".json")) {
            records.extend(read(machine, &dir.join(name))?);
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::boot::Ended;
    use crate::steps::firewall::FILES;
    use crate::system::managed::{self, Edited};
    use crate::testing::Fake;

    const DAEMON: &str = "/etc/docker/daemon.json";

    /// A server that was done and then had a file edited by hand.
    fn edited() -> (Fake, Vec<u8>) {
        let fake = Fake::new();
        assert!(matches!(fake.run().unwrap(), Ended::Done));
        let ours = fake.get(DAEMON).unwrap();
        fake.put(DAEMON, &[&ours[..], b"\n"].concat());
        (fake, ours)
    }

    #[test]
    fn nothing_is_edited_on_a_server_nobody_touched() {
        let fake = Fake::new();
        assert!(matches!(fake.run().unwrap(), Ended::Done));
        assert_eq!(all(&fake).unwrap(), []);
        let managed = records(&fake).unwrap();
        for path in
            [DAEMON, "/etc/systemd/system/srv-sovereign.mount", "/srv/sovereign/stacks/postgres/compose.yaml"]
        {
            assert!(managed.iter().any(|record| record.path == Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_run_leaves_the_edit_and_says_what_to_do() {
        let (fake, ours) = edited();
        let Ended::Failed(error) = fake.run().unwrap() else { panic!() };
        assert!(error.is::<Edited>(), "{error:#}");
        assert_ne!(fake.get(DAEMON).unwrap(), ours);
        assert_eq!(complaints(&fake).unwrap().len(), 1);
        let last = fake.events().pop().unwrap();
        assert!(matches!(last, spec::EventKind::Failed { needs_operator: true, .. }), "{last:?}");
    }

    #[test]
    fn an_accepted_edit_stays_until_something_else_is_wanted() {
        let (fake, ours) = edited();
        let edit = fake.get(DAEMON).unwrap();
        accept(&Cx::read_only(&fake).unwrap(), Path::new(DAEMON), &FILES).unwrap();
        assert!(matches!(fake.run().unwrap(), Ended::Done));
        assert_eq!(fake.get(DAEMON).unwrap(), edit);
        assert_eq!(complaints(&fake).unwrap(), Vec::<String>::new());
        assert!(all(&fake).unwrap()[0].accepted);
        let cx = Cx::read_only(&fake).unwrap();
        assert!(managed::ensure_file(&cx, DAEMON, b"another wish", 0o644).unwrap_err().is::<Edited>());
        assert!(!all(&fake).unwrap()[0].accepted, "it was accepted instead of something else");
        accept(&cx, Path::new(DAEMON), &FILES).unwrap();
        assert!(!managed::ensure_file(&cx, DAEMON, b"another wish", 0o644).unwrap());
        assert!(managed::ensure_file(&cx, DAEMON, &ours, 0o644).is_err());
    }

    #[test]
    fn a_restored_file_is_ours_and_the_edit_lies_beside_it() {
        let (fake, ours) = edited();
        let edit = fake.get(DAEMON).unwrap();
        assert!(matches!(fake.run().unwrap(), Ended::Failed(_)));
        let copy = restore(&Cx::read_only(&fake).unwrap(), Path::new(DAEMON)).unwrap();
        assert!(matches!(fake.run().unwrap(), Ended::Done));
        assert_eq!((fake.get(DAEMON).unwrap(), fake.get(copy).unwrap()), (ours, edit));
        assert_eq!(all(&fake).unwrap(), []);
    }

    #[test]
    fn the_same_edit_once_more_and_the_file_that_was_there_before_are_edits() {
        let (fake, ours) = edited();
        let edit = fake.get(DAEMON).unwrap();
        restore(&Cx::read_only(&fake).unwrap(), Path::new(DAEMON)).unwrap();
        assert!(matches!(fake.run().unwrap(), Ended::Done));
        assert_eq!(fake.get(DAEMON).unwrap(), ours);
        fake.put(DAEMON, &edit);
        assert_eq!(all(&fake).unwrap().len(), 1);
        let Ended::Failed(error) = fake.run().unwrap() else { panic!() };
        assert!(error.is::<Edited>(), "{error:#}");
        assert_eq!(fake.get(DAEMON).unwrap(), edit);
    }

    #[test]
    fn who_is_let_in_is_said_in_the_project_alone() {
        let fake = Fake::new();
        assert!(matches!(fake.run().unwrap(), Ended::Done));
        let path = "/etc/ufw/user.rules";
        let rules = String::from_utf8(fake.get(path).unwrap()).unwrap();
        let rule = "-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n";
        fake.put(path, rules.replacen(rule, &format!("{rule}{}", rule.replace("22", "8099")), 1).as_bytes());
        let said = accept(&Cx::read_only(&fake).unwrap(), Path::new(path), &FILES).unwrap_err().to_string();
        assert!(said.contains("[firewall] open"), "{said}");
        assert!(!all(&fake).unwrap()[0].accepted);
    }

    #[test]
    fn there_is_no_way_out_of_what_is_not_edited() {
        let fake = Fake::new();
        assert!(matches!(fake.run().unwrap(), Ended::Done));
        let cx = Cx::read_only(&fake).unwrap();
        for path in [DAEMON, "/etc/passwd"] {
            assert!(accept(&cx, Path::new(path), &FILES).is_err() && restore(&cx, Path::new(path)).is_err());
        }
    }
}
