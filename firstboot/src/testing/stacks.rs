//! Stacks that are taken out, come back, are removed; and what runs being what is wanted, however a run ended.

use super::flow::{cut_at_every_act, done};
use super::keys::bring_up;
use super::{Cut, Fake, network};
use crate::run::Cx;
use crate::steps::stacks::disabled::{list, request_removal};
use crate::steps::{stacks, verify};
use host::{Cmd, Host};
use spec::{NodeSpec, Phase, paths};
use std::path::Path;

const ROW: &str = "/srv/sovereign/data/postgres/row";
const PASSWORD: &str = "/srv/sovereign/secrets/postgres-superuser-password";
const IN_BUNDLE: &str = "secrets/postgres-superuser-password";
const LINK: &str = "/etc/systemd/system/sovereign-stacks.target.wants/sovereign-stack@postgres.service";

/// A server with a row in its database.
fn with_data() -> Fake {
    let fake = Fake::new();
    done(&fake);
    fake.put(ROW, b"precious");
    fake
}

fn wish(fake: &Fake, spec: &NodeSpec) -> String {
    crate::flow::install::install(fake, &spec.to_json(), &|| false).unwrap()
}

fn without_stacks(fake: &Fake) -> NodeSpec {
    NodeSpec { stacks: vec![], ..fake.spec() }
}

/// A server that has the data of a stack, and the stack no longer.
fn taken_out() -> Fake {
    let fake = with_data();
    wish(&fake, &without_stacks(&fake));
    done(&fake);
    fake
}

fn escrowed(fake: &Fake) -> Option<Vec<u8>> {
    let bundle = escrow::open(fake.state.borrow().taken.last().unwrap(), &fake.identity).unwrap();
    bundle.get(IN_BUNDLE).map(|entry| entry.value.expose().to_vec())
}

fn complaints(fake: &Fake) -> Vec<String> {
    let checks = verify::checks(&Cx::read_only(fake).unwrap());
    checks.iter().filter_map(spec::Check::complaint).collect()
}

/// What is on the volume, which may be shut.
fn inside(fake: &Fake, path: &str) -> Option<Vec<u8>> {
    fake.luks().files.unwrap().get(Path::new(path)).map(|node| node.bytes.clone())
}

fn assert_kept(fake: &Fake, at: &str) {
    assert!(fake.state.borrow().containers.is_empty() && fake.get(LINK).is_none(), "{at}: it is up");
    assert_eq!(inside(fake, ROW).unwrap(), b"precious", "{at}");
    assert_eq!(escrowed(fake), inside(fake, PASSWORD), "{at}: the newest bundle");
    assert!(escrowed(fake).is_some() && fake.is_settled(), "{at}");
}

#[test]
fn a_stack_that_is_taken_out_is_stopped_and_what_it_has_is_kept() {
    let fake = taken_out();
    assert_kept(&fake, "taken out");
    assert_eq!(fake.state.borrow().taken.len(), 1, "nothing of the escrow changed");
    assert_eq!(complaints(&fake), Vec::<String>::new());
    let listed = list(&Cx::read_only(&fake).unwrap()).unwrap();
    assert!(!listed[0].enabled && listed[0].data == [Path::new("/srv/sovereign/data/postgres")]);
    // A bundle that is sealed later for another reason holds it as well.
    let mut spec = without_stacks(&fake);
    spec.recipients.push(escrow::Identity::generate().recipients()[0].to_string());
    wish(&fake, &spec);
    done(&fake);
    assert_eq!(fake.state.borrow().taken.len(), 2);
    assert_kept(&fake, "with another recipient");
    let manifest = spec::EscrowManifest::from_json(&fake.get(paths::ESCROW_MANIFEST).unwrap()).unwrap();
    let entry = manifest.contents.iter().find(|entry| entry.name == IN_BUNDLE).unwrap();
    assert!(entry.purpose.contains("PostgreSQL") || entry.purpose.contains("postgres"), "{}", entry.purpose);
}

#[test]
fn a_stack_that_comes_back_has_its_data_and_its_password() {
    let fake = taken_out();
    let password = fake.get(PASSWORD);
    wish(&fake, &fake.spec());
    done(&fake);
    assert!(fake.state.borrow().containers.contains_key("postgres"));
    assert_eq!((fake.get(PASSWORD), fake.get(ROW).unwrap()), (password, b"precious".to_vec()));
}

#[test]
fn the_power_is_cut_at_every_act_of_taking_a_stack_out() {
    let start = with_data();
    wish(&start, &without_stacks(&start));
    cut_at_every_act(&start, |fake, at| {
        fake.boot();
        bring_up(fake);
        assert_kept(fake, at);
    });
}

#[test]
fn a_stack_that_somebody_started_again_is_found() {
    let fake = taken_out();
    fake.state.borrow_mut().containers.insert("postgres".into(), [("postgres".into(), "x".into())].into());
    assert!(complaints(&fake)[0].contains("stack postgres is up"), "{:?}", complaints(&fake));
    assert_ne!(wish(&fake, &without_stacks(&fake)), "done");
    done(&fake);
    assert_kept(&fake, "stopped again");
}

fn ask_for_removal(fake: &Fake) -> anyhow::Result<u64> {
    request_removal(&Cx::read_only(fake)?, "postgres")
}

fn assert_removed(fake: &Fake, at: &str) {
    let files = fake.luks().files.unwrap();
    let left: Vec<_> = files.keys().filter(|path| path.to_string_lossy().contains("postgres")).collect();
    assert!(left.is_empty(), "{at}: {left:?}");
    assert!(escrowed(fake).is_none() && fake.is_settled(), "{at}: the newest bundle has its password");
}

#[test]
fn a_stack_is_removed_only_once_it_is_taken_out_and_then_with_all_it_has() {
    let fake = with_data();
    assert!(ask_for_removal(&fake).unwrap_err().to_string().contains("take it out of `enabled`"));
    assert!(fake.is_settled() && fake.get(ROW).is_some());
    let fake = taken_out();
    let nothing = request_removal(&Cx::read_only(&fake).unwrap(), "mysql").unwrap_err().to_string();
    assert!(nothing.contains("there is none on the volume, which has: postgres"), "{nothing}");
    let before = escrowed(&fake);
    ask_for_removal(&fake).unwrap();
    assert!(matches!(fake.phase(), Phase::Converging { .. }));
    done(&fake);
    assert_removed(&fake, "removed");
    wish(&fake, &fake.spec());
    done(&fake);
    assert!(escrowed(&fake).is_some() && escrowed(&fake) != before, "it begins anew");
}

#[test]
fn the_power_is_cut_at_every_act_of_a_removal() {
    let start = taken_out();
    ask_for_removal(&start).unwrap();
    cut_at_every_act(&start, |fake, at| {
        fake.boot();
        bring_up(fake);
        assert_removed(fake, at);
    });
}

fn systemctl(fake: &Fake, verb: &str) {
    Host::run(fake, &Cmd::new("systemctl").args([verb, "docker.service"])).unwrap();
}

#[test]
fn stacks_come_back_with_the_engine_that_somebody_stopped() {
    let fake = Fake::new();
    done(&fake);
    systemctl(&fake, "stop");
    assert!(fake.state.borrow().containers.is_empty());
    systemctl(&fake, "start");
    assert!(fake.state.borrow().containers.contains_key("postgres"));
    assert_eq!(complaints(&fake), Vec::<String>::new());
}

#[test]
fn a_server_that_is_not_as_it_must_be_is_converged_before_anybody_complains() {
    let fake = Fake::new();
    done(&fake);
    assert_eq!(wish(&fake, &fake.spec()), "done");
    systemctl(&fake, "stop");
    assert_ne!(wish(&fake, &fake.spec()), "done");
    let Phase::Converging { why } = fake.phase() else { panic!("{}", fake.phase()) };
    assert!(why.contains("it does not run"), "{why}");
    done(&fake);
    assert_eq!(wish(&fake, &fake.spec()), "done");
    // Killed by somebody, with everything else in place.
    fake.state.borrow_mut().containers.clear();
    assert_ne!(wish(&fake, &fake.spec()), "done");
    done(&fake);
    assert!(fake.state.borrow().containers.contains_key("postgres"));
}

/// What each container was made with is what its compose file says now.
fn assert_runs_what_is_wanted(fake: &Fake, at: &str) {
    let cx = Cx::read_only(fake).unwrap();
    for stack in &cx.spec.stacks {
        let wanted = stacks::labelled(&cx, stack).unwrap();
        assert_eq!(fake.state.borrow().containers[&stack.name], wanted.digests, "{at}: {}", stack.name);
    }
}

#[test]
fn what_was_changed_is_loaded_wherever_the_run_is_cut_off() {
    let start = network::fresh();
    done(&start);
    let before = start.state.borrow().containers.clone();
    let mut spec = network::with_network(&start);
    spec.vpn.as_mut().unwrap().base_domain = "other.example.org".into();
    wish(&start, &spec);
    let whole = start.copy();
    done(&whole);
    assert_eq!(whole.state.borrow().containers["postgres"], before["postgres"], "it reads nothing of that");
    assert_ne!(whole.state.borrow().containers["headscale"], before["headscale"]);
    let (first, last) = (start.state.borrow().acts + 1, whole.state.borrow().acts);
    for at in first..=last {
        for cut in whole.ways(at, first) {
            let fake = start.copy();
            fake.state.borrow_mut().cut = Some((at, cut));
            let _ = fake.run();
            fake.restart();
            done(&fake);
            assert_runs_what_is_wanted(&fake, &format!("cut {cut:?} at act {at}"));
        }
    }
}

#[test]
fn what_the_nodes_unit_reads_is_read_wherever_the_run_is_cut_off() {
    let start = network::fresh();
    done(&start);
    let mut spec = network::with_network(&start);
    spec.vpn.as_mut().unwrap().host = "other.example.org".into();
    wish(&start, &spec);
    let whole = start.copy();
    done(&whole);
    let (first, last) = (start.state.borrow().acts + 1, whole.state.borrow().acts);
    for at in first..=last {
        let fake = start.copy();
        fake.state.borrow_mut().cut = Some((at, Cut::After));
        let _ = fake.run();
        let cut_off = fake.state.borrow().lines.len();
        let hosts = fake.get("/srv/sovereign/vpn/hosts") == whole.get("/srv/sovereign/vpn/hosts");
        let restarts =
            |lines: &[String]| lines.iter().any(|line| line == "systemctl try-restart sovereign-vpn.service");
        let before = start.state.borrow().lines.len();
        let knew = hosts && restarts(&fake.state.borrow().lines[before..]);
        fake.restart();
        done(&fake);
        assert!(
            knew || restarts(&fake.state.borrow().lines[cut_off..]),
            "at act {at} the node keeps the old name"
        );
    }
}

#[test]
fn a_label_says_nothing_of_a_secret_to_who_has_not_the_volume() {
    let fake = Fake::new();
    done(&fake);
    let digest = |fake: &Fake| {
        let cx = Cx::read_only(fake).unwrap();
        stacks::labelled(&cx, &cx.spec.stacks[0]).unwrap().digests["postgres"].clone()
    };
    let before = digest(&fake);
    assert_eq!(digest(&fake), before);
    fake.put(crate::access::store::DIGEST_KEY, b"another");
    let keyed = digest(&fake);
    assert_ne!(keyed, before, "whoever guesses the secret could try it");
    fake.put(PASSWORD, b"another password");
    assert_ne!(digest(&fake), keyed, "another secret is another container");
}
