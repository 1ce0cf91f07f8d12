//! The projects that come with the repository: each is read, planned, rendered and fits its server. What `docs/stacks.md`
//! says of them is what follows from them.

use provisioner::project::{Folder, Project};
use spec::StackSpec;
use std::path::{Path, PathBuf};

/// Memory of the server types they name, in MiB, as a kernel of theirs counts it: a sixteenth is its own and the firmware's.
const MEMORY: [(&str, u64); 2] = [("cax11", 4 * 960), ("cax31", 16 * 960)];
/// The limits of all containers in the plan that this project follows, and those of mail in it, which is no stack here yet.
const LIMITS: u64 = 7768;
const MAIL: u64 = 3000;
const BEGIN: &str =
    "<!-- from here to the end mark: `cargo test -p provisioner --test projects` with UPDATE_GOLDEN=1 -->\n";
const END: &str = "<!-- end -->\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn load(name: &str) -> Project {
    Folder::new(&root().join("projects"), name).load().unwrap_or_else(|error| panic!("{name}: {error:#}"))
}

fn names(project: &Project) -> Vec<&str> {
    project.stacks.iter().map(|stack| stack.name.as_str()).collect()
}

#[test]
fn each_is_planned_and_rendered_and_fits_its_server() {
    for name in ["demo", "demo-vpn", "office", "plain"] {
        let project = load(name);
        for stack in &project.stacks {
            let images = project.plan.stack(&stack.name).unwrap().images();
            let pinned =
                |image: &str| (image.to_owned(), format!("r.test/{image}@sha256:{}", "a".repeat(64)));
            let wanted = StackSpec { images: images.into_iter().map(pinned).collect(), ..stack.clone() };
            let rendered = project.plan.render(&wanted, &project.open);
            rendered.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        for kind in &project.server_types {
            let (_, there) = MEMORY.iter().find(|(known, _)| known == kind).unwrap();
            assert_eq!(project.plan.lacks_memory(*there), None, "{name}");
        }
    }
}

#[test]
fn the_demo_is_a_front_door_with_pages_a_gate_and_a_private_network() {
    let demo = load("demo");
    assert_eq!(names(&demo), ["traefik", "headscale", "oauth2-proxy", "postgres", "page"]);
    let at = |path: &str| {
        let rows = demo.plan.access();
        let row = rows.iter().find(|row| row.address == format!("https://page.demo.test{path}")).cloned();
        row.map(|row| (row.door, row.role))
    };
    assert_eq!(at("/"), Some(("traefik".into(), None)));
    assert_eq!(at("/members"), Some(("traefik, then oauth2-proxy".into(), Some("member".into()))));
    assert_eq!(demo.plan.names_inside(), ["page.demo.test"]);
    let counter = demo.plan.networks_of("page", "counter").map(|(network, _)| network.name.as_str());
    assert_eq!(counter.collect::<Vec<_>>(), ["page_internal"]);
}

#[test]
fn the_office_is_the_workplace_in_no_more_memory_than_was_planned() {
    let office = load("office");
    let workplace = ["headscale", "traefik", "keycloak", "oauth2-proxy", "nextcloud", "ghost"];
    assert_eq!(names(&office), workplace);
    let needed = office.plan.memory.mib();
    assert!(needed <= LIMITS - MAIL, "{needed} MiB");
    assert!(office.image_names().contains(&"mariadb".into()), "{:?}", office.image_names());
    assert!(!office.image_names().contains(&"mysql".into()), "what is not chosen is not made");
}

#[test]
fn what_the_office_comments_out_is_right_too() {
    let text = std::fs::read_to_string(root().join("projects/office/project.toml")).unwrap();
    let setting = |line: &str| line.contains(" = ") || line.starts_with('[');
    let pinned = format!("\"r.test/x@sha256:{}\"", "a".repeat(64));
    let uncommented = |line: &str| match line.strip_prefix("# ").filter(|rest| setting(rest)) {
        Some(rest) if rest.ends_with("= \"\"") => rest.replace("\"\"", &pinned),
        Some(rest) if !rest.starts_with("recipients") => rest.to_owned(),
        _ => line.to_owned(),
    };
    let text: String = text
        .lines()
        .map(|line| uncommented(line) + "\n")
        .filter(|line| !line.starts_with("domain = "))
        .collect::<String>()
        .replace("from = \"packages\"", "from = \"pins\"")
        .replace("acme = \"\"", "acme = \"https://ca.example.net/dir\"");
    let office = Project::parse("office", &text).unwrap();
    let hosts: Vec<&str> = office.plan.routes.iter().map(|route| route.host.as_str()).collect();
    for host in ["files.example.org", "www.example.org", "traefik.internal.example.org"] {
        assert!(hosts.contains(&host), "{host}: {hosts:?}");
    }
    assert_eq!(
        office.plan.certificates["traefik"],
        ["auth-admin.internal.example.org", "traefik.internal.example.org"]
    );
}

#[test]
fn the_access_matrix_in_the_documentation_is_that_of_the_office() {
    let path = root().join("docs/stacks.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("its begin is marked");
    let (_, after) = rest.split_once(END).expect("its end is marked");
    let now = format!("{before}{BEGIN}\n{}\n{END}{after}", load("office").plan.access_matrix());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &now).unwrap();
    } else {
        assert!(text == now, "run with UPDATE_GOLDEN=1 if it is meant");
    }
}

#[test]
fn what_the_documentation_says_of_a_projects_file_is_right() {
    let text = std::fs::read_to_string(root().join("docs/stacks.md")).unwrap();
    let blocks: Vec<&str> = text
        .split("\n```toml project.toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect();
    assert_eq!(blocks.len(), 2);
    let rest = "[cloud]\nrehearsal = true\n[escrow]\nthrowaway_identity = true\n";
    let stacks = Project::parse("docs", &format!("{rest}{}\n", blocks[0])).unwrap();
    let hosts: Vec<&str> = stacks.plan.routes.iter().map(|route| route.host.as_str()).collect();
    assert!(hosts.contains(&"files.example.org") && hosts.contains(&"www.example.org"), "{hosts:?}");
    let pins = format!("{rest}[stacks]\nenabled = [\"traefik\"]\n{}\n", blocks[1]);
    Project::parse("docs", &pins).unwrap();
}
