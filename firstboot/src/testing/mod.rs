//! A fake server in memory: a root disk that survives a power cut, memory that does not, a volume, and programs that
//! do to them what the real ones do. It proves our decisions; the real tools are proved on a real kernel.
//!
//! Every act on it is counted, and the power can be cut at any of them.

mod answers;
mod closings;
mod crash;
mod engine;
pub(crate) mod flow;
mod grow;
mod keys;
mod machine;
pub(crate) mod network;
mod phases;
mod programs;
mod refusals;
mod stacks;
mod state;
mod taken_up;
mod unattended;
mod volume;

pub(crate) use state::{Cut, Files, Lanes, Node, Shared, State};
pub(crate) use volume::{Content, Luks};

use crate::flow::boot;
use host::Error;
use spec::{EventKind, Gate, paths};
use std::path::Path;
use std::time::Duration;

/// What a run with nothing to do runs: programs that only look.
pub(crate) const LOOKS: [&str; 6] =
    ["iptables -S", "ip6tables -S", "sshd -T", "iptables -S", "ip6tables -S", SHOW_UNITS];
const SHOW_UNITS: &str = "systemctl show --property=NeedDaemonReload --value -- apt-daily-upgrade.service containerd.service \
    docker.service docker.socket fail2ban.service sovereign-firstboot.service sovereign-put-back.service \
    sovereign-refresh.service sovereign-stacks.target sovereign-vpn.service srv-sovereign.mount sovereign-stack@postgres.service";

pub(crate) struct Fake {
    pub(crate) state: Shared<State>,
    pub(crate) identity: escrow::Identity,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let identity = escrow::Identity::generate();
        let fake = Self {
            state: Shared::new(State {
                root: Files::new(),
                memory: Files::new(),
                volume: Content::Zero,
                serial: "7".into(),
                size: volume::SIZE,
                mapped: 0,
                unreadable: None,
                open: false,
                mounted: false,
                docker: false,
                images: vec![],
                unsynced: false,
                torn: false,
                unsaved: std::collections::BTreeMap::new(),
                boots: 0,
                stacks: vec![],
                containers: std::collections::BTreeMap::new(),
                loaded: Files::new(),
                firstboot: "0.0.0 test",
                sshd: vec![],
                timers: std::collections::BTreeMap::new(),
                closed: false,
                published: serde_json::Value::Null,
                networks: std::collections::BTreeMap::new(),
                joined: std::collections::BTreeMap::new(),
                passed_over: false,
                clock: Duration::ZERO,
                drawn: 0,
                acts: 0,
                cut: None,
                halves: std::collections::BTreeSet::new(),
                dead: false,
                lines: vec![],
                formats: 0,
                operator: true,
                tang: true,
                starting: 0,
                lanes: Lanes::MainFirst,
                silent_at: None,
                taken: vec![],
                filed: vec![],
                free: 1 << 30,
                lacking: std::collections::BTreeSet::new(),
            }),
            identity,
        };
        fake.write_root(&fake.spec());
        fake
    }

    /// The root disk as an image leaves it, with a node spec, and the power on.
    fn write_root(&self, spec: &spec::NodeSpec) {
        {
            let mut state = self.state.borrow_mut();
            state.root.clear();
            state.mounted = false;
        }
        self.put("/etc/ssh/ssh_host_ed25519_key", b"throw-away");
        self.put("/etc/ssh/ssh_host_ed25519_key.pub", b"ssh-ed25519 THROWAWAY");
        self.put("/etc/ssh/ssh_host_rsa_key", b"rsa");
        self.put("/etc/os-release", b"ID=debian\nVERSION_ID=\"13\"\n");
        self.put("/etc/default/ufw", b"IPV6=yes\n");
        self.put("/etc/ufw/ufw.conf", b"ENABLED=no\n");
        self.put("/etc/systemd/system/multi-user.target.wants/docker.service", b"");
        self.install(spec);
        self.boot();
    }

    /// The same server after its root disk was overwritten: of its volume the operator's side knows the LUKS UUID.
    pub(crate) fn rebuild(&self) {
        let mut spec = self.spec();
        spec.disk.format = None;
        spec.disk.known = Some(spec::KnownVolume { volume_id: 7, luks_uuid: self.luks().uuid });
        self.write_root(&spec);
    }

    /// Another server in the same state, with the same operator.
    pub(crate) fn copy(&self) -> Self {
        let identity = self.identity.to_file_contents();
        let identity = escrow::Identity::from_file_contents(std::str::from_utf8(identity.expose()).unwrap());
        Self { state: self.state.clone(), identity: identity.unwrap() }
    }

    /// What the fake server shall be.
    pub(crate) fn spec(&self) -> spec::NodeSpec {
        let recipient = self.identity.recipients()[0].to_string();
        let image = format!("registry.test:5000/postgres@sha256:{}", "0".repeat(64));
        let json = serde_json::json!({
            "version": 1, "project": "demo", "server": { "id": 4711, "name": "demo" },
            "disk": { "volume_id": 7, "size_gb": 10, "format": { "volume_id": 7, "nonce": "0".repeat(32) } },
            "recipients": [recipient], "ssh": { "port": 22 }, "inbound": [{ "port": 443, "protocol": "tcp" }],
            "registries": [{ "address": "registry.test:5000", "ca_pem": "PEM" }],
            "stacks": [{ "name": "postgres", "images": { "postgres": image } }],
        });
        spec::NodeSpec::from_json(json.to_string().as_bytes()).unwrap()
    }

    pub(crate) fn install(&self, spec: &spec::NodeSpec) {
        self.put(paths::NODE_SPEC, &spec.to_json());
    }

    /// Power on: memory is empty but for what the kernel shows.
    pub(crate) fn boot(&self) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        (state.dead, state.cut, state.open, state.mounted, state.docker) = (false, None, false, false, false);
        state.timers.clear();
        state.stacks.clear();
        state.containers.clear();
        programs::load_units(state);
        state.boots += 1;
        state.torn |= std::mem::take(&mut state.unsynced);
        for (path, on_disk) in std::mem::take(&mut state.unsaved) {
            if let Content::Luks(Luks { files: Some(files), .. }) = &mut state.volume
                && let Some(node) = files.get_mut(&path)
            {
                node.bytes = on_disk;
            }
        }
        let boot_id = format!("boot {}\n", state.boots);
        state.memory.clear();
        let page =
            [&[0, 0x80, 0, u8::try_from(state.serial.len()).unwrap()], state.serial.as_bytes()].concat();
        let mut kernel = |path: &str, bytes: &[u8]| {
            state.memory.insert(path.into(), Node { bytes: bytes.to_vec(), mode: 0o444, ..Node::default() });
        };
        kernel("/sys/class/dmi/id/sys_vendor", b"Hetzner\n");
        kernel("/sys/class/dmi/id/product_serial", b"4711\n");
        kernel("/proc/sys/kernel/random/boot_id", boot_id.as_bytes());
        kernel("/sys/class/block/sda/device/vpd_pg80", &page);
        kernel("/sys/class/block/sda/size", format!("{}\n", state.size / 512).as_bytes());
        kernel("/sys/module/apparmor/parameters/enabled", b"Y\n");
        kernel("/proc/swaps", b"Filename\n");
        for table in ["tcp", "tcp6", "udp", "udp6"] {
            kernel(&format!("/proc/net/{table}"), b"head\n");
        }
        for door in ["firewall", "sshd"] {
            programs::put_back(state, &format!("/var/lib/sovereign/closing/{door}/put-back"), "boot");
        }
        state.sshd = state.root[Path::new("/etc/ssh/ssh_host_ed25519_key")].bytes.clone();
        state.closed = state.root[Path::new("/etc/ufw/ufw.conf")].bytes.starts_with(b"ENABLED=yes");
    }

    /// Only firstboot died; the machine goes on.
    pub(crate) fn restart(&self) {
        let mut state = self.state.borrow_mut();
        (state.dead, state.cut) = (false, None);
    }

    /// One run of firstboot.
    pub(crate) fn run(&self) -> anyhow::Result<boot::Ended> {
        boot::run(&crate::run::Cx::begin(self)?)
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        let node = Node { bytes: bytes.to_vec(), mode: 0o644, ..Node::default() };
        self.state.borrow_mut().files(Path::new(path)).insert(path.into(), node);
    }

    pub(crate) fn get(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.state.borrow_mut().files(path.as_ref()).get(path.as_ref()).map(|n| n.bytes.clone())
    }

    /// No package brought this program.
    pub(crate) fn lacks(&self, program: &'static str) {
        self.state.borrow_mut().lacking.insert(program);
    }

    /// What is pending, from outside.
    pub(crate) fn phase(&self) -> spec::Phase {
        spec::Phase::from_json(&self.get(paths::PHASE).expect("no phase was entered")).unwrap()
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.get(paths::PHASE).is_some() && self.phase() == spec::Phase::Settled
    }

    pub(crate) fn luks(&self) -> Luks {
        match &self.state.borrow().volume {
            Content::Luks(luks) => luks.clone(),
            other => panic!("no LUKS volume but {other:?}"),
        }
    }

    pub(crate) fn events(&self) -> Vec<EventKind> {
        let bytes = self.get(paths::EVENTS).unwrap_or_default();
        crate::run::events::parse(&bytes).into_iter().map(|e| e.kind).collect()
    }

    /// See [`State::ways`]; on the fake of the whole run.
    fn ways(&self, at: u64, first: u64) -> Vec<Cut> {
        self.state.borrow().ways(at, first)
    }

    /// Counts one act; gives how the power fails at it, if it does.
    fn act(&self) -> Result<Option<Cut>, Error> {
        let mut state = self.state.borrow_mut();
        if state.dead {
            return Err(dark());
        }
        state.acts += 1;
        assert!(
            state.escrow_opens(),
            "the escrow on file does not open the volume, before act {}",
            state.acts
        );
        let cut = state.cut.filter(|(at, _)| *at == state.acts).map(|(_, cut)| cut);
        state.dead = cut.is_some();
        if cut == Some(Cut::Before) { Err(dark()) } else { Ok(cut) }
    }

    /// Notes that the next act has a half-way.
    fn has_half_way(&self) {
        let mut state = self.state.borrow_mut();
        let next = state.acts + 1;
        state.halves.insert(next);
    }

    fn change(&self, path: &Path, change: impl FnOnce(&mut Files)) -> Result<(), Error> {
        match self.act()? {
            Some(Cut::Torn) => return Err(dark()),
            cut => {
                change(self.state.borrow_mut().files(path));
                if cut.is_some() {
                    return Err(dark());
                }
            }
        }
        Ok(())
    }

    /// The operator's side: answers every gate that waits.
    fn answer_gates(&self) {
        let mut waiting: Vec<Gate> = Vec::new();
        for kind in self.events() {
            match kind {
                EventKind::Started { .. } => waiting.clear(),
                EventKind::GateWaiting { gate } => waiting.push(gate),
                EventKind::GatePassed { gate } => waiting.retain(|waits| *waits != gate),
                _ => {}
            }
        }
        for gate in waiting {
            if self.state.borrow().silent_at == Some(gate.name()) {
                continue;
            }
            if let Gate::Escrow { sha256 } = &gate {
                let bundle = self.get(paths::ESCROW_BUNDLE).unwrap();
                assert_eq!(crate::machine::digest::sha256(&bundle), *sha256);
                let opened = escrow::open(&bundle, &self.identity).unwrap();
                let keys = [escrow::LUKS_KEY, escrow::LUKS_RECOVERY].map(|name| opened.get(name));
                let keys = keys.into_iter().flatten().map(|entry| entry.value.expose().to_vec());
                self.state.borrow_mut().filed = keys.collect();
                self.state.borrow_mut().taken.push(bundle);
            }
            crate::access::acknowledge(self, gate.name(), gate.value()).ok();
        }
    }
}

fn dark() -> Error {
    Error::io("acting on", "the server", std::io::Error::other("the power is off"))
}
