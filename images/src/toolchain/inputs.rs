//! The key of a build: the SHA-256 of everything that goes into it.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The workspace's own files that decide how its packages are built.
const SHARED: [&str; 4] = ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "rust-toolchain.toml"];

/// The key of building the package in the folder `package`: its files and those of the packages of this workspace
/// it depends on, the lock file, the profile, and `more` (the toolchain).
pub(super) fn key(workspace: &Path, package: &str, more: &[&str]) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |name: &str, content: &[u8]| {
        // Lengths first, so that no two lists of inputs look alike.
        hash.update((name.len() as u64).to_le_bytes());
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(content);
    };
    for value in more {
        add("", value.as_bytes());
    }
    for path in files(workspace, package)? {
        let content = std::fs::read(workspace.join(&path));
        let content = content.with_context(|| format!("reading {}", path.display()))?;
        add(&path.to_string_lossy(), &content);
    }
    Ok(crate::files::hex(&hash.finalize())[..24].to_owned())
}

/// The names of the package in the folder `package` and of those of this workspace it depends on.
pub(super) fn names(workspace: &Path, package: &str) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in packages(workspace, package)? {
        let manifest = manifest(workspace, &folder)?;
        let name = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
        names.insert(name.with_context(|| format!("{}: no package name", folder.display()))?.to_owned());
    }
    Ok(names)
}

/// Every file that goes in, relative to the workspace, in order.
fn files(workspace: &Path, package: &str) -> Result<BTreeSet<PathBuf>> {
    let mut files: BTreeSet<PathBuf> =
        SHARED.iter().map(PathBuf::from).filter(|path| workspace.join(path).is_file()).collect();
    for folder in packages(workspace, package)? {
        walk(workspace, &folder, &mut files)?;
    }
    Ok(files)
}

fn walk(workspace: &Path, folder: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    let reading = || format!("reading {}", folder.display());
    for entry in std::fs::read_dir(workspace.join(folder)).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let name = entry.file_name();
        // An editor's swap files and a stray target folder decide nothing; a stack's recipes make images, no program.
        let recipes = name == "images" && folder.parent().is_some_and(|above| above.ends_with("catalogue"));
        if name.to_string_lossy().starts_with('.') || name == "target" || recipes {
            continue;
        }
        let path = folder.join(&name);
        if workspace.join(&path).is_dir() {
            walk(workspace, &path, files)?;
        } else {
            files.insert(path);
        }
    }
    Ok(())
}

/// The folders of a package and of all packages of the workspace that it depends on.
fn packages(workspace: &Path, package: &str) -> Result<BTreeSet<PathBuf>> {
    let shared = manifest(workspace, Path::new("."))?;
    let shared = shared.get("workspace").and_then(|w| w.get("dependencies")).and_then(Value::as_table);
    let places: BTreeMap<&str, &str> = shared
        .into_iter()
        .flatten()
        .filter_map(|(name, dependency)| Some((name.as_str(), dependency.get("path")?.as_str()?)))
        .collect();
    let mut found = BTreeSet::new();
    let mut todo = vec![PathBuf::from(package)];
    while let Some(folder) = todo.pop() {
        let manifest = manifest(workspace, &folder)?;
        if !found.insert(folder.clone()) {
            continue;
        }
        for (name, dependency) in dependencies(&manifest) {
            if dependency.get("workspace").is_some() {
                todo.extend(places.get(name.as_str()).map(PathBuf::from));
            } else if let Some(path) = dependency.get("path").and_then(Value::as_str) {
                todo.push(normal(&folder.join(path)));
            }
        }
    }
    Ok(found)
}

/// The dependencies that end up in the binary or make part of it; those of tests do not.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&String, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = std::iter::once(manifest).chain(targets.filter_map(|(_, target)| target.as_table()));
    tables
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|kind| table.get(kind)))
        .filter_map(|table| table?.as_table())
        .flatten()
}

fn manifest(workspace: &Path, folder: &Path) -> Result<Table> {
    let path = workspace.join(folder).join("Cargo.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    text.parse().with_context(|| format!("reading {}", path.display()))
}

/// A path without `..`, so that one folder has one name.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                parts.pop();
            }
            std::path::Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("Cargo.toml", "[workspace.dependencies]\nb = { path = 'b' }\nserde = '1'\n");
        write("Cargo.lock", "lock");
        write("a/Cargo.toml", "[dependencies]\nb.workspace = true\nserde.workspace = true\n");
        write("a/src/main.rs", "fn main() {}");
        write(
            "b/Cargo.toml",
            "[target.'cfg(unix)'.dependencies]\nc = { path = '../c' }\n[dev-dependencies]\nd = { path = '../d' }\n",
        );
        write("b/catalogue/postgres/compose.yaml", "services: {}");
        write("b/catalogue/postgres/images/postgres/recipe.toml", "");
        write("c/Cargo.toml", "");
        write("d/Cargo.toml", "");
        dir
    }

    #[test]
    fn the_packages_depended_on_are_followed_and_those_of_tests_are_not() {
        let dir = workspace();
        let found = packages(dir.path(), "a").unwrap();
        assert_eq!(found.iter().map(|p| p.to_str().unwrap()).collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn any_input_changes_the_key_and_nothing_else_does() {
        let dir = workspace();
        let key = |more: &[&str]| key(dir.path(), "a", more).unwrap();
        let first = key(&["1.95"]);
        assert_eq!(first, key(&["1.95"]));
        assert_ne!(first, key(&["1.96"]));
        let recipe = "b/catalogue/postgres/images/postgres/recipe.toml";
        for unrelated in ["d/Cargo.toml", "README.md", "a/.main.rs.swp", recipe] {
            std::fs::write(dir.path().join(unrelated), "[package]").unwrap();
            assert_eq!(first, key(&["1.95"]), "{unrelated}");
        }
        for input in ["Cargo.lock", "a/src/main.rs", "b/catalogue/postgres/compose.yaml"] {
            let path = dir.path().join(input);
            let before = std::fs::read(&path).unwrap();
            std::fs::write(&path, "other").unwrap();
            assert_ne!(first, key(&["1.95"]), "{input}");
            std::fs::write(&path, before).unwrap();
        }
    }
}
