//! Sign-in, files and the website: what follows from their folders, in a project with everything.

mod common;

use common::{config, is_golden, plan, spec_of};
use serde_json::Value;
use sovereign_stacks::manifest::From;
use sovereign_stacks::{Folder, Part, Plan, Wish, resources};
use spec::{Port, Protocol, Setting, StackSpec};
use std::collections::{BTreeMap, BTreeSet};

const WEB: [Port; 3] = [
    Port { port: 80, protocol: Protocol::Tcp },
    Port { port: 443, protocol: Protocol::Tcp },
    Port { port: 3478, protocol: Protocol::Udp },
];
const APPS: [&str; 3] = ["keycloak", "nextcloud", "ghost"];

fn stacks() -> Vec<StackSpec> {
    ["headscale", "traefik", "oauth2-proxy"].into_iter().chain(APPS).map(spec_of).collect()
}

/// All of it, with these options for one stack.
fn with(stack: &str, change: impl FnOnce(&mut StackSpec)) -> Vec<StackSpec> {
    let mut stacks = stacks();
    change(stacks.iter_mut().find(|spec| spec.name == stack).expect("it is there"));
    stacks
}

fn planned() -> Plan {
    plan(&stacks()).expect("it can be planned")
}

/// A stack of the catalogue as a project's own, with one text of one file replaced.
fn changed(stack: &str, file: &str, from: &str, to: &str) -> String {
    let root = format!("{}/catalogue/{stack}", env!("CARGO_MANIFEST_DIR"));
    let names = Folder::of_catalogue(stack).expect("it is in the catalogue");
    let paths = names.config().map(|(path, _)| format!("config/{path}"));
    let paths = paths.chain(["stack.toml".to_owned(), "compose.yaml".to_owned()]);
    let mut files: BTreeMap<String, String> = paths
        .map(|path| {
            (path.clone(), std::fs::read_to_string(format!("{root}/{path}")).expect("it can be read"))
        })
        .collect();
    let text = files.get_mut(file).expect("it is there");
    assert!(text.contains(from), "{from:?} is not in {file}");
    *text = text.replacen(from, to, 1);
    plan(&with(stack, |spec| spec.files = files)).expect_err("it is refused").to_string()
}

#[test]
fn what_is_rendered_is_the_golden_one() {
    let plan = planned();
    for name in APPS {
        is_golden(&format!("{name}.yaml"), &plan.render(&spec_of(name), &WEB).expect("it renders"));
        for (path, text) in config(&plan, name) {
            is_golden(&format!("{name}/{path}"), &text);
        }
    }
}

#[test]
fn an_option_says_which_database_and_only_its_image_and_directory_are_used() {
    let mut stacks =
        with("ghost", |spec| drop(spec.options.insert("database".into(), Setting::Text("mysql".into()))));
    let plan = plan(&stacks).unwrap();
    let ghost = stacks.iter_mut().find(|spec| spec.name == "ghost").unwrap();
    ghost.images.remove("mariadb");
    let compose = plan.render(ghost, &WEB).unwrap();
    is_golden("ghost-mysql.yaml", &compose);
    assert!(compose.contains("data/ghost-mysql") && !compose.contains("ghost-mariadb"));
    let hooks = &plan.stack("ghost").unwrap().manifest.hooks;
    assert_eq!(hooks.backup.as_ref().unwrap().command[0], "mysqldump");
    ghost.images.remove("mysql");
    assert!(
        plan.render(ghost, &WEB).unwrap_err().to_string().contains("image mysql has no pinned reference")
    );
    let other =
        with("ghost", |spec| drop(spec.options.insert("database".into(), Setting::Text("sqlite".into()))));
    assert!(common::plan(&other).unwrap_err().to_string().contains("must be one of mariadb, mysql"));
}

#[test]
fn a_command_is_there_when_its_choice_was_made_and_is_filled_in() {
    let commands = |stacks: &[StackSpec]| -> Vec<String> {
        let plan = plan(stacks).unwrap();
        let hooks = &plan.stack("nextcloud").unwrap().manifest.hooks;
        hooks.ready.iter().map(|hook| hook.command.join(" ")).collect()
    };
    let usual = commands(&stacks());
    assert!(
        usual.iter().any(|command| command.contains(
            "--discoveryuri=https://auth.example.org/realms/main/.well-known/openid-configuration"
        ))
    );
    assert!(!usual.iter().any(|command| command.contains("certificates:import")));
    let own =
        with("nextcloud", |spec| drop(spec.options.insert("ca".into(), Setting::Text("-----BEGIN".into()))));
    assert_eq!(commands(&own).len(), usual.len() + 1);
}

#[test]
fn nobody_gets_at_a_database_but_its_own_application() {
    let plan = planned();
    let who = |to: &str| -> BTreeSet<String> {
        plan.reachable().into_iter().filter(|(_, reached)| reached == to).map(|(from, _)| from).collect()
    };
    for (database, app) in [
        ("keycloak/postgres", "keycloak/keycloak"),
        ("ghost/database", "ghost/ghost"),
        ("nextcloud/postgres", "nextcloud/nextcloud"),
    ] {
        let apart = who(database);
        assert!(
            apart.contains(app) && apart.iter().all(|from| from.starts_with(app.split_once('/').unwrap().0)),
            "{database}: {apart:?}"
        );
    }
    for app in ["keycloak/keycloak", "ghost/ghost", "nextcloud/nextcloud"] {
        let stack = app.split_once('/').unwrap().0;
        let strangers: Vec<_> = who(app).into_iter().filter(|from| !from.starts_with(stack)).collect();
        assert_eq!(strangers, ["traefik/traefik"], "{app}");
    }
}

#[test]
fn what_administers_is_for_the_private_network_and_the_rest_for_everybody() {
    let plan = planned();
    let row = |route: &sovereign_stacks::plan::PlannedRoute| {
        let role = route.role.as_deref().unwrap_or("-");
        format!("{}{} {:?} {role}", route.host, route.path, route.from)
    };
    let own = plan.routes.iter().filter(|route| APPS.contains(&route.stack.as_str()));
    let rows: Vec<String> = own.map(row).collect();
    assert_eq!(
        rows,
        [
            "auth-admin.internal.example.org/ Vpn -",
            "auth.example.org/realms/main/login-actions World -",
            "auth.example.org/realms/master Vpn -",
            "auth.example.org/realms/main World -",
            "auth.example.org/robots.txt World -",
            "auth.example.org/resources World -",
            "cloud.example.org/ World -",
            "example.org/ghost/api/content World -",
            "example.org/ghost Vpn admin_access",
            "example.org/ World -",
        ]
    );
    let open = |path: &str| {
        plan.routes
            .iter()
            .any(|route| route.from == From::World && route.path == path && route.host.starts_with("auth."))
    };
    for path in ["/", "/admin", "/realms", "/realms/master", "/metrics", "/health"] {
        assert!(!open(path), "{path}");
    }
}

#[test]
fn routes_at_one_host_move_together() {
    let moved = with("keycloak", |spec| drop(spec.hosts.insert("sign-in".into(), "id".into())));
    let plan = plan(&moved).unwrap();
    let hosts: BTreeSet<&str> = plan
        .routes
        .iter()
        .filter(|route| route.stack == "keycloak")
        .map(|route| route.host.as_str())
        .collect();
    assert_eq!(hosts.into_iter().collect::<Vec<_>>(), ["auth-admin.internal.example.org", "id.example.org"]);
    assert!(
        config(&plan, "keycloak").iter().any(|(_, text)| text.contains("hostname=https://id.example.org\n"))
    );
}

#[test]
fn the_realm_is_compared_with_the_document_it_was_made_from() {
    let plan = planned();
    let stack = plan.stack("keycloak").unwrap();
    let documents = plan.documents(stack, |name| Some(name.into())).unwrap();
    let realm = &documents["main-realm.json"];
    let api = stack.manifest.api.as_ref().unwrap();
    let found = |name: &str, there: &Value| {
        let resource = api.resources.iter().find(|resource| resource.name == name).unwrap();
        resources::changes(resource, &documents[resource.document.as_str()], there).unwrap()
    };
    // What was imported needs no change.
    assert_eq!(found("realm main", realm), []);
    assert_eq!(found("clients", &realm["clients"]), []);
    assert_eq!(found("roles", &realm["roles"]["realm"]), []);
    assert_eq!(found("required actions", &realm["requiredActions"]), []);
    // A secret of a client that differs is said to, and not shown.
    let mut clients = realm["clients"].clone();
    for client in clients.as_array_mut().unwrap() {
        client["id"] = client["clientId"].clone();
        client["secret"] = "spoiled".into();
    }
    let shown = format!("{:?}", found("clients", &clients));
    assert!(shown.contains("clients, nextcloud: secret: is another"), "{shown}");
    assert!(!shown.contains("spoiled") && !shown.contains("nextcloud-client-secret"), "{shown}");
    assert!(plan.api_address(stack).unwrap().ends_with(":8080"));
    assert_eq!(plan.api_address(plan.stack("ghost").unwrap()), None);
}

#[test]
fn others_placeholders_are_left_in_the_realm_and_none_of_ours() {
    let text = std::fs::read_to_string(format!(
        "{}/tests/golden/keycloak/main-realm.json",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap();
    assert!(text.contains("\"${client_admin-cli}\"") && !text.contains("{{") && !text.contains("{%"));
}

#[test]
fn every_secret_is_in_a_file_of_one_reader_or_for_the_server_alone() {
    let plan = planned();
    for secret in plan.secrets.iter().filter(|secret| APPS.contains(&secret.stack.as_str())) {
        let stack = plan.stack(&secret.stack).unwrap();
        let in_config = plan.config(stack).unwrap().iter().any(|(_, text)| {
            text.parts().any(
                |part| matches!(part, Part::Secret(name) | Part::QuotedSecret(name) if name == secret.name),
            )
        });
        let by_sign_in = plan
            .config(plan.stack("keycloak").unwrap())
            .unwrap()
            .iter()
            .any(|(_, text)| text.secrets().any(|name| name == secret.name));
        assert!(!secret.readers.is_empty() || in_config || by_sign_in, "nobody reads {}", secret.name);
    }
}

#[test]
fn without_what_they_rest_on_it_is_said_what_is_missing() {
    let refused = |names: &[&str]| {
        let stacks: Vec<_> = names.iter().copied().map(spec_of).collect();
        plan(&stacks).unwrap_err().to_string()
    };
    assert!(refused(&["traefik", "nextcloud"]).contains("no enabled stack provides sign-in"));
    let no_door = refused(&["keycloak"]);
    assert!(
        no_door
            .contains("stack keycloak is reached through the front door, and no enabled stack provides that"),
        "{no_door}"
    );
    assert!(refused(&["traefik", "ghost"]).contains("no enabled stack provides the gate"));
    let keycloak = ["traefik", "keycloak"].map(spec_of);
    let no_network =
        Plan::resolve(Wish { project: "demo", domain: Some("example.org"), vpn: None, stacks: &keycloak });
    assert!(no_network.unwrap_err().to_string().contains("needs a private network"));
}

#[test]
fn mistakes_in_what_is_filled_in_or_compared_are_named_with_their_file() {
    for (stack, file, from, to, why) in [
        (
            "nextcloud",
            "compose.yaml",
            "{{ route.files.url }}",
            "{{ route.fils.url }}",
            "stack nextcloud, compose.yaml: \"{{ route.fils.url }}\"",
        ),
        ("nextcloud", "compose.yaml", "{{ option.upload }}", "{{ secret('x') }}", "a secret is a file"),
        (
            "nextcloud",
            "stack.toml",
            "{{ sign_in.issuer }}",
            "{{ sign_in.isuer }}",
            "stack nextcloud, stack.toml: ",
        ),
        (
            "ghost",
            "compose.yaml",
            "{{ option.database }}",
            "{{ option.databse }}",
            "there is no [images.{{ option.databse }}]",
        ),
        (
            "ghost",
            "stack.toml",
            "values = [\"mariadb\", \"mysql\"]",
            "values = [\"mariadb\"]",
            "images.mysql: no service of compose.yaml runs it",
        ),
        ("keycloak", "config/totp.json", "[", "[[", "config/totp.json: is no JSON"),
        (
            "keycloak",
            "config/master.json",
            "\"executions\"",
            "\"executed\"",
            "config/master.json: second factor of the log-in to master",
        ),
        (
            "keycloak",
            "stack.toml",
            "document = \"totp.json\"",
            "document = \"otp.json\"",
            "there is no config/otp.json",
        ),
        (
            "keycloak",
            "stack.toml",
            "secret = \"keycloak-reconciler-secret\"",
            "secret = \"other\"",
            "there is no [secrets.other]",
        ),
        (
            "keycloak",
            "stack.toml",
            "[api]\nservice = \"keycloak\"",
            "[api]\nservice = \"other\"",
            "api: there is no service other",
        ),
        ("nextcloud", "stack.toml", "every = \"5min\"", "every = \"5\"", "is not a time"),
        ("nextcloud", "stack.toml", "upgrade = \"next-major\"", "upgrade = \"next\"", "unknown variant"),
    ] {
        let error = changed(stack, file, from, to);
        assert!(error.contains(why), "{from} → {to}: {error}");
    }
}
