//! Changes that may shut the operator out: whoever is killed, whenever the power fails, an unconfirmed one is undone.

use super::Fake;
use super::flow::done;
use crate::access::acknowledge;
use crate::access::closing::{Closing, Door, REVERT};
use crate::flow::boot::Ended;
use crate::run::Cx;
use crate::steps::firewall;
use host::{Cmd, Host, Local};
use spec::{EventKind, Gate, Port, Protocol};
use std::path::Path;
use std::time::Duration;

const USER_RULES: &str = "/etc/ufw/user.rules";
const SSHD: &str = "/etc/ssh/sshd_config.d/10-sovereign.conf";

fn sshd(text: &str) -> Closing<'_> {
    Closing { door: Door::Sshd, text, files: &[SSHD], in_force: "systemctl reload ssh.service" }
}

/// A server that is done, and then shall let in more.
fn with_another_wish() -> (Fake, Vec<u8>) {
    let fake = Fake::new();
    done(&fake);
    let before = fake.get(USER_RULES).unwrap();
    let mut spec = fake.spec();
    spec.inbound.push(Port { port: 8443, protocol: Protocol::Tcp });
    spec.disk.format = None;
    crate::flow::install::install(&fake, &spec.to_json(), &|| false).unwrap();
    fake.state.borrow_mut().operator = false;
    (fake, before)
}

fn failed(fake: &Fake) -> String {
    match fake.run().unwrap() {
        Ended::Failed(e) => format!("{e:#}"),
        other => panic!("{other:?}"),
    }
}

fn waiting_nonce(fake: &Fake) -> Option<String> {
    fake.events().into_iter().rev().find_map(|kind| match kind {
        EventKind::GateWaiting { gate: Gate::Firewall { nonce } } => Some(nonce),
        _ => None,
    })
}

#[test]
fn the_first_closing_that_nobody_confirms_leaves_the_firewall_off() {
    let fake = Fake::new();
    fake.state.borrow_mut().silent_at = Some("firewall");
    let said = failed(&fake);
    assert!(said.contains("60 seconds, so it was put back as it was") && said.contains("port 22"), "{said}");
    assert_eq!(fake.get("/etc/ufw/ufw.conf").unwrap(), b"ENABLED=no\n");
    assert!(!fake.state.borrow().closed && fake.state.borrow().timers.is_empty());
    fake.state.borrow_mut().silent_at = None;
    done(&fake);
}

#[test]
fn a_later_one_that_nobody_confirms_brings_the_rules_before_it_back() {
    let (fake, before) = with_another_wish();
    let start = fake.state.borrow().clock;
    assert!(failed(&fake).contains("put back as it was"));
    let waited = fake.state.borrow().clock - start;
    assert!((REVERT..REVERT + Duration::from_secs(2)).contains(&waited), "{waited:?}");
    assert_eq!(fake.get(USER_RULES).unwrap(), before);
    assert!(fake.state.borrow().closed, "the server is not open to the world meanwhile");
    fake.state.borrow_mut().operator = true;
    done(&fake);
    assert_ne!(fake.get(USER_RULES).unwrap(), before);
}

#[test]
fn rules_that_the_kernel_lost_are_loaded_again_without_asking() {
    let fake = Fake::new();
    done(&fake);
    {
        let mut state = fake.state.borrow_mut();
        // As after `nft flush ruleset`: the files are what they were.
        (state.closed, state.operator) = (false, false);
    }
    done(&fake);
    assert!(fake.state.borrow().closed);
}

#[test]
fn rules_that_the_engine_passed_over_are_missed_and_asked_first_again() {
    let fake = Fake::new();
    done(&fake);
    fake.state.borrow_mut().passed_over = true;
    let complaints = firewall::complaints(&Cx::read_only(&fake).unwrap()).unwrap();
    assert!(complaints[0].contains("does not ask DOCKER-USER first"), "{complaints:?}");
    done(&fake);
    assert!(!fake.state.borrow().passed_over, "a run left it so");
    // As docker.service does after each of its starts.
    fake.state.borrow_mut().passed_over = true;
    firewall::ask_docker_user_first(&fake).unwrap();
    assert!(!fake.state.borrow().passed_over);
    let lines = fake.state.borrow().lines.len();
    firewall::ask_docker_user_first(&fake).unwrap();
    assert!(
        !fake.state.borrow().lines[lines..].iter().any(|line| line.contains("restore")),
        "once is enough"
    );
}

#[test]
fn a_word_that_comes_too_late_does_not_count() {
    let (fake, before) = with_another_wish();
    failed(&fake);
    let nonce = waiting_nonce(&fake).unwrap();
    let said = acknowledge(&fake, "firewall", &nonce).unwrap_err().to_string();
    assert!(said.contains("put back already"), "{said}");
    assert!(failed(&fake).contains("put back as it was"), "the next one asks anew");
    assert_eq!(fake.get(USER_RULES).unwrap(), before);
    assert_ne!(waiting_nonce(&fake).unwrap(), nonce);
}

/// Cuts a change that nobody confirms off at every act, and goes on in one of three ways.
fn every_cut(then: impl Fn(&Fake)) {
    let (ready, before) = with_another_wish();
    let whole = ready.copy();
    let first = whole.state.borrow().acts;
    failed(&whole);
    let last = whole.state.borrow().acts;
    assert!(last - first > 20, "{first} to {last}");
    for at in first + 1..=last {
        for cut in whole.ways(at, first + 1) {
            let fake = ready.copy();
            let lines = fake.state.borrow().lines.len();
            fake.state.borrow_mut().cut = Some((at, cut));
            let _ = fake.run();
            then(&fake);
            let what = format!("{cut:?} at {at}: {:?}", fake.state.borrow().lines[lines..].last());
            assert!(fake.get(USER_RULES).unwrap() == before, "{what}: the old rules are in place");
            assert!(fake.state.borrow().closed, "{what}");
            fake.state.borrow_mut().operator = true;
            if fake.state.borrow().open {
                done(&fake);
                assert_ne!(fake.get(USER_RULES).unwrap(), before, "{what}");
            }
        }
    }
}

#[test]
fn firstboot_is_killed_and_the_timer_puts_it_back() {
    every_cut(|fake| {
        fake.restart();
        fake.state.borrow_mut().clock += REVERT;
        super::programs::fire_timers(&mut fake.state.borrow_mut());
    });
}

#[test]
fn the_power_is_cut_and_the_boot_puts_it_back() {
    // The volume is locked then: nobody but the operator gets any further, and the operator must get in.
    every_cut(Fake::boot);
}

#[test]
fn a_change_that_cannot_be_made_is_put_back_at_once() {
    let fake = Fake::new();
    fake.put(SSHD, b"Port 22\n");
    let cx = Cx::begin(&fake).unwrap();
    let result = sshd("Port 0\n").make(&cx, || {
        cx.write(Path::new(SSHD), b"Port 0\n", 0o644)?;
        anyhow::bail!("sshd: bad port")
    });
    let said = format!("{:#}", result.unwrap_err());
    assert!(said.contains("closing sshd: it was put back as it was: sshd: bad port"), "{said}");
    assert_eq!(fake.get(SSHD).unwrap(), b"Port 22\n");
    assert!(fake.state.borrow().timers.is_empty());
}

#[test]
fn sshd_has_a_gate_of_its_own_and_keeps_what_was_confirmed() {
    let fake = Fake::new();
    let cx = Cx::begin(&fake).unwrap();
    let change = |text: &'static str| {
        let write = || Ok(cx.write(Path::new(SSHD), text.as_bytes(), 0o644)?);
        sshd(text).make(&cx, write)
    };
    change("Port 22\n").unwrap();
    assert!(sshd("Port 22\n").confirmed(&cx).unwrap() && !sshd("Port 23\n").confirmed(&cx).unwrap());
    fake.state.borrow_mut().operator = false;
    // What was confirmed once needs no second word; another text does.
    fake.put(SSHD, b"edited by hand");
    change("Port 22\n").unwrap();
    assert!(change("Port 23\n").is_err());
    assert_eq!(fake.get(SSHD).unwrap(), b"Port 22\n");
}

#[test]
fn the_script_does_on_a_real_shell_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let here = |path: &str| dir.path().join(path.trim_start_matches('/'));
    let path = |path: &str| here(path).to_string_lossy().into_owned();
    let fake = Fake::new();
    fake.put("/etc/kept", b"before");
    let cx = Cx::begin(&fake).unwrap();
    let in_force = format!("cat {} > {}", path("/etc/kept"), path("/etc/in-force"));
    let files = ["/etc/kept", "/etc/new"];
    let closing = Closing { door: Door::Sshd, text: "t", files: &files, in_force: &in_force };
    let folder = "/var/lib/sovereign/closing/sshd";
    // The script as it is written, with every path below the scratch directory.
    let _ = closing.make(&cx, || anyhow::bail!("only prepared"));
    let script = String::from_utf8(fake.get(format!("{folder}/put-back")).unwrap()).unwrap();
    let script =
        script.replace("/var/lib", &path("/var/lib")).replace("back /etc", &format!("back {}", path("/etc")));
    let nonce = script.split("!= ").nth(1).unwrap().split(' ').next().unwrap();
    let write = |name: &str, text: &str| Local.write(&here(name), text.as_bytes(), 0o600).unwrap();
    let there = |name: &str| Local.read(&here(name)).unwrap().map(|b| String::from_utf8(b).unwrap());
    let aside = format!("{folder}/before{}", path("/etc/kept"));
    let reset = || {
        write(&format!("{folder}/put-back"), &script);
        write(&format!("{folder}/asked"), &format!("digest {nonce}\n"));
        write(&aside, "before");
        write("/etc/kept", "after");
        write("/etc/new", "after");
        for gone in ["/etc/in-force", "/var/lib/sovereign/acknowledged/sshd"] {
            Local.remove(&here(gone)).unwrap();
        }
    };
    let run = |word: &str| {
        let cmd = Cmd::new("/bin/sh").path(here(&format!("{folder}/put-back"))).arg(word);
        Local.run(&cmd).unwrap();
        [there("/etc/kept"), there("/etc/new"), there("/etc/in-force")].map(Option::unwrap_or_default)
    };
    let asked = || there(&format!("{folder}/asked")).is_some();
    reset();
    assert_eq!(run("now"), ["before", "", "before"]);
    assert!(!asked());
    write("/etc/kept", "after");
    assert_eq!(run("now")[0], "after", "it is done once");
    assert_eq!(run("anyway")[0], "before");
    reset();
    assert_eq!(run("boot"), ["before", "", ""], "nothing is in force at boot");
    reset();
    write("/var/lib/sovereign/acknowledged/sshd", &format!("{nonce}\n"));
    assert_eq!(run("now"), ["after", "after", ""], "confirmed");
    assert!(asked(), "and still on record");
}
