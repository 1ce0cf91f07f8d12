//! A good stack passes; each rule, broken by one change, is found.

use sovereign_stacks::{Rule, lint, render};
use spec::{Port, Protocol, StackSpec};

const WEB: Port = Port { port: 443, protocol: Protocol::Tcp };

fn good() -> String {
    let image = format!("registry.test:5000/postgres@sha256:{}", "a".repeat(64));
    let stack = StackSpec { name: "postgres".into(), images: [("postgres".to_owned(), image)].into() };
    render(&stack, &[WEB]).expect("the catalogue renders")
}

/// The rules broken when one text is replaced by another.
fn broken(from: &str, to: &str) -> Vec<Rule> {
    let good = good();
    assert!(good.contains(from), "{from:?} is not in:\n{good}");
    lint(&good.replacen(from, to, 1), &[WEB]).iter().map(|f| f.rule).collect()
}

/// The rules broken by one more line in the service.
fn with(line: &str) -> Vec<Rule> {
    broken("    read_only: true\n", &format!("    read_only: true\n    {line}\n"))
}

fn headscale(inbound: &[Port]) -> Result<String, sovereign_stacks::Error> {
    let image =
        |name: &str| (name.to_owned(), format!("registry.test:5000/{name}@sha256:{}", "a".repeat(64)));
    let images = [image("headscale"), image("tailscale")].into();
    render(&StackSpec { name: "headscale".into(), images }, inbound)
}

fn is_golden(name: &str, rendered: &str) {
    let path = format!("{}/tests/golden/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, rendered).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(path).expect("the golden file is there");
    assert_eq!(rendered, golden, "run with UPDATE_GOLDEN=1 if it is meant");
}

#[test]
fn the_rendered_stack_is_the_golden_one() {
    assert_eq!(good(), good(), "same inputs, same bytes");
    is_golden("postgres", &good());
    let stun = Port { port: 3478, protocol: Protocol::Udp };
    is_golden("headscale", &headscale(&[WEB, stun]).unwrap());
}

#[test]
fn a_stack_whose_ports_are_not_declared_is_refused_but_for_those_of_the_private_network() {
    let refused = headscale(&[WEB]).unwrap_err().to_string();
    assert!(refused.contains("publishes 3478/udp") && !refused.contains("9090"), "{refused}");
}

#[test]
fn a_good_stack_has_no_finding() {
    assert_eq!(lint(&good(), &[]), []);
}

#[test]
fn what_cannot_be_read_is_a_finding() {
    for text in ["services: [", "{}", "services: {}"] {
        assert_eq!(lint(text, &[])[0].rule, Rule::Readable, "{text}");
    }
}

#[test]
fn privileged() {
    assert_eq!(with("privileged: true"), [Rule::Privileged]);
}

#[test]
fn host_namespaces() {
    for key in ["network_mode", "pid", "ipc", "uts", "cgroup", "userns_mode"] {
        assert_eq!(with(&format!("{key}: host")), [Rule::HostNamespace], "{key}");
    }
    assert_eq!(with("pid: container:other"), [Rule::HostNamespace]);
}

#[test]
fn engine_sockets() {
    let found = broken("source: /srv/sovereign/data/postgres", "source: /var/run/docker.sock");
    assert_eq!(found, [Rule::EngineSocket, Rule::BindMount]);
    assert_eq!(with("volumes_from: [other]"), [Rule::EngineSocket]);
    assert_eq!(with("use_api_socket: true"), [Rule::EngineSocket]);
}

#[test]
fn capabilities() {
    assert_eq!(broken("- ALL", "- NET_RAW"), [Rule::Capabilities]);
    assert_eq!(with("cap_add: [SYS_ADMIN]"), [Rule::Capabilities]);
}

#[test]
fn security_options() {
    let found = broken("no-new-privileges:true", "seccomp=unconfined");
    assert_eq!(found, [Rule::SecurityOptions, Rule::SecurityOptions]);
}

#[test]
fn a_writable_root() {
    assert_eq!(broken("read_only: true", "read_only: false"), [Rule::ReadOnly]);
}

#[test]
fn limits() {
    assert_eq!(broken("pids_limit: 200", "pids_limit: -1"), [Rule::Limits]);
    assert_eq!(broken("mem_limit: 768m", "mem_limit: 0"), [Rule::Limits]);
    assert_eq!(broken("cpus:", "x-cpus:"), [Rule::Limits]);
}

#[test]
fn healthcheck() {
    assert_eq!(broken("healthcheck:", "x-healthcheck:"), [Rule::Healthcheck]);
    assert_eq!(broken("healthcheck:\n", "healthcheck:\n      disable: true\n"), [Rule::Healthcheck]);
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
    assert_eq!(with("build: ."), [Rule::Digest]);
}

#[test]
fn secrets_in_the_environment() {
    assert_eq!(broken("POSTGRES_PASSWORD_FILE", "POSTGRES_PASSWORD"), [Rule::EnvironmentSecret]);
    assert_eq!(with("env_file: .env"), [Rule::EnvironmentSecret]);
}

#[test]
fn root() {
    for user in ["0", "'0:0'", "root", "postgres", "''"] {
        let good = good();
        let line = good.lines().find(|l| l.trim_start().starts_with("user:")).unwrap();
        let found = lint(&good.replacen(line, &format!("    user: {user}"), 1), &[]);
        assert_eq!(found.iter().map(|f| f.rule).collect::<Vec<_>>(), [Rule::Root], "{user}");
    }
}

#[test]
fn bind_mounts_outside_the_volume() {
    for source in ["/etc", "/srv/sovereign", "/srv/sovereign/../../etc", "/srv/sovereignty/x"] {
        let found = broken("source: /srv/sovereign/data/postgres", &format!("source: {source}"));
        assert_eq!(found, [Rule::BindMount], "{source}");
    }
}

#[test]
fn short_bind_mounts_are_seen_too() {
    let found = broken("    volumes:\n", "    volumes:\n    - /etc:/etc:ro\n    - named:/x\n");
    assert_eq!(found, [Rule::BindMount]);
}

#[test]
fn devices_and_system_settings() {
    for key in ["devices", "sysctls", "device_cgroup_rules"] {
        assert_eq!(with(&format!("{key}: []")), [Rule::Devices], "{key}");
    }
}

#[test]
fn a_finding_is_a_sentence_that_names_the_service() {
    let finding = &lint(&good().replacen("read_only: true", "read_only: false", 1), &[])[0];
    assert_eq!(finding.to_string(), "service postgres: its root file system can be written");
}
