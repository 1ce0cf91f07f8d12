//! A good stack passes; each rule, broken by one change, is found.

mod common;

use common::{config, image, is_golden, plan, spec_of};
use serde_json::{Value, json};
use sovereign_stacks::{Error, Finding, Plan, Rule, lint};
use spec::{Port, Protocol, StackSpec};
use std::collections::{BTreeMap, BTreeSet};

const WEB: Port = Port { port: 443, protocol: Protocol::Tcp };
const STUN: Port = Port { port: 3478, protocol: Protocol::Udp };

fn of(stack: &str) -> (Plan, StackSpec) {
    let spec = spec_of(stack);
    (plan(std::slice::from_ref(&spec)).expect("the catalogue has a plan"), spec)
}

fn good() -> String {
    let (plan, spec) = of("postgres");
    plan.render(&spec, &[WEB]).expect("the catalogue renders")
}

fn findings(compose: &str) -> Vec<Finding> {
    let (plan, _) = of("postgres");
    lint(&plan, &plan.stacks[0], compose, &[WEB])
}

fn rules(compose: &str) -> Vec<Rule> {
    findings(compose).iter().map(|finding| finding.rule).collect()
}

/// The rules broken when one text is replaced by another.
fn broken(from: &str, to: &str) -> Vec<Rule> {
    let good = good();
    assert!(good.contains(from), "{from:?} is not in:\n{good}");
    rules(&good.replacen(from, to, 1))
}

/// The rules broken by one more line in the service.
fn with(line: &str) -> Vec<Rule> {
    broken("    read_only: true\n", &format!("    read_only: true\n    {line}\n"))
}

fn headscale(inbound: &[Port]) -> Result<String, Error> {
    let (plan, spec) = of("headscale");
    plan.render(&spec, inbound)
}

#[test]
fn the_rendered_stack_is_the_golden_one() {
    assert_eq!(good(), good(), "same inputs, same bytes");
    is_golden("postgres.yaml", &good());
    is_golden("headscale.yaml", &headscale(&[WEB, STUN]).unwrap());
}

#[test]
fn a_stack_whose_ports_are_not_declared_is_refused_but_for_those_of_the_private_network() {
    let refused = headscale(&[WEB]).unwrap_err().to_string();
    assert!(refused.contains("publishes 3478/udp") && !refused.contains("9090"), "{refused}");
}

#[test]
fn a_good_stack_has_no_finding() {
    assert_eq!(findings(&good()), []);
}

#[test]
fn what_cannot_be_read_is_a_finding() {
    for text in ["services: [", "{}", "services: {}"] {
        assert_eq!(rules(text)[0], Rule::Readable, "{text}");
    }
}

#[test]
fn capabilities() {
    assert_eq!(broken("- ALL", "- NET_RAW"), [Rule::Capabilities]);
    assert_eq!(with("cap_add: [SYS_ADMIN]"), [Rule::Key]);
}

#[test]
fn security_options() {
    for option in ["seccomp=unconfined", "no-new-privileges:false", "seccomp=/etc/shadow"] {
        assert_eq!(broken("no-new-privileges:true", option), [Rule::SecurityOptions], "{option}");
        let beside = format!("no-new-privileges:true\n    - {option}");
        assert_eq!(broken("no-new-privileges:true", &beside), [Rule::SecurityOptions], "{option}");
    }
}

#[test]
fn a_writable_root() {
    assert_eq!(broken("read_only: true", "read_only: false"), [Rule::ReadOnly]);
}

#[test]
fn limits() {
    assert_eq!(broken("pids_limit: 200", "pids_limit: -1"), [Rule::Limits]);
    assert_eq!(broken("mem_limit: 768m", "mem_limit: 0"), [Rule::Limits]);
    assert_eq!(broken("    cpus: 1.0\n", ""), [Rule::Limits]);
}

#[test]
fn healthcheck() {
    assert_eq!(broken("      - CMD\n", "      - NONE\n"), [Rule::Healthcheck]);
    assert_eq!(broken("healthcheck:\n", "healthcheck:\n      disable: true\n"), [Rule::Key]);
    let without: String = good()
        .lines()
        .filter(|line| *line != "      test:" && !line.starts_with("      - "))
        .fold(String::new(), |text, line| text + line + "\n");
    assert_eq!(rules(&without), [Rule::Healthcheck]);
}

#[test]
fn ports() {
    assert_eq!(with("ports: ['443:8443']"), []);
    assert_eq!(with("ports: [{target: 8443, published: 443}]"), []);
    for wrong in
        ["'80:8080'", "'443:8443/udp'", "'8080'", "'8000-8010:8000-8010'", "{target: 1, published: 22}"]
    {
        assert_eq!(with(&format!("ports: [{wrong}]")), [Rule::Ports], "{wrong}");
    }
}

#[test]
fn images_by_tag() {
    assert_eq!(broken("@sha256:", ":"), [Rule::Digest]);
    assert_eq!(with("build: ."), [Rule::Key]);
}

#[test]
fn secrets_in_the_environment() {
    assert_eq!(broken("POSTGRES_PASSWORD_FILE", "POSTGRES_PASSWORD"), [Rule::EnvironmentSecret]);
    assert_eq!(with("env_file: .env"), [Rule::Key]);
}

#[test]
fn root() {
    for user in ["0", "'0:0'", "root", "postgres", "''"] {
        let good = good();
        let line = good.lines().find(|l| l.trim_start().starts_with("user:")).unwrap();
        let found = rules(&good.replacen(line, &format!("    user: {user}"), 1));
        assert_eq!(found, [Rule::Root], "{user}");
    }
}

#[test]
fn of_the_servers_files_only_its_own_are_mounted_and_however_they_are_written() {
    for source in [
        "/etc",
        "/",
        "~/x",
        "/srv/sovereign",
        "/srv/sovereign/secrets",
        "/srv/sovereign/docker",
        "/srv/sovereign/data",
        "/srv/sovereign/data/headscale",
        "/srv/sovereign/data/postgres/a-link-the-container-made",
        "/srv/sovereign/data/postgres/../../secrets",
        "/srv/sovereign/data/postgres/..",
        "/srv/sovereign/../../etc",
        "/srv/sovereignty/x",
        "../../secrets",
        "./secrets",
        ".",
        "/srv/sovereign/stacks/postgres/secrets",
        "/srv/sovereign/stacks/postgres/config",
        "/srv/sovereign/stacks/headscale/tls",
        "/run/docker.sock",
        "",
    ] {
        let found = broken("source: /srv/sovereign/data/postgres", &format!("source: \"{source}\""));
        assert_eq!(found, [Rule::Files], "long: {source:?}");
        if source.starts_with(['/', '.', '~']) {
            let line = format!("    volumes:\n    - {source}:/x\n");
            assert_eq!(broken("    volumes:\n", &line), [Rule::Files], "short: {source:?}");
        }
    }
    for same in [
        "/srv//sovereign/./data/postgres/",
        "../../data/../data/postgres/../postgres",
        "/srv/sovereign/data/postgres",
    ] {
        let found = broken("source: /srv/sovereign/data/postgres", &format!("source: {same}"));
        assert_eq!(found.is_empty(), !same.contains(".."), "{same}");
        assert_eq!(broken("    volumes:\n", &format!("    volumes:\n    - {same}:/x:ro\n")), found, "{same}");
    }
}

#[test]
fn its_own_configuration_is_read_only_in_either_syntax() {
    let good = headscale(&[WEB, STUN]).unwrap();
    let (plan, _) = of("headscale");
    let rules = |text: &str| {
        lint(&plan, &plan.stacks[0], text, &[WEB, STUN]).iter().map(|f| f.rule).collect::<Vec<_>>()
    };
    assert_eq!(rules(&good), []);
    assert_eq!(rules(&good.replacen("      read_only: true\n", "", 1)), [Rule::Files]);
    for (line, wrong) in [
        ("/srv/sovereign/stacks/headscale/config:/x:ro", 0),
        ("./config:/x:ro", 0),
        ("./config/policy.hujson:/x:ro", 0),
        ("./tls:/x:ro", 0),
        ("./config:/x", 1),
        ("./config:/x:rw", 1),
        ("./config:/x:ro,rshared", 1),
        ("./config:/x:ro:z", 1),
        ("./config/../tls:/x:ro", 1),
    ] {
        let text = good.replacen("    volumes:\n", &format!("    volumes:\n    - {line}\n"), 1);
        assert_eq!(rules(&text).len(), wrong, "{line}");
    }
}

#[test]
fn volumes_are_declared_here_and_made_by_the_engine() {
    assert_eq!(broken("    volumes:\n", "    volumes:\n    - other:/x\n"), [Rule::Files]);
    assert_eq!(broken("    volumes:\n", "    volumes:\n    - /only/in/the/container\n"), []);
    let declared = |below: &str| {
        let good = good().replacen("    volumes:\n", "    volumes:\n    - cache:/x\n", 1);
        rules(&format!("{good}volumes:\n  cache: {below}\n"))
    };
    assert_eq!(declared(""), []);
    assert_eq!(declared("{}"), []);
    for below in [
        "{driver_opts: {type: none, o: bind, device: /srv/sovereign/secrets}}",
        "{external: true}",
        "{name: x}",
    ] {
        assert_eq!(declared(below), [Rule::Key], "{below}");
    }
    for kind in ["npipe", "image", "cluster"] {
        assert_eq!(broken("- type: bind\n", &format!("- type: {kind}\n")), [Rule::Files], "{kind}");
    }
}

#[test]
fn secrets_and_configurations_are_its_own_files() {
    let file = "file: /srv/sovereign/stacks/postgres/secrets/postgres-superuser-password";
    for other in [
        "file: /srv/sovereign/secrets/luks-key",
        "file: /etc/shadow",
        "file: secrets/../../headscale/tls/key.pem",
        "file: ./secrets/another",
        "{}",
    ] {
        assert_eq!(broken(file, other), [Rule::Files], "{other}");
    }
    assert_eq!(broken(file, "file: ./secrets/postgres-superuser-password"), []);
    assert_eq!(broken(file, "environment: HOME"), [Rule::Key, Rule::Files]);
    let config = |file: &str| rules(&format!("{}configs:\n  c:\n    {file}\n", good()));
    assert_eq!(config("file: /etc/shadow"), [Rule::Files]);
    assert_eq!(config("content: x"), [Rule::Key, Rule::Files]);
}

#[test]
fn nothing_is_left_to_who_starts_it() {
    let user = "POSTGRES_USER: postgres";
    for text in
        ["POSTGRES_USER: $HOME", "POSTGRES_USER: ${HOME:-x}", "POSTGRES_USER:", "POSTGRES_USER: $$$HOME"]
    {
        assert_eq!(broken(user, text), [Rule::Interpolation], "{text}");
    }
    assert_eq!(broken(user, "POSTGRES_USER: a$$b"), []);
}

/// What a confined service may say beyond what the catalogue's stacks do.
const RICH: &str = "
services:
  other:
    image: x
    command: [serve]
    entrypoint: /bin/x
    environment: [A=b, C=d]
    user: '7:7'
    hostname: x
    working_dir: /x
    init: true
    restart: on-failure:5
    read_only: true
    cap_drop: [ALL]
    security_opt: ['no-new-privileges:true']
    cpus: 1
    mem_limit: 1g
    mem_reservation: 1m
    memswap_limit: 1g
    pids_limit: 9
    shm_size: 1m
    stop_signal: SIGINT
    stop_grace_period: 1s
    expose: ['80']
    tmpfs: /x
    logging: {driver: local, options: {max-size: 1m, max-file: '3'}}
    healthcheck: {test: [CMD, x], interval: 1s, timeout: 1s, retries: 1, start_period: 1s, start_interval: 1s}
    depends_on: {third: {condition: service_healthy, required: true, restart: true}}
    networks: [inside]
    secrets: [{source: s, target: t, uid: '7', gid: '7', mode: 256}]
    configs: [c]
    volumes:
    - {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 448}}
    - {type: volume, source: cache, target: /c, volume: {nocopy: true}}
    - {type: bind, source: ./config, target: /e, read_only: true, bind: {create_host_path: false}}
  third:
    image: x
    user: '7'
    healthcheck: {test: [CMD, x]}
networks:
  inside:
volumes:
  cache:
secrets:
  s: {file: ./secrets/key}
configs:
  c: {file: ./config/a.txt}
";
const RICH_MANIFEST: &str = "
about = 'A stack of somebody else'
memory = '2g'
images.x = { upstream = 'r/x:1' }
secrets.key = { purpose = 'A key', format = { kind = 'hex', length = 64 }, readers = [{ uid = 7, gid = 7 }] }
ports = [{ port = 443, protocol = 'tcp', target = 8443, service = 'other', from = 'world' }]
egress = ['third']
";

/// A stack that is a project's own.
fn rich() -> (Plan, StackSpec) {
    let files =
        [("stack.toml", RICH_MANIFEST), ("compose.yaml", RICH), ("config/a.txt", "{{ project.name }}\n")];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    let spec = StackSpec { name: "own".into(), images: [image("x")].into(), files, ..StackSpec::default() };
    (plan(std::slice::from_ref(&spec)).expect("it has a plan"), spec)
}

#[test]
fn what_a_confined_service_has_a_use_for_is_allowed() {
    let (plan, spec) = rich();
    let rendered = plan.render(&spec, &[WEB]).unwrap();
    assert!(rendered.contains("- 443:8443/tcp"), "{rendered}");
    assert_eq!(config(&plan, "own"), [("a.txt".to_owned(), "demo\n".to_owned())]);
}

#[test]
fn networks_are_the_plans() {
    let (plan, _) = of("postgres");
    let place = plan.networks[0].members[0].address.to_string();
    for (from, to) in [
        (place.as_str(), "10.128.0.9"),
        ("    external: true", "    external: false"),
        ("    name: postgres_internal", "    name: headscale.outside"),
    ] {
        assert_eq!(broken(from, to), [Rule::Networks], "{from}");
    }
    assert_eq!(
        broken("      postgres_internal:\n", "      other: {}\n      postgres_internal:\n"),
        [Rule::Networks]
    );
    let (head, tail) =
        good().split_once("    networks:\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let rest = tail.split_once("    shm_size").unwrap().1;
    assert_eq!(rules(&format!("{head}    shm_size{rest}")), [Rule::Networks], "Compose would make one");
}

/// Below these the keys are names of the file's own.
const NAMES: [&str; 7] =
    ["services", "networks", "volumes", "secrets", "configs", "environment", "depends_on"];

/// Every map whose keys are Compose's: where it is, and what the specification's section is called.
fn maps(value: &Value, at: &str, section: &str, by_name: bool, found: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(n, item)| maps(item, &format!("{at}/{n}"), section, false, found));
        }
        Value::Object(map) if by_name => {
            map.iter().for_each(|(name, below)| maps(below, &format!("{at}/{name}"), section, false, found));
        }
        Value::Object(map) => {
            found.push((at.to_owned(), section.to_owned()));
            for (key, below) in map {
                let inner = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
                maps(below, &format!("{at}/{key}"), &inner, NAMES.contains(&&**key), found);
            }
        }
        _ => {}
    }
}

#[test]
fn one_key_more_anywhere_in_a_good_file_is_refused_by_its_name() {
    let specified: BTreeMap<&str, BTreeSet<&str>> = include_str!("fixtures/compose-spec-keys.txt")
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(section, keys)| (section, keys.split(' ').collect()))
        .collect();
    let (plan, spec) = rich();
    let files = [good(), headscale(&[WEB, STUN]).unwrap(), plan.render(&spec, &[WEB]).unwrap()]
        .map(|text| serde_saphyr::from_str::<Value>(&text).unwrap());
    let places = files.each_ref().map(|file| {
        let mut places = Vec::new();
        maps(file, "", "", false, &mut places);
        places
    });
    // What one of them says is allowed wherever it belongs.
    let mut allowed = BTreeSet::from([(String::new(), "configs".to_owned())]);
    for (file, places) in files.iter().zip(&places) {
        for (at, section) in places {
            let keys = file.pointer(at).unwrap().as_object().unwrap().keys();
            allowed.extend(keys.map(|key| (section.clone(), key.clone())));
        }
    }
    let mut tried = 0;
    for (file, places) in files.iter().zip(&places) {
        for (at, section) in places {
            let known = specified.get(section.as_str()).into_iter().flatten().copied();
            for key in known.chain(["x-anything", "surprise", "<<"]) {
                if allowed.contains(&(section.clone(), key.to_owned())) {
                    continue;
                }
                let mut more = file.clone();
                more.pointer_mut(at).unwrap()[key] = json!("x");
                let found = findings(&serde_saphyr::to_string(&more).unwrap());
                let named = |f: &Finding| f.rule == Rule::Key && f.found.contains(key);
                assert!(found.iter().any(named), "{at} {section}: {key}: {found:?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 300, "{tried}");
}

#[test]
fn a_finding_is_a_sentence_that_names_the_service() {
    let finding = &findings(&good().replacen("read_only: true", "read_only: false", 1))[0];
    assert_eq!(finding.to_string(), "service postgres: it can write its root file system");
}
