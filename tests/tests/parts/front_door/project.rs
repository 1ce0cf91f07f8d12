//! The project that is tried: a front door, a gate, a private network, and two stacks of the project's own with routes of
//! every kind.

use anyhow::{Context as _, Result};
use spec::{Setting, StackSpec, VpnSpec};
use stacks::{Folder, Plan, Wish};
use std::collections::BTreeMap;
use std::path::Path;

/// Where the two stacks lie.
const OWN: &str = "firstboot/stacks/tests/fixtures/door";

/// Its plan; the front door with these options, the gate trusting this authority.
pub(super) fn planned(root: &Path, door: BTreeMap<String, Setting>, authority: &str) -> Result<Plan> {
    let mut stacks = vec![of_catalogue("traefik", door), of_catalogue("headscale", BTreeMap::new())];
    let gate = [("ca".to_owned(), Setting::Text(authority.into()))];
    stacks.push(of_catalogue("oauth2-proxy", gate.into()));
    for name in ["site", "login"] {
        let mut files = BTreeMap::new();
        read(&root.join(OWN).join(name), "", &mut files)?;
        Folder::new(name, &files)?;
        stacks.push(StackSpec { name: name.into(), files, ..StackSpec::default() });
    }
    resolved(&stacks)
}

/// The private network's control server alone, as it was before there was a front door.
pub(super) fn without_door() -> Result<Plan> {
    resolved(&[of_catalogue("headscale", BTreeMap::new())])
}

fn resolved(stacks: &[StackSpec]) -> Result<Plan> {
    let vpn = VpnSpec {
        host: "vpn.example.org".into(),
        base_domain: "internal.example.org".into(),
        devices: vec![],
        names: vec![],
    };
    Ok(Plan::resolve(Wish { project: "door", domain: Some("example.org"), vpn: Some(&vpn), stacks })?)
}

fn of_catalogue(name: &str, options: BTreeMap<String, Setting>) -> StackSpec {
    StackSpec { name: name.into(), options, ..StackSpec::default() }
}

fn read(folder: &Path, below: &str, files: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            read(&path, &format!("{below}{name}/"), files)?;
        } else {
            files.insert(format!("{below}{name}"), std::fs::read_to_string(&path)?);
        }
    }
    Ok(())
}
