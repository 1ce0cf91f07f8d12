//! What follows from manifests, and how everything that does not go together is named.

mod common;

use common::{config, plan, spec_of};
use sovereign_stacks::manifest::From;
use sovereign_stacks::{Error, Plan, Wish};
use spec::{Setting, StackSpec};
use std::collections::BTreeSet;

const ABOUT: &str = "about = 'A stack'\nmemory = '1g'\nimages.x = { upstream = 'r/x:1' }\n";
const ONE: &str = "services:\n  app:\n    image: x\n    user: '7'\n    healthcheck: {test: [CMD, x]}\n";

/// A project's own stack of these files.
fn own(name: &str, manifest: &str, compose: &str, config: &[(&str, &str)]) -> StackSpec {
    let mut files =
        vec![("stack.toml".to_owned(), manifest.to_owned()), ("compose.yaml".to_owned(), compose.to_owned())];
    files.extend(config.iter().map(|(path, text)| (format!("config/{path}"), (*text).to_owned())));
    StackSpec { name: name.into(), files: files.into_iter().collect(), ..StackSpec::default() }
}

/// The same with one service and this added to its manifest.
fn small(name: &str, more: &str) -> StackSpec {
    own(name, &format!("{ABOUT}{more}"), ONE, &[])
}

/// A front door.
fn door() -> StackSpec {
    small(
        "door",
        "provides.front-door = { service = 'app' }\nports = [{ port = 443, protocol = 'tcp', service = 'app', from = 'world' }]\n",
    )
}

fn route(host: &str, more: &str) -> String {
    format!(
        "routes = [{{ name = 'web', host = '{host}', service = 'app', port = 80, from = 'world'{more} }}]\n"
    )
}

fn refused(stacks: &[StackSpec]) -> String {
    plan(stacks).expect_err("it is refused").to_string()
}

#[test]
fn what_is_needed_comes_first_and_the_rest_stays_as_it_was() {
    let stacks =
        [small("c", "needs = ['b']\n"), small("d", ""), small("b", "needs = ['a']\n"), small("a", "")];
    let names: Vec<String> = plan(&stacks).unwrap().stacks.iter().map(|stack| stack.name.clone()).collect();
    assert_eq!(names, ["d", "a", "b", "c"]);
    assert!(refused(&stacks[..3]).contains("stack b needs stack a: add \"a\" to stacks.enabled"));
    let circle = [small("a", "needs = ['b']\n"), small("b", "needs = ['a']\n")];
    assert!(refused(&circle).contains("stacks a, b need one another in a circle"));
    assert!(refused(&[small("a", ""), small("a", "")]).contains("stack a is enabled twice"));
}

#[test]
fn what_two_stacks_cannot_both_have_is_named_with_both() {
    let port = "ports = [{ port = 443, protocol = 'tcp', service = 'app', from = 'world' }]\n";
    assert!(refused(&[small("a", port), small("b", port)]).contains("stacks a and b both publish 443/tcp"));
    let routed = [door(), small("a", &route("www", "")), small("b", &route("www", ""))];
    let said = refused(&routed);
    assert!(
        said.contains("route web of stack a and route web of stack b are both at www.example.org/"),
        "{said}"
    );
    let secret = "secrets.key = { purpose = 'x', format = { kind = 'hex', length = 64 } }\n";
    assert!(
        refused(&[small("a", secret), small("b", secret)]).contains("stacks a and b both have a secret key")
    );
    let other = StackSpec { name: "other".into(), ..door() };
    assert!(
        refused(&[door(), other]).contains("both provide the front door")
            || refused(&[door(), StackSpec { name: "other".into(), ..door() }])
                .contains("all provide the front door")
    );
}

#[test]
fn a_project_may_give_a_route_another_host() {
    let mut moved = small("b", &route("www", ""));
    moved.hosts.insert("web".into(), "@".into());
    let both = plan(&[door(), small("a", &route("www", "")), moved.clone()]).unwrap();
    let hosts: Vec<&str> = both.routes.iter().map(|route| route.host.as_str()).collect();
    assert_eq!(hosts, ["example.org", "www.example.org"]);
    assert!(
        both.records.contains(&"@ A {ipv4}".to_owned())
            && both.records.contains(&"www AAAA {ipv6}".to_owned())
    );
    for (route, host, why) in
        [("web", "No Host", "is not labels"), ("wab", "www", "is no route of it; there are: web")]
    {
        moved.hosts = [(route.to_owned(), host.to_owned())].into();
        assert!(refused(&[door(), moved.clone()]).contains(why), "{}", refused(&[door(), moved.clone()]));
    }
}

#[test]
fn the_longest_path_comes_first_where_hosts_are_the_same() {
    let two = "routes = [{ name = 'all', host = 'www', service = 'app', port = 80, from = 'world' },\n\
               { name = 'admin', host = 'www', path = '/ghost', service = 'app', port = 80, from = 'vpn' }]\n";
    let planned = plan(&[door(), small("a", two)]).unwrap();
    let paths: Vec<&str> = planned.routes.iter().map(|route| route.path.as_str()).collect();
    assert_eq!(paths, ["/ghost", "/"]);
    assert_eq!(
        planned.names_inside(),
        ["www.example.org"],
        "devices of the private network come in that way"
    );
}

#[test]
fn a_route_needs_what_it_stands_on() {
    let without = |stacks: &[StackSpec], domain, vpn| {
        Plan::resolve(Wish { project: "demo", domain, vpn, stacks }).unwrap_err().to_string()
    };
    let vpn = common::vpn();
    let public = [door(), small("a", &route("www", ""))];
    assert!(without(&public, None, Some(&vpn)).contains("route web of stack a needs a domain"));
    let gated = [door(), small("a", &route("www", ", role = 'admin'"))];
    assert!(refused(&gated).contains("asks for a role, and no enabled stack provides the gate"));
    let inside = "routes = [{ name = 'web', host = 'x', service = 'app', port = 80, from = 'vpn' }]\n";
    assert!(without(&[door(), small("a", inside)], Some("x.org"), None).contains("needs a private network"));
    // Without a front door there is nothing to reach, and nothing is missing.
    assert!(plan(&[small("a", inside)]).unwrap().routes.is_empty());
}

#[test]
fn who_shares_no_network_cannot_talk() {
    let two_services = "services:\n  app:\n    image: x\n    user: '7'\n    networks: [inside]\n    healthcheck: {test: [CMD, x]}\n  \
                        db:\n    image: x\n    user: '7'\n    networks: [inside]\n    healthcheck: {test: [CMD, x]}\nnetworks:\n  inside:\n";
    let with_database = own("a", &format!("{ABOUT}{}", route("www", "")), two_services, &[]);
    let other = small("b", &format!("{}egress = ['app']\n", route("blog", "")));
    let planned = plan(&[door(), with_database, other]).unwrap();
    let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    let both_ways = [("a/app", "a/db"), ("door/app", "a/app"), ("door/app", "b/app")];
    let expected: BTreeSet<_> =
        both_ways.iter().flat_map(|(one, other)| [pair(one, other), pair(other, one)]).collect();
    assert_eq!(planned.reachable(), expected);
    let ways_out: Vec<&str> = planned
        .networks
        .iter()
        .filter(|network| !network.internal)
        .map(|network| network.name.as_str())
        .collect();
    assert_eq!(ways_out, ["b.outside", "door.outside"]);
    let published: Vec<&str> = planned
        .networks
        .iter()
        .filter(|network| network.subnet6.is_some())
        .map(|network| network.name.as_str())
        .collect();
    assert_eq!(published, ["door.outside"]);
}

#[test]
fn what_is_exported_is_reached_by_whom_it_is_exported_to() {
    let export = "exports = [{ name = 'api', service = 'app', port = 2375, to = ['b'] }]\n";
    let import = "imports = [{ stack = 'a', export = 'api', services = ['app'] }]\n";
    let reader = |name: &str| {
        own(name, &format!("{ABOUT}{import}"), ONE, &[("c", "{{ import.api.host }}:{{ import.api.port }}\n")])
    };
    let planned = plan(&[reader("b"), small("a", export)]).unwrap();
    assert_eq!(planned.stacks[0].name, "a", "what is imported comes first");
    assert_eq!(config(&planned, "b"), [("c".to_owned(), "app.a:2375\n".to_owned())]);
    assert!(
        refused(&[reader("c"), small("a", export)])
            .contains("stack c imports api of stack a, which exports nothing")
    );
}

#[test]
fn an_app_calls_sign_in_by_its_public_name_through_the_front_door() {
    let sign_in =
        format!("provides.sign-in = {{ route = 'web', issuer = '/realms/main' }}\n{}", route("auth", ""));
    let client = format!(
        "secrets.app-oidc = {{ purpose = 'x', format = {{ kind = 'alphanumeric', length = 43 }} }}\n\
         clients = [{{ id = 'app', secret = 'app-oidc', route = 'web', redirects = ['/code'], services = ['app'] }}]\n{}",
        route("www", "")
    );
    let provider = own(
        "sso",
        &format!("{ABOUT}{sign_in}"),
        ONE,
        &[("realm", "{{ clients[0].id }} {{ clients[0].redirects[0] }}\n")],
    );
    let app = own(
        "app",
        &format!("{ABOUT}{client}"),
        ONE,
        &[("c", "{{ sign_in.issuer }} {{ front_door.addresses[0] }}\n")],
    );
    let planned = plan(&[door(), provider, app]).unwrap();
    let place = planned.networks_of("door", "app").find(|(network, _)| network.name == "app.edge").unwrap().1;
    assert_eq!(place.aliases, ["auth.example.org"]);
    let expected = format!("https://auth.example.org/realms/main {}\n", place.address);
    assert_eq!(config(&planned, "app"), [("c".to_owned(), expected)]);
    assert_eq!(
        config(&planned, "sso"),
        [("realm".to_owned(), "app https://www.example.org/code\n".to_owned())]
    );
}

#[test]
fn ports_come_and_go_with_the_front_door_and_with_options() {
    let ports = "options.more = { about = 'x', default = false }\nports = [\n\
        { port = 443, protocol = 'tcp', service = 'app', from = 'world', without_front_door = true },\n\
        { port = 8443, protocol = 'tcp', service = 'app', from = 'world', when = 'more' },\n\
        { port = 9090, protocol = 'tcp', service = 'app', from = 'vpn' }]\n";
    let shown = |planned: &Plan, from| {
        planned.ports(from).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let alone = plan(&[small("a", ports)]).unwrap();
    assert_eq!((shown(&alone, From::World), shown(&alone, From::Vpn)), ("443/tcp".into(), "9090/tcp".into()));
    let mut chosen = small("a", ports);
    chosen.options.insert("more".into(), Setting::Switch(true));
    let behind = plan(&[door(), chosen]).unwrap();
    assert_eq!(shown(&behind, From::World), "443/tcp 8443/tcp");
}

#[test]
fn a_choice_is_one_of_those_there_are() {
    let options = "options.size = { about = 'x', default = 3 }\noptions.kind = { about = 'x', default = 'a', values = ['a', 'b'] }\n";
    let with = |name: &str, setting: Setting| {
        let mut chosen =
            own("s", &format!("{ABOUT}{options}"), ONE, &[("c", "{{ option.size }} {{ option.kind }}\n")]);
        chosen.options.insert(name.into(), setting);
        plan(&[chosen]).map(|planned| config(&planned, "s")[0].1.clone()).map_err(|error| error.to_string())
    };
    assert_eq!(with("kind", Setting::Text("b".into())).unwrap(), "3 b\n");
    for (name, setting, why) in [
        ("sise", Setting::Number(1), "stacks.s.sise: is no option of this stack; there are: kind, size"),
        ("size", Setting::Switch(true), "must be a whole number"),
        ("kind", Setting::Text("c".into()), "must be one of a, b"),
    ] {
        let said = with(name, setting).unwrap_err();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn every_mistake_in_a_folder_is_named_with_its_file_and_line() {
    let mistakes = |manifest: &str, compose: &str, config: &[(&str, &str)]| {
        let error = plan(&[own("s", manifest, compose, config)]).expect_err("there is a mistake");
        let Error::Files(found) = error else { panic!("{manifest}: {error}") };
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (more, why) in [
        ("surprise = 1\n", "stack.toml, line 4: unknown field `surprise`"),
        ("needs = ['No']\n", "line 4: \"No\" is not a name"),
        ("egress = ['web']\n", "line 4: egress: there is no service web in compose.yaml, which has: app"),
        ("images.y = { upstream = 'y' }\n", "images.y: no service of compose.yaml runs it"),
        (
            "[secrets.a]\npurpose = 'x'\nformat = { kind = 'hex', length = 8 }\n",
            "line 4: secrets.a: it holds fewer than 120 bits",
        ),
        ("[secrets.luks-key]\npurpose = 'x'\nformat = { kind = 'uuid' }\n", "are firstboot's own"),
        (
            "[[routes]]\nname = 'x'\nhost = 'a'\nservice = 'nope'\nport = 1\nfrom = 'world'\n",
            "line 4: routes.x: there is no service nope",
        ),
        ("[[config]]\nfile = 'gone'\n", "line 4: config.gone: there is no config/gone"),
        (
            "[[data]]\npath = 'a'\nowner = {uid = 1, gid = 1}\nmode = '0777'\n",
            "line 7: \"0777\" is not a mode",
        ),
        (
            "[[exceptions]]\nservice = 'app'\nrule = 'everything'\nreason = 'x'\n",
            "line 6: unknown variant `everything`",
        ),
    ] {
        let said = mistakes(&format!("{ABOUT}{more}"), ONE, &[]);
        assert!(said.contains(why), "{more}: {said}");
    }
    for (from, to, why) in [
        (
            "    user: '7'\n",
            "    user: '7'\n    ports: ['1:1']\n",
            "services.app.ports: what is published is said by [[ports]]",
        ),
        (
            "    user: '7'\n",
            "    user: '7'\n    mem_limit: 4g\n",
            "the limits of its services add up to 4096 MiB, its budget is 1024 MiB",
        ),
        (
            "    user: '7'\n",
            "    user: '7'\n    networks: [x]\n",
            "services.app.networks: x is no network of this file",
        ),
        (
            "    user: '7'\n",
            "    user: '7'\n    networks: {x: {ipv4_address: 10.0.0.1}}\n",
            "must be a list of names",
        ),
        (
            "services:",
            "networks: {x: {external: true}}\nservices:",
            "networks.x: a network of a stack is its own",
        ),
        ("image: x", "image: z", "there is no [images.z]"),
        ("services:", "services: [", "compose.yaml: "),
    ] {
        let said = mistakes(ABOUT, &ONE.replacen(from, to, 1), &[]);
        assert!(said.contains(why), "{to}: {said}");
    }
    for (text, why) in [
        ("a\n{{ project.nme }}\n", "stack s, config/c, line 2: "),
        ("{{ secret('none') }}\n", "there is no secret none"),
        ("{% for x in %}\n", "config/c, line 1"),
    ] {
        let said = mistakes(ABOUT, ONE, &[("c", text)]);
        assert!(said.contains(why), "{text}: {said}");
    }
    let secret = "[secrets.key]\npurpose = 'x'\nformat = { kind = 'hex', length = 64 }\n";
    let said = mistakes(&format!("{ABOUT}{secret}"), ONE, &[("c", "{{ secret('key') }}\n")]);
    assert!(said.contains("nobody is named in stack.toml as its `reader`"), "{said}");
}

#[test]
fn a_folder_holds_what_belongs_there() {
    let mut stray = small("s", "");
    stray.files.insert("../../etc/passwd".into(), String::new());
    assert!(refused(&[stray]).contains("../../etc/passwd: has no place in a stack's folder"));
    let mut without = small("s", "");
    without.files.remove("compose.yaml");
    assert!(refused(&[without]).contains("compose.yaml: is missing"));
}

#[test]
fn stacks_that_do_not_fit_are_refused_with_the_numbers() {
    let planned = plan(&[small("a", ""), small("b", "")]).unwrap();
    assert_eq!(planned.lacks_memory(4096), None);
    let why = planned.lacks_memory(2000).unwrap();
    assert!(why.contains("2048 MiB (a 1024, b 1024)") && why.contains("there are 2000"), "{why}");
}

#[test]
fn a_plan_is_the_same_for_the_same_stacks_and_names_all_there_is() {
    let stacks = [spec_of("postgres"), spec_of("headscale")];
    let (one, again) = (plan(&stacks).unwrap(), plan(&stacks).unwrap());
    assert_eq!(one, again);
    let shown = one.shown();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/plan.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &shown).expect("the golden file can be written");
    }
    assert_eq!(shown, std::fs::read_to_string(path).expect("the golden file is there"));
    let alone = plan(&stacks[..1]).unwrap();
    assert_eq!(
        alone.networks[0],
        one.networks.iter().find(|network| network.name == "postgres_internal").unwrap().clone()
    );
}

#[test]
fn every_secret_has_a_name_of_its_own_and_every_stack_of_the_catalogue_can_be_planned() {
    let all: Vec<StackSpec> = sovereign_stacks::catalogue().map(spec_of).collect();
    let planned = plan(&all).unwrap();
    for stack in &all {
        planned.render(stack, &planned.ports(From::World)).unwrap();
    }
}
