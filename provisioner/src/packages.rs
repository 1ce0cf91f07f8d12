//! The programs this machine must have: what is missing is said, and installed from its packages when the operator
//! agrees. Debian and Ubuntu only; elsewhere the missing programs are named.

use crate::errors::NeedsOperator;
use crate::report::Report;
use anyhow::{Context, Result, ensure};
use host::{Cmd, Host, Local};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// Package lists older than this name files that the mirror may no longer have.
const LISTS_LAST: Duration = Duration::from_secs(24 * 60 * 60);
/// Where apt keeps its lists.
const LISTS: &str = "/var/lib/apt/lists";

/// What the operator says to installing packages.
#[derive(Clone, Copy)]
pub enum Answer<'a> {
    /// It is asked for; nobody there to answer is a no.
    Ask(&'a dyn Fn(&str) -> Result<bool>),
    /// `--yes`.
    Yes,
}

/// What is known of the machine when deciding.
#[derive(Debug, Clone, Copy)]
struct Machine {
    /// Whether its packages are installed by apt.
    apt: bool,
    root: bool,
}

/// Sees to it that every program of `needed` is there: pairs of a program (or the absolute path of a file, for a
/// package that has none) and the package that carries it. Where a person must act first the error is a
/// [`NeedsOperator`] with the command to run.
pub fn ensure(needed: &[(&str, &str)], answer: Answer<'_>, report: &dyn Report) -> Result<()> {
    let missing = missing(needed);
    if missing.is_empty() {
        return Ok(());
    }
    let machine = Machine {
        apt: is_debian_like(&std::fs::read_to_string("/etc/os-release").unwrap_or_default())
            && host::find_program("apt-get").is_ok(),
        root: rustix::process::geteuid().is_root(),
    };
    agree(&missing, answer, machine)?;
    let packages = packages(&missing);
    let doing = || format!("installing {}", packages.join(" "));
    report.note(&doing());
    install(&Local, &packages, lists_are_fresh(Path::new(LISTS))).with_context(doing)?;
    let still = self::missing(needed);
    ensure!(still.is_empty(), "{}: apt succeeded, but {} is still missing", doing(), programs(&still));
    Ok(())
}

fn missing<'a>(needed: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let is_there = |probe: &str| {
        if probe.starts_with('/') { Path::new(probe).exists() } else { host::find_program(probe).is_ok() }
    };
    needed.iter().copied().filter(|(probe, _)| !is_there(probe)).collect()
}

/// Whether they may be installed.
fn agree(missing: &[(&str, &str)], answer: Answer<'_>, machine: Machine) -> Result<()> {
    if !machine.apt {
        return Err(NeedsOperator(format!(
            "{} is missing, and this is neither Debian nor Ubuntu; install what carries it (there: {})",
            programs(missing),
            packages(missing).join(" ")
        ))
        .into());
    }
    let packages = packages(missing).join(" ");
    let agreed = match answer {
        _ if !machine.root => false,
        Answer::Yes => true,
        Answer::Ask(ask) => {
            ask(&format!("This machine lacks {}. Install the packages {packages}?", programs(missing)))?
        }
    };
    if agreed { Ok(()) } else { Err(NeedsOperator(by_hand(missing, machine.root)).into()) }
}

fn by_hand(missing: &[(&str, &str)], root: bool) -> String {
    let sudo = if root { "" } else { "sudo " };
    let or = if root { " (or give --yes)" } else { "" };
    format!(
        "{} is missing; install it with{or}:\n    {sudo}apt-get install --no-install-recommends {}",
        programs(missing),
        packages(missing).join(" ")
    )
}

fn programs(missing: &[(&str, &str)]) -> String {
    missing.iter().map(|(program, _)| *program).collect::<Vec<_>>().join(", ")
}

/// The packages, each once.
fn packages<'a>(missing: &[(&str, &'a str)]) -> Vec<&'a str> {
    let unique: BTreeSet<&str> = missing.iter().map(|(_, package)| *package).collect();
    unique.into_iter().collect()
}

/// Installs with lists that are fresh enough, and once more with new ones where the mirror has moved on.
fn install(host: &dyn Host, packages: &[&str], fresh: bool) -> Result<()> {
    if !fresh {
        host.run(&apt(&["update", "-qq"]))?;
    }
    let mut args = vec!["install", "--yes", "-qq", "--no-install-recommends"];
    args.extend(packages);
    let first = host.run(&apt(&args));
    if first.is_err() && fresh {
        host.run(&apt(&["update", "-qq"]))?;
        host.run(&apt(&args))?;
        return Ok(());
    }
    first?;
    Ok(())
}

fn apt(args: &[&str]) -> Cmd {
    // Another apt at work (a machine's daily upgrade) is waited for.
    let cmd = Cmd::new("apt-get").args(["-o", "DPkg::Lock::Timeout=300"]).args(args.iter().copied());
    cmd.env("DEBIAN_FRONTEND", "noninteractive").proxies_from_parent()
}

/// Whether there are lists, fetched lately. The files carry the mirror's dates; the folder that apt fetches into
/// carries ours.
fn lists_are_fresh(lists: &Path) -> bool {
    let fetched = lists.join("partial").metadata().and_then(|m| m.modified()).ok();
    let age = fetched.and_then(|time| time.elapsed().ok());
    let mut names = std::fs::read_dir(lists).into_iter().flatten().flatten().map(|e| e.file_name());
    age.is_some_and(|age| age < LISTS_LAST) && names.any(|name| name.to_string_lossy().contains("_Packages"))
}

fn is_debian_like(os_release: &str) -> bool {
    let values = os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split_whitespace());
    values.into_iter().any(|id| id == "debian" || id == "ubuntu")
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::Fake;

    const MISSING: [(&str, &str); 3] = [
        ("qemu-system-aarch64", "qemu-system-arm"),
        ("/usr/share/fw.fd", "qemu-efi-aarch64"),
        ("qemu-img", "qemu-system-arm"),
    ];
    const SERVER: Machine = Machine { apt: true, root: true };

    fn refused(answer: Answer<'_>, machine: Machine) -> String {
        let error = agree(&MISSING, answer, machine).unwrap_err();
        assert!(error.is::<NeedsOperator>(), "{error}");
        error.to_string()
    }

    #[test]
    fn what_is_agreed_to_is_installed() {
        agree(&MISSING, Answer::Yes, SERVER).unwrap();
        let answered = |question: &str| {
            assert!(question.contains("qemu-efi-aarch64 qemu-system-arm"), "{question}");
            Ok(true)
        };
        agree(&MISSING, Answer::Ask(&answered), SERVER).unwrap();
    }

    #[test]
    fn without_an_answer_it_stops_and_prints_the_command() {
        let command = "\n    apt-get install --no-install-recommends qemu-efi-aarch64 qemu-system-arm";
        let why = refused(Answer::Ask(&|_| Ok(false)), SERVER);
        assert!(why.ends_with(command) && why.contains("--yes"), "{why}");
    }

    #[test]
    fn who_is_not_root_is_given_the_command_with_sudo() {
        for answer in [Answer::Ask(&|_| Ok(true)), Answer::Yes] {
            let why = refused(answer, Machine { root: false, ..SERVER });
            assert!(why.contains("    sudo apt-get install"), "{why}");
        }
    }

    #[test]
    fn another_system_is_told_the_programs() {
        let why = refused(Answer::Yes, Machine { apt: false, ..SERVER });
        assert!(why.contains("qemu-system-aarch64") && !why.contains("apt-get"), "{why}");
        assert!(
            is_debian_like("NAME=x\nID=debian\n") && is_debian_like("ID=mint\nID_LIKE=\"ubuntu debian\"\n")
        );
        assert!(!is_debian_like("ID=fedora\nHOME_URL=https://debian\n"));
    }

    #[test]
    fn a_file_is_a_probe_too() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().to_str().unwrap();
        let needed = [("sh", "dash"), (there, "a"), ("/no/such/file", "b"), ("no-such-program", "c")];
        assert_eq!(missing(&needed), [("/no/such/file", "b"), ("no-such-program", "c")]);
    }

    #[test]
    fn a_mirror_that_has_moved_on_is_asked_again_once() {
        let host = Fake::new();
        host.answer("apt-get -o DPkg::Lock::Timeout=300 install", 100, "");
        assert!(install(&host, &["dash"], true).is_err());
        let verbs: Vec<_> =
            host.transcript().iter().map(|line| line.split(' ').nth(3).unwrap().to_owned()).collect();
        assert_eq!(verbs, ["install", "update", "install"]);
    }

    #[test]
    fn lists_are_fetched_when_missing_or_old() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!lists_are_fresh(dir.path()));
        std::fs::create_dir(dir.path().join("partial")).unwrap();
        assert!(!lists_are_fresh(dir.path()));
        std::fs::write(dir.path().join("mirror_main_binary-amd64_Packages.lz4"), "").unwrap();
        assert!(lists_are_fresh(dir.path()));
        let old = std::time::SystemTime::now() - LISTS_LAST - Duration::from_secs(1);
        std::fs::File::open(dir.path().join("partial")).unwrap().set_modified(old).unwrap();
        assert!(!lists_are_fresh(dir.path()));
    }
}
