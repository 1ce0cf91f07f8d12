//! The private network, with a real second node: what administrators see is reached over it and over nothing else.

use super::{PROGRAMS, act, address, identity, secrets, server_id, wait_until_locked};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tests::wire::{SERVER, Wire};
use tests::{Peer, Rig, World, can_run};

/// The page for administrators: the control server's own metrics.
const ADMIN: u16 = 9090;
const PAGE: &str = "metrics.internal.demo-vpn.example";
/// The project's ssh.
const SSH: u16 = 2222;
/// Where something listens that nobody declared.
const UNDECLARED: u16 = 8099;
const PATIENCE: Duration = Duration::from_secs(5);
const SCAN: Duration = Duration::from_secs(120);
const CONTROL: &str = "vpn.demo-vpn.example";
/// Where Docker's network has its gateway: what a container would see, were the source address lost.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 29, 0, 1);

pub(crate) fn private_network() -> Result<()> {
    let name = "vm_administrators_come_in_over_the_private_network_only";
    if !can_run(name, &[&PROGRAMS[..], &["ip", "nmap", "python3", "timeout", "unshare"]].concat())? {
        return Ok(());
    }
    if !images::has_go() {
        ensure!(std::env::var_os("CI").is_none(), "{name}: there is no Go, and CI skips nothing");
        eprintln!("SKIPPED {name}: there is no Go, from whose modules the nodes are made");
        return Ok(());
    }
    let start = Instant::now();
    let programs = programs()?;
    let rig = World::Network.fork()?;
    let wire = Wire::lay(&rig, server_id(&rig)?)?;
    ssh(&rig, &Wire::addresses())?;
    let scene = Scene::look(&rig, &wire, programs)?;
    through(&scene)?;
    println!("private network: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The programs of the second node, compiled where they are not cached.
fn programs() -> Result<PathBuf> {
    let arch = images::Arch::of_this_machine()?;
    let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firstboot/stacks/catalogue");
    let recipe = images::recipe::read(&catalogue.join("headscale/images/tailscale"))?;
    Ok(images::made(&tests::cache()?, &recipe, arch, &images::Silent)?.join("usr/local/bin"))
}

/// Compiles them on every core; the trial itself has a part of one.
pub(crate) fn compile() -> Result<()> {
    if images::has_go() { programs().map(drop) } else { Ok(()) }
}

fn through(scene: &Scene<'_>) -> Result<()> {
    let rig = scene.rig;

    let key = device_key(rig)?;
    let laptop = scene.peer("laptop")?;
    let joined = Instant::now();
    let said = laptop.join(&key)?;
    ensure!(said.success(), "the device did not join: {}\n{}", said.stderr, laptop.log()?);
    println!("the device joined: {:.1} s", joined.elapsed().as_secs_f64());

    only_our_relay(&laptop)?;
    scene.the_api_lets_nobody_in()?;
    let server = names_lead_to_the_server(&laptop)?;
    scene.only_over_the_network(&laptop).context("at first")?;
    scene.nothing_undeclared(&laptop, server)?;
    scene.made_up_addresses_are_dropped()?;
    let renewed = scene.a_key_lets_in_once(&key)?;

    ssh(rig, "systemctl restart docker")?;
    scene.only_over_the_network(&laptop).context("after a restart of Docker")?;

    let keys = keys_made(rig)?;
    act(rig, "reset")?;
    wait_until_locked(rig)?;
    let unlock = ["unlock", "--project", "demo", "--identity", &identity(rig, "demo")];
    let unlocked = rig.xtask(&unlock)?.expect(0)?;
    println!("unlock with the private network: {:.1} s", unlocked.took.as_secs_f64());
    ssh(rig, &Wire::addresses())?;
    scene.only_over_the_network(&laptop).context("after a reset and an unlock")?;
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;
    let again = rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?;
    ensure!(again.stderr.contains("No changes"), "a second run had something to do:\n{}", again.stderr);
    ensure!(keys_made(rig)? == keys, "the server joined again where it only had to come back");
    ensure!(device_key(rig)? == renewed, "a run with nothing to do made a new key");
    secrets::none_of_the_networks(rig)
}

/// The server, and who else is there.
struct Scene<'a> {
    rig: &'a Rig,
    wire: &'a Wire<'a>,
    /// What reaches it through the cloud's firewall.
    address: Ipv4Addr,
    certificate: String,
    programs: PathBuf,
}

impl<'a> Scene<'a> {
    fn look(rig: &'a Rig, wire: &'a Wire<'a>, programs: PathBuf) -> Result<Self> {
        let address = address(rig)?;
        let certificate = rig.xtask(&["vpn", "certificate", "--project", "demo"])?.expect(0)?.stdout;
        Ok(Self { rig, wire, address, certificate, programs })
    }

    fn peer(&self, name: &str) -> Result<Peer> {
        let dir = self.rig.path().join("peers");
        Peer::start(self.wire, &dir, &self.programs, name, CONTROL, &self.certificate)
    }

    /// The page answers over the network by its name, the container sees whose request it is, and from outside nothing
    /// answers: neither through the cloud's firewall nor to a neighbour, before whom there is only the server's own.
    fn only_over_the_network(&self, peer: &Peer) -> Result<()> {
        let start = Instant::now();
        let (answer, open) = patiently(|| {
            let server = names_lead_to_the_server(peer)?;
            peer.ask(server, ADMIN, &head("/metrics"))
        })?;
        println!("  the page answered over the network: {:.1} s", start.elapsed().as_secs_f64());
        ensure!(answer.starts_with("HTTP/1.1 200"), "the page answered {answer:?}");
        let pid = "$(docker inspect --format '{{.State.Pid}}' headscale-headscale-1)";
        let sockets = ssh(self.rig, &format!("cat /proc/{pid}/net/tcp /proc/{pid}/net/tcp6"))?;
        drop(open);
        let seen = callers(&sockets, ADMIN);
        let device = peer.address()?;
        println!("  the container sees {seen:?}, the device is {device}");
        ensure!(seen.contains(&device), "the container does not see {device} but {seen:?}:\n{sockets}");
        ensure!(!seen.contains(&GATEWAY), "the container sees the gateway: {seen:?}");
        let reaches = |port| TcpStream::connect_timeout(&SocketAddr::from((self.address, port)), PATIENCE);
        reaches(443).context("reaching the control server through the cloud's firewall")?;
        ensure!(reaches(ADMIN).is_err(), "port {ADMIN} answers through the cloud's firewall");
        let declared = BTreeSet::from([SSH, 443]);
        for address in SERVER {
            let seen = self.neighbour_sees(address)?;
            println!("  a neighbour sees {seen:?} at {address}");
            // Containers have no IPv6: there 443 may be refused or silent.
            let complete = seen.is_superset(&declared) || address.contains(':') && seen.contains(&SSH);
            ensure!(complete && seen.is_subset(&declared), "a neighbour sees {seen:?} at {address}");
        }
        Ok(())
    }

    /// The control server's API stands at its public port, and no key to it exists: who may command it is on the server.
    fn the_api_lets_nobody_in(&self) -> Result<()> {
        let keys = ssh(self.rig, &format!("{HEADSCALE} apikeys list --output json"))?;
        ensure!(["null", "[]"].contains(&keys.trim()), "somebody made a key to the API: {keys}");
        let ask = format!(
            "curl -sk -o /dev/null -w '%{{http_code}}' --resolve {CONTROL}:443:127.0.0.1 https://{CONTROL}/api/v1/user"
        );
        let code = ssh(self.rig, &ask)?;
        ensure!(code == "401", "the API answers {code} to somebody without a key");
        Ok(())
    }

    /// The ports, of a few, that answer a neighbour in whatever way.
    fn neighbour_sees(&self, address: &str) -> Result<BTreeSet<u16>> {
        let six = if address.contains(':') { "-6 " } else { "" };
        let ports = format!("{SSH},443,8080,{ADMIN},{UNDECLARED},41641,50443");
        let args = format!("{six}-n -Pn -T4 --max-retries 2 -oG - -sS -p {ports} {address}");
        let said = self.wire.probe("nmap", &args, SCAN)?;
        ensure!(said.success(), "nmap {args}: {}", said.stderr);
        let text = said.text();
        let listed =
            text.split_once("Ports: ").map_or("", |(_, rest)| rest.lines().next().unwrap_or_default());
        let listed = listed.split('\t').next().unwrap_or_default();
        ensure!(listed.split(", ").count() == 7, "nmap told of other ports than asked:\n{text}");
        let answering = listed.split(", ").filter(|port| !port.contains("/filtered/"));
        answering.map(|port| Ok(port.split('/').next().unwrap_or_default().trim().parse()?)).collect()
    }

    /// Something that listens on the server without being declared is reached neither over the network nor besides it.
    fn nothing_undeclared(&self, peer: &Peer, server: Ipv4Addr) -> Result<()> {
        let listener = format!("systemd-run --quiet --unit=undeclared python3 -m http.server {UNDECLARED}");
        let there = format!(
            "for i in $(seq 60); do (: </dev/tcp/127.0.0.1/{UNDECLARED}) 2>/dev/null && exit 0; sleep 1; done; exit 1"
        );
        ssh(self.rig, &format!("{listener} && ({there})"))?;
        let reached = peer.ask(server, UNDECLARED, &head("/"));
        ensure!(reached.is_err(), "a device reaches port {UNDECLARED}, which nobody declared");
        ensure!(!self.neighbour_sees(SERVER[0])?.contains(&UNDECLARED), "a neighbour reaches {UNDECLARED}");
        // With one rule more the device reaches it: what refuses it is the firewall.
        let rule = format!("ufw-user-input -i tailscale0 -p tcp --dport {UNDECLARED} -j ACCEPT");
        ssh(self.rig, &format!("iptables -I {rule}"))?;
        let reached = peer.ask(server, UNDECLARED, &head("/"));
        ssh(self.rig, &format!("iptables -D {rule} && systemctl stop undeclared"))?;
        reached.context("with a rule for it, so that the refusal proves something").map(drop)
    }

    /// A neighbour that sends with an address of the network's gets nowhere, and the rules against it count that.
    fn made_up_addresses_are_dropped(&self) -> Result<()> {
        let address = |verb: &str| {
            self.wire.probe("ip", &format!("addr {verb} 100.64.0.99/32 dev {}", self.wire.device()), SCAN)
        };
        let connect = |port| self.wire.connects(SERVER[0], port, Some("100.64.0.99"));
        ensure!(address("add")?.success(), "the neighbour cannot take an address of the network's");
        let tried = [connect(SSH)?, connect(443)?];
        ensure!(address("del")?.success(), "the neighbour keeps an address of the network's");
        ensure!(tried == [false, false], "a made-up address gets through");
        for chain in ["ufw-user-input", "DOCKER-USER"] {
            let rules = ssh(self.rig, &format!("iptables -v -S {chain}"))?;
            let rule =
                rules.lines().find(|line| line.contains("-s 100.64.0.0/10") && line.ends_with("-j DROP"));
            let rule =
                rule.with_context(|| format!("{chain} has no rule against made-up addresses:\n{rules}"))?;
            println!("  made-up addresses: {rule}");
            ensure!(!rule.contains("-c 0 0 "), "the rule of {chain} saw nothing: {rule}");
        }
        Ok(())
    }

    fn a_key_lets_in_once(&self, key: &str) -> Result<String> {
        let stranger = self.peer("stranger")?;
        let refused = stranger.join(key)?;
        ensure!(!refused.success() && refused.stderr.contains("already used"), "{}", refused.stderr);
        println!("  a second use of the key: {}", refused.stderr.trim());
        let unused = self.renewed()?;
        ensure!(unused != key, "the escrow still holds the old key");
        let new = self.renewed()?;
        let refused = stranger.join(&unused)?;
        ensure!(!refused.success(), "a key that was never used lets in after it was renewed");
        println!("  a key that was renewed unused: {}", refused.stderr.trim());
        let said = stranger.join(&new)?;
        ensure!(said.success(), "the new key does not let in: {}", said.stderr);
        Ok(new)
    }

    fn renewed(&self) -> Result<String> {
        let renewed = self.rig.xtask(&["vpn", "renew", "--project", "demo", "laptop"])?.expect(0)?;
        println!("  renewing the key: {:.1} s", renewed.took.as_secs_f64());
        device_key(self.rig)
    }
}

const HEADSCALE: &str = "docker exec headscale-headscale-1 headscale";

/// How many keys the control server has made so far.
fn keys_made(rig: &Rig) -> Result<usize> {
    let listed = ssh(rig, &format!("{HEADSCALE} preauthkeys list --output json"))?;
    let listed: serde_json::Value = serde_json::from_str(&listed).context("reading the list of keys")?;
    Ok(listed.as_array().context("there is no list of keys")?.len())
}

fn head(path: &str) -> String {
    format!("HEAD {path} HTTP/1.1\r\nHost: {PAGE}\r\n\r\n")
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
    let said = peer.tailscale(&["dns", "query", PAGE])?.text();
    let words = said.split_whitespace().filter_map(|word| word.parse::<Ipv4Addr>().ok());
    let inside = words.into_iter().find(|address| address.octets()[0] == 100);
    inside.with_context(|| format!("the name of the page leads nowhere inside the network:\n{said}"))
}

/// Right after a restart a node may need a moment to find its way.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(error) if start.elapsed() > Duration::from_secs(180) => return Err(error),
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
