//! The arrows between the packages of the workspace, as the design draws them. Cargo forbids circles but not
//! shortcuts. What only tests use is no arrow.

use super::{Held, Tree};
use anyhow::{Context, Result, ensure};
use host::{Host, Local};
use serde::Deserialize;
use std::collections::BTreeSet;

const HOST: &str = "sovereign-host";
const SPEC: &str = "sovereign-spec";
const ESCROW: &str = "sovereign-escrow";
const STACKS: &str = "sovereign-stacks";

/// Each package and what it may depend on; all may depend on [`HOST`], the door for programs and files.
const ALLOWED: [(&str, &[&str]); 11] = [
    ("cloud-init", &[]),
    (HOST, &[]),
    (SPEC, &[]),
    (ESCROW, &[SPEC]),
    (STACKS, &[SPEC]),
    ("firstboot", &[SPEC, ESCROW, STACKS]),
    ("images", &[SPEC, STACKS]),
    ("provisioner", &["cloud-init", SPEC, ESCROW, STACKS]),
    ("rehearsal", &["cloud-init"]),
    ("xtask", &["provisioner", "images", "rehearsal"]),
    ("tests", &["cloud-init", SPEC, ESCROW, STACKS, "firstboot", "images", "provisioner", "rehearsal"]),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None` for an ordinary one, else `dev` or `build`.
    kind: Option<String>,
    /// Only packages of the workspace have one.
    path: Option<String>,
}

pub(super) fn check(tree: &Tree) -> Result<Held> {
    let cmd = tree.cargo(&["metadata", "--no-deps", "--locked", "--format-version=1"]);
    let metadata = Local.run(&cmd)?.stdout;
    let metadata: Metadata = serde_json::from_slice(&metadata).context("reading cargo's metadata")?;
    let wrong = wrong(&metadata);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(Held::Yes)
}

/// What the table forbids, and where table and workspace name different packages.
fn wrong(metadata: &Metadata) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let name = &package.name;
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| known == name) else {
            wrong.push(format!("{name} is not in the table of the design; add it there and to this check"));
            continue;
        };
        let ours =
            package.dependencies.iter().filter(|d| d.path.is_some() && d.kind.as_deref() != Some("dev"));
        for Dependency { name: other, .. } in ours {
            let self_evident = other == HOST && name != HOST;
            if !self_evident && !allowed.contains(&other.as_str()) {
                wrong.push(format!("{name} -> {other}: the design has no such arrow"));
            }
        }
    }
    let there: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let gone = ALLOWED.iter().filter(|(name, _)| !there.contains(name));
    wrong.extend(gone.map(|(name, _)| format!("{name} is in the table but not in the workspace")));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(extra: &[(&str, &str, Option<&str>)]) -> Metadata {
        let dependency = |name: &str, kind: Option<&str>, path: Option<&str>| Dependency {
            name: name.into(),
            kind: kind.map(str::to_owned),
            path: path.map(str::to_owned),
        };
        let package = |name: &str, allowed: &[&str]| {
            let mut dependencies = vec![dependency("serde", None, None)];
            dependencies.extend(allowed.iter().map(|other| dependency(other, None, Some("/x"))));
            let added = extra.iter().filter(|(from, ..)| *from == name);
            dependencies.extend(added.map(|(_, to, kind)| dependency(to, *kind, Some("/x"))));
            Package { name: name.into(), dependencies }
        };
        Metadata { packages: ALLOWED.iter().map(|(name, allowed)| package(name, allowed)).collect() }
    }

    #[test]
    fn the_table_itself_is_allowed_and_has_no_circle() {
        assert_eq!(wrong(&workspace(&[])), Vec::<String>::new());
        for (name, allowed) in ALLOWED {
            for other in allowed {
                let back = ALLOWED.iter().find(|(known, _)| known == other).unwrap().1;
                assert!(!back.contains(&name), "{name} <-> {other}");
            }
        }
    }

    #[test]
    fn a_forbidden_arrow_is_found() {
        let found = wrong(&workspace(&[("cloud-init", SPEC, None), (SPEC, "firstboot", Some("build"))]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("cloud-init -> sovereign-spec") && found[1].contains("-> firstboot"));
    }

    #[test]
    fn the_door_is_open_to_all_and_leads_to_none() {
        assert!(wrong(&workspace(&[("cloud-init", HOST, None)])).is_empty());
        assert_eq!(wrong(&workspace(&[(HOST, SPEC, None)])).len(), 1);
    }

    #[test]
    fn what_only_tests_use_is_no_arrow() {
        assert!(wrong(&workspace(&[("provisioner", "rehearsal", Some("dev"))])).is_empty());
    }

    #[test]
    fn table_and_workspace_name_the_same_packages() {
        let mut metadata = workspace(&[]);
        metadata.packages.retain(|package| package.name != "images");
        metadata.packages.push(Package { name: "new".into(), dependencies: Vec::new() });
        let found = wrong(&metadata);
        assert!(found[0].starts_with("new is not") && found[1].starts_with("images is in"), "{found:?}");
    }
}
