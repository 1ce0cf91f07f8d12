use crate::common::{Reply, parse};
use crate::world::World;
use serde_json::json;
use std::io::Write;
use std::os::unix::net::UnixStream;

/// Asks as the server's machine does.
pub(crate) fn ask(world: &World, server: u64, path: &str) -> Reply {
    let mut stream = UnixStream::connect(world.config.state_dir.join(format!("run/{server}.md"))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n\r\n").unwrap();
    parse(stream).unwrap()
}

#[test]
fn a_server_reads_about_itself() {
    let mut world = World::new();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH/7Z5hRMP6r++D6O1GxTZHGmWdlvT+bOLKRrTwvelmL op";
    world.post("/v1/ssh_keys", json!({"name": "op", "public_key": key}));
    let body = json!({"name": "demo", "server_type": "cax11", "image": "debian-13", "location": "hel1",
        "ssh_keys": ["op"], "user_data": "#cloud-config\n"});
    let made = world.done("/v1/servers", body);
    let id = made["server"]["id"].as_u64().unwrap();
    let ip = made["server"]["public_net"]["ipv4"]["ip"].as_str().unwrap();
    world.restart();
    let table = [
        ("hostname", "demo"),
        ("instance-id", &id.to_string()),
        ("public-ipv4", ip),
        ("private-networks", "[]"),
        ("region", "eu-central"),
        ("availability-zone", "hel1-dc1"),
    ];
    for (leaf, expected) in table {
        let reply = ask(&world, id, &format!("/hetzner/v1/metadata/{leaf}"));
        assert!(reply.head.contains(" 200 "), "{}", reply.head);
        let text = reply.body.as_str().map_or_else(|| reply.body.to_string(), str::to_owned);
        assert_eq!(text, expected, "{leaf}");
    }
    let document = ask(&world, id, "/hetzner/v1/metadata").body.as_str().unwrap().to_owned();
    for line in
        [&format!("instance-id: {id}"), "hostname: \"demo\"", &format!("- \"{key}\""), "    - type: dhcp"]
    {
        assert!(document.lines().any(|l| l == line), "{line} is not in\n{document}");
    }
    assert_eq!(ask(&world, id, "/hetzner/v1/userdata").body, "#cloud-config\n");
    assert_eq!(ask(&world, id, "/hetzner/v1/nothing").status, 404);
    let other = world.server("other");
    assert_eq!(ask(&world, other, "/hetzner/v1/userdata").status, 204);
    world.delete(&format!("/v1/servers/{other}"));
    assert!(!world.config.state_dir.join(format!("run/{other}.md")).exists());
}
