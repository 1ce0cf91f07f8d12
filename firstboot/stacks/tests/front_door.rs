//! A project with a front door, a gate, a private network and stacks with routes of all kinds: what follows from it.

mod common;

use common::{config, is_golden, own_stack, plan, spec_of};
use serde_json::Value;
use sovereign_stacks::manifest::From;
use sovereign_stacks::{Error, Plan};
use spec::{Port, Protocol, Setting, StackSpec};

const HTTP: Port = Port { port: 80, protocol: Protocol::Tcp };
const HTTPS: Port = Port { port: 443, protocol: Protocol::Tcp };
const QUIC: Port = Port { port: 443, protocol: Protocol::Udp };
const STUN: Port = Port { port: 3478, protocol: Protocol::Udp };

/// All of it; the front door with these options.
fn stacks(options: &[(&str, Setting)]) -> Vec<StackSpec> {
    let mut stacks = ["traefik", "oauth2-proxy", "headscale", "socket-proxy"].map(spec_of).to_vec();
    stacks[0].options = options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    stacks.extend([own_stack("site"), own_stack("login")]);
    stacks
}

fn text(value: &str) -> Setting {
    Setting::Text(value.into())
}

fn planned(options: &[(&str, Setting)]) -> Plan {
    plan(&stacks(options)).expect("it can be planned")
}

fn file(plan: &Plan, stack: &str, name: &str) -> String {
    let files = config(plan, stack);
    files.into_iter().find(|(path, _)| path == name).expect("the file is there").1
}

fn yaml(plan: &Plan, name: &str) -> Value {
    serde_saphyr::from_str(&file(plan, "traefik", name)).expect("it is YAML")
}

fn refused(stacks: &[StackSpec]) -> String {
    plan(stacks).expect_err("it is refused").to_string()
}

/// A change of one of the project's own files.
fn changed(stack: &str, from: &str, to: &str) -> Vec<StackSpec> {
    let mut stacks = stacks(&[]);
    let spec = stacks.iter_mut().find(|spec| spec.name == stack).expect("it is there");
    let manifest = spec.files.get_mut("stack.toml").expect("it has one");
    assert!(manifest.contains(from), "{from}");
    *manifest = manifest.replacen(from, to, 1);
    stacks
}

#[test]
fn what_is_rendered_is_the_golden_one() {
    let plan = planned(&[
        ("acme", text("https://ca.example.test/dir")),
        ("acme_email", text("admin@example.org")),
        ("http3", Setting::Switch(true)),
        ("dashboard", Setting::Switch(true)),
    ]);
    is_golden("door-plan.txt", &plan.shown());
    is_golden("door-static.yaml", &file(&plan, "traefik", "traefik.yaml"));
    is_golden("door-routes.yaml", &file(&plan, "traefik", "routes/routes.yaml"));
    is_golden("door-gate.toml", &file(&plan, "oauth2-proxy", "oauth2-proxy.toml"));
    is_golden("door-headscale.yaml", &file(&plan, "headscale", "config.yaml"));
    is_golden("door-clients.json", &file(&plan, "login", "clients.json"));
    for (stack, spec) in ["traefik", "oauth2-proxy", "headscale", "socket-proxy"].iter().zip(stacks(&[])) {
        let rendered = plan.render(&spec, &[HTTP, HTTPS, QUIC, STUN]).expect("it keeps all rules");
        is_golden(&format!("door-{stack}-compose.yaml"), &rendered);
    }
}

#[test]
fn the_front_door_alone_is_on_the_ports_of_the_web() {
    let ports = |plan: &Plan| plan.ports(From::World).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ports(&planned(&[])), ["80/tcp", "443/tcp", "3478/udp", "41641/udp"]);
    let with = planned(&[("http3", Setting::Switch(true))]);
    assert_eq!(ports(&with), ["80/tcp", "443/tcp", "443/udp", "3478/udp", "41641/udp"]);
    let without = plan(&[spec_of("headscale")]).unwrap();
    assert_eq!(ports(&without), ["443/tcp", "3478/udp", "41641/udp"]);
    assert!(file(&without, "headscale", "config.yaml").contains("listen_addr: \"[::]:443\""));
}

#[test]
fn of_the_control_server_only_what_devices_need_is_reached_and_at_the_networks_own_host() {
    let plan = planned(&[]);
    let mut paths: Vec<&str> =
        plan.routes.iter().filter(|r| r.stack == "headscale").map(|r| &*r.path).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/bootstrap-dns", "/derp", "/health", "/key", "/ts2021"]);
    assert!(plan.routes.iter().filter(|r| r.stack == "headscale").all(|r| r.host == "vpn.example.org"));
    let mut stacks = stacks(&[]);
    stacks[2].hosts = [("control".to_owned(), "other".to_owned())].into();
    assert!(refused(&stacks).contains("stacks.headscale.hosts.control"), "{}", refused(&stacks));
}

#[test]
fn the_gate_is_at_every_host_that_it_guards_something_of_and_reached_from_where_that_is() {
    let gate = |plan: &Plan| {
        let pages = plan.routes.iter().filter(|route| route.name == "gate");
        pages.map(|route| (route.host.clone(), route.path.clone(), route.from)).collect::<Vec<_>>()
    };
    assert_eq!(gate(&planned(&[])), [("example.org".into(), "/oauth2/".into(), From::World)]);
    let inside = changed("site", "from = \"world\"\nrole = \"member\"", "from = \"vpn\"\nrole = \"member\"");
    assert_eq!(gate(&plan(&inside).unwrap()), [("example.org".into(), "/oauth2/".into(), From::Vpn)]);
    let elsewhere =
        changed("site", "host = \"@\"\npath = \"/members\"", "host = \"club\"\npath = \"/members\"");
    let plan = plan(&elsewhere).unwrap();
    let clients: Value = serde_json::from_str(
        &file(&plan, "login", "clients.json").replace("<secret oauth2-proxy-client-secret>", "\"\""),
    )
    .unwrap();
    assert_eq!(
        clients[0]["redirects"],
        serde_json::json!([
            "https://club.example.org/oauth2/callback",
            "https://example.org/oauth2/callback"
        ])
    );
    assert_eq!(gate(&plan).iter().map(|(_, _, from)| *from).collect::<Vec<_>>(), [From::World, From::Vpn]);
}

#[test]
fn who_is_guarded_is_matched_however_it_is_written() {
    let routes = yaml(&planned(&[]), "routes/routes.yaml");
    let rule = |name: &str| {
        let routers = routes["http"]["routers"].as_object().unwrap();
        let found = routers.iter().find(|(key, _)| key.starts_with(name)).unwrap();
        found.1["rule"].as_str().unwrap().to_owned()
    };
    assert!(
        rule("site-admin-").contains("(?i)^/((;|%3B)[^/]*/)*ghost((;|%3B)[^/]*)?($|"),
        "{}",
        rule("site-admin-")
    );
    assert!(!rule("headscale-control-").contains("(?i)"));
}

#[test]
fn every_router_has_a_service_and_middlewares_that_are_there() {
    for options in [&[][..], &[("dashboard", Setting::Switch(true)), ("acme", text("https://ca/dir"))]] {
        let all = yaml(&planned(options), "routes/routes.yaml");
        let http = &all["http"];
        for (name, router) in http["routers"].as_object().unwrap() {
            let service = router["service"].as_str().unwrap();
            assert!(service.ends_with("@internal") || !http["services"][service].is_null(), "{name}");
            for middleware in router["middlewares"].as_array().unwrap() {
                assert!(!http["middlewares"][middleware.as_str().unwrap()].is_null(), "{name}: {middleware}");
            }
        }
    }
}

#[test]
fn names_that_no_authority_vouches_for_have_certificates_of_the_servers_own() {
    let own = |options: &[(&str, Setting)]| planned(options).certificates["traefik"].clone();
    let acme = ("acme", text("https://ca/dir"));
    let all = ["auth.example.org", "cloud.example.org", "example.org", "www.example.org"];
    let mut none = own(&[]);
    none.sort_unstable();
    let mut expected = all.to_vec();
    expected.extend(["metrics.internal.example.org", "vpn.example.org"]);
    expected.sort_unstable();
    assert_eq!(none, expected);
    assert_eq!(own(std::slice::from_ref(&acme)), ["metrics.internal.example.org"]);
    assert_eq!(own(&[acme, ("challenge", text("dns-01"))]), [""; 0]);
    assert_eq!(planned(&[]).certificates["headscale"], [""; 0], "it is behind the door");
}

#[test]
fn a_token_is_asked_for_only_by_who_needs_it() {
    let asked = |options: &[(&str, Setting)]| {
        planned(options).secrets.iter().any(|secret| secret.name == "traefik-dns-token")
    };
    assert!(!asked(&[]) && asked(&[("challenge", text("dns-01"))]));
    let plan = planned(&[("challenge", text("dns-01"))]);
    assert_eq!(file(&plan, "traefik", "dns-token"), "<secret traefik-dns-token>\n");
}

#[test]
fn other_hosts_lead_to_the_one_that_was_chosen() {
    let site = |stacks: &[StackSpec]| {
        let plan = plan(stacks).unwrap();
        let site = plan.routes.iter().find(|route| route.name == "site").unwrap();
        (site.host.clone(), site.also.clone(), plan.records.iter().any(|record| record == "www A {ipv4}"))
    };
    assert_eq!(site(&stacks(&[])), ("example.org".into(), vec!["www.example.org".into()], true));
    let mut swapped = stacks(&[]);
    for route in ["site", "admin", "members"] {
        swapped[4].hosts.insert(route.into(), "www".into());
    }
    assert_eq!(site(&swapped), ("www.example.org".into(), vec!["example.org".into()], true));
    let taken = changed("login", "host = \"auth\"\npath = \"/admin\"", "host = \"www\"\npath = \"/admin\"");
    assert!(refused(&taken).contains("sends people on from www.example.org"), "{}", refused(&taken));
}

#[test]
fn mistakes_in_a_manifest_are_named_with_their_line() {
    for (stack, from, to, expected) in [
        (
            "site",
            "path = \"/ghost\"",
            "path = \"/ghost\"\npaths = [\"/a\"]",
            "stack.toml, line 14: routes.admin: it has both",
        ),
        ("site", "limit = \"files\"", "limit = \"often\"", "line 38: unknown variant `often`"),
        ("site", "encoded = true", "encoded = true\nwhen = \"more\"", "there is no [options.more]"),
        ("site", "path = \"/members\"", "path = \"/oauth2/\"", "route gate of stack oauth2-proxy"),
        (
            "site",
            "[[routes]]",
            "[[exceptions]]\nservice = \"web\"\nrule = \"engine-socket\"\nreason = \"why not\"\n\n[[routes]]",
            "for a stack of the catalogue only",
        ),
        (
            "site",
            "[[routes]]",
            "[secrets.k]\npurpose = \"x\"\nformat = { kind = \"hex\", length = 64 }\n\n[[clients]]\nid = \"x\"\nsecret = \"k\"\nredirects = [\"/\"]\nservices = [\"web\"]\n\n[[routes]]",
            "it names no `route`",
        ),
    ] {
        let error = refused(&changed(stack, from, to));
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn only_the_one_service_with_the_exception_sees_the_engines_socket_and_read_only() {
    let stacks = stacks(&[]);
    let plan = plan(&stacks).unwrap();
    let rendered = plan.render(&stacks[3], &[]).unwrap();
    let rules = |text: &str| {
        let stack = plan.stack("socket-proxy").unwrap();
        sovereign_stacks::lint(&plan, stack, text, &[]).iter().map(|f| f.rule).collect::<Vec<_>>()
    };
    assert_eq!(rules(&rendered), []);
    let mount = "source: /run/docker.sock\n      target: /run/docker.sock\n      read_only: true";
    assert!(rendered.contains(mount), "{rendered}");
    for wrong in [
        mount.replace("read_only: true", "read_only: false"),
        mount.replacen("/run/docker.sock", "/run/containerd/containerd.sock", 1),
        mount.replacen("/run/docker.sock", "/run", 1),
    ] {
        assert_eq!(rules(&rendered.replacen(mount, &wrong, 1)), [sovereign_stacks::Rule::Files], "{wrong}");
    }
}

#[test]
fn nobody_reaches_the_engine_who_does_not_import_it() {
    let plan = planned(&[]);
    assert!(plan.reachable().iter().all(|(from, to)| !from.contains("socket") && !to.contains("socket")));
    let spec = changed(
        "site",
        "[[routes]]",
        "[[imports]]\nstack = \"socket-proxy\"\nexport = \"engine\"\nservices = [\"web\"]\n\n[[routes]]",
    );
    let reachable = common::plan(&spec).unwrap().reachable();
    assert!(reachable.contains(&("site/web".into(), "socket-proxy/socket-proxy".into())));
    assert!(!reachable.contains(&("traefik/traefik".into(), "socket-proxy/socket-proxy".into())));
}

#[test]
fn who_has_people_sign_in_says_whom_it_misses() {
    let gate = [spec_of("traefik"), spec_of("oauth2-proxy")];
    assert!(refused(&gate).contains("no enabled stack provides sign-in"), "{}", refused(&gate));
    assert!(refused(&gate).contains("by `issuer` in [stacks.oauth2-proxy]"), "{}", refused(&gate));
    let alone = [spec_of("oauth2-proxy"), own_stack("login")];
    assert!(refused(&alone).contains("no enabled stack provides the front door"), "{}", refused(&alone));
}

#[test]
fn the_gate_takes_the_word_of_a_provider_elsewhere_where_no_stack_knows_people() {
    let realm = "https://login.example.net/realms/staff";
    let mut all = stacks(&[]);
    all[1].options.insert("issuer".into(), text(realm));
    let twice = refused(&all);
    assert!(twice.contains("stack login provides sign-in, and `issuer` in [stacks.oauth2-proxy]"), "{twice}");
    all.retain(|stack| stack.name != "login");
    let plan = plan(&all).unwrap();
    let gate: toml::Table = file(&plan, "oauth2-proxy", "oauth2-proxy.toml").parse().unwrap();
    assert_eq!(gate["oidc_issuer_url"].as_str(), Some(realm));
    assert_eq!(gate["redeem_url"].as_str().unwrap(), format!("{realm}/protocol/openid-connect/token"));
    // It believes the front door alone, and reaches the internet now, which it does not otherwise.
    let door = |plan: &Plan| plan.networks.iter().find(|n| n.name == "oauth2-proxy.edge").cloned().unwrap();
    let address = door(&plan).member("traefik", "traefik").unwrap().address.to_string();
    assert_eq!(gate["trusted_proxy_ips"].as_array().unwrap(), &[toml::Value::String(address)]);
    assert!(door(&plan).members.iter().all(|member| member.aliases.is_empty()));
    let outside = |plan: &Plan| plan.networks_of("oauth2-proxy", "oauth2-proxy").any(|(n, _)| !n.internal);
    assert!(outside(&plan) && !outside(&planned(&[])));
}

#[test]
fn a_route_that_cannot_be_says_what_it_needs() {
    let mut stacks = vec![spec_of("traefik")];
    stacks[0].options = [("dashboard".to_owned(), Setting::Switch(true))].into();
    let wish =
        sovereign_stacks::Wish { project: "demo", domain: Some("example.org"), vpn: None, stacks: &stacks };
    let error = Plan::resolve(wish).unwrap_err();
    assert!(matches!(error, Error::Clash(_)));
    assert!(error.to_string().contains("see `dashboard` in [stacks.traefik]"), "{error}");
}
