//! Gathers the facts: a handful of programs, and one pass of Docker's API.

use super::facts::{Container, Fact, Facts, Odd, Unit};
use super::{files, network, server};
use crate::run::Cx;
use crate::steps::docker::engine;
use crate::steps::firewall::Rules;
use crate::steps::verify::undeclared;
use crate::volume::luks;
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _};
use serde_json::Value;
use spec::NodeSpec;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Walking the root disk takes longest.
const WALK: Duration = Duration::from_secs(300);
/// What on the root disk's file system is out of the ordinary: mode, kind, owner's number and name.
const ODD: [&str; 25] = [
    "/",
    "-xdev",
    "-ignore_readdir_race",
    "(",
    "-type",
    "f",
    "-perm",
    "/6000",
    "-o",
    "-type",
    "f",
    "-perm",
    "-0002",
    "-o",
    "-type",
    "d",
    "-perm",
    "-0002",
    "-o",
    "-nouser",
    "-o",
    "-nogroup",
    ")",
    "-printf",
    "%m %y %U %u %G %g %p\\n",
];

/// Looks at all of it. What cannot be looked at is noted as that.
pub(super) fn gather(cx: &Cx<'_>) -> Facts {
    let names: BTreeMap<String, Fact<Vec<String>>> = files::DIRECTORIES
        .iter()
        .chain(server::FOLDERS)
        .map(|dir| ((*dir).to_owned(), known(cx.machine().list(dir.as_ref()).map_err(Into::into))))
        .collect();
    let listed = files::listed(&names).chain(files::PATHS.iter().map(|path| (*path).to_owned()));
    let look = |path: &str| known(cx.machine().stat(path.as_ref()).map_err(Into::into));
    let read = |path: &str| known(cx.machine().text(path).map_err(Into::into));
    let mut texts: BTreeMap<_, _> = [server::TEXTS, network::TEXTS]
        .into_iter()
        .flatten()
        .map(|path| ((*path).to_owned(), read(path)))
        .collect();
    for folder in server::FOLDERS {
        for name in names.get(*folder).cloned().and_then(Result::ok).unwrap_or_default() {
            let path = format!("{folder}/{name}");
            let text = read(&path);
            texts.insert(path, text);
        }
    }
    for device in server::swap_devices(&texts) {
        let path = format!("/sys/class/block/{device}/dm/uuid");
        let text = read(&path);
        texts.insert(path, text);
    }
    let engine = known(engine::info(cx)).and_then(|info| info.ok_or_else(|| "Docker does not run".into()));
    let containers = engine.clone().and_then(|_| known(containers(cx)));
    Facts {
        stats: listed.map(|path| (path.clone(), look(&path))).collect(),
        texts,
        names,
        engine,
        containers,
        sshd: known(lines(cx, &Cmd::new("sshd").arg("-T")).map(|lines| lines.into_iter().collect())),
        audit_rules: known(audit_rules(cx)),
        units: known(units(cx)),
        failed_units: known(failed_units(cx)),
        odd: known(odd(cx)),
        undeclared: known(undeclared(cx)),
        keyslots: known(keyslots(cx)),
        unlock: Ok(cx.spec.unlock.clone()),
        declared: known(Rules::of(cx).map(|rules| rules.declared())),
        images: Ok(images(&cx.spec)),
    }
}

/// The fact, or the whole chain of why it is not known.
fn known<T>(looked: Result<T>) -> Fact<T> {
    looked.map_err(|error| format!("{error:#}"))
}

fn lines(cx: &Cx<'_>, cmd: &Cmd) -> Result<Vec<String>> {
    Ok(cx.run(cmd)?.text().lines().map(str::to_owned).collect())
}

/// The kernel's audit rules; none where there is no program to set any.
fn audit_rules(cx: &Cx<'_>) -> Result<String> {
    if !cx.machine().has_program("auditctl") {
        return Ok(String::new());
    }
    Ok(lines(cx, &Cmd::new("auditctl").arg("-l"))?.join("\n"))
}

fn containers(cx: &Cx<'_>) -> Result<Vec<Container>> {
    let inspected = engine::every_container(cx)?;
    let programs = |container: &Value| match container["Id"].as_str() {
        Some(id) if container["State"]["Running"] == true => engine::programs(cx, id),
        _ => Ok(vec![]),
    };
    Ok(inspected
        .into_iter()
        .map(|inspected| Container { programs: known(programs(&inspected)), inspected })
        .collect())
}

fn images(spec: &NodeSpec) -> BTreeSet<String> {
    spec.stacks.iter().flat_map(|stack| stack.images.values().cloned()).collect()
}

fn units(cx: &Cx<'_>) -> Result<BTreeMap<String, Unit>> {
    let show = Cmd::new("systemctl").args(["show", "--property=Id,LoadState,ActiveState,UnitFileState"]);
    let text = cx.run(&show.args(server::UNITS.iter().copied()))?.text();
    // One paragraph a unit, in the order they were named.
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    let unit = |paragraph: &str| {
        let is = |line: &str| paragraph.lines().any(|l| l == line);
        Unit {
            there: is("LoadState=loaded"),
            active: is("ActiveState=active"),
            enabled: is("UnitFileState=enabled"),
        }
    };
    let found: BTreeMap<_, _> =
        server::UNITS.iter().map(|name| (*name).to_owned()).zip(paragraphs.map(unit)).collect();
    anyhow::ensure!(
        found.len() == server::UNITS.len(),
        "asking systemd for its units: it named {} of them",
        found.len()
    );
    Ok(found)
}

fn failed_units(cx: &Cx<'_>) -> Result<Vec<String>> {
    let list = ["list-units", "--state=failed", "--plain", "--no-legend", "--full", "--no-pager"];
    let lines = lines(cx, &Cmd::new("systemctl").args(list))?;
    Ok(lines.iter().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect())
}

fn odd(cx: &Cx<'_>) -> Result<Vec<Odd>> {
    let text = cx.run(&Cmd::new("find").args(ODD).timeout(WALK))?.text();
    text.lines()
        .map(|line| parse_odd(line).with_context(|| format!("reading what find said: {line:?}")))
        .collect()
}

fn parse_odd(line: &str) -> Option<Odd> {
    let mut fields = line.splitn(7, ' ');
    let mut field = || fields.next();
    let mode = u32::from_str_radix(field()?, 8).ok()?;
    let directory = field()? == "d";
    // find gives the number in place of a name where there is no name.
    let (uid, user, gid, group) = (field()?, field()?, field()?, field()?);
    Some(Odd { mode, directory, owned: uid != user && gid != group, path: field()?.into() })
}

fn keyslots(cx: &Cx<'_>) -> Result<Vec<u32>> {
    let volume = cx.receipt().volume.clone().context("there is no volume yet")?;
    let device = luks::opened_from(cx, &volume.luks_uuid)?.context("the volume is not open")?;
    Ok(luks::header(cx, &device)?.slots.iter().map(|slot| slot.number).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_find_says_is_read_with_spaces_and_missing_names() {
        let odd = parse_odd("4755 f 0 root 0 root /usr/bin/a b").unwrap();
        assert_eq!(odd, Odd { mode: 0o4755, directory: false, owned: true, path: "/usr/bin/a b".into() });
        assert!(!parse_odd("644 f 1234 1234 0 root /srv/x").unwrap().owned);
        assert!(parse_odd("1777 d 0 root 0 root /tmp").unwrap().directory);
        assert_eq!(parse_odd("nonsense"), None);
    }
}
