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
