//! What a recipe makes on this machine: downloads that are pinned by their hash, a script, Go modules.
//!
//! A download goes through its registry's own client, with the caller's settings of it; what comes is compared with the
//! recipe's hash before anything reads it. The script has a clean environment: besides `PATH` and `HOME` it knows
//! `DOWNLOADS` (a directory with what was downloaded, by name), `OUT` (where the image's files go), `ARCH` and
//! `HOST_ARCH` (`amd64`, `arm64`). It runs before Go does, in the same copy of the recipe's folder, so that it can put there
//! what a module is compiled from.

use crate::cache::{self, Entry};
use crate::recipe::{Build, Download, Recipe, Source};
use crate::report::timed;
use crate::{Arch, Error, Report, Result, files, go};
use host::{Cmd, Host as _, Local};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A slow registry's largest file; and what a script installs from one.
const FETCH: Duration = Duration::from_secs(30 * 60);
/// The plugin of Maven's that copies an artifact without a project.
const MAVEN_COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";

/// The tree that a recipe's script and Go modules make, to be laid over its packages; from the cache or made.
///
/// # Errors
/// A program is missing, a registry cannot be reached, or what came from one is not what the recipe pins.
pub fn made(cache: &Path, recipe: &Recipe, arch: Arch, report: &dyn Report) -> Result<PathBuf> {
    let key = cache::key(&recipe.made_inputs(arch));
    let cache = &cache::open(cache)?;
    let name = format!("{}-made-{}", recipe.name, recipe.made_for(arch));
    let entry = Entry { cache, name: &name, key: &key, needs: recipe.space() };
    if !entry.is_built() {
        check_host(recipe)?;
    }
    // Before the tree itself: two entries of the cache are never filled at once.
    let downloads = if entry.is_built() { Vec::new() } else { fetch_all(cache, recipe, report)? };
    let (dir, _) = entry.get(report, |dir| {
        timed(report, &format!("making {}", recipe.name), || make(dir, recipe, &downloads, arch))
    })?;
    Ok(dir.join("root"))
}

/// Fails where this machine lacks a program that making a recipe's image runs.
pub fn check_host(recipe: &Recipe) -> Result<()> {
    if recipe.says.go.is_some() {
        go::compiler(recipe)?;
    }
    let lacks = |(program, _): &(&str, &str)| host::find_program(program).is_err();
    let Some((program, package)) = recipe.host_packages().into_iter().find(lacks) else { return Ok(()) };
    Err(Error::Refused {
        doing: format!("making the container image {}", recipe.name),
        why: format!("this machine has no {program}"),
        help: format!(
            "install the Debian package {package}, or take the published images: `[images] from = \"pins\"`"
        ),
    })
}

/// The downloads, each by its name and where it lies in the cache.
fn fetch_all(cache: &Path, recipe: &Recipe, report: &dyn Report) -> Result<Vec<(String, PathBuf)>> {
    let mut fetched = Vec::new();
    for (name, download) in &recipe.says.downloads {
        let (name, key) = (name.as_str(), download.sha256.as_str());
        let entry = Entry { cache, name, key, needs: 512 };
        let doing = format!("downloading {name}");
        let (dir, _) = entry.get(report, |dir| timed(report, &doing, || fetch(&dir.join(name), download)))?;
        fetched.push((name.to_owned(), dir.join(name)));
    }
    Ok(fetched)
}

fn fetch(file: &Path, download: &Download) -> Result<()> {
    let into = file.with_extension("client");
    files::make_dir(&into)?;
    let (client, _) = download.from.client();
    let cmd = match &download.from {
        Source::Maven(artifact) => Cmd::new(client)
            .args(["--batch-mode", "--quiet", MAVEN_COPY])
            .arg(format!("-Dartifact={}", artifact.as_str()))
            .arg(format!("-DoutputDirectory={}", into.display())),
        Source::Npm(package) => {
            Cmd::new(client).args(["pack", "--silent", package.as_str(), "--pack-destination"]).path(&into)
        }
    };
    Local.run(&cmd.proxies_from_parent().env_from_parent("HOME").current_dir(&into).timeout(FETCH))?;
    take(&into, file, download)
}

/// Takes the one file that a client put into a directory, if it is the one that is pinned.
fn take(from: &Path, file: &Path, download: &Download) -> Result<()> {
    let refused = |why: String| Error::Refused {
        doing: format!("downloading {}", download.from.what()),
        why,
        help: "compare the recipe's version and hash with what the registry publishes".into(),
    };
    let came = files::sorted(from)?;
    let [one] = came.as_slice() else { return Err(refused(format!("{} files came", came.len()))) };
    let (sha256, pinned) = (files::sha256(one)?, download.sha256.as_str());
    if sha256 != pinned {
        return Err(refused(format!("its SHA-256 is {sha256}, and the recipe pins {pinned}")));
    }
    std::fs::rename(one, file).map_err(Error::io("renaming", one))?;
    files::remove(from)
}

fn make(dir: &Path, recipe: &Recipe, downloads: &[(String, PathBuf)], arch: Arch) -> Result<()> {
    let [root, work] = ["root", "work"].map(|name| dir.join(name));
    let [source, given] = ["source", "downloads"].map(|name| work.join(name));
    [&root, &source, &given].into_iter().try_for_each(|dir| files::make_dir(dir))?;
    for (name, bytes) in &recipe.beside {
        files::write(&source.join(name), bytes, 0o644)?;
    }
    for (name, file) in downloads {
        files::link(&given.join(name), &file.display().to_string())?;
    }
    if let Some(build) = &recipe.says.build {
        run(recipe, build, arch, &Places { source: &source, given: &given, root: &root })?;
    }
    if let Some(go) = &recipe.says.go {
        let out = root.join(&go.directory);
        files::make_dir(&out)?;
        go::compile(recipe, go, arch, &source, &out)?;
    }
    files::remove(&work)
}

struct Places<'a> {
    source: &'a Path,
    given: &'a Path,
    root: &'a Path,
}

fn run(recipe: &Recipe, build: &Build, arch: Arch, places: &Places<'_>) -> Result<()> {
    let mut path = vec!["/usr/sbin".to_owned(), "/usr/bin".into(), "/sbin".into(), "/bin".into()];
    let go = recipe.says.go.as_ref().map(|_| go::compiler(recipe)).transpose()?;
    let named = build.programs.keys().map(host::find_program).collect::<std::result::Result<Vec<_>, _>>()?;
    for program in go.iter().chain(&named) {
        path.extend(program.parent().map(|dir| dir.display().to_string()));
    }
    let cmd =
        Cmd::new("sh").args(["-eu", "-c", "umask 022; . \"$0\""]).arg(format!("./{}", build.script.as_str()));
    let cmd = go::environment(cmd)
        .env("PATH", path.join(":"))
        .env("ARCH", arch.name())
        .env("HOST_ARCH", Arch::of_this_machine()?.name())
        .env("DOWNLOADS", places.given)
        .env("OUT", places.root)
        .current_dir(places.source)
        .timeout(FETCH);
    Local.run(&cmd.with_children().shown_as(format!("{}'s {}", recipe.name, build.script.as_str())))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::tests::reading;
    use crate::{Silent, build};

    const RUN: &str = "[run]\nuser = \"1:2\"\n";

    fn recipe(script: &str) -> Recipe {
        reading(&format!("[build]\nscript = \"b.sh\"\n{RUN}"), &[("b.sh", script), ("deep/beside", "1")])
            .unwrap()
    }

    #[test]
    fn a_script_works_in_a_copy_and_a_clean_environment() {
        let dir = tempfile::tempdir().unwrap();
        let script = "mkdir $OUT/etc\nmv deep/beside $OUT/etc/file\necho $ARCH > $OUT/arch\nenv | sed 's/=.*//' > $OUT/env\n";
        let root = made(dir.path(), &recipe(script), Arch::Arm64, &Silent).unwrap();
        assert_eq!(files::read_text(&root.join("etc/file")).unwrap(), "1");
        assert_eq!(files::read_text(&root.join("arch")).unwrap(), "arm64\n");
        let variables = files::read_text(&root.join("env")).unwrap();
        assert!(variables.contains("DOWNLOADS\n") && !variables.contains("CARGO"), "{variables}");
        assert!(!root.with_file_name("work").exists());
    }

    #[test]
    fn a_script_that_fails_is_named_with_its_last_words_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let recipe = recipe("echo first >&2\ncat nothing-there\necho after > $OUT/x\n");
        let error = made(dir.path(), &recipe, Arch::Arm64, &Silent).unwrap_err().to_string();
        assert!(error.contains("small's b.sh") && error.contains("nothing-there"), "{error}");
        assert_eq!(files::sorted(&dir.path().join("images")).unwrap(), [dir.path().join("images/lock")]);
    }

    #[test]
    fn what_comes_from_a_registry_is_what_is_pinned_or_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (client, file) = (dir.path().join("client"), dir.path().join("x.tgz"));
        // The SHA-256 of "abc".
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let text = format!(
            "[build]\nscript = \"b.sh\"\n[downloads]\n\"x.tgz\" = {{ npm = \"x@1\", sha256 = \"{sum}\" }}\n{RUN}"
        );
        let recipe = reading(&text, &[("b.sh", "")]).unwrap();
        let download = recipe.says.downloads.values().next().unwrap();
        files::write(&client.join("other.tgz"), "abd", 0o644).unwrap();
        let error = take(&client, &file, download).unwrap_err().to_string();
        assert!(error.contains("downloading x@1") && error.contains(sum) && !file.exists(), "{error}");
        files::write(&client.join("other.tgz"), "abc", 0o644).unwrap();
        take(&client, &file, download).unwrap();
        assert!(file.exists() && !client.exists());
    }

    #[test]
    fn an_image_is_the_same_bytes_wherever_it_is_made_and_made_once() {
        let script = "umask 077\nmkdir $OUT/bin\nprintf '#!x' > $OUT/bin/run\nchmod 0700 $OUT/bin/run\nln -s run $OUT/bin/also\n";
        let digest = |script: &str| {
            let dir = tempfile::tempdir().unwrap();
            let image = || build::container_image(dir.path(), &recipe(script), Arch::Arm64, &Silent).unwrap();
            let (first, again) = (image(), image());
            assert!(!first.cached && again.cached && first.digest == again.digest);
            first.digest
        };
        assert_eq!(digest(script), digest(&script.replace("077", "022")));
        assert_ne!(digest(script), digest(&script.replace("#!x", "#!y")));
    }
}
