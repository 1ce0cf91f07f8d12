//! `docs/stacks.md` describes every key of a manifest, and its example is a stack that can be planned and rendered.

mod common;

use common::{image, plan, spec_of};
use serde_json::Value;
use sovereign_stacks::{Folder, Manifest, catalogue};
use spec::StackSpec;
use std::collections::{BTreeMap, BTreeSet};

const DOCS: &str = include_str!("../../../docs/stacks.md");
/// A key that no table has.
const NONE: &str = "no-such-key";

/// The fenced blocks of the page that are parts of files: after the language stands which.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let fenced = DOCS.split("\n```").skip(1).step_by(2);
    fenced
        .filter_map(|block| block.split_once('\n'))
        .filter_map(|(head, text)| Some((head.split_once(' ')?.1, text)))
        .collect()
}

/// The files of the page's own stack, each put together from its parts.
fn files() -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let own = |file: &str| !file.starts_with("catalogue/") && file != "project.toml";
    for (file, text) in blocks().into_iter().filter(|(file, _)| own(file)) {
        *files.entry(file.to_owned()).or_default() += &format!("{text}\n");
    }
    files
}

fn example() -> StackSpec {
    let images = ["notes", "postgres"].map(image).into();
    StackSpec { name: "notes".into(), images, files: files(), ..StackSpec::default() }
}

#[test]
fn the_example_can_be_planned_and_rendered() {
    let mut all = ["traefik", "oauth2-proxy", "headscale", "keycloak", "socket-proxy"].map(spec_of).to_vec();
    all.push(example());
    let plan = plan(&all).unwrap();
    plan.render(&example(), &[]).unwrap();
    let settings = plan.config(plan.stack("notes").unwrap()).unwrap();
    let (_, text) = settings.iter().find(|(file, _)| file == "notes.json").unwrap();
    let filled: Value =
        serde_json::from_str(&text.shown().replace("<secret notes-database-password>", "\"\"")).unwrap();
    assert_eq!(filled["url"], "https://notes.example.org");
    assert_eq!(filled["issuer"], "https://auth.example.org/realms/main");
}

#[test]
fn what_the_page_shows_of_ours_stands_there_so() {
    let mut shown = 0;
    for (file, text) in blocks() {
        let Some(file) = file.strip_prefix("catalogue/") else { continue };
        let path = format!("{}/catalogue/{file}", env!("CARGO_MANIFEST_DIR"));
        assert!(std::fs::read_to_string(path).unwrap().contains(text), "{file}:\n{text}");
        shown += 1;
    }
    assert_eq!(shown, 5);
}

/// The keys that each table of a manifest may have: what the reader says it expected where it finds another one.
fn keys(manifest: &Value) -> BTreeSet<String> {
    let mut pointers = vec![String::new()];
    let mut keys = BTreeSet::new();
    while let Some(pointer) = pointers.pop() {
        let below: Vec<String> = match manifest.pointer(&pointer).expect("it is a table") {
            Value::Object(table) => table.keys().cloned().collect(),
            Value::Array(items) => (0..items.len()).map(|at| at.to_string()).collect(),
            _ => continue,
        };
        let escaped = |key: String| key.replace('~', "~0").replace('/', "~1");
        pointers.extend(below.into_iter().map(|key| format!("{pointer}/{}", escaped(key))));
        let mut strange = manifest.clone();
        let Some(Value::Object(table)) = strange.pointer_mut(&pointer) else { continue };
        table.insert(NONE.into(), Value::Null);
        let error =
            serde_json::from_value::<Manifest>(strange).map(drop).expect_err("it is refused").to_string();
        let Some((_, expected)) = error.split_once(&format!("unknown field `{NONE}`, expected ")) else {
            continue;
        };
        keys.extend(expected.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    keys
}

#[test]
fn every_key_is_described_and_shown() {
    let read = |text: &str| toml::from_str::<Value>(text).unwrap();
    let mut all = keys(&read(&files()["stack.toml"]));
    for name in catalogue() {
        let path = format!("{}/catalogue/{name}/stack.toml", env!("CARGO_MANIFEST_DIR"));
        assert!(Folder::of_catalogue(name).is_ok());
        all.extend(keys(&read(&std::fs::read_to_string(path).unwrap())));
    }
    assert!(all.len() > 90, "{all:?}");
    for key in ["front-door", "known-bad", "without_front_door", "uid", "bits", "once", "elsewhere"] {
        assert!(all.contains(key), "{key}");
    }
    let (_, page) = DOCS.split_once("\n## Writing a stack\n").unwrap();
    let (page, _) = page.split_once("\n## The front door").unwrap();
    let tables: String = page.lines().filter(|line| line.starts_with('|')).collect();
    let named = |key: &str| {
        [format!("`{key}`"), format!("`[{key}]`"), format!("`[[{key}]]`")]
            .iter()
            .any(|it| tables.contains(it))
    };
    let missing: Vec<_> = all.iter().filter(|key| !named(key)).collect();
    assert!(missing.is_empty(), "not described: {missing:?}");
    let shown: String = blocks().into_iter().map(|(_, text)| text).collect();
    let is_shown = |key: &&String| {
        let key = key.as_str();
        [format!("{key} = "), format!("[{key}]"), format!("[{key}."), format!(".{key}]")]
            .iter()
            .any(|it| shown.contains(it))
    };
    let missing: Vec<_> = all.iter().filter(|key| !is_shown(key)).collect();
    assert!(missing.is_empty(), "not shown: {missing:?}");
}
