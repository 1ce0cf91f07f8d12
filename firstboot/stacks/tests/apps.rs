//! Sign-in, files and the website: what follows from their folders, in a project with everything.

mod common;

use common::{config, is_golden, plan, spec_of};
use sovereign_stacks::Plan;
use spec::{Port, Protocol, StackSpec};

const WEB: [Port; 3] = [
    Port { port: 80, protocol: Protocol::Tcp },
    Port { port: 443, protocol: Protocol::Tcp },
    Port { port: 3478, protocol: Protocol::Udp },
];
const APPS: [&str; 3] = ["keycloak", "nextcloud", "ghost"];

fn stacks() -> Vec<StackSpec> {
    ["headscale", "traefik", "oauth2-proxy"].into_iter().chain(APPS).map(spec_of).collect()
}

fn planned() -> Plan {
    plan(&stacks()).expect("it can be planned")
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
