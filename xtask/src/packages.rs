//! The programs this machine must have: what is missing is said, and installed from its packages when the operator
//! agrees. Debian and Ubuntu only; elsewhere the missing programs are named.

use crate::verbs::ask;
use anyhow::{Context, Result, ensure};
use host::{Cmd, Host, Local};
use provisioner::NeedsOperator;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

/// Package lists older than this name files that the mirror may no longer have.
const LISTS_LAST: Duration = Duration::from_secs(24 * 60 * 60);
/// Where apt keeps its lists.
const LISTS: &str = "/var/lib/apt/lists";

/// What the operator said to installing packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing yet: ask on a terminal, stop where there is none.
    Ask,
    /// `--yes`.
    Yes,
}

/// What is known of the machine when deciding.
#[derive(Debug, Clone, Copy)]
struct Machine {
    /// Whether its packages are installed by apt.
    apt: bool,
    root: bool,
    terminal: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Nothing,
    Install,
    Ask,
    Stop(String),
}

/// Sees to it that every program of `needed` is there: pairs of a program (or the absolute path of a file, for a
/// package that has none) and the package that carries it. Where a person must act first the error is a
/// [`NeedsOperator`] with the command to run.
pub(crate) fn ensure(needed: &[(&str, &str)], answer: Answer, report: &dyn Fn(&str)) -> Result<()> {
    let missing = missing(needed);
    let machine = Machine {
        apt: is_debian_like(&std::fs::read_to_string("/etc/os-release").unwrap_or_default())
            && host::find_program("apt-get").is_ok(),
        root: rustix::process::geteuid().is_root(),
        terminal: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
    };
    match decide(&missing, answer, machine) {
        Decision::Nothing => return Ok(()),
        Decision::Stop(why) => return Err(NeedsOperator(why).into()),
        Decision::Ask if !agreed(&missing)? => return Err(NeedsOperator(by_hand(&missing, true)).into()),
        Decision::Ask | Decision::Install => {}
    }
    let packages = packages(&missing);
    let doing = || format!("installing {}", packages.join(" "));
    report(&doing());
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

fn decide(missing: &[(&str, &str)], answer: Answer, machine: Machine) -> Decision {
    if missing.is_empty() {
        return Decision::Nothing;
    }
    if !machine.apt {
        return Decision::Stop(format!(
            "{} is missing, and this is neither Debian nor Ubuntu; install what carries it (there: {})",
            programs(missing),
            packages(missing).join(" ")
        ));
    }
    match answer {
        Answer::Yes if machine.root => Decision::Install,
        Answer::Ask if machine.root && machine.terminal => Decision::Ask,
        _ => Decision::Stop(by_hand(missing, machine.root)),
    }
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

fn agreed(missing: &[(&str, &str)]) -> Result<bool> {
    host::say::err(format_args!("This machine lacks {}.", programs(missing)));
    let answer = ask(&format!("Install the packages {}? [y/N]", packages(missing).join(" ")))?;
    Ok(answer.is_some_and(|answer| matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")))
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
    const SERVER: Machine = Machine { apt: true, root: true, terminal: false };

    #[test]
    fn nothing_missing_needs_nothing_wherever() {
        let alien = Machine { apt: false, root: false, terminal: false };
        assert_eq!(decide(&[], Answer::Ask, alien), Decision::Nothing);
    }

    #[test]
    fn yes_installs_and_a_terminal_is_asked() {
        assert_eq!(decide(&MISSING, Answer::Yes, SERVER), Decision::Install);
        assert_eq!(decide(&MISSING, Answer::Ask, Machine { terminal: true, ..SERVER }), Decision::Ask);
    }

    #[test]
    fn without_an_answer_it_stops_and_prints_the_command() {
        let Decision::Stop(why) = decide(&MISSING, Answer::Ask, SERVER) else { panic!("it went on") };
        let command = "\n    apt-get install --no-install-recommends qemu-efi-aarch64 qemu-system-arm";
        assert!(why.ends_with(command) && why.contains("--yes"), "{why}");
    }

    #[test]
    fn who_is_not_root_is_given_the_command_with_sudo() {
        let user = Machine { root: false, terminal: true, ..SERVER };
        for answer in [Answer::Ask, Answer::Yes] {
            let Decision::Stop(why) = decide(&MISSING, answer, user) else { panic!("{answer:?} went on") };
            assert!(why.contains("    sudo apt-get install"), "{why}");
        }
    }

    #[test]
    fn another_system_is_told_the_programs() {
        let fedora = Machine { apt: false, ..SERVER };
        let Decision::Stop(why) = decide(&MISSING, Answer::Yes, fedora) else { panic!("it went on") };
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
