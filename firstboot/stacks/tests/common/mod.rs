//! What the tests of this crate share.
#![allow(dead_code, reason = "each test program uses its own part")]

use sovereign_stacks::{Error, Plan, Wish};
use spec::{StackSpec, VpnSpec};

/// A reference pinned by digest.
pub(crate) fn image(name: &str) -> (String, String) {
    (name.to_owned(), format!("registry.test:5000/{name}@sha256:{}", "a".repeat(64)))
}

/// A stack of the catalogue with all its images.
pub(crate) fn spec_of(stack: &str) -> StackSpec {
    let folder = sovereign_stacks::Folder::of_catalogue(stack).expect("it is in the catalogue");
    let images = folder.manifest().expect("its manifest reads").images;
    StackSpec {
        name: stack.into(),
        images: images.keys().map(|name| image(name)).collect(),
        ..StackSpec::default()
    }
}

pub(crate) fn vpn() -> VpnSpec {
    VpnSpec {
        host: "vpn.example.org".into(),
        base_domain: "internal.example.org".into(),
        devices: vec![],
        names: vec![],
    }
}

/// The plan of a project with everything.
pub(crate) fn plan(stacks: &[StackSpec]) -> Result<Plan, Error> {
    Plan::resolve(Wish { project: "demo", domain: Some("example.org"), vpn: Some(&vpn()), stacks })
}

/// A stack's configuration as people see it.
pub(crate) fn config(plan: &Plan, stack: &str) -> Vec<(String, String)> {
    let files = plan.config(plan.stack(stack).expect("it is planned")).expect("it is filled in");
    files.into_iter().map(|(path, text)| (path, text.shown())).collect()
}

/// A project's own stack, read from `tests/fixtures/door/NAME`.
pub(crate) fn own_stack(name: &str) -> StackSpec {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/door").join(name);
    let mut files = std::collections::BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the fixture is there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let inside = path.strip_prefix(&root).expect("it is below").display().to_string();
                files.insert(inside, std::fs::read_to_string(&path).expect("it can be read"));
            }
        }
    }
    let folder = sovereign_stacks::Folder::new(name, &files).expect("it is a stack's folder");
    let images = folder.manifest().expect("its manifest reads").images;
    StackSpec {
        name: name.into(),
        images: images.keys().map(|name| image(name)).collect(),
        files,
        ..StackSpec::default()
    }
}

/// Compares with `tests/golden/NAME`; written anew with `UPDATE_GOLDEN=1`.
pub(crate) fn is_golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(path).expect("the golden file is there");
    assert_eq!(text, golden, "run with UPDATE_GOLDEN=1 if it is meant");
}
