use super::*;
use crate::flow::boot::Ended;
use crate::steps::identity;
use crate::system::managed;
use crate::testing::Fake;
use spec::RebootWindow;
use stacks::release::RELEASES;
use std::path::Path;

/// A folder with a file for each release: everything that is written on it.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hardening/golden");

fn rendered(release: &Release, spec: &spec::NodeSpec) -> String {
    let sshd = ("/etc/ssh/sshd_config.d/20-sovereign-hardening.conf", 0o644, sshd::config(release));
    let files = table::files(release, spec).into_iter().map(|file| (file.path, file.mode, file.text));
    let files: String =
        files.chain([sshd]).map(|(path, mode, text)| format!("=== {path} {mode:04o}\n{text}")).collect();
    let masked = table::NEEDLESS.iter().chain(release.needless).copied().collect::<Vec<_>>().join(" ");
    format!("{files}=== masked\n{masked}\n")
}

#[test]
fn what_each_release_gets_is_what_is_on_file() {
    let spec = Fake::new().spec();
    for release in &RELEASES {
        let path = format!("{GOLDEN}/{}.txt", release.name());
        let text = rendered(release, &spec);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            host::files::write(Path::new(&path), text.as_bytes(), 0o644).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            golden == text,
            "{path} differs; look at it, then run the test with UPDATE_GOLDEN=1:\n{text}"
        );
    }
}

#[test]
fn the_document_has_every_release_as_the_table_has_it() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/hardening.md");
    let document = std::fs::read_to_string(document).unwrap();
    for release in &RELEASES {
        let instead: Vec<String> = release
            .instead
            .iter()
            .map(|(package, others)| match others {
                [] => format!("no `{package}`"),
                others => format!("`{}` for `{package}`", others.join("`, `")),
            })
            .collect();
        let compose = release.compose.map(|(_, newer)| format!("`docker-compose` of {newer}"));
        let instead: Vec<String> = instead.into_iter().chain(compose).collect();
        let or_none = |text: String| if text.is_empty() { "–".to_owned() } else { text };
        let needless: Vec<String> = release.needless.iter().map(|unit| format!("`{unit}`")).collect();
        let row = format!(
            "| `{}` | {} | `{}` | {} | `{}` | {} |",
            release.name(),
            release.openssh,
            release.key_exchanges[0],
            or_none(instead.join(", ")),
            release.security,
            or_none(needless.join(", ")),
        );
        assert!(document.contains(&row), "docs/hardening.md lacks the row\n{row}");
    }
    for file in table::files(&RELEASES[0], &Fake::new().spec()) {
        assert!(
            document.contains(&format!("`{}`", file.path)),
            "docs/hardening.md does not speak of {}",
            file.path
        );
    }
}

#[test]
fn a_reboot_comes_only_when_it_was_asked_for_and_then() {
    let mut spec = Fake::new().spec();
    let upgrades = |spec: &spec::NodeSpec| {
        let files = table::files(&RELEASES[1], spec);
        files.into_iter().find(|f| f.path.ends_with("52sovereign-upgrades")).unwrap().text
    };
    assert!(upgrades(&spec).contains("Automatic-Reboot \"false\";"));
    assert!(!upgrades(&spec).contains("Reboot-Time"));
    spec.reboot = Some(RebootWindow { hour: 3, minute: 5 });
    assert!(upgrades(&spec).contains("Automatic-Reboot \"true\";"));
    assert!(upgrades(&spec).contains("Automatic-Reboot-Time \"03:05\";"));
}

fn failed(fake: &Fake) -> String {
    match fake.run().unwrap() {
        Ended::Failed(e) => format!("{e:#}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unknown_release_and_a_kernel_without_apparmor_are_refused_before_anything() {
    let fake = Fake::new();
    fake.put("/etc/os-release", b"PRETTY_NAME=\"Debian GNU/Linux 11\"\nID=debian\nVERSION_ID=\"11\"\n");
    let said = failed(&fake);
    assert!(
        said.contains("Debian GNU/Linux 11") && said.contains("debian-12, debian-13, ubuntu-22.04"),
        "{said}"
    );
    assert!(fake.state.borrow().formats == 0);
    let fake = Fake::new();
    fake.put("/sys/module/apparmor/parameters/enabled", b"N\n");
    assert!(failed(&fake).contains("AppArmor"));
}

fn done(fake: &Fake) {
    assert!(matches!(fake.run().unwrap(), Ended::Done));
}

fn told(fake: &Fake, from: usize) -> Vec<String> {
    let state = fake.state.borrow();
    let lines = state.lines[from..].iter();
    lines.filter(|line| line.contains("restart") || line.contains("auditctl")).cloned().collect()
}

#[test]
fn who_reads_a_file_is_told_once_and_again_after_a_run_that_was_cut_off() {
    let fake = Fake::new();
    done(&fake);
    let lines = fake.state.borrow().lines.len();
    let cx = Cx::begin(&fake).unwrap();
    cx.remove(Path::new("/etc/chrony/chrony.conf")).unwrap();
    let release = release(&cx).unwrap();
    let files = table::files(release, &cx.spec);
    write_and_reload(&cx, &files).unwrap();
    let chrony = |told: &[String]| told.iter().filter(|line| line.contains("chrony.service")).count();
    let first = told(&fake, lines);
    assert_eq!((first.len(), chrony(&first)), (1, 1), "{first:?}");
    let lines = fake.state.borrow().lines.len();
    write_and_reload(&cx, &files).unwrap();
    assert!(told(&fake, lines).is_empty());
    // Written, and cut off before it was told.
    RELOAD.mark_due(&cx).unwrap();
    write_and_reload(&cx, &files).unwrap();
    assert_eq!(chrony(&told(&fake, lines)), 1);
    assert!(!RELOAD.is_due(&cx).unwrap());
}

#[test]
fn systemd_hears_what_was_masked_and_enabled_wherever_the_run_is_cut_off() {
    let start = Fake::new();
    done(&start);
    for link in ["rpcbind.service", "multi-user.target.wants/fail2ban.service"] {
        Cx::begin(&start).unwrap().remove(&Path::new("/etc/systemd/system").join(link)).unwrap();
    }
    let heard = |fake: &Fake| {
        let state = fake.state.borrow();
        let last = |part| state.lines.iter().rposition(|line: &String| line.contains(part));
        last("daemon-reload") > last("systemctl mask") && last("daemon-reload") > last("systemctl enable")
    };
    let whole = start.copy();
    done(&whole);
    assert!(heard(&whole));
    crate::testing::flow::cut_at_every_act(&start, |fake, at| {
        fake.restart();
        done(fake);
        assert!(heard(fake), "{at}");
    });
}

#[test]
fn what_an_earlier_release_told_sshd_is_changed_only_where_somebody_confirms_it() {
    let fake = Fake::new();
    done(&fake);
    let ours = fake.get(identity::SSHD).unwrap();
    let old = b"# Written by firstboot; changes here are overwritten.\nPort 22\n";
    let cx = Cx::begin(&fake).unwrap();
    managed::ensure_file(&cx, identity::SSHD, old, 0o644).unwrap();
    cx.remove(Path::new("/var/lib/sovereign/closing/sshd/asked")).unwrap();
    fake.state.borrow_mut().silent_at = Some("sshd");
    let said = failed(&fake);
    assert!(said.contains("put back as it was"), "{said}");
    assert_eq!(fake.get(identity::SSHD).unwrap(), old);
    fake.state.borrow_mut().silent_at = None;
    done(&fake);
    assert_eq!(fake.get(identity::SSHD).unwrap(), ours);
}

#[test]
fn an_accepted_edit_of_the_first_line_of_sshds_file_holds_nothing_up() {
    let fake = Fake::new();
    done(&fake);
    let edit = [b"# ours, looked at in the spring\n", &fake.get(identity::SSHD).unwrap()[..]].concat();
    fake.put(identity::SSHD, &edit);
    assert!(failed(&fake).contains("edited by hand"));
    crate::system::managed::drift::accept(&Cx::read_only(&fake).unwrap(), Path::new(identity::SSHD), &[])
        .unwrap();
    done(&fake);
    assert_eq!(fake.get(identity::SSHD).unwrap(), edit);
}

#[test]
fn sshd_that_nobody_comes_through_is_put_back_as_it_was() {
    let fake = Fake::new();
    fake.state.borrow_mut().silent_at = Some("sshd");
    let said = failed(&fake);
    assert!(said.contains("closing sshd") && said.contains("put back as it was"), "{said}");
    assert!(fake.get(sshd::PATH).is_none());
    fake.state.borrow_mut().silent_at = None;
    done(&fake);
    assert!(fake.get(sshd::PATH).is_some());
}

#[test]
fn what_is_enabled_is_started_and_what_is_masked_is_stopped_wherever_the_run_is_cut_off() {
    let start = Fake::new();
    done(&start);
    let cx = Cx::begin(&start).unwrap();
    for gone in ["multi-user.target.wants/fail2ban.service", "rpcbind.service"] {
        cx.remove(&Path::new("/etc/systemd/system").join(gone)).unwrap();
    }
    crate::testing::flow::cut_at_every_act(&start, |fake, at| {
        fake.restart();
        done(fake);
        let state = fake.state.borrow();
        let last = |words: &str, unit: &str| {
            state.lines.iter().rposition(|line| line.contains(words) && line.contains(unit)).unwrap()
        };
        let unit = "fail2ban.service";
        assert!(last("start --no-block", unit) > last("enable", unit), "{at}: it is not started");
        assert!(last("stop --quiet", "rpcbind") > last("mask", "rpcbind"), "{at}: it is not stopped");
    });
}

#[test]
fn sshd_reads_what_was_restored_wherever_the_run_is_cut_off() {
    let start = Fake::new();
    done(&start);
    start.put(identity::SSHD, b"PasswordAuthentication yes\n");
    crate::system::managed::drift::restore(&Cx::begin(&start).unwrap(), Path::new(identity::SSHD)).unwrap();
    let before = start.state.borrow().lines.len();
    crate::testing::flow::cut_at_every_act(&start, |fake, at| {
        let written = fake.state.borrow().lines.len();
        fake.restart();
        done(fake);
        let state = fake.state.borrow();
        let reloads = |from: usize, to: usize| {
            state.lines[from..to].iter().any(|line| line == "systemctl reload ssh.service")
        };
        let after = reloads(written, state.lines.len());
        assert!(after || reloads(before, written), "{at}: it goes on with the edit");
    });
}
