//! The private network on the fake server: the control server's command line, the node's programs, and runs with them.

use super::answers::{code, get, put, says};
use super::flow::done;
use super::{Fake, State};
use crate::steps::verify::undeclared;
use ::stacks::manifest::From;
use host::{Cmd, Output};
use serde_json::json;
use spec::{NodeSpec, StackSpec, VpnSpec};
use std::path::Path;

const USERS: &str = "/srv/sovereign/data/headscale/users";
const KEYS: &str = "/srv/sovereign/data/headscale/keys";
const NODE: &str = "/srv/sovereign/vpn/state/node";
pub(super) const SOCKET: &str = "/run/sovereign-vpn/tailscaled.sock";
pub(super) const PROGRAM: &str = "/srv/sovereign/vpn/bin/tailscale";

/// What of this the programs of the network answer; `None` for every other program.
pub(super) fn run(state: &mut State, cmd: &Cmd) -> Option<Output> {
    let (program, args) = (cmd.program(), cmd.arguments());
    let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    Some(match (&*program, &args[..]) {
        ("openssl", ["req", rest @ ..]) => {
            for flag in ["-keyout", "-out"] {
                let at = rest.iter().position(|arg| *arg == flag).unwrap();
                put(state, rest[at + 1], b"PEM");
            }
            code(0)
        }
        ("openssl", [.., path]) => code(i32::from(get(state, path).is_empty())),
        ("docker", ["exec", "headscale-headscale-1", "headscale", words @ ..]) => control(state, words),
        ("docker", ["create", .., image]) => {
            assert!(state.images.iter().any(|there| there == image), "{image} was not pulled");
            code(0)
        }
        ("docker", ["cp", _, to]) => {
            put_unsynced(state, to, b"program");
            code(0)
        }
        ("docker", ["rm", ..]) => code(0),
        (PROGRAM, ["--socket=/run/sovereign-vpn/tailscaled.sock", words @ ..]) => node(state, words),
        _ => return None,
    })
}

/// As a program does that leaves it to the kernel when its file reaches the disk.
fn put_unsynced(state: &mut State, path: &str, bytes: &[u8]) {
    let on_disk = get(state, path);
    state.unsaved.entry(path.into()).or_insert(on_disk);
    put(state, path, bytes);
}

fn control(state: &mut State, words: &[&str]) -> Output {
    assert!(super::engine::is_up(state, "headscale"), "nobody answers");
    let last = || words.iter().position(|word| *word == "--expiration").map(|at| words[at + 1]);
    match words {
        ["--output", "json", "users", "list"] if get(state, USERS).is_empty() => says("null"),
        ["--output", "json", "users", "list"] => says("[{\"id\": 3, \"name\": \"operator\"}]"),
        ["--output", "json", "users", "create", "operator"] => {
            assert!(get(state, USERS).is_empty(), "the user was made twice");
            put(state, USERS, b"operator");
            says("{\"id\": 3, \"name\": \"operator\"}")
        }
        ["--output", "json", "preauthkeys", "create", rest @ ..] => {
            assert!(last().is_some(), "a key without an end");
            let mut keys = get(state, KEYS);
            keys.push(if rest.contains(&"--tags") { b's' } else { b'd' });
            put_unsynced(state, KEYS, &keys);
            says(&json!({ "id": keys.len(), "key": format!("hskey-auth-{}", keys.len()) }).to_string())
        }
        ["preauthkeys", "expire", ..] => code(0),
        other => panic!("headscale {other:?}"),
    }
}

fn node(state: &mut State, words: &[&str]) -> Output {
    if get(state, SOCKET).is_empty() {
        return code(1);
    }
    match words[0] {
        "status" if get(state, NODE).is_empty() => {
            Output { code: Some(1), ..says("{\"BackendState\": \"NeedsLogin\"}") }
        }
        "status" if state.starting > 0 => {
            state.starting -= 1;
            says("{\"BackendState\": \"Starting\"}")
        }
        "status" => says(
            &json!({ "BackendState": "Running", "Self": { "TailscaleIPs": ["100.64.0.1"] } }).to_string(),
        ),
        "up" => {
            assert!(words.contains(&"--netfilter-mode=off") && words.contains(&"--accept-dns=false"));
            let key = words.iter().find_map(|word| word.strip_prefix("--auth-key=file:")).unwrap();
            assert!(get(state, key).starts_with(b"hskey-auth-"));
            put(state, NODE, b"joined");
            code(0)
        }
        other => panic!("tailscale {other}"),
    }
}

pub(super) fn with_network(fake: &Fake) -> NodeSpec {
    let mut spec = fake.spec();
    let image =
        |name: &str| (name.to_owned(), format!("registry.test:5000/{name}@sha256:{}", "1".repeat(64)));
    let images = [image("headscale"), image("tailscale")].into();
    spec.stacks.push(StackSpec { name: "headscale".into(), images, ..StackSpec::default() });
    spec.vpn = Some(VpnSpec {
        host: "vpn.example.org".into(),
        base_domain: "internal.example.org".into(),
        devices: vec!["laptop".into()],
        names: vec!["metrics".into()],
    });
    let ports = ::stacks::Plan::of(&spec).unwrap().ports(From::World);
    spec.inbound.extend(ports.iter().filter(|port| port.port != 443));
    spec
}

pub(crate) fn fresh() -> Fake {
    let fake = Fake::new();
    fake.install(&with_network(&fake));
    fake
}

/// The device's key in the newest escrow.
fn escrowed(fake: &Fake) -> Vec<u8> {
    let taken = fake.state.borrow().taken.last().cloned().unwrap();
    let bundle = escrow::open(&taken, &fake.identity).unwrap();
    bundle.get("secrets/vpn-device-laptop").expect("the key is in the escrow").value.expose().to_vec()
}

#[test]
fn the_server_joins_and_the_devices_key_is_escrowed() {
    let fake = fresh();
    done(&fake);
    assert_eq!(fake.get(KEYS).unwrap(), b"sd", "one key for the server, one for the device");
    assert_eq!(escrowed(&fake), b"hskey-auth-2");
    let names =
        String::from_utf8(fake.get("/srv/sovereign/stacks/headscale/config/extra-records.json").unwrap())
            .unwrap();
    assert!(names.contains("metrics.internal.example.org") && names.contains("100.64.0.1"));
    let state = fake.state.borrow();
    assert!(state.lines.iter().all(|line| !line.contains("hskey-auth-")), "a key was an argument");
    let files = state.root.iter().chain(&state.memory);
    let bare = files.filter(|(path, _)| !path.starts_with("/dev/keys"));
    for (path, node) in bare {
        assert!(!String::from_utf8_lossy(&node.bytes).contains("hskey-auth-"), "a key lies in {path:?}");
    }
}

#[test]
fn a_page_for_administrators_may_listen_where_there_is_a_network_to_reach_it_by() {
    let fake = fresh();
    fake.put(
        "/proc/net/tcp",
        b"head\n0: 00000000:2382 00000000:0000 0A\n1: 00000000:2383 00000000:0000 0A\n",
    );
    let mut cx = crate::run::Cx::read_only(&fake).unwrap();
    assert_eq!(undeclared(&cx).unwrap(), ["something listens on 9091/tcp"]);
    std::sync::Arc::make_mut(&mut cx.spec).vpn = None;
    assert_eq!(undeclared(&cx).unwrap().len(), 2);
}

#[test]
fn a_second_run_makes_no_key_and_starts_nothing() {
    let fake = fresh();
    done(&fake);
    fake.state.borrow_mut().lines.clear();
    done(&fake);
    assert_eq!(fake.get(KEYS).unwrap(), b"sd");
    let lines = fake.state.borrow().lines.clone();
    let acts = ["systemctl start", "docker ", "up "];
    assert!(lines.iter().all(|line| acts.iter().all(|act| !line.starts_with(act))), "{lines:?}");
}

#[test]
fn a_node_that_still_finds_its_way_back_is_waited_for_and_does_not_join_again() {
    let fake = fresh();
    done(&fake);
    let key = fake.get("/srv/sovereign/secrets/luks-key").unwrap();
    fake.boot();
    let cx = crate::run::Cx::begin(&fake).unwrap();
    crate::access::unlock::open(&cx, &host::Secret::new(key)).unwrap();
    fake.state.borrow_mut().starting = 5;
    done(&fake);
    assert_eq!(fake.get(KEYS).unwrap(), b"sd", "it joined again");
}

#[test]
fn a_key_is_renewed_only_when_asked_and_only_for_a_device_of_the_project() {
    let fake = fresh();
    done(&fake);
    let cx = crate::run::Cx::read_only(&fake).unwrap();
    let error = crate::steps::vpn::renew(&cx, "phone").unwrap_err().to_string();
    assert!(error.contains("names no such device"), "{error}");
    assert!(fake.is_settled(), "a refusal left a wish behind");
    crate::steps::vpn::renew(&cx, "laptop").unwrap();
    let cut = fake.copy();
    done(&fake);
    assert_eq!(escrowed(&fake), b"hskey-auth-3");
    // Nobody was there to take it, and the server was restarted: `unlock` must not wait for them.
    cut.boot();
    assert!(matches!(cut.run().unwrap(), crate::flow::boot::Ended::Locked));
    assert!(!cut.is_settled(), "a restart made up the end of it");
}

#[test]
fn a_network_that_the_project_no_longer_has_is_left() {
    let fake = fresh();
    done(&fake);
    fake.install(&fake.spec());
    done(&fake);
    let state = fake.state.borrow();
    let line = |words: &str| state.lines.iter().rposition(|line| line.contains(words)).unwrap();
    // Cut off between the two, it is still found at the next run.
    assert!(line("stop sovereign-vpn") < line("disable --quiet --no-reload sovereign-vpn"));
}

/// Docker leaves a network that is there as it is, also one that an earlier release, or Compose, made.
#[test]
fn a_network_that_is_not_as_planned_is_made_anew_with_whoever_is_in_it_and_others_are_kept() {
    let planned = "headscale.outside";
    let by_compose = json!({ "com.docker.compose.project": "headscale" });
    for (name, labels, downs) in [
        (planned, json!({ "sovereign.network": "another" }), 1),
        (planned, by_compose.clone(), 1),
        ("headscale_control", by_compose, 0),
        ("gone.edge", json!({ "sovereign.network": "x" }), 0),
        ("somebody-elses", json!({}), 0),
    ] {
        let fake = fresh();
        done(&fake);
        fake.state.borrow_mut().networks.insert(name.into(), labels);
        let lines = fake.state.borrow().lines.len();
        done(&fake);
        let state = fake.state.borrow();
        let down = |line: &&String| line.starts_with("docker-compose") && line.ends_with(" down");
        assert_eq!(
            state.lines[lines..].iter().filter(down).count(),
            downs,
            "{name}: {:#?}",
            &state.lines[lines..]
        );
        assert!(state.containers.contains_key("headscale") && state.networks.contains_key(planned));
        assert_eq!(
            state.networks.len(),
            if name == "somebody-elses" { 3 } else { 2 },
            "{:?}",
            state.networks
        );
    }
}

#[test]
fn the_power_is_cut_at_every_act_of_joining() {
    let (without, with) = (Fake::new(), fresh());
    done(&without);
    done(&with);
    let acts = [&without, &with].map(|fake| fake.state.borrow().acts);
    // What comes before is the same run as without a network, whose every act is cut elsewhere.
    for at in acts[0].saturating_sub(25)..=acts[1] {
        for cut in with.ways(at, 0) {
            let fake = fresh();
            fake.state.borrow_mut().cut = Some((at, cut));
            let _ = fake.run();
            fake.boot();
            if fake.is_settled() {
                continue;
            }
            // What is left may be only the end, which needs no open volume.
            let ended = fake.run().unwrap();
            assert!(
                !matches!(ended, crate::flow::boot::Ended::Failed(_)) && fake.is_settled(),
                "{cut:?} at {at}: {ended:?}"
            );
            let key = String::from_utf8(escrowed(&fake)).unwrap();
            let number: usize = key.strip_prefix("hskey-auth-").unwrap().parse().unwrap();
            // A run that had only the end left to do leaves the volume shut.
            let made = fake.luks().files.unwrap()[Path::new(KEYS)].bytes.clone();
            assert_eq!(made[number - 1], b'd', "{cut:?} at {at}: the device's own key");
        }
    }
}
