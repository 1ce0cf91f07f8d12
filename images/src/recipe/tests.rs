use super::*;
use std::collections::BTreeSet;

/// A recipe of the catalogue.
pub(crate) fn ours(name: &str) -> Recipe {
    list(&[&catalogue()]).unwrap().into_iter().find(|recipe| recipe.name == name).unwrap()
}

fn catalogue() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../firstboot/stacks/catalogue")
}

const SMALL: &str = "[run]\nuser = \"1:2\"\n";

/// A folder `small` with a recipe, and what reading it gives.
pub(crate) fn reading(recipe: &str, beside: &[(&str, &str)]) -> Result<Recipe> {
    let dir = tempfile::tempdir().unwrap();
    lay(&dir.path().join("small"), recipe, beside);
    read(&dir.path().join("small"))
}

fn lay(folder: &Path, recipe: &str, beside: &[(&str, &str)]) {
    for (name, text) in beside.iter().chain(&[(RECIPE, recipe)]) {
        files::write(&folder.join(name), text, 0o644).unwrap();
    }
}

#[test]
fn every_recipe_of_the_catalogue_can_be_read() {
    let recipes = list(&[&catalogue()]).unwrap();
    let folders = folders(&[&catalogue()]).unwrap();
    assert_eq!(recipes.len(), folders.len());
    assert!(recipes.len() >= 3);
    for folder in files::sorted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/images")).unwrap() {
        read(&folder).unwrap();
    }
}

/// A file that nothing uses would be believed to be part of an image.
#[test]
fn every_file_beside_a_recipe_without_a_script_or_a_module_is_named_by_it() {
    for recipe in list(&[&catalogue()]).unwrap().into_iter().filter(|recipe| !recipe.makes()) {
        let from = recipe.says.file.iter().filter_map(|file| match &file.content {
            Content::From(name) => Some(name.as_str()),
            Content::Text(_) => None,
        });
        let named: BTreeSet<_> = from.collect();
        let there: BTreeSet<_> = recipe.beside.keys().map(String::as_str).collect();
        assert_eq!(named, there, "{}", recipe.name);
    }
}

#[test]
fn the_smallest_recipe_is_whom_it_runs_as() {
    let recipe = reading(SMALL, &[]).unwrap();
    assert_eq!((recipe.name.as_str(), recipe.says.run.user.gid), ("small", 2));
    assert_eq!(recipe.says.run.stop_signal, "SIGTERM");
    assert!(!recipe.makes() && recipe.host_packages().is_empty());
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_line() {
    let sum = "0".repeat(64);
    let unused = |client: &str| format!("[downloads]\nx = {{ {client}, sha256 = \"{sum}\" }}\n");
    let download = |client: &str| format!("[build]\nscript = \"b.sh\"\n{}", unused(client));
    let cases: &[(&str, &str, &str)] = &[
        ("packages = [", ":", "array"),
        ("packages = [\"a\"]\nrubbish = 1\n", ":2", "unknown field `rubbish`"),
        ("\npackages = [\"ok\", \"-oDir=/\"]\n", ":2", "no name of a Debian package"),
        ("applets = [\"ls\"]\n", ":1", "applets are programs of busybox-static"),
        (
            "[[file]]\npath = \"/etc/x\"\nmode = \"0644\"\ntext = \"\"\n",
            ":2",
            "'/etc/x' is no path from within",
        ),
        ("[[file]]\npath = \"a/../../x\"\nmode = \"0644\"\ntext = \"\"\n", ":2", "is no path from within"),
        ("[[file]]\npath = \"x\"\nmode = \"abc\"\ntext = \"\"\n", ":3", "'abc' is no mode in octal"),
        ("[[file]]\npath = \"x\"\nmode = \"0644\"\n", ":1", "say one of text and from"),
        ("[[file]]\npath = \"x\"\nmode = \"0644\"\nfrom = \"no.sh\"\n", ":4", "no file no.sh beside it"),
        ("[[file]]\npath = \"x\"\nmode = \"0644\"\nfrom = \"../no.sh\"\n", ":4", "is no path from within"),
        ("[[file]]\npath = \"x\"\nmode = \"0644\"\ntexts = \"\"\n", ":4", "unknown field `texts`"),
        ("[build]\nscript = \"gone.sh\"\n", ":2", "no file gone.sh beside it"),
        ("[downloads]\nx = { npm = \"a@1\", sha256 = \"12\" }\n", ":2", "'12' is no SHA-256"),
        (&download("npm = \"--global\""), ":4", "'--global' is neither a path nor a name"),
        (&download("npm = \"a@1\", maven = \"g:a:1:zip\""), ":4", "say one of maven and npm"),
        (&unused("npm = \"a@1\""), ":2", "there is no [build]"),
        (
            "[go]\ncommands = [\"x\"]\ndirectory = \"bin\"\n[build]\nscript = \"b.sh\"\nany-arch = true\n",
            ":6",
            "made for one architecture",
        ),
        ("[go]\ncommands = [\"-x\"]\ndirectory = \"bin\"\n", ":2", "'-x' is neither a path nor a name"),
        ("[go]\ncommands = [\"x.test/y\"]\ndirectory = \"bin\"\n", ":2", "there is no go.mod beside"),
    ];
    for (text, line, why) in cases {
        let error = reading(&format!("{text}{SMALL}"), &[("b.sh", "")]).unwrap_err().to_string();
        assert!(
            error.contains(why) && error.contains(&format!("small/recipe.toml{line}")),
            "{text}\n{error}"
        );
    }
    let bare = reading("[run]\nuser = \"root\"\n", &[]).unwrap_err().to_string();
    assert!(bare.contains(":2") && bare.contains("'root' is no user and group in numbers"), "{bare}");
    let env = reading("[run]\nuser = \"1:1\"\nenv = [\"A\"]\n", &[]).unwrap_err().to_string();
    assert!(env.contains(":3") && env.contains("'A' is not NAME=value"), "{env}");
}

#[test]
fn a_stamp_says_a_version_that_is_pinned_or_the_recipe_is_refused() {
    let recipe = "[go]\nmodule = \"x.test/y\"\ncommands = [\"x.test/y\"]\ndirectory = \"bin\"\nstamps = [\"main.v\"]\n";
    let with = |go_mod: &str| reading(&format!("{recipe}{SMALL}"), &[("go.mod", go_mod), ("go.sum", "")]);
    let read = with("module m\n\nrequire x.test/y v1.2.3 // indirect\n").unwrap();
    let go = read.says.go.as_ref().unwrap();
    assert_eq!(go.linker_flags(&read.beside), "-s -w -buildid= -X main.v=1.2.3");
    let error = with("module m\n\nrequire x.test/yy v1.2.3\n").unwrap_err().to_string();
    assert!(error.contains(":2") && error.contains("does not require it"), "{error}");
}

#[test]
fn a_folder_without_a_recipe_and_a_link_in_one_are_named() {
    let dir = tempfile::tempdir().unwrap();
    assert!(read(dir.path()).unwrap_err().to_string().contains("recipe.toml"));
    lay(dir.path(), SMALL, &[]);
    std::os::unix::fs::symlink("/etc/shadow", dir.path().join("link")).unwrap();
    let error = read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("link") && error.contains("holds files"), "{error}");
}

#[test]
fn two_recipes_of_one_name_are_refused_wherever_they_lie() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|catalogue| dir.path().join(catalogue));
    lay(&one.join("a/images/db"), SMALL, &[]);
    lay(&two.join("b/images/other"), SMALL, &[]);
    let names: Vec<_> =
        list(&[&one, &two, &dir.path().join("none")]).unwrap().into_iter().map(|r| r.name).collect();
    assert_eq!(names, ["db", "other"]);
    lay(&two.join("b/images/db"), SMALL, &[]);
    let error = list(&[&one, &two]).unwrap_err().to_string();
    assert!(error.contains("a/images/db") && error.contains("b/images/db"), "{error}");
}

#[test]
fn what_is_built_depends_on_every_file_and_on_the_architecture() {
    let text = format!("[build]\nscript = \"b.sh\"\n{SMALL}");
    let key = |text: &str, beside: &[(&str, &str)], arch| {
        let recipe = reading(text, beside).unwrap();
        (crate::cache::key(&recipe.inputs(arch)), crate::cache::key(&recipe.made_inputs(arch)))
    };
    let first = key(&text, &[("b.sh", ""), ("deep/x", "1")], Arch::Arm64);
    assert_eq!(first, key(&format!("# A word.\n{text}"), &[("b.sh", ""), ("deep/x", "1")], Arch::Arm64));
    for other in [
        key(&text, &[("b.sh", ""), ("deep/x", "2")], Arch::Arm64),
        key(&text, &[("b.sh", ""), ("deep/y", "1")], Arch::Arm64),
        key(&text, &[("b.sh", " "), ("deep/x", "1")], Arch::Arm64),
        key(&text, &[("b.sh", ""), ("deep/x", "1")], Arch::Amd64),
    ] {
        assert!(other.0 != first.0 && other.1 != first.1);
    }
    // How it is started is the image's, and nothing is made again for it.
    let started = key(&text.replace("1:2", "1:3"), &[("b.sh", ""), ("deep/x", "1")], Arch::Arm64);
    assert!(started.0 != first.0 && started.1 == first.1);
    let any = text.replace("\n[run]", "\nany-arch = true\n[run]");
    let beside = [("b.sh", "")];
    assert_eq!(key(&any, &beside, Arch::Arm64).1, key(&any, &beside, Arch::Amd64).1);
}

#[test]
fn a_program_that_is_missing_is_named_with_its_package() {
    let text =
        format!("[build]\nscript = \"b.sh\"\nprograms = {{ no-such-program = \"its-package\" }}\n{SMALL}");
    let recipe = reading(&text, &[("b.sh", "")]).unwrap();
    assert_eq!(recipe.host_packages(), [("no-such-program", "its-package")]);
    let error = crate::check_host(&recipe).unwrap_err().to_string();
    assert!(
        error.contains("this machine has no no-such-program") && error.contains("its-package"),
        "{error}"
    );
}
