//! No circles between the modules of a package, nor between those of a folder: what a file takes from its neighbours it
//! takes in one direction, so that it can be read without them.
//!
//! A child of `src` or of a folder is one node, whether it is a file or a folder. The file that a folder's children stand
//! under (`lib.rs`, `main.rs`, `mod.rs`, or the one named like the folder) is none: it lists them. What is built for tests
//! only does not count.

use super::{Held, Tree};
use anyhow::{Context, Result, ensure};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// Names from the root of the package on: `["steps", "disk"]` is `crate::steps::disk`.
type Names = Vec<String>;

pub(super) fn check(tree: &Tree) -> Result<Held> {
    let files = tree.files()?;
    let read = |file: &str| std::fs::read_to_string(tree.workspace.join(file)).ok();
    let mut wrong = Vec::new();
    for manifest in files.iter().filter(|file| Path::new(file).ends_with("Cargo.toml")) {
        let package = manifest.trim_end_matches("Cargo.toml");
        let roots = ["lib.rs", "main.rs"].map(|root| format!("{package}src/{root}"));
        if let Some(root) = roots.into_iter().find(|root| files.contains(root)) {
            wrong.extend(Package::read(&root, &read)?.circles());
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(Held::Yes)
}

/// The modules of a package.
#[derive(Default)]
struct Package {
    modules: BTreeMap<Names, Module>,
}

#[derive(Default)]
struct Module {
    file: String,
    /// What its `use` items bring in, by the name it has here.
    imports: BTreeMap<String, Names>,
    /// Every path in it, as it is written; the first name may be `crate`, `self` or `super`.
    paths: BTreeSet<Names>,
}

impl Package {
    /// Reads a package from its root file on.
    fn read(root: &str, read: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut package = Self::default();
        package.add(root, Names::new(), read)?;
        Ok(package)
    }

    fn add(&mut self, file: &str, name: Names, read: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        let text = read(file).with_context(|| format!("reading {file}: it is not there"))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("reading {file}"))?;
        let (dir, own) = file.rsplit_once('/').unwrap_or(("", file));
        let dir = match own {
            "lib.rs" | "main.rs" | "mod.rs" => dir.to_owned(),
            _ => format!("{dir}/{}", own.trim_end_matches(".rs")),
        };
        let mut visitor = Visitor::default();
        visitor.visit_file(&parsed);
        let Visitor { imports, paths, children } = visitor;
        let imports: Vec<(String, Names)> = imports;
        self.modules.insert(name.clone(), Module { file: file.into(), paths, ..Module::default() });
        for child in &children {
            let places = [format!("{dir}/{child}.rs"), format!("{dir}/{child}/mod.rs")];
            if let Some(place) = places.into_iter().find(|place| read(place).is_some()) {
                self.add(&place, joined(&name, child), read)?;
            }
        }
        let imports = imports.into_iter().filter_map(|(as_name, path)| {
            let children = |first: &str| children.contains(first).then(|| joined(&name, first));
            Some((as_name, absolute(&name, &path, children)?))
        });
        let imports = imports.collect();
        self.modules.entry(name).and_modify(|module| module.imports = imports);
        Ok(())
    }

    /// The modules that a path of a module leads to: the one that has the item, and each that passes it on.
    fn targets(&self, from: &Names, path: &[String]) -> Vec<Names> {
        let in_scope = |first: &str| {
            let child = joined(from, first);
            let import = self.modules[from].imports.get(first).cloned();
            import.or_else(|| self.modules.contains_key(&child).then_some(child))
        };
        let mut targets = Vec::new();
        let mut next = absolute(from, path, in_scope);
        // An import may lead to another; no honest chain is longer.
        for _ in 0..16 {
            let Some(path) = next.take() else { break };
            let depth = (0..=path.len()).rev().find(|depth| self.modules.contains_key(&path[..*depth]));
            let (module, rest) = path.split_at(depth.unwrap_or_default());
            targets.push(module.to_vec());
            if let Some((item, rest)) = rest.split_first() {
                let import = self.modules[module].imports.get(item);
                next = import.map(|import| [import, rest].concat()).filter(|next| *next != path);
            }
        }
        targets
    }

    /// A sentence about each knot of modules, folder by folder.
    fn circles(&self) -> Vec<String> {
        let mut folders: BTreeMap<Names, Graph<'_>> = BTreeMap::new();
        for (from, module) in &self.modules {
            for path in &module.paths {
                for to in self.targets(from, path) {
                    let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
                    if shared < from.len() && shared < to.len() {
                        let graph = folders.entry(from[..shared].to_vec()).or_default();
                        let arrows = graph.entry(&from[shared]).or_default();
                        arrows.entry(to[shared].clone()).or_insert_with(|| {
                            format!("{} -> {} ({})", module.file, self.modules[&to].file, path.join("::"))
                        });
                    }
                }
            }
        }
        let knots = folders.iter().map(|(folder, graph)| circles(&self.modules[folder].file, graph));
        knots.flatten().collect()
    }
}

/// From each child of a folder to those it takes something from, with one tie for each.
type Graph<'a> = BTreeMap<&'a str, BTreeMap<String, String>>;

/// The shortest circle through the first node of each knot.
fn circles(below: &str, graph: &Graph<'_>) -> Vec<String> {
    let mut told: BTreeSet<&str> = BTreeSet::new();
    let mut wrong = Vec::new();
    for start in graph.keys() {
        if told.contains(start) {
            continue;
        }
        let Some(circle) = way(graph, start, start) else { continue };
        let ties = circle.windows(2).map(|arrow| format!("\n  {}", graph[arrow[0]][arrow[1]]));
        wrong.push(format!("below {below}: {}{}", circle.join(" -> "), ties.collect::<String>()));
        told.extend(circle);
    }
    wrong
}

/// The shortest way along the arrows from one node to another, or back to itself; `None` where there is none.
fn way<'g>(graph: &'g Graph<'_>, from: &'g str, to: &str) -> Option<Vec<&'g str>> {
    let mut ways = VecDeque::from([vec![from]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in graph.get(way.last()?).into_iter().flat_map(BTreeMap::keys) {
            let longer = [&way[..], &[next]].concat();
            if next == to {
                return Some(longer);
            }
            if seen.insert(next) {
                ways.push_back(longer);
            }
        }
    }
    None
}

fn joined(module: &[String], name: &str) -> Names {
    [module, &[name.to_owned()]].concat()
}

/// A path from the root of the package on; `None` where it leads to another package, or is a name of the item's own.
/// `in_scope` says what a name stands for in the module.
fn absolute(module: &[String], path: &[String], in_scope: impl Fn(&str) -> Option<Names>) -> Option<Names> {
    let (first, mut rest) = path.split_first()?;
    let mut base = match first.as_str() {
        "crate" => Names::new(),
        "self" => module.to_vec(),
        "super" => module.split_last()?.1.to_vec(),
        name => in_scope(name)?,
    };
    while rest.first().is_some_and(|name| name == "super") {
        base.pop()?;
        rest = &rest[1..];
    }
    base.extend_from_slice(rest);
    Some(base)
}

/// Collects what a file says of other modules.
#[derive(Default)]
struct Visitor {
    imports: Vec<(String, Names)>,
    paths: BTreeSet<Names>,
    children: BTreeSet<String>,
}

impl Visitor {
    /// Every leaf of a `use`: `a::{b, c as d}` brings in `b` and `d`.
    fn import(&mut self, tree: &UseTree, before: &Names) {
        let (path, name) = match tree {
            UseTree::Path(part) => return self.import(&part.tree, &joined(before, &part.ident.to_string())),
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.import(tree, before)),
            UseTree::Glob(_) => (before.clone(), None),
            UseTree::Name(leaf) if leaf.ident == "self" => (before.clone(), before.last().cloned()),
            UseTree::Name(leaf) => (joined(before, &leaf.ident.to_string()), Some(leaf.ident.to_string())),
            UseTree::Rename(leaf) if leaf.ident == "self" => (before.clone(), Some(leaf.rename.to_string())),
            UseTree::Rename(leaf) => (joined(before, &leaf.ident.to_string()), Some(leaf.rename.to_string())),
        };
        self.imports.extend(name.map(|name| (name, path.clone())));
        self.paths.insert(path);
    }

    /// The paths among what a macro is given.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Names::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.paths.insert(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                other => {
                    self.paths.insert(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.paths.insert(path);
    }
}

impl<'ast> Visit<'ast> for Visitor {
    fn visit_item(&mut self, item: &'ast Item) {
        if !attributes(item).iter().any(for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.content.is_none() {
            self.children.insert(item.ident.to_string());
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, &Names::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        self.tokens(called.tokens.clone());
    }
}

fn for_tests(attribute: &Attribute) -> bool {
    let condition = attribute.meta.require_list();
    attribute.path().is_ident("cfg") && condition.is_ok_and(|list| list.tokens.to_string() == "test")
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(files: &[(&str, &str)]) -> Vec<String> {
        let read = |file: &str| {
            files.iter().find(|(name, _)| format!("src/{name}") == file).map(|(_, text)| (*text).to_owned())
        };
        Package::read("src/lib.rs", &read).unwrap().circles()
    }

    fn root(a: &str, b: &str) -> Vec<String> {
        wrong(&[("lib.rs", "mod a; mod b; pub use b::Thing as Other;"), ("a.rs", a), ("b.rs", b)])
    }

    #[test]
    fn one_direction_is_no_circle() {
        assert_eq!(root("use crate::b::Thing;", "pub struct Thing;"), Vec::<String>::new());
    }

    #[test]
    fn a_circle_is_named_with_a_tie_for_each_arrow() {
        let found = root("use crate::b::Thing; pub fn f() {}", "fn g() { crate::a::f() }");
        assert_eq!(
            found,
            [
                "below src/lib.rs: a -> b -> a\n  src/a.rs -> src/b.rs (crate::b::Thing)\n  src/b.rs -> src/a.rs (crate::a::f)"
            ]
        );
    }

    #[test]
    fn every_way_to_say_it_counts() {
        for says in [
            "use super::b;",
            "use super::{b::{self as other, Thing}};",
            "use crate::*; use crate::b::*;",
            "fn f(x: &super::b::Thing) {}",
            "use crate::b as other; fn f() { other::g() }",
            "fn f() { println!(\"{}\", crate::b::g()) }",
            "fn f() { assert!(matches!(1, x if [super::b::g()] == [x])) }",
            "mod inner; ",
            "use crate::Other;",
            "impl crate::b::Thing { fn f() {} }",
        ] {
            let found = wrong(&[
                ("lib.rs", "mod a; mod b; pub use b::Thing as Other;"),
                ("a.rs", says),
                ("a/inner.rs", "fn f() { super::super::b::g() }"),
                ("b.rs", "use crate::a; pub struct Thing; pub fn g() {}"),
            ]);
            assert_eq!(found.len(), 1, "{says}: {found:?}");
        }
    }

    #[test]
    fn what_only_tests_and_other_packages_say_does_not_count() {
        for says in [
            "#[cfg(test)] mod tests { use crate::b::Thing; }",
            "#[cfg(test)] use crate::b::Thing;",
            "use ::b::Thing;",
            "use serde::b; fn f() { serde::b::g() }",
            "/// [`crate::b`]\nfn f(b: u8) -> u8 { b }",
        ] {
            assert_eq!(root(says, "use crate::a;"), Vec::<String>::new(), "{says}");
        }
    }

    #[test]
    fn a_folder_is_one_node_and_its_children_are_looked_at_too() {
        let lib = ("lib.rs", "mod a; mod b;");
        let through_a_folder = [
            lib,
            ("a/mod.rs", "mod one; mod two;"),
            ("a/one.rs", "use crate::b::g;"),
            ("a/two.rs", "pub fn f() {}"),
            ("b.rs", "use crate::a::two::f; pub fn g() {}"),
        ];
        assert!(wrong(&through_a_folder)[0].starts_with("below src/lib.rs: a -> b -> a"));
        let within_one = [
            lib,
            ("a/mod.rs", "mod one; mod two; pub fn shared() {} pub(crate) use one::X;"),
            ("a/one.rs", "use super::{shared, two}; pub struct X;"),
            ("a/two.rs", "use super::X;"),
            ("b.rs", "use crate::a;"),
        ];
        let found = wrong(&within_one);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("below src/a/mod.rs: one -> two -> one"), "{found:?}");
    }

    #[test]
    fn two_knots_are_both_said() {
        let modules = "mod a; mod b; mod c; mod d;";
        let found = wrong(&[
            ("lib.rs", modules),
            ("a.rs", "use crate::b;"),
            ("b.rs", "use crate::{a, c};"),
            ("c.rs", "use crate::d;"),
            ("d.rs", "use crate::c;"),
        ]);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
