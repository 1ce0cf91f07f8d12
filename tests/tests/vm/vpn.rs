//! The private network, with a real second node: what administrators see is reached over it and over nothing else.

use super::{PROGRAMS, act, identity, wait_until_locked};
use anyhow::{Context as _, Result, ensure};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};
use tests::{Peer, Rig, can_run};

/// The page for administrators: the control server's own metrics.
const ADMIN: u16 = 9090;
const CONTROL: &str = "vpn.demo-vpn.example";
/// Where Docker's network has its gateway: what a container would see, were the source address lost.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 29, 0, 1);

pub(crate) fn private_network() -> Result<()> {
    let name = "vm_administrators_come_in_over_the_private_network_only";
    if !can_run(name, &[&PROGRAMS[..], &["unshare"]].concat())? {
        return Ok(());
    }
    if !images::has_go() {
        ensure!(std::env::var_os("CI").is_none(), "{name}: there is no Go, and CI skips nothing");
        eprintln!("SKIPPED {name}: there is no Go, from whose modules the nodes are made");
        return Ok(());
    }
    let start = Instant::now();
    let arch = images::Arch::of_this_machine()?;
    let programs = images::go_programs(&tests::cache()?, &images::TAILSCALE, arch, &images::Silent)?;
    println!("programs of the second node: {:.1} s", start.elapsed().as_secs_f64());
    let rig = Rig::new()?;
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../projects/demo-vpn/project.toml");
    rig.project("demo", &std::fs::read_to_string(project)?)?;
    let made = rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?;
    println!("provision with the private network: {:.1} s", made.took.as_secs_f64());
    let world = World::look(&rig, programs)?;

    let key = device_key(&rig)?;
    let laptop = world.peer("laptop")?;
    let joined = Instant::now();
    let said = laptop.join(&key)?;
    ensure!(said.success(), "the device did not join: {}", said.stderr);
    println!("the device joined: {:.1} s", joined.elapsed().as_secs_f64());

    only_our_relay(&laptop)?;
    let server = names_lead_to_the_server(&laptop)?;
    over_the_network_only(&rig, &world, &laptop, server)?;
    let renewed = a_key_lets_in_once(&rig, &world, &key)?;

    ssh(&rig, "systemctl restart docker && systemctl start sovereign-stacks.target")?;
    over_the_network_only(&rig, &world, &laptop, server).context("after a restart of Docker")?;

    act(&rig, "reset")?;
    wait_until_locked(&rig)?;
    let unlocked =
        rig.xtask(&["unlock", "--project", "demo", "--identity", &identity(&rig, "demo")])?.expect(0)?;
    println!("unlock with the private network: {:.1} s", unlocked.took.as_secs_f64());
    over_the_network_only(&rig, &world, &laptop, server).context("after a reset and an unlock")?;
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;
    let again = rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?;
    ensure!(again.stderr.contains("No changes"), "a second run had something to do:\n{}", again.stderr);
    ensure!(device_key(&rig)? == renewed, "a run with nothing to do made a new key");
    Ok(())
}

/// The server from outside.
struct World {
    address: Ipv4Addr,
    certificate: String,
    programs: std::path::PathBuf,
    dir: std::path::PathBuf,
}

impl World {
    fn look(rig: &Rig, programs: std::path::PathBuf) -> Result<Self> {
        let status = rig.xtask(&["status", "--project", "demo", "--json"])?.expect(0)?.stdout;
        let status: serde_json::Value = serde_json::from_str(&status)?;
        let address = find_address(&status).context("finding the server's address in its status")?;
        let certificate = rig.xtask(&["vpn", "certificate", "--project", "demo"])?.expect(0)?.stdout;
        Ok(Self { address, certificate, programs, dir: rig.path().join("peers") })
    }

    fn peer(&self, name: &str) -> Result<Peer> {
        Peer::start(&self.dir, &self.programs, name, (CONTROL, self.address), &self.certificate)
    }
}

/// The first text in a document that is an address of the rehearsal's.
fn find_address(value: &serde_json::Value) -> Option<Ipv4Addr> {
    match value {
        serde_json::Value::String(text) => text.parse().ok().filter(Ipv4Addr::is_loopback),
        serde_json::Value::Array(items) => items.iter().find_map(find_address),
        serde_json::Value::Object(map) => map.values().find_map(find_address),
        _ => None,
    }
}

fn ssh(rig: &Rig, command: &str) -> Result<String> {
    Ok(rig.xtask(&["ssh", "--project", "demo", "--", command])?.expect(0)?.stdout)
}

fn device_key(rig: &Rig) -> Result<String> {
    let entry = "secrets/vpn-device-laptop";
    let opened = rig.xtask(&[
        "escrow",
        "open",
        "--project",
        "demo",
        "--identity",
        &identity(rig, "demo"),
        "--show",
        entry,
    ])?;
    Ok(opened.expect(0)?.stdout.trim().to_owned())
}

fn only_our_relay(peer: &Peer) -> Result<()> {
    let map: serde_json::Value = serde_json::from_slice(&peer.tailscale(&["debug", "derp-map"])?.stdout)?;
    let regions = map["Regions"].as_object().context("the map of relays has no regions")?;
    let hosts: Vec<_> = regions
        .values()
        .flat_map(|region| region["Nodes"].as_array().into_iter().flatten())
        .filter_map(|node| node["HostName"].as_str())
        .collect();
    ensure!(hosts == [CONTROL], "there are other relays than ours: {hosts:?}");
    Ok(())
}

fn names_lead_to_the_server(peer: &Peer) -> Result<Ipv4Addr> {
    let said = peer.tailscale(&["dns", "query", "metrics.internal.demo-vpn.example"])?.text();
    let words = said.split_whitespace().filter_map(|word| word.parse::<Ipv4Addr>().ok());
    let inside = words.into_iter().find(|address| address.octets()[0] == 100);
    inside.with_context(|| format!("the name of the page leads nowhere inside the network:\n{said}"))
}

/// The page answers over the network, the container sees whose request it is, and from outside nothing answers.
fn over_the_network_only(rig: &Rig, world: &World, peer: &Peer, server: Ipv4Addr) -> Result<()> {
    let (answer, open) = patiently(|| peer.head(server, ADMIN, "/metrics"))?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "the page answered {answer:?}");
    let pid = "$(docker inspect --format '{{.State.Pid}}' headscale-headscale-1)";
    let sockets = ssh(rig, &format!("cat /proc/{pid}/net/tcp /proc/{pid}/net/tcp6"))?;
    drop(open);
    let seen = callers(&sockets, ADMIN);
    let device = peer.address()?;
    ensure!(seen.contains(&device), "the container does not see {device} but {seen:?}:\n{sockets}");
    ensure!(!seen.contains(&GATEWAY), "the container sees the gateway: {seen:?}");
    let outside = SocketAddr::from((world.address, ADMIN));
    ensure!(
        TcpStream::connect_timeout(&outside, Duration::from_secs(5)).is_err(),
        "{outside} answers from outside the network"
    );
    // Not over its public interface either, whatever the cloud's own firewall lets through.
    let rules = ssh(rig, "iptables -S DOCKER-USER")?;
    let open_to_all = rules.lines().find(|line| line.contains("9090") && !line.contains("tailscale0"));
    ensure!(open_to_all.is_none(), "the firewall lets {open_to_all:?} through");
    Ok(())
}

/// Right after a restart a node may need a moment to find its way.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(error) if start.elapsed() > Duration::from_secs(90) => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_secs(2)),
            done => return done,
        }
    }
}

/// Who is connected to a local port, by the kernel's tables of sockets: IPv4 addresses, and those mapped into IPv6.
fn callers(tables: &str, port: u16) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    for line in tables.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, local, remote, ..] = fields[..] else { continue };
        let Some((remote, _)) = remote.split_once(':') else { continue };
        let word = &remote[remote.len().saturating_sub(8)..];
        if local.ends_with(&format!(":{port:04X}"))
            && let Ok(word) = u32::from_str_radix(word, 16)
            && word != 0
        {
            found.push(Ipv4Addr::from(word.to_le_bytes()));
        }
    }
    found
}

fn a_key_lets_in_once(rig: &Rig, world: &World, key: &str) -> Result<String> {
    let stranger = world.peer("stranger")?;
    let refused = stranger.join(key)?;
    ensure!(!refused.success() && refused.stderr.contains("already used"), "{}", refused.stderr);
    rig.xtask(&["vpn", "renew", "--project", "demo", "laptop"])?.expect(0)?;
    let new = device_key(rig)?;
    ensure!(new != key, "the escrow still holds the old key");
    let said = stranger.join(&new)?;
    ensure!(said.success(), "the new key does not let in: {}", said.stderr);
    Ok(new)
}
